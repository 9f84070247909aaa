/*
 * Policies against golden cases: an independent statement of the methods in
 * NumPy (tests/golden/policies), and what the published harness itself kept
 * (tests/golden/published). The format is described in
 * tools/golden/policy_cases.py.
 *
 *   TKP_TEST_CASE=fastv-ragged   this case only
 */

#include <check.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tokenprune.h"

#define OK(call)                                                               \
    do {                                                                       \
        const tkp_status status_ = (call);                                     \
        ck_assert_msg(                                                         \
            status_ == TKP_OK, "%s: %s: %s: %s", run.name, #call,              \
            tkp_status_string(status_), tkp_last_message());                   \
    } while (0)

static const char *const backend_lists[] = {"ref", "cpu,ref"};
static const char *const folders[] = {
    "policies", "published", "controls", "methods"};

/* The case that is running. */
static struct run {
    char name[80];
    char stages[2048]; /* YAML, as it is collected */
    tkp_policy *policy;
    tkp_layout *layout;
    tkp_model_desc model;
    tkp_context *context;
    tkp_exec *exec;
    tkp_sequence *sequence;
    void *workspace;
    int32_t last_sequence;
    bool begun, pruned;
    int32_t point; /* -1 before the first */
    tkp_inputs inputs;
    tkp_tensor given[16];
    int32_t n_given;
    tkp_decision decision;
    int32_t checked; /* outputs compared */
} run;

static unsigned char *data;
static size_t data_bytes;

static char *read_file(const char *folder, const char *name, size_t *bytes)
{
    const char *root = getenv("TKP_TEST_DATA");
    char path[1024];
    snprintf(path, sizeof(path), "%s/%s/%s", root ? root : ".", folder, name);
    FILE *file = fopen(path, "rb");
    ck_assert_msg(file != NULL, "%s: is TKP_TEST_DATA set?", path);
    ck_assert_int_eq(fseek(file, 0, SEEK_END), 0);
    *bytes = (size_t)ftell(file);
    rewind(file);
    char *text = malloc(*bytes + 1);
    ck_assert_ptr_nonnull(text);
    ck_assert_uint_eq(fread(text, 1, *bytes, file), *bytes);
    text[*bytes] = '\0';
    fclose(file);
    return text;
}

static void *at_offset(long long offset)
{
    ck_assert_int_ge(offset, 0);
    ck_assert_uint_lt((size_t)offset, data_bytes);
    return data + offset;
}

/* --- describing ----------------------------------------------------------------- */

static void read_model(const char *line)
{
    long long hidden;
    char dtype[8];
    tkp_model_desc *m = &run.model;
    tkp_model_desc_init(m);
    ck_assert_int_eq(
        sscanf(
            line, "model %7s %d %d %d %d %lld", dtype, &m->layers, &m->heads,
            &m->kv_heads, &m->head_dim, &hidden),
        6);
    ck_assert_str_eq(dtype, "f32");
    m->dtype = TKP_DTYPE_F32;
    m->hidden = hidden;
}

/* "widths vision vision_keys clip text-rows clip_text-rows clip_tokens-rows" */
static void read_widths(const char *line)
{
    long long vision, keys, clip;
    tkp_model_desc *m = &run.model;
    ck_assert_int_eq(
        sscanf(
            line, "widths %lld %lld %lld %d %d %d", &vision, &keys, &clip,
            &m->text_rows, &m->clip_text_rows, &m->clip_token_rows),
        6);
    m->vision_hidden = vision;
    m->vision_key_dim = keys;
    m->clip_dim = clip;
}

static void read_sequence(const char *line)
{
    unsigned id;
    long long length;
    long long text_begin;
    long long text_end;
    ck_assert_int_eq(
        sscanf(
            line, "sequence %u %lld %lld %lld", &id, &length, &text_begin,
            &text_end),
        4);
    tkp_sequence_desc desc = TKP_SEQUENCE_DESC_INIT;
    desc.id = id;
    desc.length = length;
    desc.text_begin = text_begin;
    desc.text_end = text_end;
    OK(tkp_layout_add_sequence(run.layout, &desc, &run.last_sequence));
}

static const uint8_t *mask_at(const char *word)
{
    return strcmp(word, "-") == 0 ? NULL : at_offset(strtoll(word, NULL, 10));
}

static void read_image(const char *line)
{
    tkp_image_desc desc = TKP_IMAGE_DESC_INIT;
    long long start;
    char valid[24];
    char keep[24];
    ck_assert_int_eq(
        sscanf(
            line, "image %lld %d %d %d %d %23s %23s", &start, &desc.frames,
            &desc.rows, &desc.cols, &desc.row_stride, valid, keep),
        7);
    desc.sequence = run.last_sequence;
    desc.start = start;
    desc.valid = mask_at(valid);
    desc.keep = mask_at(keep);
    OK(tkp_layout_add_image(run.layout, &desc, NULL));
}

static void read_positions(const char *line)
{
    int32_t rows;
    long long offset;
    ck_assert_int_eq(sscanf(line, "positions %d %lld", &rows, &offset), 2);
    OK(tkp_layout_set_positions(
        run.layout, rows, at_offset(offset), tkp_layout_rows(run.layout)));
}

