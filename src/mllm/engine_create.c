/* What a batch needs before it can run: its layout, its sequence, memory. */

#include "mllm/engine.h"

static tkp_status
check_size(const tkp__engine *e, const tkp__decoder *d, int64_t extra)
{
    TKP__CHECK(
        e->sequences <= d->most_sequences, TKP_ERR_ARGUMENT,
        "batch: %d requests, wanted at most %d", e->sequences,
        d->most_sequences);
    TKP__CHECK(
        e->rows <= d->most_rows, TKP_ERR_ARGUMENT,
        "batch: %lld tokens in all prompts together, wanted at most %lld; "
        "split it",
        (long long)e->rows, (long long)d->most_rows);
    TKP__CHECK(
        extra <= (d->most_keys - e->rows) / e->sequences, TKP_ERR_ARGUMENT,
        "batch: %d requests of up to %lld new tokens after %lld of prompt, "
        "wanted at most %lld in all",
        e->sequences, (long long)extra, (long long)e->rows,
        (long long)d->most_keys);
    return TKP_OK;
}

static tkp_status add_prompt(tkp_layout *layout, const tkp__prompt *p)
{
    int32_t number;
    tkp_sequence_desc sequence = TKP_SEQUENCE_DESC_INIT;
    sequence.id = p->id;
    sequence.length = p->count;
    TKP__TRY(tkp_layout_add_sequence(layout, &sequence, &number));
    for (int32_t i = 0; i < p->pictures; i++)
        for (int32_t g = 0; g < p->picture[i].grids; g++) {
            const tkp__grid *grid = &p->picture[i].grid[g];
            tkp_image_desc image = TKP_IMAGE_DESC_INIT;
            if (grid->cols == 0)
                continue;
            image.sequence = number;
            image.start = p->picture[i].start + grid->start;
            image.frames = grid->frames;
            image.rows = grid->rows;
            image.cols = grid->cols;
            image.row_stride = grid->cols + grid->newlines;
            image.tile_height = image.tile_width = grid->view_side;
            image.tile_top =
                grid->view_side ? grid->first_row % grid->view_side : 0;
            image.tile_left =
                grid->view_side ? grid->first_col % grid->view_side : 0;
            TKP__TRY(tkp_layout_add_image(layout, &image, NULL));
        }
    return TKP_OK;
}

/* Scratch lists, and the positions. */
static tkp_status make_lists(tkp__engine *e)
{
    const size_t rows = (size_t)e->rows, b = (size_t)e->sequences;
    const size_t position_rows = (size_t)e->model->decoder.position_rows;
    int32_t *at = tkp__alloc(
        (2 + position_rows) * rows + b + (size_t)e->patches, sizeof(int32_t));
    if (!at)
        return TKP_ERR_MEMORY;
    e->lists = at;
    e->index = at;
    e->from = e->index + rows;
    e->positions = e->from + rows;
    e->count = e->positions + position_rows * rows;
    e->survivor = e->count + b;
    tkp__engine_list_positions(e);
    return TKP_OK;
}

/* The rows behind the last picture of each prompt: the question. */
static tkp_status list_words(tkp__engine *e)
{
    tkp__kept_inputs *kept = &e->inputs;
    if (!(kept->needs & TKP_NEED_TEXT))
        return TKP_OK;
    const size_t b = (size_t)e->sequences;
    int32_t *at = tkp__zalloc(b + 1 + (size_t)e->rows, sizeof(int32_t));
    if (!at)
        return TKP_ERR_MEMORY;
    kept->text_offsets = at;
    kept->text_rows = at + b + 1;
    int64_t first = 0;
    for (int32_t i = 0; i < e->sequences; i++) {
        int32_t *words = kept->text_rows + kept->text_count;
        const int64_t n = tkp__prompt_words(&e->prompt[i], words);
        for (int64_t j = 0; j < n; j++)
            words[j] += (int32_t)first;
        kept->text_count += n;
        kept->text_offsets[i + 1] = (int32_t)kept->text_count;
        first += e->prompt[i].count;
    }
    return TKP_OK;
}

