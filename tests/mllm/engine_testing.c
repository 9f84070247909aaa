#include "engine_testing.h"

#include <math.h>
#include <stdarg.h>

/* --- a directory that loads ------------------------------------------------ */

/* Id i is the character U+4E00 + i. */
static int put_piece(char out[4], int32_t id)
{
    const uint32_t code = 0x4e00u + (uint32_t)id;
    out[0] = (char)(0xe0u | code >> 12);
    out[1] = (char)(0x80u | (code >> 6 & 0x3fu));
    out[2] = (char)(0x80u | (code & 0x3fu));
    out[3] = '\0';
    return 3;
}

static const char *special_piece(int32_t id)
{
    switch (id) {
    case 0:
        return "<unk>";
    case 1:
        return "<s>";
    case 2:
        return "</s>";
    case IMAGE_ID:
        return "<image>";
    default:
        return NULL;
    }
}

static void write_tokenizer(const char *folder)
{
    char path[PATH_MAX + 32], piece[4];
    snprintf(path, sizeof(path), "%s/tokenizer.json", folder);
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fprintf(file, "{\"added_tokens\":[");
    const int32_t added[] = {0, 1, 2, IMAGE_ID};
    for (int i = 0; i < 4; i++)
        fprintf(
            file,
            "%s{\"id\":%d,\"content\":\"%s\",\"single_word\":false,"
            "\"lstrip\":false,\"rstrip\":false,\"normalized\":false,"
            "\"special\":true}",
            i ? "," : "", added[i], special_piece(added[i]));
    fprintf(
        file,
        "],\"normalizer\":null,\"pre_tokenizer\":null,\"post_processor\":{"
        "\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{"
        "\"id\":\"<s>\",\"type_id\":0}},{\"Sequence\":{\"id\":\"A\","
        "\"type_id\":0}}],\"pair\":[],\"special_tokens\":{\"<s>\":{"
        "\"id\":\"<s>\",\"ids\":[1],\"tokens\":[\"<s>\"]}}},"
        "\"decoder\":{\"type\":\"Sequence\",\"decoders\":["
        "{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"}]},"
        "\"model\":{\"type\":\"BPE\",\"dropout\":null,"
        "\"unk_token\":\"<unk>\",\"continuing_subword_prefix\":null,"
        "\"end_of_word_suffix\":null,\"fuse_unk\":true,"
        "\"byte_fallback\":false,\"ignore_merges\":false,\"vocab\":{");
    for (int32_t id = 0; id < VOCAB; id++) {
        put_piece(piece, id);
        const char *special = special_piece(id);
        fprintf(
            file, "%s\"%s\":%d", id ? "," : "", special ? special : piece, id);
    }
    fprintf(file, "},\"merges\":[]}}");
    ck_assert_int_eq(fclose(file), 0);
}

static void write_picture(testbed *bed)
{
    const tkp_tensor rgb = fixture_get(bed, "image_u8");
    const tkp__image image = {
        .height = rgb.shape[0], .width = rgb.shape[1], .rgb = tkp__data(&rgb)};
    snprintf(bed->picture, sizeof(bed->picture), "%s/picture.png", bed->folder);
    assert_ok(tkp__image_save_png(&image, bed->picture));
}

void testbed_text(char *out, size_t bytes, const int32_t *ids, int64_t count)
{
    size_t used = 0;
    out[0] = '\0';
    for (int64_t i = 0; i < count; i++) {
        char piece[4];
        if (ids[i] == 1 && i == 0)
            continue; /* the post-processor puts it there */
        if (ids[i] == IMAGE_ID && i > 0 && ids[i - 1] == IMAGE_ID)
            continue; /* one placeholder stands for all */
        put_piece(piece, ids[i]);
        const char *special = special_piece(ids[i]);
        used += (size_t)snprintf(
            out + used, bytes - used, "%s", special ? special : piece);
        ck_assert_uint_lt(used, bytes);
    }
}

void testbed_video_text(
    char *out,
    size_t bytes,
    const testbed *bed,
    const char *name)
{
    const tkp_tensor ids = fixture_get(bed, "%s.input_ids", name);
    const int32_t *id = tkp__data(&ids);
    int32_t once[256];
    int64_t n = 0;
    for (int64_t i = 0; i < ids.shape[0]; i++)
        if (id[i] != VIDEO_ID || i == 0 || id[i - 1] != VIDEO_ID) {
            ck_assert_int_lt(n, 256);
            once[n++] = id[i];
        }
    testbed_text(out, bytes, once, n);
}

