/* What a stage decided: as JSON, as a few lines, as tensors. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/select.h"

enum { SCHEMA_VERSION = 1 };

static json_t *floats(const float *values, int64_t count)
{
    json_t *array = values ? json_array() : json_null();
    for (int64_t i = 0; values && i < count; i++)
        json_array_append_new(array, tkp__cli_json_real((double)values[i]));
    return array;
}

/* What the file says of the layout is always used; the rest where needed. */
static bool is_used(int32_t t, uint32_t needs)
{
    static const uint32_t wanted[TKP__SELECT_TENSORS] = {
        [TKP__SELECT_Q] = TKP_NEED_ATTENTION,
        [TKP__SELECT_K] = TKP_NEED_ATTENTION | TKP_NEED_KEYS,
        [TKP__SELECT_PLAIN_Q] = TKP_NEED_PLAIN_ATTENTION,
        [TKP__SELECT_PLAIN_K] = TKP_NEED_PLAIN_ATTENTION,
        [TKP__SELECT_LSE] = TKP_NEED_ATTENTION,
        [TKP__SELECT_ATTENTION_ROWS] = TKP_NEED_ATTENTION,
        [TKP__SELECT_ATTENTION] = TKP_NEED_ATTENTION,
        [TKP__SELECT_CLS_ATTENTION] = TKP_NEED_CLS_ATTENTION,
        [TKP__SELECT_SCORES] = TKP_NEED_SCORES,
        [TKP__SELECT_NORM_WEIGHT] = TKP_NEED_NORM_WEIGHT,
        [TKP__SELECT_TEXT] = TKP_NEED_TEXT,
        [TKP__SELECT_VALUES] = TKP_NEED_VALUES,
        [TKP__SELECT_VISION] = TKP_NEED_VISION,
        [TKP__SELECT_VISION_KEYS] = TKP_NEED_VISION_KEYS,
        [TKP__SELECT_VISION_VALUES] = TKP_NEED_VISION_VALUES,
        [TKP__SELECT_CLS_SHALLOW] = TKP_NEED_CLS_SHALLOW,
        [TKP__SELECT_CLIP] = TKP_NEED_CLIP,
        [TKP__SELECT_CLIP_TEXT] = TKP_NEED_CLIP_TEXT,
        [TKP__SELECT_CLIP_TOKENS] = TKP_NEED_CLIP_TOKENS,
        [TKP__SELECT_EMBEDDINGS] = TKP_NEED_EMBEDDINGS,
    };
    return !wanted[t] || (wanted[t] & needs);
}

/* q and k go before finished rows, those before the whole tensor. */
static bool is_outdone(const tkp__select_file *file, int32_t t, uint32_t needs)
{
    const bool qk = tkp__select_has(file, TKP__SELECT_Q) &&
                    tkp__select_has(file, TKP__SELECT_K);
    const bool rows = tkp__select_has(file, TKP__SELECT_ATTENTION_ROWS);
    if (t == TKP__SELECT_ATTENTION_ROWS)
        return qk;
    if (t == TKP__SELECT_ATTENTION)
        return qk || rows;
    if (t == TKP__SELECT_K && (needs & TKP_NEED_KEYS))
        return false;
    return (t == TKP__SELECT_Q || t == TKP__SELECT_K || t == TKP__SELECT_LSE) &&
           !qk;
}

static json_t *
tensors_to_json(const tkp__select_file *file, const tkp__select_outcome *o)
{
    json_t *used = json_array();
    json_t *unused = json_deep_copy(file->others);
    for (int32_t t = 0; t < TKP__SELECT_TENSORS; t++)
        if (tkp__select_has(file, t))
            json_array_append_new(
                is_used(t, o->needs) && !is_outdone(file, t, o->needs) ? used
                                                                       : unused,
                json_string(tkp__select_name(t)));
    return json_pack("{s:o, s:o}", "used", used, "unused", unused);
}

static json_t *images_to_json(const tkp__select_case *c)
{
    json_t *list = json_array();
    for (int32_t i = 0; i < c->n_images; i++) {
        const tkp__select_image *image = &c->images[i];
        json_array_append_new(
            list, json_pack(
                      "{s:[I,I], s:[I,I,I]}", "span", (json_int_t)image->start,
                      (json_int_t)image->end, "grid", (json_int_t)image->frames,
                      (json_int_t)image->rows, (json_int_t)image->cols));
    }
    return list;
}

