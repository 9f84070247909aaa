/* Applying one stage of a policy to a case. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cli/select.h"
#include "tokenprune/sys/device.h"

/* --- the stage --------------------------------------------------------------- */

static bool prunes(const tkp_policy *policy, int32_t i)
{
    tkp_stage_options o = TKP_STAGE_OPTIONS_INIT;
    return tkp_policy_get_stage(policy, i, &o) == TKP_OK && o.selector &&
           o.selector->kind != TKP_SELECTOR_ALL;
}

static tkp_status
find_stage(const tkp_policy *policy, int32_t wanted, int32_t *out)
{
    const int32_t stages = tkp_policy_stage_count(policy);
    const char *name = tkp_policy_name(policy);
    TKP__CHECK(
        wanted < stages, TKP_ERR_POLICY,
        "policy '%s': stage is %d, but it has %d stage%s", name, wanted, stages,
        stages == 1 ? "" : "s");
    int32_t found = 0;
    for (int32_t i = 0; i < stages; i++)
        if (prunes(policy, i)) {
            *out = i;
            found++;
        }
    if (wanted >= 0)
        *out = wanted;
    TKP__CHECK(
        wanted >= 0 || found == 1, TKP_ERR_POLICY,
        "policy '%s' has %d stages that prune, wanted %s", name, found,
        found ? "--stage to say which" : "one");
    return TKP_OK;
}

static tkp_status take_stage(tkp__select_stage *out, const tkp_policy *policy)
{
    char name[64];
    tkp_stage_options options = TKP_STAGE_OPTIONS_INIT;
    TKP__TRY(tkp_policy_get_stage(policy, out->number, &options));
    if (out->number > 0)
        snprintf(
            name, sizeof(name), "%.40s, its stage %d", tkp_policy_name(policy),
            out->number);
    else
        snprintf(name, sizeof(name), "%s", tkp_policy_name(policy));
    TKP__TRY(tkp_policy_create(&out->policy, name));
    TKP__TRY(tkp_policy_add_stage(out->policy, &options));
    tkp_stage_options_init(&out->options);
    return tkp_policy_get_stage(out->policy, 0, &out->options);
}

tkp_status tkp__select_stage_pick(
    tkp__select_stage *out,
    const tkp__cli_policy_choice *choice)
{
    tkp_policy *policy;
    tkp__cli_policy_choice at = *choice;
    TKP__TRY(tkp__cli_policy_load(&policy, choice->name));
    tkp_status status = find_stage(policy, choice->stage, &out->number);
    tkp_policy_destroy(policy);
    TKP__TRY(status);
    at.stage = out->number;
    TKP__TRY(tkp__cli_policy_make(&policy, &at));
    status = take_stage(out, policy);
    tkp_policy_destroy(policy);
    return status;
}

/* --- does the file have what it needs ------------------------------------------ */

static bool compares_with_last(const tkp_scorer_options *scorer)
{
    if (scorer && scorer->kind == TKP_SCORER_COSINE &&
        scorer->reference == TKP_REFERENCE_LAST)
        return true;
    for (int32_t i = 0; scorer && i < scorer->n_terms; i++)
        if (compares_with_last(scorer->terms[i].scorer))
            return true;
    return false;
}

static bool asks_text(const tkp_scorer_options *scorer)
{
    if (scorer && scorer->kind == TKP_SCORER_ATTENTION &&
        (scorer->query == TKP_QUERY_TEXT || scorer->query == TKP_QUERY_RATERS))
        return true;
    for (int32_t i = 0; scorer && i < scorer->n_terms; i++)
        if (asks_text(scorer->terms[i].scorer))
            return true;
    return false;
}