/* "[in|out] name dtype 3x4 offset" */
static tkp_tensor read_tensor(const char *line, char name[24])
{
    char dtype[8];
    char shape_text[64];
    long long offset;
    ck_assert_int_eq(
        sscanf(
            line, "%*s %23s %7s %63s %lld", name, dtype, shape_text, &offset),
        4);
    int64_t shape[TKP_MAX_DIMS];
    int32_t ndim = 0;
    for (char *at = shape_text; *at && ndim < TKP_MAX_DIMS; ndim++) {
        shape[ndim] = strtoll(at, &at, 10);
        at += *at == 'x';
    }
    int32_t type = TKP_DTYPE_NONE;
    for (int32_t d = TKP_DTYPE_F32; d <= TKP_DTYPE_U8; d++)
        if (strcmp(tkp_dtype_string(d), dtype) == 0)
            type = d;
    ck_assert_int_ne(type, TKP_DTYPE_NONE);
    tkp_tensor out;
    tkp_tensor_make(&out, data + offset, type, ndim, shape);
    ck_assert_uint_le(
        (size_t)offset + (size_t)tkp_tensor_count(&out) * tkp_dtype_bytes(type),
        data_bytes);
    return out;
}

/* --- running -------------------------------------------------------------------- */

static void load_stages(void)
{
    char text[4096];
    const int n = snprintf(
        text, sizeof(text), "tokenprune: 1\nname: golden\nstages:\n%s",
        run.stages);
    OK(tkp_policy_load_text(&run.policy, text, (size_t)n, run.name));
}

static void begin(void)
{
    tkp_requirements need = TKP_REQUIREMENTS_INIT;
    if (run.stages[0])
        load_stages();
    OK(tkp_sequence_create(&run.sequence, run.context));
    OK(tkp_sequence_begin(
        run.sequence, run.exec, run.policy, run.layout, &run.model));
    OK(tkp_sequence_query(run.sequence, &need));
    run.workspace = aligned_alloc(64, (need.workspace_bytes + 127) / 64 * 64);
    OK(tkp_exec_set_workspace(run.exec, run.workspace, need.workspace_bytes));
    run.begun = true;
}

static void read_point(const char *line)
{
    int32_t stage;
    tkp_point point = TKP_POINT_INIT;
    ck_assert_int_eq(sscanf(line, "point %d", &stage), 1);
    if (!run.begun)
        begin();
    OK(tkp_sequence_next(run.sequence, &point));
    ck_assert_msg(point.kind != 0, "%s: no point %d", run.name, stage);
    ck_assert_int_eq(point.stage, stage);
    tkp_inputs_init(&run.inputs);
    tkp_decision_init(&run.decision);
    run.n_given = 0;
    run.pruned = false;
}

static void read_input(const char *line)
{
    static const struct {
        const char *name;
        size_t offset;
    } fields[] = {
#define FIELD(name) {#name, offsetof(tkp_inputs, name)}
        FIELD(q),           FIELD(k),           FIELD(lse),
        FIELD(hidden),      FIELD(scores),      FIELD(attention_rows),
        FIELD(norm_weight), FIELD(attention),   FIELD(cls_attention),
        FIELD(vision),      FIELD(text),        FIELD(clip),
        FIELD(clip_text),   FIELD(clip_tokens),
#undef FIELD
    };
    char name[24];
    tkp_tensor *t = &run.given[run.n_given++];
    *t = read_tensor(line, name);
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        if (strcmp(fields[i].name, name) == 0) {
            *(const tkp_tensor **)((char *)&run.inputs + fields[i].offset) = t;
            return;
        }
    ck_abort_msg("%s: input %s", run.name, name);
}

static void prune(void)
{
    OK(tkp_sequence_prune(run.sequence, run.exec, &run.inputs, &run.decision));
    run.pruned = true;
}

static const tkp_tensor *field_of(const char *name)
{
    const tkp_decision *d = &run.decision;
    const struct {
        const char *name;
        const tkp_tensor *tensor;
    } fields[] = {
        {"indices", &d->indices},     {"offsets", &d->offsets},
        {"positions", &d->positions}, {"merged", &d->merged},
        {"merged_at", &d->merged_at}, {"sizes", &d->sizes},
        {"scores", &d->scores},
    };
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        if (strcmp(fields[i].name, name) == 0)
            return fields[i].tensor;
    ck_abort_msg("%s: output %s", run.name, name);
    return NULL;
}

