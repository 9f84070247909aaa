#include "mllm/result.h"

#include "tokenprune/sys/base.h"

tkp_status tkp__result_create(tkp_mllm_result **out, int32_t count)
{
    tkp_mllm_result *r = tkp__zalloc(1, sizeof(*r));
    if (!r)
        return TKP_ERR_MEMORY;
    r->times = (tkp_mllm_times)TKP_MLLM_TIMES_INIT;
    r->report = (tkp_report)TKP_REPORT_INIT;
    r->answer = tkp__zalloc((size_t)count, sizeof(*r->answer));
    r->count = count;
    if (!r->answer) {
        tkp_mllm_result_destroy(r);
        return TKP_ERR_MEMORY;
    }
    *out = r;
    return TKP_OK;
}

static void release_answer(tkp__answer *a)
{
    tkp__text_buffer_free(&a->text);
    tkp__id_list_free(&a->ids);
    for (int32_t i = 0; a->image && i < a->images; i++) {
        tkp__image_release(&a->image[i].seen);
        tkp__free(a->image[i].cells);
    }
    tkp__free(a->image);
}

void tkp_mllm_result_destroy(tkp_mllm_result *r)
{
    if (!r)
        return;
    for (int32_t i = 0; r->answer && i < r->count; i++)
        release_answer(&r->answer[i]);
    tkp__free(r->answer);
    tkp__free(r->layers);
    tkp__free(r->block_patches);
    tkp__free(r);
}

/* --- after prefill --------------------------------------------------------- */

static tkp_status take_report(tkp_mllm_result *r, const tkp__engine *e)
{
    TKP__TRY(tkp_sequence_report(e->sequence, &r->report));
    const size_t layers = (size_t)r->report.layers;
    r->layers = tkp__alloc(2 * layers, sizeof(*r->layers));
    if (!r->layers)
        return TKP_ERR_MEMORY;
    memcpy(r->layers, r->report.layer_tokens, layers * sizeof(*r->layers));
    memcpy(
        r->layers + layers, r->report.layer_visual,
        layers * sizeof(*r->layers));
    r->report.layer_tokens = r->layers;
    r->report.layer_visual = r->layers + layers;
    return TKP_OK;
}

static tkp_status take_cells(
    tkp__shown_image *shown,
    tkp__engine *e,
    int32_t number,
    int64_t capacity)
{
    shown->cells = tkp__alloc((size_t)capacity, sizeof(*shown->cells));
    if (!shown->cells)
        return TKP_ERR_MEMORY;
    shown->count = tkp_sequence_kept_cells(
        e->sequence, e->f.exec, number, shown->cells, capacity);
    return TKP_OK;
}

static tkp_status take_images(
    tkp__answer *a,
    tkp__engine *e,
    tkp__prompt *prompt,
    int32_t *number)
{
    a->image = tkp__zalloc(
        (size_t)prompt->pictures * TKP__MAX_GRIDS, sizeof(*a->image));
    if (!a->image)
        return TKP_ERR_MEMORY;
    for (int32_t i = 0; i < prompt->pictures; i++)
        for (int32_t g = 0; g < prompt->picture[i].grids; g++) {
            tkp__grid *grid = &prompt->picture[i].grid[g];
            if (grid->cols == 0)
                continue;
            tkp__shown_image *shown = &a->image[a->images++];
            *shown = (tkp__shown_image){
                .seen = grid->seen,
                .picture = prompt->picture[i].number,
                .grid_rows = (int32_t)tkp__grid_lines(grid),
                .grid_cols = grid->cols,
            };
            grid->seen = (tkp__image){0};
            TKP__TRY(take_cells(shown, e, (*number)++, tkp__grid_cells(grid)));
        }
    return TKP_OK;
}

tkp_status tkp__result_take_prefill(
    tkp_mllm_result *r,
    tkp__engine *e,
    tkp__prompt *prompts)
{
    TKP__TRY(take_report(r, e));
    r->block_patches = e->block_patches;
    r->blocks = e->blocks;
    e->block_patches = NULL;
    int32_t number = 0; /* of the image in the layout */
    for (int32_t b = 0; b < r->count; b++)
        TKP__TRY(take_images(&r->answer[b], e, &prompts[b], &number));
    return TKP_OK;
}

