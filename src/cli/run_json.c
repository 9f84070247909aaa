/* The facts of a run as one JSON object; docs/run.schema.json describes it. */
#include <stdlib.h>

#include "cli/run.h"

enum { SCHEMA_VERSION = 1 };

static json_t *model_to_json(const tkp__run *run)
{
    const tkp_mllm_info *info = &run->info;
    return json_pack(
        "{s:o, s:s, s:s, s:s, s:i, s:I, s:I, s:[i,i]}", "directory",
        tkp__cli_json_text(run->model_dir), "kind", info->kind, "dtype",
        tkp_dtype_string(info->dtype), "weight_dtype",
        tkp_dtype_string(info->weight_dtype), "layers", info->layers,
        "parameters", (json_int_t)info->parameters, "weight_bytes",
        (json_int_t)info->weight_bytes, "grid", info->grid_rows,
        info->grid_cols);
}

static json_t *backends_to_json(const tkp_context *context)
{
    json_t *list = json_array();
    for (int32_t i = 0; i < tkp_context_backend_count(context); i++)
        json_array_append_new(
            list, json_string(tkp_context_backend_name(context, i)));
    return list;
}

static json_t *policy_to_json(const tkp_policy *policy)
{
    if (!policy)
        return json_null();
    char *yaml = tkp__cli_policy_yaml(policy);
    json_t *object = json_pack(
        "{s:s, s:i, s:o}", "name", tkp_policy_name(policy), "stages",
        tkp_policy_stage_count(policy), "yaml", tkp__cli_json_text(yaml));
    free(yaml);
    return object;
}

static json_t *images_to_json(const tkp__run *run)
{
    json_t *list = json_array();
    for (int32_t i = 0; i < tkp_mllm_result_images(run->answer.result, 0);
         i++) {
        const uint8_t *rgb;
        const int32_t *cells;
        int32_t height = 0;
        int32_t width = 0;
        int32_t rows = 0;
        int32_t cols = 0;
        const tkp_mllm_result *result = run->answer.result;
        const int32_t picture = tkp_mllm_result_picture(result, 0, i);
        if (tkp_mllm_result_image(
                result, 0, i, &rgb, &height, &width, &rows, &cols) != TKP_OK)
            continue;
        const int64_t kept = tkp_mllm_result_kept_cells(result, 0, i, &cells);
        json_array_append_new(
            list, json_pack(
                      "{s:o, s:i, s:i, s:[i,i], s:o}", "file",
                      tkp__cli_json_text(run->options.images[picture]),
                      "height", height, "width", width, "grid", rows, cols,
                      "kept", tkp__cli_json_i32(cells, kept)));
    }
    return list;
}

static double share(double part, double whole)
{
    return whole > 0.0 ? part / whole : 1.0;
}

static json_t *cost_to_json(const tkp__run *run)
{
    const tkp_report *r = &run->answer.report;
    int64_t patches[TKP__RUN_MOST_BLOCKS];
    const int32_t blocks = tkp__run_blocks(run, patches, TKP__RUN_MOST_BLOCKS);
    return json_pack(
        "{s:o, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:I, s:o}",
        "encoder_patches", tkp__cli_json_ints(patches, blocks), "visual_before",
        (json_int_t)r->visual_before, "visual_after",
        (json_int_t)r->visual_after, "equiv_in",
        tkp__cli_json_real(r->equiv_in), "equiv_out",
        tkp__cli_json_real(r->equiv_out), "layer_visual",
        tkp__cli_json_ints(r->layer_visual, r->layers), "layer_tokens",
        tkp__cli_json_ints(r->layer_tokens, r->layers), "macs",
        tkp__cli_json_real(r->macs), "macs_unpruned",
        tkp__cli_json_real(r->macs_unpruned), "macs_left",
        tkp__cli_json_real(share(r->macs, r->macs_unpruned)), "kv_bytes",
        (json_int_t)r->kv_bytes, "kv_bytes_unpruned",
        (json_int_t)r->kv_bytes_unpruned, "kv_left",
        tkp__cli_json_real(
            share((double)r->kv_bytes, (double)r->kv_bytes_unpruned)));
}

static json_t *seconds_to_json(const tkp__run_answer *a)
{
    const tkp_mllm_times *t = &a->times;
    return json_pack(
        "{s:i, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:o, s:f}", "runs",
        a->runs, "load_images", t->load_images, "vision", t->vision, "prefill",
        t->prefill, "pruning", t->pruning, "score", a->report.score_seconds,
        "select", a->report.select_seconds, "merge", a->report.merge_seconds,
        "gather", a->report.gather_seconds, "decode", t->decode, "per_token",
        t->decode_steps > 0 ? json_real(tkp__run_per_token(a)) : json_null(),
        "total", tkp__run_total(a));
}

static json_t *tokens_to_json(const tkp_mllm_result *result)
{
    const int32_t *ids = NULL;
    const int64_t count = tkp_mllm_result_tokens(result, 0, &ids);
    return tkp__cli_json_i32(ids, count);
}

static json_t *speedup(double whole, double part)
{
    return part > 0.0 && whole > 0.0 ? json_real(whole / part) : json_null();
}

static json_t *comparison_to_json(const tkp__run *run)
{
    const tkp__run_answer *a = &run->answer;
    const tkp__run_answer *w = &run->whole;
    if (!run->options.compare)
        return json_null();
    const double predicted = share(a->report.macs_unpruned, a->report.macs);
    return json_pack(
        "{s:o, s:o, s:b, s:o, s:{s:f, s:o, s:o, s:o, s:o}}", "answer",
        tkp__cli_json_text(tkp_mllm_result_text(w->result, 0)), "tokens",
        tokens_to_json(w->result), "same_answer", tkp__run_same_answer(run),
        "seconds", seconds_to_json(w), "speedup", "prefill_predicted",
        predicted, "prefill", speedup(w->times.prefill, a->times.prefill),
        "prefill_reached",
        speedup(w->times.prefill, a->times.prefill * predicted), "per_token",
        speedup(tkp__run_per_token(w), tkp__run_per_token(a)), "total",
        speedup(tkp__run_total(w), tkp__run_total(a)));
}

json_t *tkp__run_to_json(const tkp__run *run)
{
    const tkp__run_options *o = &run->options;
    return json_pack(
        "{s:i, s:s, s:o, s:o, s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:f, "
        "s:o, s:o, s:o}",
        "schema", SCHEMA_VERSION, "version", tkp_version_string(), "model",
        model_to_json(run), "backends", backends_to_json(run->context),
        "threads", tkp_context_threads(run->context), "prompt",
        tkp__cli_json_text(o->prompt), "system", tkp__cli_json_text(o->system),
        "policy", policy_to_json(run->policy), "images", images_to_json(run),
        "answer",
        tkp__cli_json_text(tkp_mllm_result_text(run->answer.result, 0)),
        "tokens", tokens_to_json(run->answer.result), "cost", cost_to_json(run),
        "load_seconds", run->load_seconds, "seconds",
        seconds_to_json(&run->answer), "compare", comparison_to_json(run),
        "picture", tkp__cli_json_text(o->picture));
}