void testbed_save_frame(
    char out[PATH_MAX + 96],
    const testbed *bed,
    const char *name,
    int64_t k,
    const tkp_tensor *rgb)
{
    const int64_t *sides = rgb->shape + rgb->ndim - 3;
    const tkp__image image = {
        .height = sides[0],
        .width = sides[1],
        .rgb = (uint8_t *)tkp__data(rgb) + k * sides[0] * sides[1] * 3};
    snprintf(out, PATH_MAX + 96, "%s/%s-%d.png", bed->folder, name, (int)k);
    assert_ok(tkp__image_save_png(&image, out));
}

/* Another one than the tests name: they ask for "ref" and get this. */
static const char *asked_for(void)
{
    return getenv("TKP_TEST_BACKEND");
}

bool testbed_has_backend(const char *backend)
{
    if (asked_for())
        return strcmp(backend, "ref") == 0;
    tkp_context_options options = TKP_CONTEXT_OPTIONS_INIT;
    tkp_context *context = NULL;
    options.backends = backend;
    const bool found = tkp_context_create(&context, &options) == TKP_OK;
    tkp_context_destroy(context);
    return found;
}

void testbed_open(
    testbed *bed,
    const char *golden,
    const char *backend,
    int32_t dtype)
{
    char path[PATH_MAX], name[256];
    memset(bed, 0, sizeof(*bed));
    scratch_make(bed->folder);
    snprintf(name, sizeof(name), "models/%s", golden);
    scratch_copy(bed->folder, name);
    snprintf(name, sizeof(name), "models/%s/fixture.safetensors", golden);
    assert_ok(tkp__safetensors_open(&bed->fixture, golden_path(path, name)));
    write_tokenizer(bed->folder);
    write_picture(bed);
    const tkp_tensor ids = fixture_get(bed, "input_ids");
    testbed_text(
        bed->prompt, sizeof(bed->prompt), tkp__data(&ids), ids.shape[0]);

    tkp_context_options context = TKP_CONTEXT_OPTIONS_INIT;
    context.backends = asked_for() ? asked_for() : backend;
    if (strcmp(context.backends, "cuda") == 0)
        context.device_type = TKP_DEVICE_CUDA;
    context.threads = 2;
    assert_ok(tkp_context_create(&bed->context, &context));
    tkp_mllm_options options = TKP_MLLM_OPTIONS_INIT;
    options.dtype = dtype;
    assert_ok(tkp_mllm_load(&bed->model, bed->context, bed->folder, &options));
}

void testbed_close(testbed *bed)
{
    tkp_mllm_destroy(bed->model);
    tkp_context_destroy(bed->context);
    tkp__safetensors_close(bed->fixture);
    scratch_remove(bed->folder);
}

bool testbed_is_large(const testbed *bed)
{
    const char *largest = getenv("TKP_TEST_LARGEST");
    const tkp_tensor ids = fixture_get(bed, "input_ids");
    return largest && ids.shape[0] > atoll(largest);
}

tkp_mllm_request testbed_request(const testbed *bed, const char **images)
{
    tkp_mllm_request request = TKP_MLLM_REQUEST_INIT;
    request.prompt = bed->prompt;
    request.format = TKP_MLLM_FORMAT_RAW;
    images[0] = bed->picture;
    request.images = images;
    request.n_images = 1;
    return request;
}

tkp_tensor fixture_get(const testbed *bed, const char *format, ...)
{
    char name[128];
    va_list list;
    va_start(list, format);
    vsnprintf(name, sizeof(name), format, list);
    va_end(list);
    tkp_tensor view;
    ck_assert_msg(
        tkp__safetensors_find(bed->fixture, name, &view), "no %s", name);
    return view;
}

/* --- policies -------------------------------------------------------------- */

static tkp_policy *one_stage(const char *name, const tkp_stage_options *stage)
{
    tkp_policy *policy;
    assert_ok(tkp_policy_create(&policy, name));
    assert_ok(tkp_policy_add_stage(policy, stage));
    return policy;
}

tkp_policy *policy_fastv(int32_t boundary, int64_t keep, int32_t positions)
{
    tkp_stage_options stage = TKP_STAGE_OPTIONS_INIT;
    tkp_scorer_options scorer = TKP_SCORER_OPTIONS_INIT;
    tkp_selector_options selector = TKP_SELECTOR_OPTIONS_INIT;
    tkp_budget budget = TKP_BUDGET_INIT;
    scorer.kind = TKP_SCORER_ATTENTION;
    selector.kind = TKP_SELECTOR_TOPK;
    budget.kind = TKP_BUDGET_COUNT;
    budget.count = keep;
    stage.point = TKP_POINT_LLM;
    stage.boundary = boundary;
    stage.positions = positions;
    stage.scorer = &scorer;
    stage.selector = &selector;
    stage.budget = &budget;
    return one_stage("fastv", &stage);
}

