/*
 * tokenprune select: the published harness's cases, each way to give
 * attention, and what it says where a file falls short.
 */
#include <math.h>

#include "cli_testing.h"

static char folder[PATH_MAX];
static char file[PATH_MAX + 64];
static char out[PATH_MAX + 64];

static void setup(void)
{
    scratch_make(folder);
    snprintf(file, sizeof(file), "%s/case.safetensors", folder);
    snprintf(out, sizeof(out), "%s/out.safetensors", folder);
}

static void teardown(void)
{
    scratch_remove(folder);
}

/* --- a file of tensors ------------------------------------------------------- */

enum { MOST = 12 };

typedef struct tensors {
    const char *names[MOST];
    tkp_tensor views[MOST];
    int count;
} tensors;

static void
add(tensors *t,
    const char *name,
    int32_t dtype,
    const void *data,
    int32_t ndim,
    const int64_t *shape)
{
    t->names[t->count] = name;
    tkp_tensor_make(
        &t->views[t->count++], (void *)(uintptr_t)data, dtype, ndim, shape);
}
#define ADD(t_, name_, dtype_, data_, ...)                                     \
    add((t_), (name_), TKP_DTYPE_##dtype_, (data_),                            \
        (int32_t)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)),         \
        (int64_t[]){__VA_ARGS__})

static void save(const tensors *t)
{
    assert_ok(tkp__safetensors_write(file, t->count, t->names, t->views));
}

static spoken select_with(const char *const *more)
{
    const char *arguments[32] = {"select", "--tensors", file, "--threads", "1"};
    int n = 5;
    for (int i = 0; more[i]; i++)
        arguments[n++] = more[i];
    return command_list(arguments);
}
#define SELECT(...) select_with((const char *const[]){__VA_ARGS__, NULL})

static void assert_list(const json_t *json, const char *key, const char *wanted)
{
    char *text =
        json_dumps(json_object_get(json, key), JSON_COMPACT | JSON_ENCODE_ANY);
    ck_assert_msg(!strcmp(text, wanted), "%s is %s", key, text);
    free(text);
}

/* --- the published cases -------------------------------------------------------- */

typedef struct published {
    char name[64], preset[64];
    char policy[1024]; /* YAML, if there is no preset */
    tensors t;
    tkp_tensor indices, scores;
    int64_t span[2], length;
    int64_t grid[3];
} published;

/* "NAME DTYPE 4x3 OFFSET" */
static tkp_tensor read_view(const char *line, char name[64], uint8_t *vectors)
{
    char dtype[8], dims[64];
    long long offset;
    int64_t shape[TKP_MAX_DIMS];
    int32_t ndim = 0;
    ck_assert_int_eq(
        sscanf(line, "%63s %7s %63s %lld", name, dtype, dims, &offset), 4);
    for (char *at = dims; at; at = strchr(at, 'x') ? strchr(at, 'x') + 1 : NULL)
        shape[ndim++] = strtoll(at, NULL, 10);
    tkp_tensor view;
    tkp_tensor_make(
        &view, vectors + offset,
        strcmp(dtype, "i32") ? TKP_DTYPE_F32 : TKP_DTYPE_I32, ndim, shape);
    return view;
}

static void check_published(published *p)
{
    char policy[PATH_MAX + 64];
    snprintf(policy, sizeof(policy), "%s/policy.yaml", folder);
    write_whole(policy, p->policy, strlen(p->policy));
    ADD(&p->t, "span", I64, p->span, 2);
    ADD(&p->t, "length", I64, &p->length, 1);
    ADD(&p->t, "grid", I64, p->grid, 3);
    save(&p->t);
    json_t *json = assert_json(
        SELECT(
            "--policy", p->preset[0] ? p->preset : policy, "--json", "--out",
            out),
        "select");
    assert_ints(json_object_get(json, "indices"), &p->indices);
    const json_t *scores = json_object_get(json, "scores");
    for (int64_t i = 0; p->scores.ndim && i < p->scores.shape[0]; i++)
        ck_assert_double_eq_tol(
            json_number_value(json_array_get(scores, (size_t)i)),
            (double)((float *)tkp__data(&p->scores))[i], 1e-5);
    tkp__safetensors *written;
    tkp_tensor indices;
    assert_ok(tkp__safetensors_open(&written, out));
    ck_assert(tkp__safetensors_find(written, "indices", &indices));
    assert_ints(json_object_get(json, "indices"), &indices);
    tkp__safetensors_close(written);
    json_decref(json);
}