/* The block of the encoder that a policy asks for. */
static tkp_status
find_block(const tkp__engine *e, int32_t asked, int32_t normal, int32_t *block)
{
    const tkp_mllm *m = e->model;
    const tkp__vision_config *c = &m->config.vision;
    const int32_t depth = (int32_t)c->layers;
    const int32_t seen =
        tkp__any_size(m) ? m->vit.layers - 1 : m->vision.last_seen;
    *block = asked == 0 ? normal : asked < 0 ? depth - 1 : asked - 1;
    TKP__CHECK(
        *block < depth, TKP_ERR_OPTION,
        "policy '%s': encoder_layer is %d, but the encoder has %d",
        tkp_policy_name(e->policy), *block + 1, depth);
    TKP__CHECK(
        *block <= seen, TKP_ERR_UNSUPPORTED,
        "policy '%s': asks for the CLS row of encoder layer %d; this model runs "
        "%d layers of its encoder, and shows layers 1 to %d",
        tkp_policy_name(e->policy), *block + 1, (int)c->feature_layer,
        seen + 1);
    return TKP_OK;
}

/* Cuts inside the encoder are of squares of patches, and of its blocks. */
static tkp_status check_inside(const tkp__engine *e, uint32_t needs)
{
    const tkp__vision *v = &e->model->vision;
    const char *name = tkp_policy_name(e->policy);
    TKP__CHECK(
        !tkp__any_size(e->model), TKP_ERR_UNSUPPORTED,
        "policy '%s': acts inside the encoder, but this model makes a token of "
        "%d patches behind it; cuts by whole cells are not available in this "
        "version",
        name, (int)(e->model->vit.merge * e->model->vit.merge));
    TKP__CHECK(
        !e->model->config.image.pinpoints, TKP_ERR_UNSUPPORTED,
        "policy '%s': acts inside the encoder, but this model cuts pictures "
        "into tiles and drops their margins afterwards",
        name);
    TKP__CHECK(
        !(needs & TKP_NEED_EMBEDDINGS), TKP_ERR_UNSUPPORTED,
        "policy '%s': acts inside the encoder and looks at all rows that enter "
        "the decoder, where some are gone by then",
        name);
    for (int32_t i = 0; i < tkp_policy_stage_count(e->policy); i++) {
        tkp_stage_options stage = TKP_STAGE_OPTIONS_INIT;
        TKP__TRY(tkp_policy_get_stage(e->policy, i, &stage));
        const bool mlp = stage.point == TKP_POINT_VISION_MLP;
        TKP__CHECK(
            (stage.point != TKP_POINT_VISION && !mlp) ||
                stage.boundary + mlp <= v->layers,
            TKP_ERR_OPTION,
            "policy '%s': stage %d: boundary is %d, but %d blocks of the "
            "encoder run",
            name, i, stage.boundary, v->layers);
    }
    return TKP_OK;
}

/* What the policy will ask for: points tell their needs one by one, but the
 * encoder runs before most. */
static tkp_status query_policy(tkp__engine *e)
{
    static const uint32_t shared =
        TKP_NEED_CLIP | TKP_NEED_CLIP_TEXT | TKP_NEED_CLIP_TOKENS;
    const int32_t layers = (int32_t)e->model->config.vision.feature_layer;
    tkp__kept_inputs *kept = &e->inputs;
    tkp_policy_info info = TKP_POLICY_INFO_INIT;
    TKP__TRY(tkp_policy_query(e->policy, &info));
    TKP__CHECK(
        !(info.needs & shared), TKP_ERR_UNSUPPORTED,
        "policy '%s': compares pictures with text in the space that CLIP has "
        "for both, but the checkpoint has neither CLIP's projection nor its "
        "text encoder",
        tkp_policy_name(e->policy));
    TKP__CHECK(
        !(info.needs & TKP_NEED_VISION_VALUES) && info.cls_logits < 2 &&
            info.shallow_logits < 2,
        TKP_ERR_UNSUPPORTED,
        "policy '%s': asks for values of the encoder, or for its CLS row with "
        "heads side by side, which this forward does not keep",
        tkp_policy_name(e->policy));
    if (info.flags & TKP_POLICY_IN_VISION)
        TKP__TRY(check_inside(e, info.needs));
    kept->needs = info.needs;
    e->evicts = info.flags & TKP_POLICY_EVICTS;
    e->biases = info.flags & TKP_POLICY_KEY_BIAS;
    kept->of.cls_logits = info.cls_logits;
    kept->of.shallow_logits = info.shallow_logits;
    TKP__TRY(find_block(e, info.cls_layer, layers - 1, &kept->of.cls_layer));
    TKP__TRY(
        find_block(e, info.shallow_layer, layers / 4, &kept->of.shallow_layer));
    return list_words(e);
}