tkp_policy *
policy_random(int32_t point, int32_t boundary, int64_t keep, int32_t positions)
{
    tkp_stage_options stage = TKP_STAGE_OPTIONS_INIT;
    tkp_selector_options selector = TKP_SELECTOR_OPTIONS_INIT;
    tkp_budget budget = TKP_BUDGET_INIT;
    selector.kind = TKP_SELECTOR_RANDOM;
    selector.seed = 7;
    budget.kind = TKP_BUDGET_COUNT;
    budget.count = keep;
    stage.point = point;
    stage.boundary = boundary;
    stage.positions = positions;
    stage.selector = &selector;
    stage.budget = &budget;
    return one_stage("random", &stage);
}

/* --- activations ----------------------------------------------------------- */

void recorder_take(
    void *user,
    const char *name,
    int32_t layer,
    const tkp_tensor *tensor)
{
    recorder *r = user;
    ck_assert_int_lt(r->count, (int)(sizeof(r->entry) / sizeof(r->entry[0])));
    recorded *e = &r->entry[r->count++];
    snprintf(e->name, sizeof(e->name), "%s", name);
    e->layer = layer;
    ck_assert(tkp_tensor_is_contiguous(tensor));
    const int64_t count = tkp_tensor_count(tensor);
    e->rows = tensor->shape[0];
    e->width = count / (e->rows ? e->rows : 1);
    e->values = malloc((size_t)count * sizeof(float) + 1);
    for (int64_t i = 0; i < count; i++)
        e->values[i] = tensor->dtype == TKP_DTYPE_I32
                           ? (float)((const int32_t *)tkp__data(tensor))[i]
                           : tkp__load_f32(tkp__data(tensor), tensor->dtype, i);
}

void recorder_clear(recorder *r)
{
    for (int32_t i = 0; i < r->count; i++)
        free(r->entry[i].values);
    r->count = 0;
}

const recorded *recorder_get(const recorder *r, const char *name, int32_t layer)
{
    for (int32_t i = r->count - 1; i >= 0; i--)
        if (r->entry[i].layer == layer && !strcmp(r->entry[i].name, name))
            return &r->entry[i];
    ck_abort_msg("no activation %s of layer %d", name, layer);
    return NULL;
}

static void
check_cosine(const char *what, const float *a, const float *b, int64_t width)
{
    double aa = 0.0, bb = 0.0, ab = 0.0;
    for (int64_t i = 0; i < width; i++) {
        aa += (double)a[i] * a[i];
        bb += (double)b[i] * b[i];
        ab += (double)a[i] * b[i];
    }
    ck_assert_msg(
        ab >= 0.999 * sqrt(aa * bb), "%s: cosine %g", what, ab / sqrt(aa * bb));
}

void compare_rows(
    const char *what,
    const float *actual,
    int64_t m,
    const float *expected,
    int64_t n,
    int64_t width,
    double tolerance,
    bool cosine)
{
    ck_assert_msg(
        n <= m && n > 0, "%s: %lld rows, the fixture has %lld", what,
        (long long)m, (long long)n);
    const float *rows = actual + (m - n) * width;
    double top = 0.0, worst = 0.0;
    int64_t at = 0;
    for (int64_t i = 0; i < n * width; i++) {
        const double difference = fabs((double)rows[i] - expected[i]);
        top = fmax(top, fabs((double)expected[i]));
        if (!(difference <= worst)) {
            worst = difference;
            at = i;
        }
    }
    if (getenv("TKP_TEST_SHOW"))
        fprintf(stderr, "%-28s %.2e of %g\n", what, worst / top, top);
    ck_assert_msg(
        worst <= tolerance * top,
        "%s: row %lld, column %lld is %g, wanted %g; off by %g of the largest",
        what, (long long)(at / width), (long long)(at % width),
        (double)rows[at], (double)expected[at], worst / top);
    ck_assert_msg(top > 0.0, "%s: the fixture is all zero", what);
    for (int64_t i = 0; cosine && i < n; i++)
        check_cosine(what, rows + i * width, expected + i * width, width);
}
