/* The reference engine: flat calls. */

#include "flat_mllm.h"

#include <stdlib.h>
#include <string.h>

#include "flat_object.h"

DESTROYER(model, tkp_mllm)
DESTROYER(result, tkp_mllm_result)

/* --- models ----------------------------------------------------------------------- */

tkp_status flat_mllm_load(
    int64_t *out,
    flat_handle context,
    const char *directory,
    int32_t dtype,
    int32_t pack,
    int32_t tiling,
    int64_t max_pixels)
{
    GET(on, context, FLAT_KIND_CONTEXT);
    tkp_mllm_options options = TKP_MLLM_OPTIONS_INIT;
    tkp_mllm *model;
    options.dtype = dtype;
    options.pack = pack;
    options.tiling = tiling;
    options.max_pixels = max_pixels;
    TRY(tkp_mllm_load(&model, on->object, directory, &options));
    return flat__wrap(out, FLAT_KIND_MODEL, model, destroy_model);
}

tkp_status flat_mllm_get_info(flat_handle model, tkp_mllm_info *info)
{
    GET(self, model, FLAT_KIND_MODEL);
    return tkp_mllm_get_info(self->object, info);
}

/* --- requests ---------------------------------------------------------------------- */

enum { MAX_LIST = 1 << 20 }; /* far beyond what any batch has */

/* Texts, each our own copy. */
typedef struct texts {
    char **at;
    int32_t count, room;
} texts;

typedef struct video {
    texts frames;
    double fps;
} video;

typedef struct prompt {
    char *text, *system;
    int32_t format;
    uint32_t id;
    texts images;
    video *videos;
    int32_t n_videos, video_room;
} prompt;

typedef struct requests {
    prompt *at;
    int32_t count, room;
} requests;

/* Room for one more; a list may move. */
static tkp_status grow(void **list, int32_t count, int32_t *room, size_t item)
{
    if (count < *room)
        return TKP_OK;
    if (count >= MAX_LIST)
        return flat__fail(
            TKP_ERR_ARGUMENT, "requests: more than %d in a list", MAX_LIST);
    const int32_t wanted = *room ? 2 * *room : 4;
    void *bigger = realloc(*list, (size_t)wanted * item);
    if (!bigger)
        return flat__fail(TKP_ERR_MEMORY, "requests: out of memory");
    *list = bigger;
    *room = wanted;
    return TKP_OK;
}

static tkp_status add_text(texts *list, const char *text)
{
    if (!text)
        return flat__fail(TKP_ERR_ARGUMENT, "requests: a path is NULL");
    void *at = list->at;
    TRY(grow(&at, list->count, &list->room, sizeof(*list->at)));
    list->at = at;
    char *copy = strdup(text);
    if (!copy)
        return flat__fail(TKP_ERR_MEMORY, "requests: out of memory");
    list->at[list->count++] = copy;
    return TKP_OK;
}

static void free_texts(texts *list)
{
    for (int32_t i = 0; i < list->count; i++)
        free(list->at[i]);
    free(list->at);
}

static void destroy_requests(flat_object *self)
{
    requests *all = self->object;
    for (int32_t i = 0; i < all->count; i++) {
        prompt *p = &all->at[i];
        free(p->text);
        free(p->system);
        free_texts(&p->images);
        for (int32_t v = 0; v < p->n_videos; v++)
            free_texts(&p->videos[v].frames);
        free(p->videos);
    }
    free(all->at);
    free(all);
}

tkp_status flat_requests_create(int64_t *out)
{
    requests *all = calloc(1, sizeof(*all));
    if (!all)
        return flat__fail(TKP_ERR_MEMORY, "requests: out of memory");
    return flat__wrap(out, FLAT_KIND_REQUESTS, all, destroy_requests);
}

tkp_status flat_requests_add(
    flat_handle handle,
    const char *text,
    const char *system,
    int32_t format,
    int64_t id)
{
    GET(self, handle, FLAT_KIND_REQUESTS);
    requests *all = self->object;
    if (!text)
        return flat__fail(TKP_ERR_ARGUMENT, "prompt: is NULL, wanted a text");
    if (id < 0 || id > UINT32_MAX)
        return flat__fail(
            TKP_ERR_ARGUMENT, "id: is %lld, wanted 0 to 4294967295",
            (long long)id);
    void *at = all->at;
    TRY(grow(&at, all->count, &all->room, sizeof(*all->at)));
    all->at = at;
    prompt added = {.format = format, .id = (uint32_t)id};
    added.text = strdup(text);
    added.system = system && system[0] ? strdup(system) : NULL;
    if (!added.text || (system && system[0] && !added.system)) {
        free(added.text);
        free(added.system);
        return flat__fail(TKP_ERR_MEMORY, "requests: out of memory");
    }
    all->at[all->count++] = added;
    return TKP_OK;
}