static const char *
missing(const tkp__select_case *c, uint32_t needs, const char **form)
{
    const tkp_inputs *in = &c->inputs;
    const struct {
        uint32_t bit;
        bool there;
        const char *what, *form;
    } rows[] = {
        {TKP_NEED_ATTENTION,
         (in->q && in->k) || in->attention_rows || in->attention, "attention",
         "q and k, attention_rows or attention"},
        {TKP_NEED_HIDDEN, in->hidden != NULL, "the tokens' rows",
         "hidden or features"},
        {TKP_NEED_CLS_ATTENTION, in->cls_attention != NULL,
         "the attention of the CLS row", "cls_attention"},
        {TKP_NEED_NORM_WEIGHT, in->norm_weight != NULL,
         "the weight of the final norm", "norm_weight"},
        {TKP_NEED_SCORES, in->scores != NULL, "scores from outside", "scores"},
        {TKP_NEED_TEXT, in->text != NULL, "text features", "text"},
        {TKP_NEED_KEYS, in->k != NULL, "the keys of a layer", "k"},
        {TKP_NEED_PLAIN_ATTENTION, in->plain_q && in->plain_k,
         "queries and keys before rotary", "plain_q and plain_k"},
        {TKP_NEED_VALUES, in->values != NULL, "the values of a layer",
         "values"},
        {TKP_NEED_VISION, in->vision != NULL, "the encoder's rows", "vision"},
        {TKP_NEED_VISION_KEYS, in->vision_keys != NULL, "the encoder's keys",
         "vision_keys"},
        {TKP_NEED_VISION_VALUES, in->vision_values != NULL,
         "the encoder's values", "vision_values"},
        {TKP_NEED_CLS_SHALLOW, in->cls_shallow != NULL,
         "the CLS row of an early layer", "cls_shallow"},
        {TKP_NEED_CLIP, in->clip != NULL,
         "the patches in the space shared with text", "clip"},
        {TKP_NEED_CLIP_TEXT, in->clip_text != NULL,
         "the prompt in the space shared with pictures", "clip_text"},
        {TKP_NEED_CLIP_TOKENS, in->clip_tokens != NULL,
         "the prompt's tokens in the space shared with pictures",
         "clip_tokens"},
        {TKP_NEED_EMBEDDINGS, in->embeddings != NULL,
         "what entered the decoder", "embeddings"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if ((needs & rows[i].bit) && !rows[i].there) {
            *form = rows[i].form;
            return rows[i].what;
        }
    return NULL;
}

static tkp_status check_needs(
    const tkp__select_case *c,
    const tkp__select_stage *stage,
    uint32_t needs)
{
    const char *name = tkp_policy_name(stage->policy);
    const char *form = "";
    const char *what = missing(c, needs, &form);
    TKP__CHECK(
        !what, TKP_ERR_ARGUMENT,
        "policy '%s' needs %s, wanted %s; the file has %.300s", name, what,
        form, c->file->names);
    TKP__CHECK(
        !c->scattered || !compares_with_last(stage->options.scorer),
        TKP_ERR_ARGUMENT,
        "policy '%s' compares with the last token, of which features says "
        "nothing, wanted hidden",
        name);
    const int64_t last = c->images[c->n_images - 1].end;
    TKP__CHECK(
        last < c->length || !asks_text(stage->options.scorer), TKP_ERR_ARGUMENT,
        "policy '%s' scores by text, wanted tokens behind the last image",
        name);
    return TKP_OK;
}

/* --- what came out --------------------------------------------------------------- */

static tkp_status alloc_outcome(
    tkp__select_outcome *o,
    const tkp__select_case *c,
    int64_t rows_out,
    int32_t position_rows)
{
    const size_t n = (size_t)c->cells;
    o->rows_out = rows_out;
    o->position_rows = position_rows;
    o->kept = tkp__alloc(n, sizeof(*o->kept));
    o->sizes = tkp__alloc(n, sizeof(*o->sizes));
    o->assignment = tkp__alloc(n, sizeof(*o->assignment));
    o->indices = tkp__alloc((size_t)rows_out, sizeof(*o->indices));
    o->positions = tkp__alloc(
        (size_t)rows_out * (size_t)position_rows, sizeof(*o->positions));
    if (!o->kept || !o->sizes || !o->assignment || !o->indices || !o->positions)
        return TKP_ERR_MEMORY;
    if (!c->inputs.hidden)
        return TKP_OK;
    o->rows =
        tkp__alloc(n * (size_t)c->width, tkp_dtype_bytes(c->hidden.dtype));
    return o->rows ? TKP_OK : TKP_ERR_MEMORY;
}

/* Visual rows of `after`, the sequence after the cut, and where each old cell
 * went: `new_row` [R] is the new row of each old one that is still there. */
static void list_kept(
    tkp__select_outcome *o,
    const tkp__select_case *c,
    const int32_t *new_row,
    const tkp_decision *d,
    const char *after)
{
    const size_t bytes = (size_t)c->width * tkp_dtype_bytes(c->hidden.dtype);
    const float *sizes = d ? tkp__data(&d->sizes) : NULL;
    for (int64_t cell = 0; cell < c->cells; cell++) {
        const int32_t row = new_row[c->row_of_cell[cell]];
        if (row < 0)
            continue;
        if (after)
            memcpy(
                (char *)o->rows + (size_t)o->n_kept * bytes,
                after + (size_t)row * bytes, bytes);
        o->sizes[o->n_kept] = sizes ? sizes[row] : 1.0f;
        o->kept[o->n_kept++] = (int32_t)cell;
    }
}

/* Rows of the new sequence are counted with the text; entries of `kept` are
 * not. */
static void list_assignment(
    tkp__select_outcome *o,
    const tkp__select_case *c,
    const int32_t *new_row,
    const int32_t *went_to,
    int32_t *entry_of)
{
    for (int64_t k = 0; k < o->n_kept; k++)
        entry_of[new_row[c->row_of_cell[o->kept[k]]]] = (int32_t)k;
    for (int64_t cell = 0; cell < c->cells; cell++) {
        const int32_t row = went_to[c->row_of_cell[cell]];
        o->assignment[cell] = row < 0 ? -1 : entry_of[row];
    }
}

static tkp_status list_scores(
    tkp__select_outcome *o,
    const tkp__select_case *c,
    const tkp_tensor *scores)
{
    const tkp_tensor *valid = &c->file->tensor[TKP__SELECT_VALID];
    const uint8_t *is_valid =
        valid->dtype == TKP_DTYPE_NONE ? NULL : tkp__data(valid);
    const float *at = tkp__data(scores);
    if (!tkp__present(scores))
        return TKP_OK;
    o->scores = tkp__alloc((size_t)c->cells, sizeof(*o->scores));
    if (!o->scores)
        return TKP_ERR_MEMORY;
    for (int64_t cell = 0; cell < c->cells; cell++)
        o->scores[cell] = !is_valid || is_valid[cell] ? *at++ : NAN;
    return TKP_OK;
}

/* A stage that keeps everything has no point: the sequence as it is. */
static tkp_status take_all(tkp__select_outcome *o, const tkp__select_case *c)
{
    const tkp_tensor *p = &c->file->tensor[TKP__SELECT_POSITIONS];
    const bool given = p->dtype != TKP_DTYPE_NONE;
    const int32_t lines = given && p->ndim == 2 ? (int32_t)p->shape[0] : 1;
    TKP__TRY(alloc_outcome(o, c, c->length, lines));
    for (int64_t r = 0; r < c->length; r++)
        o->indices[r] = (int32_t)r;
    for (int64_t r = 0; r < lines * c->length; r++)
        o->positions[r] =
            given ? ((const int32_t *)tkp__data(p))[r] : (int32_t)r;
    list_kept(
        o, c, o->indices, NULL,
        c->inputs.hidden ? tkp__data(&c->hidden) : NULL);
    for (int64_t cell = 0; cell < c->cells; cell++)
        o->assignment[cell] = (int32_t)cell;
    return TKP_OK;
}

static tkp_status take_decision(
    tkp__select_outcome *o,
    const tkp__select_case *c,
    const tkp_decision *d,
    const char *after,
    int32_t *table)
{
    int32_t *new_row = table;
    int32_t *entry_of = table + c->length;
    TKP__TRY(alloc_outcome(o, c, d->rows_out, d->position_rows));
    memcpy(
        o->indices, tkp__data(&d->indices),
        (size_t)d->rows_out * sizeof(*o->indices));
    memcpy(
        o->positions, tkp__data(&d->positions),
        (size_t)(d->rows_out * d->position_rows) * sizeof(*o->positions));
    for (int64_t r = 0; r < c->length; r++)
        new_row[r] = entry_of[r] = -1;
    for (int64_t r = 0; r < d->rows_out; r++)
        new_row[o->indices[r]] = (int32_t)r;
    list_kept(o, c, new_row, d, after);
    list_assignment(o, c, new_row, tkp__data(&d->assignment), entry_of);
    if (after) {
        const size_t bytes = (size_t)d->rows_out * (size_t)c->width *
                             tkp_dtype_bytes(c->hidden.dtype);
        o->hidden = tkp__alloc(1, bytes);
        if (!o->hidden)
            return TKP_ERR_MEMORY;
        memcpy(o->hidden, after, bytes);
    }
    if (tkp__present(&d->key_bias)) {
        o->key_bias = tkp__alloc((size_t)d->rows_out, sizeof(*o->key_bias));
        if (!o->key_bias)
            return TKP_ERR_MEMORY;
        memcpy(
            o->key_bias, tkp__data(&d->key_bias),
            (size_t)d->rows_out * sizeof(*o->key_bias));
    }
    return list_scores(o, c, &d->scores);
}

/* --- running --------------------------------------------------------------------- */

typedef struct bench {
    tkp_exec *exec;
    tkp_sequence *sequence;
    tkp__select_device device; /* of the inputs and the workspace */
    tkp_inputs inputs;
    void *after; /* [rows_out, D] */
    int32_t *table;
} bench;

static tkp_status prepare(
    bench *b,
    tkp__select_case *c,
    const tkp__select_stage *stage,
    tkp_context *context)
{
    tkp_requirements needs = TKP_REQUIREMENTS_INIT;
    TKP__TRY(tkp_exec_create(&b->exec, context, NULL));
    TKP__TRY(tkp_sequence_create(&b->sequence, context));
    TKP__TRY(tkp_sequence_begin(
        b->sequence, b->exec, stage->policy, c->layout, &c->model));
    TKP__TRY(tkp_sequence_query(b->sequence, &needs));
    b->inputs = c->inputs;
    TKP__TRY(tkp__select_device_inputs(
        &b->device, context, b->exec, tkp__cli_on_device(context), &b->inputs));
    void *workspace;
    TKP__TRY(tkp__select_device_alloc(
        &b->device, &workspace, needs.workspace_bytes));
    b->table = tkp__alloc(2 * (size_t)c->length, sizeof(*b->table));
    if (!b->table)
        return TKP_ERR_MEMORY;
    return tkp_exec_set_workspace(b->exec, workspace, needs.workspace_bytes);
}

static tkp_status
gather(bench *b, const tkp__select_case *c, const tkp_decision *d)
{
    if (!c->inputs.hidden)
        return TKP_OK;
    const size_t bytes = (size_t)d->rows_out * (size_t)c->width *
                         tkp_dtype_bytes(c->hidden.dtype);
    tkp_tensor dst;
    void *memory;
    b->after = tkp__alloc(1, bytes);
    if (!b->after)
        return TKP_ERR_MEMORY;
    TKP__TRY(tkp__select_device_alloc(&b->device, &memory, bytes));
    tkp_tensor_make_2d(&dst, memory, c->hidden.dtype, d->rows_out, c->width);
    dst.device_type = b->inputs.hidden->device_type;
    TKP__TRY(tkp_gather_rows(b->sequence, b->exec, &dst, b->inputs.hidden, d));
    return tkp_device_download(b->exec, b->after, memory, bytes);
}

static tkp_status
cut(bench *b,
    tkp__select_outcome *o,
    tkp__select_case *c,
    const tkp__select_stage *stage)
{
    tkp_point point = TKP_POINT_INIT;
    tkp_decision decision = TKP_DECISION_INIT;
    TKP__TRY(tkp_sequence_next(b->sequence, &point));
    if (!point.kind)
        return take_all(o, c);
    TKP__CHECK(
        point.kind != TKP_POINT_VISION && point.kind != TKP_POINT_VISION_MLP,
        TKP_ERR_UNSUPPORTED,
        "policy '%s': the stage acts inside the encoder, whose rows are no "
        "part of a prompt; at projector it selects the same of hidden rows",
        tkp_policy_name(stage->policy));
    o->cut = true;
    o->needs = point.needs;
    TKP__TRY(check_needs(c, stage, point.needs));
    TKP__TRY(tkp_sequence_prune(b->sequence, b->exec, &b->inputs, &decision));
    TKP__TRY(gather(b, c, &decision));
    return take_decision(o, c, &decision, b->after, b->table);
}

tkp_status tkp__select_apply(
    tkp__select_outcome *out,
    tkp__select_case *c,
    const tkp__select_stage *stage,
    tkp_context *context,
    int64_t layers)
{
    bench b = {0};
    *out = (tkp__select_outcome){0};
    const tkp_budget *budget = stage->options.budget;
    if (budget && budget->label != TKP_LABEL_RETAIN && !layers)
        return tkp__fail(
            TKP_ERR_OPTION,
            "policy '%s' has an equivalent budget, wanted --layers, the layers "
            "of the model it is shared out over",
            tkp_policy_name(stage->policy));
    c->model.layers = layers ? (int32_t)layers : stage->options.boundary + 1;
    tkp_status status = prepare(&b, c, stage, context);
    if (status == TKP_OK)
        status = cut(&b, out, c, stage);
    tkp_sequence_destroy(b.sequence);
    tkp_exec_destroy(b.exec);
    tkp__select_device_release(&b.device);
    tkp__free(b.after);
    tkp__free(b.table);
    return status == TKP_OK ? status
                            : tkp__fail_prefix(status, "%s", c->file->path);
}

void tkp__select_outcome_release(tkp__select_outcome *o)
{
    tkp__free(o->kept);
    tkp__free(o->sizes);
    tkp__free(o->assignment);
    tkp__free(o->scores);
    tkp__free(o->indices);
    tkp__free(o->positions);
    tkp__free(o->rows);
    tkp__free(o->hidden);
    tkp__free(o->key_bias);
    *o = (tkp__select_outcome){0};
}