/* Of a head of the encoder. */
static int64_t key_width(const tkp__engine *e)
{
    const tkp__vision_config *c = &e->model->config.vision;
    return c->hidden / c->heads;
}

static tkp_status begin(tkp__engine *e)
{
    const tkp__decoder *d = &e->model->decoder;
    TKP__TRY(query_policy(e));
    tkp_model_desc shapes = TKP_MODEL_DESC_INIT;
    shapes.dtype = d->dtype;
    shapes.layers = d->layers;
    shapes.heads = d->heads;
    shapes.kv_heads = d->kv_heads;
    shapes.head_dim = (int32_t)d->head_dim;
    shapes.hidden = d->hidden;
    shapes.intermediate = d->intermediate;
    shapes.norm_eps = (float)e->model->config.text.norm_eps;
    shapes.rope_theta = e->model->config.text.rope_theta;
    shapes.vision_hidden = tkp__feature_width(e->model);
    shapes.vision_key_dim = key_width(e);
    shapes.text_rows = (int32_t)e->inputs.text_count;
    TKP__TRY(tkp_layout_create(&e->layout));
    for (int32_t b = 0; b < e->sequences; b++)
        TKP__TRY(add_prompt(e->layout, &e->prompt[b]));
    if (d->position_rows > 1)
        TKP__TRY(tkp_layout_set_positions(
            e->layout, d->position_rows, e->positions, e->rows));
    TKP__TRY(tkp_sequence_create(&e->sequence, e->model->context));
    return tkp_sequence_begin(
        e->sequence, e->f.exec, e->policy, e->layout, &shapes);
}

static tkp_status make_workspace(tkp__engine *e)
{
    tkp_requirements needs = TKP_REQUIREMENTS_INIT;
    TKP__TRY(tkp_sequence_query(e->sequence, &needs));
    uint64_t bytes = e->model->workspace_bytes;
    if (needs.workspace_bytes > bytes)
        bytes = needs.workspace_bytes;
    TKP__TRY(tkp__workspace_take(&e->workspace, e->model->workspaces, bytes));
    return tkp_exec_set_workspace(
        e->f.exec, e->workspace->data, e->workspace->bytes);
}

static tkp_status keep_rows(
    const tkp__engine *e,
    tkp__buffer *buffer,
    uint32_t need,
    int64_t rows,
    int64_t width,
    int32_t dtype)
{
    if (!(e->inputs.needs & need) || rows == 0)
        return TKP_OK;
    return tkp__buffer_alloc(buffer, e->model->context, rows, width, dtype);
}

static tkp_status make_inputs(tkp__engine *e)
{
    const tkp__decoder *d = &e->model->decoder;
    tkp__kept_inputs *kept = &e->inputs;
    const int64_t n = e->patches;
    TKP__TRY(keep_rows(
        e, &kept->vision, TKP_NEED_VISION, n, tkp__feature_width(e->model),
        e->model->dtype));
    TKP__TRY(keep_rows(
        e, &kept->keys, TKP_NEED_VISION_KEYS, n, key_width(e),
        e->model->dtype));
    TKP__TRY(
        keep_rows(e, &kept->cls, TKP_NEED_CLS_ATTENTION, n, 1, TKP_DTYPE_F32));
    TKP__TRY(keep_rows(
        e, &kept->shallow, TKP_NEED_CLS_SHALLOW, n, 1, TKP_DTYPE_F32));
    TKP__TRY(keep_rows(
        e, &kept->embeddings, TKP_NEED_EMBEDDINGS, e->rows, d->hidden,
        d->dtype));
    return keep_rows(
        e, &kept->text, TKP_NEED_TEXT, kept->text_count, d->hidden, d->dtype);
}