/* The prompt that was added last. */
static tkp_status last_prompt(prompt **out, flat_handle handle)
{
    GET(self, handle, FLAT_KIND_REQUESTS);
    requests *all = self->object;
    if (all->count == 0)
        return flat__fail(TKP_ERR_STATE, "requests: wanted a prompt first");
    *out = &all->at[all->count - 1];
    return TKP_OK;
}

tkp_status flat_requests_add_image(flat_handle handle, const char *path)
{
    prompt *p = NULL;
    TRY(last_prompt(&p, handle));
    return add_text(&p->images, path);
}

tkp_status flat_requests_add_video(flat_handle handle, double fps)
{
    prompt *p = NULL;
    TRY(last_prompt(&p, handle));
    void *at = p->videos;
    TRY(grow(&at, p->n_videos, &p->video_room, sizeof(*p->videos)));
    p->videos = at;
    p->videos[p->n_videos++] = (video){.fps = fps};
    return TKP_OK;
}

tkp_status flat_requests_add_frame(flat_handle handle, const char *path)
{
    prompt *p = NULL;
    TRY(last_prompt(&p, handle));
    if (p->n_videos == 0)
        return flat__fail(TKP_ERR_STATE, "requests: wanted a video first");
    return add_text(&p->videos[p->n_videos - 1].frames, path);
}

/* --- answers ------------------------------------------------------------------------- */

/* The batch as the library wants it: `list` [count], `videos` all of them. */
static void
describe(const requests *all, tkp_mllm_request *list, tkp_mllm_video *videos)
{
    for (int32_t i = 0; i < all->count; i++) {
        const prompt *p = &all->at[i];
        tkp_mllm_request *r = &list[i];
        tkp_mllm_request_init(r);
        r->id = p->id;
        r->prompt = p->text;
        r->system = p->system;
        r->format = p->format;
        r->images = (const char *const *)p->images.at;
        r->n_images = p->images.count;
        r->videos = p->n_videos ? videos : NULL;
        r->n_videos = p->n_videos;
        for (int32_t v = 0; v < p->n_videos; v++, videos++) {
            tkp_mllm_video_init(videos);
            videos->n_frames = p->videos[v].frames.count;
            videos->frames = (const char *const *)p->videos[v].frames.at;
            videos->fps = p->videos[v].fps;
        }
    }
}

tkp_status flat_mllm_generate(
    int64_t *out,
    flat_handle model,
    flat_handle handle,
    flat_handle policy,
    const tkp_mllm_generate_options *options,
    int64_t callbacks,
    const int64_t *tensors,
    int64_t n_tensors)
{
    GET(self, model, FLAT_KIND_MODEL);
    GET(batch, handle, FLAT_KIND_REQUESTS);
    const flat_callbacks *calls = (const flat_callbacks *)(intptr_t)callbacks;
    const requests *all = batch->object;
    tkp_mllm_generate_options wanted = TKP_MLLM_GENERATE_OPTIONS_INIT;
    flat_tensors given;
    if (options)
        wanted = *options;
    TRY(flat__tensors(&given, tensors, n_tensors, 1, 0));
    wanted.policy = NULL;
    if (policy) {
        GET(plan, policy, FLAT_KIND_POLICY);
        wanted.policy = plan->object;
    }
    wanted.scores = given.at[FLAT_SCORES];
    if (given.count > (wanted.scores ? 1 : 0))
        return flat__fail(
            TKP_ERR_ARGUMENT, "generate: takes scores, and no other input");
    wanted.on_text = calls ? calls->on_text : NULL;
    wanted.should_stop = calls ? calls->should_stop : NULL;
    wanted.on_text_user = wanted.should_stop_user = calls ? calls->user : NULL;
    wanted.on_trace = NULL;

    int64_t n_videos = 0;
    for (int32_t i = 0; i < all->count; i++)
        n_videos += all->at[i].n_videos;
    tkp_mllm_request *list = calloc((size_t)all->count + 1, sizeof(*list));
    tkp_mllm_video *videos = calloc((size_t)n_videos + 1, sizeof(*videos));
    tkp_status status = TKP_OK;
    tkp_mllm_result *result = NULL;
    if (list && videos) {
        describe(all, list, videos);
        status =
            tkp_mllm_generate(&result, self->object, list, all->count, &wanted);
    } else {
        status = flat__fail(TKP_ERR_MEMORY, "requests: out of memory");
    }
    free(list);
    free(videos);
    TRY(status);
    return flat__wrap(out, FLAT_KIND_RESULT, result, destroy_result);
}

