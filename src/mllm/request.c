#include "mllm/request.h"

#include <math.h>

/* --- pictures -------------------------------------------------------------- */

static tkp_status make_pixels(tkp__picture *p, const tkp_mllm *m)
{
    const size_t side = (size_t)m->vision.image;
    p->pixels = tkp__alloc((size_t)p->views * 3 * side * side, sizeof(float));
    return p->pixels ? TKP_OK : TKP_ERR_MEMORY;
}

/* One square of patches: the first view. */
static tkp__grid square_of(const tkp_mllm *m)
{
    const int32_t side = (int32_t)m->vision.grid;
    return (tkp__grid){.frames = 1, .rows = side, .cols = side, .across = 1};
}

static tkp_status
see_square(tkp__picture *p, const tkp_mllm *m, const tkp__image *file)
{
    const int64_t side = m->vision.image;
    const tkp__image *seen = &p->grid[0].seen;
    p->views = p->grids = 1;
    p->grid[0] = square_of(m);
    p->tokens = p->features = m->vision.patches;
    TKP__TRY(make_pixels(p, m));
    TKP__TRY(tkp__image_preprocess_clip(
        p->pixels, &p->grid[0].seen, file, &m->config.image));
    TKP__CHECK(
        seen->height == side && seen->width == side, TKP_ERR_FORMAT,
        "preprocessor_config.json gives %lld x %lld pixels, config.json wants "
        "%lld x %lld",
        (long long)seen->height, (long long)seen->width, (long long)side,
        (long long)side);
    return TKP_OK;
}

/* Tiles side by side become grids of their own, one after the other. */
static tkp_status
lay_flat(tkp__picture *p, const tkp_mllm *m, const tkp__tiling *t)
{
    const int64_t side = m->vision.image;
    tkp__image tiled = p->grid[1].seen;
    tkp_status status = TKP_OK;
    p->grids = p->views;
    for (int32_t i = 0; i < t->rows * t->cols; i++) {
        p->grid[1 + i] = square_of(m);
        p->grid[1 + i].first_view = 1 + i;
        p->grid[1 + i].start = (1 + i) * m->vision.patches;
        if (status == TKP_OK)
            status = tkp__image_crop(
                &p->grid[1 + i].seen, &tiled, i / t->cols * side,
                i % t->cols * side, side, side);
    }
    tkp__image_release(&tiled);
    return status;
}

/* The whole picture, then its tiles' patches without padding, each row closed
 * by a newline; in a fixed layout all of them, and no newlines. */
static tkp_status
see_tiles(tkp__picture *p, const tkp_mllm *m, const tkp__image *file)
{
    const tkp__vision *v = &m->vision;
    tkp__tiling t;
    TKP__TRY(tkp__image_tiling(
        &t, &m->config.image, file->height, file->width, v->image, v->grid));
    p->views = 1 + t.rows * t.cols;
    p->grids = t.grid_rows ? 2 : 1;
    p->grid[0] = square_of(m);
    p->features = p->views * v->patches;
    p->grid[1] = (tkp__grid){
        .frames = 1,
        .rows = t.grid_rows,
        .cols = t.grid_cols,
        .newlines = m->config.image.tiling < TKP_MLLM_TILING_FIXED,
        .start = v->patches,
        .first_view = 1,
        .across = t.cols,
        .first_row = t.first_row,
        .first_col = t.first_col,
        .view_side = v->grid,
    };
    p->tokens = v->patches + tkp__grid_tokens(&p->grid[1]);
    TKP__TRY(make_pixels(p, m));
    TKP__TRY(tkp__image_preprocess_tiles(
        p->pixels, &p->grid[0].seen, &p->grid[1].seen, file, &m->config.image,
        &t, v->image, v->grid));
    return m->config.image.tiling == TKP_MLLM_TILING_FLAT ? lay_flat(p, m, &t)
                                                          : TKP_OK;
}

/* The picture near its own size: one grid of cells of patches. */
static tkp_status
see_patches(tkp__picture *p, const tkp_mllm *m, const tkp__image *file)
{
    const tkp__image_spec *spec = &m->config.image;
    tkp__patch_grid *grid = &p->patch_grid;
    size_t floats;
    TKP__TRY(tkp__image_patch_grid(grid, spec, 1, file->height, file->width));
    TKP__TRY(tkp__patch_grid_floats(&floats, grid, spec));
    p->grids = 1;
    p->grid[0] = (tkp__grid){
        .frames = (int32_t)grid->t,
        .rows = (int32_t)(grid->h / spec->merge),
        .cols = (int32_t)(grid->w / spec->merge),
        .across = 1,
    };
    p->tokens = p->features = tkp__patch_grid_tokens(grid, spec);
    p->pixels = tkp__alloc(floats, sizeof(float));
    if (!p->pixels)
        return TKP_ERR_MEMORY;
    return tkp__image_preprocess_patches(
        p->pixels, &p->grid[0].seen, file, 1, spec, grid);
}