static void
read_line(published *p, const char *key, const char *rest, uint8_t *vectors)
{
    char name[64];
    if (!strcmp(key, "preset"))
        sscanf(rest, "%63s", p->preset);
    else if (!strcmp(key, "|")) {
        const size_t used = strlen(p->policy);
        snprintf(p->policy + used, sizeof(p->policy) - used, "%s", rest + 1);
    } else if (!strcmp(key, "sequence"))
        ck_assert_int_eq(sscanf(rest, "%*s %lld", (long long *)&p->length), 1);
    else if (!strcmp(key, "image"))
        ck_assert_int_eq(
            sscanf(
                rest, "%lld %lld %lld %lld", (long long *)&p->span[0],
                (long long *)&p->grid[0], (long long *)&p->grid[1],
                (long long *)&p->grid[2]),
            4);
    else if (!strcmp(key, "in")) {
        const tkp_tensor view = read_view(rest, name, vectors);
        p->t.names[p->t.count] = strdup(name);
        p->t.views[p->t.count++] = view;
    } else if (!strcmp(key, "out")) {
        const tkp_tensor view = read_view(rest, name, vectors);
        if (!strcmp(name, "indices"))
            p->indices = view;
        if (!strcmp(name, "scores"))
            p->scores = view;
    }
}

static void finish(published *p, int *checked)
{
    if (!p->name[0])
        return;
    p->span[1] = p->span[0] + p->grid[0] * p->grid[1] * p->grid[2];
    check_published(p);
    (*checked)++;
    for (int i = 0; i < p->t.count; i++)
        if (p->t.names[i] != NULL && strcmp(p->t.names[i], "span") &&
            strcmp(p->t.names[i], "length") && strcmp(p->t.names[i], "grid"))
            free((char *)(uintptr_t)p->t.names[i]);
}

START_TEST(select__published_harness__same_rows)
{
    char path[PATH_MAX], line[512];
    size_t size;
    int checked = 0;
    published p = {.name = ""};
    uint8_t *vectors =
        read_whole(golden_path(path, "published/vectors.bin"), &size);
    FILE *cases = fopen(golden_path(path, "published/cases.txt"), "r");
    ck_assert_ptr_nonnull(cases);
    while (fgets(line, sizeof(line), cases)) {
        char key[16] = "";
        int at = 0;
        sscanf(line, "%15s%n", key, &at);
        if (!strcmp(key, "case")) {
            finish(&p, &checked);
            p = (published){.policy = "tokenprune: 1\nname: case\nstages:\n"};
            sscanf(line + at, "%63s", p.name);
        } else {
            read_line(&p, key, line + at, vectors);
        }
    }
    finish(&p, &checked);
    fclose(cases);
    free(vectors);
    ck_assert_int_ge(checked, 6);
}
END_TEST

/* --- small cases --------------------------------------------------------------- */

/* 3 x 3 tokens, the norms are 1, 9, 2, 8, 3, 7, 4, 6, 5. */
static const float norms[9] = {1, 9, 2, 8, 3, 7, 4, 6, 5};

static const char *norm_policy(void)
{
    static char path[PATH_MAX + 64];
    static const char text[] = "tokenprune: 1\nname: norm\nstages:\n"
                               "  - at: projector\n"
                               "    scorer: {kind: norm, norm: l1}\n"
                               "    selector: {kind: topk}\n"
                               "    budget: {count: 3}\n";
    snprintf(path, sizeof(path), "%s/norm.yaml", folder);
    write_whole(path, text, sizeof(text) - 1);
    return path;
}

static const char *external_policy(void)
{
    static char path[PATH_MAX + 64];
    static const char text[] = "tokenprune: 1\nname: mine\nstages:\n"
                               "  - at: llm:2\n"
                               "    positions: repack\n"
                               "    scorer: {kind: external}\n"
                               "    selector: {kind: topk}\n"
                               "    budget: {count: 2}\n";
    snprintf(path, sizeof(path), "%s/external.yaml", folder);
    write_whole(path, text, sizeof(text) - 1);
    return path;
}