static tkp_status make_memory(tkp__engine *e, int64_t extra)
{
    const tkp__decoder *d = &e->model->decoder;
    TKP__TRY(tkp__decoder_state_create(
        &e->decoder, d, e->sequences, e->rows, extra));
    TKP__TRY(tkp__buffer_alloc(
        &e->visual, e->model->context, e->patches, d->hidden, d->dtype));
    if (e->biases)
        TKP__TRY(
            tkp__buffer_alloc(&e->key_bias, NULL, e->rows, 1, TKP_DTYPE_F32));
    if (e->evicts)
        TKP__TRY(
            tkp__history_create(&e->history, d->layers, e->sequences, e->rows));
    if (tkp_context_device_type(e->model->context) != TKP_DEVICE_CPU)
        TKP__TRY(tkp__buffer_alloc(
            &e->logits, NULL, e->sequences, d->vocab, TKP_DTYPE_F32));
    return make_inputs(e);
}

static void count_tokens(tkp__engine *e, const tkp__picture *p)
{
    e->patches += p->features;
    for (int32_t g = 0; g < p->grids; g++)
        e->visual_tokens += tkp__grid_cells(&p->grid[g]);
}

static tkp_status build(tkp__engine *e, tkp_policy *policy, int64_t extra)
{
    for (int32_t b = 0; b < e->sequences; b++) {
        e->rows += e->prompt[b].count;
        for (int32_t i = 0; i < e->prompt[b].pictures; i++)
            count_tokens(e, &e->prompt[b].picture[i]);
    }
    TKP__TRY(check_size(e, &e->model->decoder, extra));
    TKP__TRY(make_lists(e));
    TKP__TRY(tkp_exec_create(&e->f.exec, e->model->context, NULL));
    e->policy = policy;
    if (!policy) {
        /* None is a policy like any other: one without stages. */
        TKP__TRY(tkp_policy_create(&e->none, "none"));
        e->policy = e->none;
    }
    TKP__TRY(begin(e));
    TKP__TRY(make_workspace(e));
    return make_memory(e, extra);
}

void tkp__engine_release(tkp__engine *e)
{
    tkp__kept_attention *attention = &e->kept;
    tkp__kept_inputs *inputs = &e->inputs;
    tkp__buffer *const buffers[] = {
        &e->score_copy,      &e->key_bias,        &e->logits,
        &attention->plain_q, &attention->plain_k, &e->visual,
        &attention->q,       &attention->k,       &attention->v,
        &attention->lse,     &attention->all_lse, &inputs->vision,
        &inputs->keys,       &inputs->cls,        &inputs->shallow,
        &inputs->embeddings, &inputs->text};
    for (size_t i = 0; i < sizeof(buffers) / sizeof(buffers[0]); i++)
        tkp__buffer_free(buffers[i]);
    tkp__free(attention->rows);
    tkp__free(inputs->text_offsets);
    tkp__history_release(&e->history);
    tkp__decoder_state_release(&e->decoder);
    tkp_sequence_destroy(e->sequence);
    tkp_layout_destroy(e->layout);
    tkp_policy_destroy(e->none);
    tkp_exec_destroy(e->f.exec);
    if (e->workspace)
        tkp__workspace_give(e->model->workspaces, e->workspace);
    tkp__free(e->lists);
    tkp__free(e->block_patches);
    *e = (tkp__engine){0};
}

tkp_status tkp__engine_create(
    tkp__engine *e,
    const tkp_mllm *model,
    const tkp__prompt *prompts,
    int32_t count,
    tkp_policy *policy,
    int64_t extra,
    const tkp_tensor *scores,
    const tkp__forward *forward)
{
    *e = (tkp__engine){
        .model = model,
        .prompt = prompts,
        .sequences = count,
        .scores = scores,
        .f = *forward,
    };
    const tkp_status status = build(e, policy, extra);
    if (status != TKP_OK)
        tkp__engine_release(e);
    return status;
}