static tkp_status
load_picture(tkp__picture *p, const tkp_mllm *m, const char *path)
{
    tkp__image file;
    /* Hugging Face's loader turns pictures as their EXIF data say. */
    TKP__TRY(tkp__image_load_file(&file, path, true, m->max_pixels));
    const tkp_status status = tkp__any_size(m) ? see_patches(p, m, &file)
                              : m->config.image.pinpoints
                                  ? see_tiles(p, m, &file)
                                  : see_square(p, m, &file);
    tkp__image_release(&file);
    return status;
}

/* --- videos ---------------------------------------------------------------- */

/* A video on its way through the frames that are looked at. */
typedef struct viewing {
    const tkp_mllm *model;
    tkp__image_spec spec;
    int64_t *chosen; /* [count] */
    int64_t count;
    int64_t height, width; /* of every frame, as in its file */
} viewing;

static tkp_status choose_frames(viewing *w, const tkp_mllm_video *video)
{
    const tkp__video_spec *spec = &w->model->config.video;
    const bool sampled = video->fps > 0.0;
    w->count = video->n_frames;
    if (sampled)
        TKP__TRY(tkp__video_sample(
            &w->count, NULL, spec, video->n_frames, video->fps));
    w->chosen = tkp__alloc((size_t)w->count, sizeof(*w->chosen));
    if (!w->chosen)
        return TKP_ERR_MEMORY;
    if (sampled)
        TKP__TRY(tkp__video_sample(
            &w->count, w->chosen, spec, video->n_frames, video->fps));
    for (int64_t i = 0; !sampled && i < w->count; i++)
        w->chosen[i] = i;
    return tkp__video_frame_spec(&w->spec, spec, w->count);
}

/* The first frame says how large all are. */
static tkp_status start_video(tkp__picture *p, viewing *w, const tkp__image *in)
{
    const tkp__image_spec *spec = &w->spec;
    tkp__patch_grid *grid = &p->patch_grid;
    tkp__image *seen = &p->grid[0].seen;
    size_t floats;
    w->height = in->height;
    w->width = in->width;
    TKP__TRY(
        tkp__image_patch_grid(grid, spec, w->count, in->height, in->width));
    TKP__TRY(tkp__patch_grid_floats(&floats, grid, spec));
    p->grids = 1;
    p->grid[0] = (tkp__grid){
        .frames = (int32_t)grid->t,
        .rows = (int32_t)(grid->h / spec->merge),
        .cols = (int32_t)(grid->w / spec->merge),
        .across = 1,
    };
    p->tokens = p->features = tkp__patch_grid_tokens(grid, spec);
    TKP__CHECK(
        p->tokens <= w->model->decoder.max_positions, TKP_ERR_ARGUMENT,
        "%lld frames make %lld tokens, the model takes %lld",
        (long long)w->count, (long long)p->tokens,
        (long long)w->model->decoder.max_positions);
    p->pixels = tkp__alloc(floats, sizeof(float));
    seen->height = grid->t * grid->h * spec->patch;
    seen->width = grid->w * spec->patch;
    seen->rgb = tkp__alloc((size_t)(seen->height * seen->width), 3);
    return p->pixels && seen->rgb ? TKP_OK : TKP_ERR_MEMORY;
}

static tkp_status
see_frame(tkp__picture *p, viewing *w, const tkp__image *in, int64_t index)
{
    const tkp__image_spec *spec = &w->spec;
    const tkp__patch_grid *grid = &p->patch_grid;
    tkp__image shown;
    if (index == 0)
        TKP__TRY(start_video(p, w, in));
    TKP__CHECK(
        in->height == w->height && in->width == w->width, TKP_ERR_SHAPE,
        "picture is %lld x %lld, wanted %lld x %lld as the first frame",
        (long long)in->width, (long long)in->height, (long long)w->width,
        (long long)w->height);
    /* The last one fills its patch. */
    const int64_t times =
        index + 1 < w->count ? 1 : grid->t * spec->frames - index;
    TKP__TRY(tkp__image_preprocess_frame(
        p->pixels, &shown, in, index, times, spec, grid));
    const size_t bytes = (size_t)(shown.height * shown.width) * 3;
    if (index % spec->frames == 0)
        memcpy(
            p->grid[0].seen.rgb + (size_t)(index / spec->frames) * bytes,
            shown.rgb, bytes);
    tkp__image_release(&shown);
    return TKP_OK;
}