/* --- what the caller asks -------------------------------------------------- */

static const tkp__answer *find(const tkp_mllm_result *r, int32_t i)
{
    return r && i >= 0 && i < r->count ? &r->answer[i] : NULL;
}

static const tkp__shown_image *
find_image(const tkp_mllm_result *r, int32_t i, int32_t image)
{
    const tkp__answer *a = find(r, i);
    return a && image >= 0 && image < a->images ? &a->image[image] : NULL;
}

int64_t tkp_mllm_result_encoder_patches(const tkp_mllm_result *r, int32_t block)
{
    return r && r->block_patches && block >= 0 && block < r->blocks
               ? r->block_patches[block]
               : -1;
}

int32_t tkp_mllm_result_stopped(const tkp_mllm_result *r)
{
    return r && r->stopped;
}

const char *tkp_mllm_result_text(const tkp_mllm_result *r, int32_t i)
{
    const tkp__answer *a = find(r, i);
    if (!a)
        return NULL;
    return a->text.data ? a->text.data : "";
}

int64_t
tkp_mllm_result_tokens(const tkp_mllm_result *r, int32_t i, const int32_t **ids)
{
    const tkp__answer *a = find(r, i);
    if (!a)
        return -1;
    if (ids)
        *ids = a->ids.ids;
    return a->ids.count;
}

tkp_status tkp_mllm_result_report(const tkp_mllm_result *r, tkp_report *report)
{
    tkp_sys_message_clear();
    TKP__CHECK(r, TKP_ERR_ARGUMENT, "result is NULL");
    TKP__CHECK(report, TKP_ERR_ARGUMENT, "report is NULL");
    TKP__CHECK(
        r->layers, TKP_ERR_STATE,
        "report: the batch was stopped before its prompts were read");
    return tkp__util_fill_struct(
        report, &r->report, sizeof(r->report),
        TKP__SIZE_THROUGH(tkp_report, gather_seconds), "report");
}

tkp_status
tkp_mllm_result_times(const tkp_mllm_result *r, tkp_mllm_times *times)
{
    tkp_sys_message_clear();
    TKP__CHECK(r, TKP_ERR_ARGUMENT, "result is NULL");
    TKP__CHECK(times, TKP_ERR_ARGUMENT, "times is NULL");
    return tkp__util_fill_struct(
        times, &r->times, sizeof(r->times),
        TKP__SIZE_THROUGH(tkp_mllm_times, decode), "times");
}

int32_t tkp_mllm_result_images(const tkp_mllm_result *r, int32_t i)
{
    const tkp__answer *a = find(r, i);
    return a ? a->images : -1;
}

int32_t
tkp_mllm_result_picture(const tkp_mllm_result *r, int32_t i, int32_t image)
{
    const tkp__shown_image *shown = find_image(r, i, image);
    return shown ? shown->picture : -1;
}

int64_t tkp_mllm_result_kept_cells(
    const tkp_mllm_result *r,
    int32_t i,
    int32_t image,
    const int32_t **cells)
{
    const tkp__shown_image *shown = find_image(r, i, image);
    if (!shown)
        return -1;
    if (cells)
        *cells = shown->cells;
    return shown->count;
}

tkp_status tkp_mllm_result_image(
    const tkp_mllm_result *r,
    int32_t i,
    int32_t image,
    const uint8_t **rgb,
    int32_t *height,
    int32_t *width,
    int32_t *grid_rows,
    int32_t *grid_cols)
{
    tkp_sys_message_clear();
    TKP__CHECK(r, TKP_ERR_ARGUMENT, "result is NULL");
    const tkp__shown_image *shown = find_image(r, i, image);
    TKP__CHECK(
        shown, TKP_ERR_ARGUMENT, "request %d, image %d: there is no such image",
        i, image);
    if (rgb)
        *rgb = shown->seen.rgb;
    if (height)
        *height = (int32_t)shown->seen.height;
    if (width)
        *width = (int32_t)shown->seen.width;
    if (grid_rows)
        *grid_rows = shown->grid_rows;
    if (grid_cols)
        *grid_cols = shown->grid_cols;
    return TKP_OK;
}

void tkp_mllm_times_init(tkp_mllm_times *times)
{
    if (times)
        *times = (tkp_mllm_times)TKP_MLLM_TIMES_INIT;
}