static void compare(const tkp_tensor *met, const tkp_tensor *want, char *name)
{
    ck_assert_msg(
        met->dtype == want->dtype && met->ndim == want->ndim, "%s: %s",
        run.name, name);
    for (int32_t d = 0; d < want->ndim; d++)
        ck_assert_msg(
            met->shape[d] == want->shape[d], "%s: %s: dim %d is %lld, not %lld",
            run.name, name, d, (long long)met->shape[d],
            (long long)want->shape[d]);
    const int64_t count = tkp_tensor_count(want);
    for (int64_t i = 0; i < count; i++)
        if (want->dtype == TKP_DTYPE_I32) {
            const int32_t a = ((const int32_t *)met->data)[i];
            const int32_t b = ((const int32_t *)want->data)[i];
            ck_assert_msg(
                a == b, "%s: %s[%lld] is %d, not %d", run.name, name,
                (long long)i, a, b);
        } else {
            const double a = (double)((const float *)met->data)[i];
            const double b = (double)((const float *)want->data)[i];
            ck_assert_msg(
                fabs(a - b) <= 1e-5 * fmax(1.0, fabs(b)),
                "%s: %s[%lld] is %.9g, not %.9g", run.name, name, (long long)i,
                a, b);
        }
    run.checked++;
}

static void read_output(const char *line)
{
    char name[24];
    if (!run.pruned)
        prune();
    const tkp_tensor want = read_tensor(line, name);
    compare(field_of(name), &want, name);
}

static void read_next(const char *line)
{
    int32_t b;
    int32_t layer;
    int32_t position;
    ck_assert_int_eq(sscanf(line, "next %d %d %d", &b, &layer, &position), 3);
    ck_assert_msg(
        tkp_sequence_next_position(run.sequence, b, layer) == position,
        "%s: next position of sequence %d in layer %d is %d, not %d", run.name,
        b, layer, tkp_sequence_next_position(run.sequence, b, layer), position);
    run.checked++;
}

/* --- cases ------------------------------------------------------------------------ */

static bool open_case(const char *line, const char *backends)
{
    tkp_context_options options = TKP_CONTEXT_OPTIONS_INIT;
    options.backends = backends;
    memset(&run, 0, sizeof(run));
    ck_assert_int_eq(sscanf(line, "case %79s", run.name), 1);
    const char *only = getenv("TKP_TEST_CASE");
    if (only && strcmp(only, run.name) != 0)
        return false;
    OK(tkp_context_create(&run.context, &options));
    OK(tkp_exec_create(&run.exec, run.context, NULL));
    OK(tkp_layout_create(&run.layout));
    return true;
}

static void close_case(void)
{
    tkp_point point = TKP_POINT_INIT;
    OK(tkp_sequence_next(run.sequence, &point));
    ck_assert_msg(point.kind == 0, "%s: one point more", run.name);
    ck_assert_int_ge(run.checked, 1);
    tkp_sequence_destroy(run.sequence);
    tkp_policy_destroy(run.policy);
    tkp_layout_destroy(run.layout);
    tkp_exec_destroy(run.exec);
    tkp_context_destroy(run.context);
    free(run.workspace);
}

static void read_line(const char *line)
{
    static const struct {
        const char *word;
        void (*read)(const char *line);
    } words[] = {
        {"model ", read_model},
        {"widths ", read_widths},
        {"sequence ", read_sequence},
        {"image ", read_image},
        {"positions ", read_positions},
        {"point ", read_point},
        {"in ", read_input},
        {"out ", read_output},
        {"next ", read_next},
    };
    const size_t used = strlen(run.stages);
    if (strncmp(line, "| ", 2) == 0) {
        snprintf(
            run.stages + used, sizeof(run.stages) - used, "%s\n", line + 2);
        return;
    }
    if (strncmp(line, "preset ", 7) == 0) {
        OK(tkp_policy_load_preset(&run.policy, line + 7));
        return;
    }
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strncmp(line, words[i].word, strlen(words[i].word)) == 0) {
            words[i].read(line);
            return;
        }
    ck_assert_msg(line[0] == '#', "%s: line '%s'", run.name, line);
}

static int32_t run_folder(const char *folder, const char *backends)
{
    size_t bytes;
    char *text = read_file(folder, "cases.txt", &bytes);
    data = (unsigned char *)read_file(folder, "vectors.bin", &data_bytes);
    int32_t cases = 0;
    bool open = false;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        if (strncmp(line, "case ", 5) == 0) {
            if (open)
                close_case();
            open = open_case(line, backends);
            cases += open;
        } else if (open) {
            read_line(line);
        }
    }
    if (open)
        close_case();
    free(text);
    free(data);
    return cases;
}

static bool has_backend(const char *backends)
{
    tkp_context *context = NULL;
    tkp_context_options options = TKP_CONTEXT_OPTIONS_INIT;
    options.backends = backends;
    if (tkp_context_create(&context, &options) != TKP_OK) {
        fprintf(stderr, "skipped: %s\n", tkp_last_message());
        return false;
    }
    tkp_context_destroy(context);
    return true;
}

START_TEST(sequence__golden_cases__every_decision_as_expected)
{
    const char *folder = folders[_i / 2];
    const char *backends = backend_lists[_i % 2];
    if (!has_backend(backends))
        return;
    const int32_t cases = run_folder(folder, backends);
    if (!getenv("TKP_TEST_CASE"))
        ck_assert_int_ge(cases, _i / 2 ? 6 : 70);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("api/policy_golden");
    TCase *t = tcase_create("golden");
    tcase_add_loop_test(
        t, sequence__golden_cases__every_decision_as_expected, 0, 8);
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