START_TEST(select__features_alone__square_grid_and_all_results)
{
    tensors t = {0};
    ADD(&t, "features", F32, norms, 9, 1);
    ADD(&t, "label", F32, norms, 9);
    save(&t);
    json_t *json = assert_json(
        SELECT("--policy", norm_policy(), "--json", "--out", out), "select");
    assert_list(json, "kept", "[1,3,5]");
    assert_list(json, "indices", "[1,3,5]");
    assert_list(json, "assignment", "[-1,0,-1,1,-1,2,-1,-1,-1]");
    assert_list(json, "positions", "[[1,3,5]]");
    assert_list(json, "images", "[{\"span\":[0,9],\"grid\":[1,3,3]}]");
    assert_list(
        json, "tensors", "{\"used\":[\"features\"],\"unused\":[\"label\"]}");
    json_decref(json);
    tkp__safetensors *written;
    tkp_tensor rows;
    assert_ok(tkp__safetensors_open(&written, out));
    ck_assert(tkp__safetensors_find(written, "rows", &rows));
    ck_assert_int_eq(rows.shape[0], 3);
    for (int i = 0; i < 3; i++) {
        float value;
        memcpy(&value, (float *)tkp__data(&rows) + i, sizeof(value));
        ck_assert_float_eq(value, norms[1 + 2 * i]);
    }
    tkp__safetensors_close(written);
}
END_TEST

START_TEST(select__text__counts_and_cells)
{
    tensors t = {0};
    ADD(&t, "features", F32, norms, 9, 1);
    save(&t);
    spoken s = SELECT("--policy", norm_policy(), "--keep", "2");
    ck_assert_str_eq(
        s.out, "policy norm: 2 of 9 visual tokens stay, 2 of 9 rows\n1 3\n");
    forget(&s);
}
END_TEST

START_TEST(select__half_features__same_cells)
{
    uint16_t half[9];
    for (int i = 0; i < 9; i++)
        half[i] = tkp__f32_to_bf16(norms[i]);
    tensors t = {0};
    ADD(&t, "features", BF16, half, 9, 1);
    save(&t);
    json_t *json =
        assert_json(SELECT("--policy", norm_policy(), "--json"), "select");
    assert_list(json, "kept", "[1,3,5]");
    json_decref(json);
}
END_TEST

START_TEST(select__pooling_average__sizes_and_rows)
{
    static const float rows[16] = {1, 1, 2, 2, 1, 5, 2, 6,
                                   3, 3, 4, 4, 3, 3, 4, 8};
    tensors t = {0};
    ADD(&t, "features", F32, rows, 16, 1);
    save(&t);
    json_t *json = assert_json(
        SELECT("--policy", "pooling-avg", "--json", "--out", out), "select");
    assert_list(json, "kept", "[5,7,8,15]");
    assert_list(json, "sizes", "[4.0,4.0,4.0,4.0]");
    assert_list(json, "assignment", "[0,0,1,1,0,0,1,1,2,2,3,3,2,2,3,3]");
    json_decref(json);
    tkp__safetensors *written;
    tkp_tensor merged;
    float values[4];
    assert_ok(tkp__safetensors_open(&written, out));
    ck_assert(tkp__safetensors_find(written, "rows", &merged));
    memcpy(values, tkp__data(&merged), sizeof(values));
    ck_assert(
        values[0] == 2 && values[1] == 3 && values[2] == 3 && values[3] == 5);
    tkp__safetensors_close(written);
}
END_TEST

START_TEST(select__external_scores__span_masks_and_positions)
{
    static const float scores[4] = {9, 8, 7, 6};
    static const int32_t span[2] = {1, 5}, length = 7;
    static const uint8_t valid[4] = {0, 1, 1, 1}, keep[4] = {0, 0, 0, 1};
    tensors t = {0};
    ADD(&t, "scores", F32, scores, 4);
    ADD(&t, "span", I32, span, 2);
    ADD(&t, "length", I32, &length, 1);
    ADD(&t, "valid", U8, valid, 4);
    ADD(&t, "keep_always", U8, keep, 4);
    save(&t);
    json_t *json =
        assert_json(SELECT("--policy", external_policy(), "--json"), "select");
    assert_list(json, "kept", "[1,3]");
    assert_list(json, "indices", "[0,2,4,5,6]");
    assert_list(json, "positions", "[[0,1,2,3,4]]");
    assert_list(json, "assignment", "[-1,0,-1,1]");
    const json_t *said = json_object_get(json, "scores");
    ck_assert(json_is_null(json_array_get(said, 0)));
    ck_assert_double_eq(json_number_value(json_array_get(said, 2)), 7.0);
    json_decref(json);
}
END_TEST

