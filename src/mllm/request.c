#include "mllm/request.h"

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

/* The whole picture, then its tiles' patches without padding, each row closed
 * by a newline. */
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
        .newlines = true,
        .start = v->patches,
        .first_view = 1,
        .across = t.cols,
        .first_row = t.first_row,
        .first_col = t.first_col,
        .view_side = v->grid,
    };
    p->tokens = v->patches + tkp__grid_tokens(&p->grid[1]);
    TKP__TRY(make_pixels(p, m));
    return tkp__image_preprocess_tiles(
        p->pixels, &p->grid[0].seen, &p->grid[1].seen, file, &m->config.image,
        &t, v->image, v->grid);
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

static tkp_status load_pictures(
    tkp__prompt *p,
    const tkp_mllm *m,
    const tkp_mllm_request *r,
    int32_t index)
{
    TKP__CHECK(
        r->n_images >= 0 && (r->images || r->n_images == 0), TKP_ERR_ARGUMENT,
        "request %d: images is NULL, n_images is %d", index, r->n_images);
    p->picture = tkp__zalloc((size_t)r->n_images, sizeof(*p->picture));
    if (!p->picture)
        return TKP_ERR_MEMORY;
    p->pictures = r->n_images;
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
    tkp__message messages[2];
    int32_t n = 0;
    if (r->system)
        messages[n++] = (tkp__message){.role = 0, .text = r->system};
    messages[n++] = (tkp__message){
        .role = 1, .images = placed ? 0 : r->n_images, .text = r->prompt};
    const tkp_status status = tkp__prompt_render(
        format_of(m, r->format), messages, n, m->image_token, NULL, out);
    return status == TKP_OK ? status
                            : tkp__fail_prefix(status, "request %d", index);
}

/* Each placeholder becomes as many as its picture has tokens. */
static tkp_status expand(
    tkp__prompt *p,
    const tkp_mllm *m,
    const int32_t *ids,
    int64_t count,
    int32_t index)
{
    const int32_t placeholder = m->config.image_token_id;
    int64_t found = 0, total = count;
    for (int64_t i = 0; i < count; i++)
        found += ids[i] == placeholder;
    TKP__CHECK(
        found == p->pictures, TKP_ERR_ARGUMENT,
        "request %d: %d images are given, the prompt has %lld times %s", index,
        p->pictures, (long long)found, m->image_token);
    for (int32_t i = 0; i < p->pictures; i++)
        total += p->picture[i].tokens - 1;
    TKP__CHECK(
        total >= 1, TKP_ERR_ARGUMENT, "request %d: the prompt is empty", index);
    TKP__CHECK(
        total <= m->decoder.max_positions, TKP_ERR_ARGUMENT,
        "request %d: the prompt has %lld tokens (%lld of them text), the model "
        "takes %lld",
        index, (long long)total, (long long)(count - found),
        (long long)m->decoder.max_positions);
    p->ids = tkp__alloc((size_t)total, sizeof(*p->ids));
    if (!p->ids)
        return TKP_ERR_MEMORY;
    tkp__picture *picture = p->picture;
    for (int64_t i = 0; i < count; i++) {
        int64_t times = 1;
        if (ids[i] == placeholder) {
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