static tkp_status
see_frames(tkp__picture *p, viewing *w, const tkp_mllm_video *video)
{
    TKP__TRY(choose_frames(w, video));
    for (int64_t i = 0; i < w->count; i++) {
        const char *path = video->frames[w->chosen[i]];
        tkp__image in;
        TKP__CHECK(
            path, TKP_ERR_ARGUMENT, "frame %lld is NULL",
            (long long)w->chosen[i]);
        TKP__TRY(tkp__image_load_file(&in, path, true, w->model->max_pixels));
        const tkp_status status = see_frame(p, w, &in, i);
        tkp__image_release(&in);
        if (status != TKP_OK)
            return tkp__fail_prefix(
                status, "frame %lld", (long long)w->chosen[i]);
    }
    return TKP_OK;
}

static tkp_status
load_video(tkp__picture *p, const tkp_mllm *m, const tkp_mllm_video *given)
{
    tkp_mllm_video video = TKP_MLLM_VIDEO_INIT;
    TKP__TRY(tkp__util_copy_options(
        &video, sizeof(video), given, given->struct_size,
        TKP__SIZE_THROUGH(tkp_mllm_video, fps), "video"));
    TKP__CHECK(
        m->video_token, TKP_ERR_UNSUPPORTED, "this model takes no videos");
    TKP__CHECK(
        video.frames && video.n_frames >= 1, TKP_ERR_ARGUMENT,
        "frames is %s, n_frames is %d; wanted one or more",
        video.frames ? "there" : "NULL", video.n_frames);
    TKP__CHECK(
        isfinite(video.fps) && video.fps >= 0.0, TKP_ERR_ARGUMENT,
        "fps is %g, wanted above 0 (0 = all frames)", video.fps);
    viewing w = {.model = m};
    p->video = true;
    const tkp_status status = see_frames(p, &w, &video);
    tkp__free(w.chosen);
    return status;
}

/* --- what a request shows -------------------------------------------------- */

static tkp_status load_images(
    tkp__prompt *p,
    const tkp_mllm *m,
    const tkp_mllm_request *r,
    int32_t index)
{
    for (int32_t i = 0; i < r->n_images; i++) {
        TKP__CHECK(
            r->images[i], TKP_ERR_ARGUMENT, "request %d: image %d is NULL",
            index, i);
        const tkp_status status = load_picture(&p->picture[i], m, r->images[i]);
        if (status != TKP_OK)
            return tkp__fail_prefix(status, "request %d: image %d", index, i);
    }
    return TKP_OK;
}

/* Videos of an older or newer caller are as far apart as the first says. */
static tkp_status load_videos(
    tkp__prompt *p,
    const tkp_mllm *m,
    const tkp_mllm_request *r,
    int32_t index)
{
    for (int32_t i = 0; i < r->n_videos; i++) {
        const size_t stride = r->videos->struct_size;
        const tkp_mllm_video *at =
            (const void *)((const char *)r->videos + (size_t)i * stride);
        TKP__CHECK(
            at->struct_size == stride, TKP_ERR_OPTION,
            "request %d: video %d: struct_size is %u, video 0 has %zu", index,
            i, at->struct_size, stride);
        const tkp_status status =
            load_video(&p->picture[r->n_images + i], m, at);
        if (status != TKP_OK)
            return tkp__fail_prefix(status, "request %d: video %d", index, i);
    }
    return TKP_OK;
}

static tkp_status load_pictures(
    tkp__prompt *p,
    const tkp_mllm *m,
    const tkp_mllm_request *r,
    int32_t index)
{
    TKP__CHECK(
        r->n_images >= 0 && (r->images || r->n_images == 0), TKP_ERR_ARGUMENT,
        "request %d: images is NULL, n_images is %d", index, r->n_images);
    TKP__CHECK(
        r->n_videos >= 0 && (r->videos || r->n_videos == 0), TKP_ERR_ARGUMENT,
        "request %d: videos is NULL, n_videos is %d", index, r->n_videos);
    TKP__CHECK(
        r->reserved == 0, TKP_ERR_OPTION,
        "request %d: reserved is %d, wanted 0", index, r->reserved);
    TKP__CHECK(
        r->n_images <= INT32_MAX - r->n_videos, TKP_ERR_ARGUMENT,
        "request %d: %d images and %d videos", index, r->n_images, r->n_videos);
    const int32_t count = r->n_images + r->n_videos;
    p->picture = tkp__zalloc((size_t)count, sizeof(*p->picture));
    if (!p->picture)
        return TKP_ERR_MEMORY;
    p->pictures = count;
    for (int32_t i = 0; i < count; i++)
        p->picture[i].number = i;
    TKP__TRY(load_images(p, m, r, index));
    return load_videos(p, m, r, index);
}