int32_t flat_result_stopped(flat_handle result)
{
    flat_object *self = flat__get(result, FLAT_KIND_RESULT);
    return self ? tkp_mllm_result_stopped(self->object) : 0;
}

const char *flat_result_text(flat_handle result, int32_t i)
{
    flat_object *self = flat__get(result, FLAT_KIND_RESULT);
    return self ? tkp_mllm_result_text(self->object, i) : NULL;
}

/* The library's list of numbers into OUT_DATA, if that is given. */
static tkp_status copy_list(
    int64_t *out,
    const int32_t *from,
    int64_t count,
    const int64_t *tensors,
    int64_t n_tensors)
{
    flat_tensors given;
    void *to;
    if (count < 0)
        return flat__fail(
            TKP_ERR_ARGUMENT, "result: has no such request or image");
    TRY(flat__tensors(&given, tensors, n_tensors, 0, FLAT_BIT(FLAT_OUT_DATA)));
    TRY(flat__host(&to, NULL, &given, FLAT_OUT_DATA, TKP_DTYPE_I32, count));
    if (to && count > 0)
        memcpy(to, from, (size_t)count * sizeof(*from));
    *out = count;
    return TKP_OK;
}

tkp_status flat_result_tokens(
    int64_t *out,
    flat_handle result,
    int32_t i,
    const int64_t *tensors,
    int64_t n_tensors)
{
    GET(self, result, FLAT_KIND_RESULT);
    const int32_t *ids = NULL;
    const int64_t count = tkp_mllm_result_tokens(self->object, i, &ids);
    return copy_list(out, ids, count, tensors, n_tensors);
}

tkp_status flat_result_report(
    flat_handle result,
    tkp_report *report,
    const int64_t *tensors,
    int64_t n_tensors)
{
    GET(self, result, FLAT_KIND_RESULT);
    flat_tensors given;
    TRY(flat__tensors(
        &given, tensors, n_tensors, 0,
        FLAT_BIT(FLAT_OUT_LAYER_TOKENS) | FLAT_BIT(FLAT_OUT_LAYER_VISUAL)));
    TRY(tkp_mllm_result_report(self->object, report));
    return flat__report_layers(report, &given);
}

tkp_status flat_result_times(flat_handle result, tkp_mllm_times *times)
{
    GET(self, result, FLAT_KIND_RESULT);
    return tkp_mllm_result_times(self->object, times);
}

int32_t flat_result_images(flat_handle result, int32_t i)
{
    flat_object *self = flat__get(result, FLAT_KIND_RESULT);
    return self ? tkp_mllm_result_images(self->object, i) : -1;
}

int32_t flat_result_picture(flat_handle result, int32_t i, int32_t image)
{
    flat_object *self = flat__get(result, FLAT_KIND_RESULT);
    return self ? tkp_mllm_result_picture(self->object, i, image) : -1;
}

int64_t flat_result_encoder_patches(flat_handle result, int32_t block)
{
    flat_object *self = flat__get(result, FLAT_KIND_RESULT);
    return self ? tkp_mllm_result_encoder_patches(self->object, block) : -1;
}

tkp_status flat_result_kept_cells(
    int64_t *out,
    flat_handle result,
    int32_t i,
    int32_t image,
    const int64_t *tensors,
    int64_t n_tensors)
{
    GET(self, result, FLAT_KIND_RESULT);
    const int32_t *cells = NULL;
    const int64_t count =
        tkp_mllm_result_kept_cells(self->object, i, image, &cells);
    return copy_list(out, cells, count, tensors, n_tensors);
}

tkp_status flat_result_image(
    int64_t *height_out,
    int64_t *width_out,
    int64_t *rows_out,
    int64_t *cols_out,
    flat_handle result,
    int32_t i,
    int32_t image,
    const int64_t *tensors,
    int64_t n_tensors)
{
    GET(self, result, FLAT_KIND_RESULT);
    flat_tensors given;
    const uint8_t *rgb;
    int32_t height;
    int32_t width;
    int32_t rows;
    int32_t cols;
    void *to;
    TRY(flat__tensors(&given, tensors, n_tensors, 0, FLAT_BIT(FLAT_OUT_DATA)));
    TRY(tkp_mllm_result_image(
        self->object, i, image, &rgb, &height, &width, &rows, &cols));
    const int64_t bytes = (int64_t)height * width * 3;
    TRY(flat__host(&to, NULL, &given, FLAT_OUT_DATA, TKP_DTYPE_U8, bytes));
    if (to)
        memcpy(to, rgb, (size_t)bytes);
    *height_out = height;
    *width_out = width;
    *rows_out = rows;
    *cols_out = cols;
    return TKP_OK;
}