static json_t *positions_to_json(const tkp__select_outcome *o)
{
    json_t *lines = json_array();
    for (int32_t i = 0; i < o->position_rows; i++)
        json_array_append_new(
            lines,
            tkp__cli_json_i32(o->positions + i * o->rows_out, o->rows_out));
    return lines;
}

static json_t *policy_to_json(const tkp__select_stage *stage)
{
    char *yaml = tkp__cli_policy_yaml(stage->policy);
    json_t *object = json_pack(
        "{s:s, s:i, s:o}", "name", tkp_policy_name(stage->policy), "stage",
        stage->number, "yaml", tkp__cli_json_text(yaml));
    free(yaml);
    return object;
}

json_t *tkp__select_to_json(
    const tkp__select_case *c,
    const tkp__select_stage *stage,
    const tkp__select_outcome *o,
    const tkp_context *context)
{
    return json_pack(
        "{s:i, s:o, s:s, s:o, s:o, s:o, s:I, s:I, s:b, s:o, s:o, s:o, s:o, "
        "s:o, s:o}",
        "schema", SCHEMA_VERSION, "file", tkp__cli_json_text(c->file->path),
        "backend", tkp_context_backend_name(context, 0), "policy",
        policy_to_json(stage), "tensors", tensors_to_json(c->file, o), "images",
        images_to_json(c), "length", (json_int_t)c->length, "visual_tokens",
        (json_int_t)c->cells, "cut", o->cut, "kept",
        tkp__cli_json_i32(o->kept, o->n_kept), "scores",
        floats(o->scores, c->cells), "sizes", floats(o->sizes, o->n_kept),
        "assignment", tkp__cli_json_i32(o->assignment, c->cells), "indices",
        tkp__cli_json_i32(o->indices, o->rows_out), "positions",
        positions_to_json(o));
}

void tkp__select_print(
    const tkp__select_case *c,
    const tkp__select_stage *stage,
    const tkp__select_outcome *o)
{
    printf(
        "policy %s: %" PRId64 " of %" PRId64 " visual tokens stay, %" PRId64
        " of %" PRId64 " rows\n",
        tkp_policy_name(stage->policy), o->n_kept, c->cells, o->rows_out,
        c->length);
    for (int64_t i = 0; i < o->n_kept; i++)
        printf("%s%" PRId32, i ? " " : "", o->kept[i]);
    putchar('\n');
}

tkp_status tkp__select_write(
    const char *path,
    const tkp__select_case *c,
    const tkp__select_outcome *o)
{
    const char *names[9];
    tkp_tensor t[9];
    int32_t n = 0;
    names[n] = "kept";
    tkp_tensor_make_1d(&t[n++], o->kept, TKP_DTYPE_I32, o->n_kept);
    names[n] = "sizes";
    tkp_tensor_make_1d(&t[n++], o->sizes, TKP_DTYPE_F32, o->n_kept);
    names[n] = "assignment";
    tkp_tensor_make_1d(&t[n++], o->assignment, TKP_DTYPE_I32, c->cells);
    names[n] = "indices";
    tkp_tensor_make_1d(&t[n++], o->indices, TKP_DTYPE_I32, o->rows_out);
    names[n] = "positions";
    tkp_tensor_make_2d(
        &t[n++], o->positions, TKP_DTYPE_I32, o->position_rows, o->rows_out);
    if (o->scores) {
        names[n] = "scores";
        tkp_tensor_make_1d(&t[n++], o->scores, TKP_DTYPE_F32, c->cells);
    }
    if (o->rows) {
        names[n] = "rows";
        tkp_tensor_make_2d(
            &t[n++], o->rows, c->hidden.dtype, o->n_kept, c->width);
    }
    if (o->hidden) {
        names[n] = "hidden";
        tkp_tensor_make_2d(
            &t[n++], o->hidden, c->hidden.dtype, o->rows_out, c->width);
    }
    if (o->key_bias) {
        names[n] = "key_bias";
        tkp_tensor_make_1d(&t[n++], o->key_bias, TKP_DTYPE_F32, o->rows_out);
    }
    return tkp__safetensors_write(path, n, names, t);
}