/* --- text ------------------------------------------------------------------ */

static int32_t format_of(const tkp_mllm *m, int32_t asked)
{
    switch (asked) {
    case TKP_MLLM_FORMAT_RAW:
        return TKP__PROMPT_RAW;
    case TKP_MLLM_FORMAT_VICUNA_V1:
        return TKP__PROMPT_VICUNA_V1;
    default:
        return m->config.kind == TKP__MODEL_QWEN2_VL ? TKP__PROMPT_QWEN2_VL
                                                     : TKP__PROMPT_LLAVA_HF;
    }
}

static tkp_status
render(char **out, const tkp_mllm *m, const tkp_mllm_request *r, int32_t index)
{
    TKP__CHECK(
        r->prompt, TKP_ERR_ARGUMENT, "request %d: prompt is NULL", index);
    TKP__CHECK(
        r->format >= TKP_MLLM_FORMAT_MODEL &&
            r->format <= TKP_MLLM_FORMAT_VICUNA_V1,
        TKP_ERR_ARGUMENT, "request %d: format is %d, wanted %d to %d", index,
        r->format, TKP_MLLM_FORMAT_MODEL, TKP_MLLM_FORMAT_VICUNA_V1);
    TKP__CHECK(
        r->format != TKP_MLLM_FORMAT_VICUNA_V1 ||
            m->config.kind != TKP__MODEL_QWEN2_VL,
        TKP_ERR_UNSUPPORTED,
        "request %d: format is vicuna_v1, which Qwen2-VL does not know; wanted "
        "the model's own or raw",
        index);
    const bool raw = r->format == TKP_MLLM_FORMAT_RAW;
    TKP__CHECK(
        !raw || !r->system, TKP_ERR_ARGUMENT,
        "request %d: a system text is given, but a raw prompt has none apart",
        index);
    const bool placed = raw || strstr(r->prompt, m->image_token);
    const bool videos_placed =
        raw || (m->video_token && strstr(r->prompt, m->video_token));
    tkp__message messages[2];
    int32_t n = 0;
    if (r->system)
        messages[n++] = (tkp__message){.role = 0, .text = r->system};
    messages[n++] = (tkp__message){
        .role = 1,
        .images = placed ? 0 : r->n_images,
        .text = r->prompt,
        .videos = videos_placed ? 0 : r->n_videos};
    const tkp_status status = tkp__prompt_render(
        format_of(m, r->format), messages, n, m->image_token, m->video_token,
        out);
    return status == TKP_OK ? status
                            : tkp__fail_prefix(status, "request %d", index);
}

static tkp_status check_placeholders(
    const int32_t *ids,
    int64_t count,
    int32_t id,
    const char *token,
    int32_t given,
    const char *kind,
    int32_t index)
{
    int64_t found = 0;
    for (int64_t i = 0; i < count; i++)
        found += ids[i] == id;
    TKP__CHECK(
        found == given, TKP_ERR_ARGUMENT,
        "request %d: %d %s are given, the prompt has %lld times %s", index,
        given, kind, (long long)found, token);
    return TKP_OK;
}

/* Pictures and videos in the order in which the prompt shows them. */
static tkp_status order_pictures(
    tkp__prompt *p,
    const tkp_mllm *m,
    const int32_t *ids,
    int64_t count)
{
    tkp__picture *ordered =
        tkp__alloc((size_t)p->pictures, sizeof(*p->picture));
    if (!ordered)
        return TKP_ERR_MEMORY;
    int32_t image = 0, video = 0, n = 0;
    while (video < p->pictures && !p->picture[video].video)
        video++;
    for (int64_t i = 0; i < count; i++) {
        if (ids[i] == m->config.image_token_id)
            ordered[n++] = p->picture[image++];
        else if (ids[i] == m->config.video_token_id)
            ordered[n++] = p->picture[video++];
    }
    tkp__free(p->picture);
    p->picture = ordered;
    return TKP_OK;
}