START_TEST(select__budget_of_everything__nothing_is_cut)
{
    tensors t = {0};
    ADD(&t, "features", F32, norms, 9, 1);
    save(&t);
    json_t *json = assert_json(
        SELECT("--policy", norm_policy(), "--keep", "all", "--json"), "select");
    assert_list(json, "kept", "[0,1,2,3,4,5,6,7,8]");
    assert_list(json, "scores", "null");
    ck_assert(json_is_false(json_object_get(json, "cut")));
    json_decref(json);
}
END_TEST

/* Attention in three forms that say the same. */
enum { HEADS = 2, ROWS = 8, CHANNELS = 4 };

static void fill_qk(float *q, float *k)
{
    for (int i = 0; i < ROWS * HEADS * CHANNELS; i++) {
        q[i] = sinf((float)(i * 7 % 31));
        k[i] = cosf((float)(i * 5 % 29));
    }
}

static void softmax_rows(const float *q, const float *k, float *full)
{
    for (int h = 0; h < HEADS; h++)
        for (int r = 0; r < ROWS; r++) {
            float *row = full + (h * ROWS + r) * ROWS;
            float sum = 0;
            for (int j = 0; j < ROWS; j++) {
                float dot = 0;
                for (int c = 0; c < CHANNELS; c++)
                    dot += q[(r * HEADS + h) * CHANNELS + c] *
                           k[(j * HEADS + h) * CHANNELS + c];
                row[j] = j <= r ? expf(dot / 2) : 0;
                sum += row[j];
            }
            for (int j = 0; j < ROWS; j++)
                row[j] /= sum;
        }
}

START_TEST(select__three_forms_of_attention__one_answer)
{
    static float q[ROWS * HEADS * CHANNELS], k[ROWS * HEADS * CHANNELS];
    static float full[HEADS * ROWS * ROWS], rows[HEADS * ROWS];
    static const int64_t span[2] = {2, 6};
    fill_qk(q, k);
    softmax_rows(q, k, full);
    for (int h = 0; h < HEADS; h++)
        memcpy(
            rows + h * ROWS, full + (h * ROWS + ROWS - 1) * ROWS,
            ROWS * sizeof(float));
    double scores[3][4];
    for (int form = 0; form < 3; form++) {
        tensors t = {0};
        ADD(&t, "span", I64, span, 2);
        if (form == 0) {
            ADD(&t, "q", F32, q, ROWS, HEADS, CHANNELS);
            ADD(&t, "k", F32, k, ROWS, HEADS, CHANNELS);
        } else if (form == 1) {
            ADD(&t, "attention_rows", F32, rows, HEADS, ROWS);
        } else {
            ADD(&t, "attention", F32, full, HEADS, ROWS, ROWS);
        }
        save(&t);
        json_t *json = assert_json(
            SELECT("--policy", "fastv", "--keep", "2", "--json"), "select");
        for (size_t i = 0; i < 4; i++)
            scores[form][i] = json_number_value(
                json_array_get(json_object_get(json, "scores"), i));
        json_decref(json);
    }
    for (int form = 1; form < 3; form++)
        for (int i = 0; i < 4; i++)
            ck_assert_double_eq_tol(scores[form][i], scores[0][i], 1e-6);
}
END_TEST

/* --- refusals ------------------------------------------------------------------ */

START_TEST(select__tensor_missing__says_which)
{
    tensors t = {0};
    ADD(&t, "features", F32, norms, 9, 1);
    save(&t);
    assert_refused(
        SELECT("--policy", "fastv", "--json"), 1,
        "policy 'fastv' needs attention, wanted q and k, attention_rows or "
        "attention; the file has features");
    assert_refused(
        SELECT("--policy", external_policy(), "--json"), 1,
        "needs scores from outside, wanted scores");
}
END_TEST

START_TEST(select__scores_not_wanted__not_taken_for_attention)
{
    tensors t = {0};
    ADD(&t, "scores", F32, norms, 9);
    save(&t);
    assert_refused(
        SELECT("--policy", "fastv", "--keep", "2"), 1, "needs attention");
}
END_TEST

START_TEST(select__no_square__asks_for_grid)
{
    tensors t = {0};
    ADD(&t, "features", F32, norms, 8, 1);
    save(&t);
    assert_refused(
        SELECT("--policy", norm_policy()), 1,
        "grid is missing: image 0 has 8 tokens, which is no square");
}
END_TEST

START_TEST(select__scores_all_nan__refused)
{
    float nans[9];
    for (int i = 0; i < 9; i++)
        nans[i] = NAN;
    tensors t = {0};
    ADD(&t, "scores", F32, nans, 9);
    save(&t);
    assert_refused(
        SELECT("--policy", external_policy(), "--json", "--out", out), 1,
        "NaN");
    ck_assert_int_ne(access(out, F_OK), 0);
}
END_TEST

START_TEST(select__one_score_nan__ranks_last)
{
    float scores[4] = {NAN, -INFINITY, -5, -6};
    tensors t = {0};
    ADD(&t, "scores", F32, scores, 4);
    save(&t);
    json_t *json = assert_json(
        SELECT("--policy", external_policy(), "--keep", "3", "--json"),
        "select");
    assert_list(json, "kept", "[1,2,3]");
    json_decref(json);
}
END_TEST

START_TEST(select__shapes_disagree__both_named)
{
    static const int64_t span[2] = {1, 5}, far[2] = {1, 50}, grid[2] = {3, 2};
    static const int64_t length = 1LL << 40, negative = -1;
    static const int64_t positions[4] = {0, 1, 2, 3};
    tensors t = {0};
    ADD(&t, "hidden", F32, norms, 9, 1);
    ADD(&t, "positions", I64, positions, 4);
    save(&t);
    assert_refused(
        SELECT("--policy", norm_policy()), 1,
        "positions has 4 rows, but hidden has 9");
    t.count = 1;
    ADD(&t, "span", I64, far, 2);
    save(&t);
    assert_refused(
        SELECT("--policy", norm_policy()), 1,
        "span ends at 50, but the sequence has 9 rows");
    t.count = 1;
    ADD(&t, "span", I64, span, 2);
    ADD(&t, "grid", I64, grid, 2);
    save(&t);
    assert_refused(
        SELECT("--policy", norm_policy()), 1,
        "grid of image 0 is 1 x 3 x 2, but its span has 4 tokens, wanted 6");
    t.count = 0;
    ADD(&t, "length", I64, &length, 1);
    save(&t);
    assert_refused(
        SELECT("--policy", "random"), 1, "length: is 1099511627776, wanted 1");
    t.count = 0;
    ADD(&t, "length", I64, &negative, 1);
    save(&t);
    assert_refused(SELECT("--policy", "random"), 1, "length: is -1, wanted 1");
}
END_TEST

START_TEST(select__grid_huge__refused)
{
    static const int64_t grid[3] = {1 << 24, 1 << 24, 1 << 24};
    static const int64_t zero[2] = {0, 4};
    tensors t = {0};
    ADD(&t, "grid", I64, grid, 3);
    save(&t);
    assert_refused(SELECT("--policy", "random"), 1, "grid: image 0 has more");
    t.count = 0;
    ADD(&t, "grid", I64, zero, 2);
    save(&t);
    assert_refused(
        SELECT("--policy", "random"), 1, "grid: image 0 has a size of 0");
}
END_TEST

START_TEST(select__tiles_that_cannot_be__refused)
{
    static const int64_t grid[2] = {4, 6}, video[3] = {2, 4, 6};
    static const int64_t three[3] = {2, 3, 0}, whole[2] = {2, 3};
    static const struct {
        int64_t tile[4];
        const char *message;
    } bad[] = {
        {{2, 0, 0, 0}, "a tile has 2 x 0 cells"},
        {{0, 0, 1, 0}, "a tile has 0 x 0 cells"},
        {{2, 3, 2, 0}, "the first tile lacks 2 rows and 0 columns"},
        {{2, 3, 0, 3}, "the first tile lacks 0 rows and 3 columns"},
        {{2, 3, -1, 0}, "tile: image 0 has -1"},
    };
    tensors t = {0};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        t.count = 0;
        ADD(&t, "grid", I64, grid, 2);
        ADD(&t, "tile", I64, bad[i].tile, 4);
        save(&t);
        assert_refused(SELECT("--policy", "random"), 1, bad[i].message);
    }
    t.count = 1;
    ADD(&t, "tile", I64, three, 3);
    save(&t);
    assert_refused(SELECT("--policy", "random"), 1, "tile is [1, 3]");
    t.count = 0;
    ADD(&t, "grid", I64, video, 3);
    ADD(&t, "tile", I64, whole, 2);
    save(&t);
    assert_refused(SELECT("--policy", "random"), 1, "tiles and 2 frames");
}
END_TEST