/* Each placeholder becomes as many as its picture has tokens. */
static tkp_status expand(
    tkp__prompt *p,
    const tkp_mllm *m,
    const int32_t *ids,
    int64_t count,
    int32_t index)
{
    const int32_t image_id = m->config.image_token_id;
    const int32_t video_id = m->config.video_token_id;
    int32_t videos = 0;
    int64_t total = count;
    for (int32_t i = 0; i < p->pictures; i++)
        videos += p->picture[i].video;
    TKP__TRY(check_placeholders(
        ids, count, image_id, m->image_token, p->pictures - videos, "images",
        index));
    if (m->video_token)
        TKP__TRY(check_placeholders(
            ids, count, video_id, m->video_token, videos, "videos", index));
    TKP__TRY(order_pictures(p, m, ids, count));
    for (int32_t i = 0; i < p->pictures; i++)
        total += p->picture[i].tokens - 1;
    TKP__CHECK(
        total >= 1, TKP_ERR_ARGUMENT, "request %d: the prompt is empty", index);
    TKP__CHECK(
        total <= m->decoder.max_positions, TKP_ERR_ARGUMENT,
        "request %d: the prompt has %lld tokens (%lld of them text), the model "
        "takes %lld",
        index, (long long)total, (long long)(count - p->pictures),
        (long long)m->decoder.max_positions);
    p->ids = tkp__alloc((size_t)total, sizeof(*p->ids));
    if (!p->ids)
        return TKP_ERR_MEMORY;
    tkp__picture *picture = p->picture;
    const tkp__picture *end = picture + p->pictures;
    for (int64_t i = 0; i < count; i++) {
        int64_t times = 1;
        if (picture < end && ids[i] == (picture->video ? video_id : image_id)) {
            times = picture->tokens;
            picture++->start = p->count;
        }
        for (int64_t j = 0; j < times; j++)
            p->ids[p->count++] = ids[i];
    }
    return TKP_OK;
}

static tkp_status
check_ids(const tkp_mllm *m, const int32_t *ids, int64_t count, int32_t index)
{
    for (int64_t i = 0; i < count; i++)
        TKP__CHECK(
            ids[i] >= 0 && ids[i] < m->decoder.vocab, TKP_ERR_FORMAT,
            "request %d: tokenizer.json gives id %d, the model has %lld", index,
            ids[i], (long long)m->decoder.vocab);
    return TKP_OK;
}

static tkp_status encode(
    tkp__prompt *p,
    const tkp_mllm *m,
    const tkp_mllm_request *r,
    int32_t index)
{
    char *text = NULL;
    int32_t *ids = NULL;
    int64_t count = 0;
    TKP__TRY(render(&text, m, r, index));
    tkp_status status = tkp__tokenizer_encode(
        m->tokenizer, text, strlen(text), TKP__ENCODE_SPECIAL, &ids, &count);
    if (status != TKP_OK)
        status = tkp__fail_prefix(status, "request %d", index);
    if (status == TKP_OK)
        status = check_ids(m, ids, count, index);
    if (status == TKP_OK)
        status = expand(p, m, ids, count, index);
    tkp__free(text);
    tkp__free(ids);
    return status;
}

/* --- the whole ------------------------------------------------------------- */

tkp_status tkp__prompt_create(
    tkp__prompt *p,
    const tkp_mllm *m,
    const tkp_mllm_request *r,
    int32_t index)
{
    *p = (tkp__prompt){.id = r->id};
    TKP__TRY(load_pictures(p, m, r, index));
    return encode(p, m, r, index);
}

int64_t tkp__prompt_words(const tkp__prompt *p, int32_t *rows)
{
    int64_t first = 0, n = 0;
    if (p->pictures > 0) {
        const tkp__picture *last = &p->picture[p->pictures - 1];
        first = last->start + last->tokens;
    }
    for (int64_t i = first; i < p->count; i++)
        rows[n++] = (int32_t)i;
    return n;
}

void tkp__prompt_release(tkp__prompt *p)
{
    for (int32_t i = 0; p->picture && i < p->pictures; i++) {
        for (int32_t g = 0; g < TKP__MAX_GRIDS; g++)
            tkp__image_release(&p->picture[i].grid[g].seen);
        tkp__free(p->picture[i].pixels);
    }
    tkp__free(p->picture);
    tkp__free(p->ids);
    *p = (tkp__prompt){0};
}