START_TEST(select__wrong_dtype_or_rank__met_and_wanted)
{
    static const int32_t whole[9] = {0};
    tensors t = {0};
    ADD(&t, "features", I32, whole, 9, 1);
    save(&t);
    assert_refused(
        SELECT("--policy", norm_policy()), 1,
        "case.safetensors: features: dtype is I32, wanted F32, F16 or BF16");
    t.count = 0;
    ADD(&t, "features", F32, norms, 9);
    save(&t);
    assert_refused(
        SELECT("--policy", norm_policy()), 1,
        "features: has 1 dimensions, wanted [N, D]");
    t.count = 0;
    ADD(&t, "features", F32, norms, 0, 1);
    save(&t);
    assert_refused(
        SELECT("--policy", norm_policy()), 1, "features: dim 0 is 0");
}
END_TEST

START_TEST(select__file_damaged__refused)
{
    size_t size;
    tensors t = {0};
    ADD(&t, "features", F32, norms, 9, 1);
    save(&t);
    uint8_t *bytes = read_whole(file, &size);
    write_whole(file, bytes, size - 4);
    assert_refused(SELECT("--policy", norm_policy()), 1, "case.safetensors: ");
    memset(bytes, 0x7f, 8);
    write_whole(file, bytes, size);
    assert_refused(SELECT("--policy", norm_policy()), 1, "header length is");
    write_whole(file, "", 0);
    assert_refused(SELECT("--policy", norm_policy()), 1, "case.safetensors: ");
    free(bytes);
    unlink(file);
    assert_refused(SELECT("--policy", norm_policy()), 1, "No such file");
}
END_TEST

START_TEST(select__options__checked)
{
    tensors t = {0};
    ADD(&t, "features", F32, norms, 9, 1);
    save(&t);
    assert_refused(command("select", NULL), 2, "--tensors is missing");
    assert_refused(SELECT("--json"), 2, "--policy is missing");
    assert_refused(SELECT("--policy", norm_policy(), "--keep", "10"), 1, "10");
    assert_refused(
        SELECT("--policy", norm_policy(), "--stage", "1"), 1,
        "stage is 1, but it has 1 stage");
    assert_refused(SELECT("--policy", "none"), 1, "0 stages that prune");
    assert_refused(
        SELECT("--policy", norm_policy(), "--json", "--out", "/no/where"), 1,
        "/no/where: No such file");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cli/select");
    TCase *cases = tcase_create("cases");
    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, select__published_harness__same_rows);
    tcase_add_test(cases, select__features_alone__square_grid_and_all_results);
    tcase_add_test(cases, select__text__counts_and_cells);
    tcase_add_test(cases, select__half_features__same_cells);
    tcase_add_test(cases, select__pooling_average__sizes_and_rows);
    tcase_add_test(cases, select__external_scores__span_masks_and_positions);
    tcase_add_test(cases, select__budget_of_everything__nothing_is_cut);
    tcase_add_test(cases, select__three_forms_of_attention__one_answer);
    tcase_add_test(cases, select__one_score_nan__ranks_last);
    suite_add_tcase(suite, cases);
    TCase *refusals = tcase_create("refusals");
    tcase_add_checked_fixture(refusals, setup, teardown);
    tcase_add_test(refusals, select__tensor_missing__says_which);
    tcase_add_test(
        refusals, select__scores_not_wanted__not_taken_for_attention);
    tcase_add_test(refusals, select__no_square__asks_for_grid);
    tcase_add_test(refusals, select__scores_all_nan__refused);
    tcase_add_test(refusals, select__shapes_disagree__both_named);
    tcase_add_test(refusals, select__grid_huge__refused);
    tcase_add_test(refusals, select__tiles_that_cannot_be__refused);
    tcase_add_test(refusals, select__wrong_dtype_or_rank__met_and_wanted);
    tcase_add_test(refusals, select__file_damaged__refused);
    tcase_add_test(refusals, select__options__checked);
    suite_add_tcase(suite, refusals);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
