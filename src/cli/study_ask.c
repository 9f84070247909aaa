/* One batch of questions to the model, and what it said into the store. */
#include <stdio.h>
#include <stdlib.h>

#include "cli/study.h"
#include "eval/chat.h"

enum { ANSWER_TOKENS = 32 }; /* where neither the user nor the card says */

static int32_t longest(const tkp__study *study, const tkp__eval_set *set)
{
    if (study->options.max_new_tokens)
        return (int32_t)study->options.max_new_tokens;
    return set->max_new_tokens ? set->max_new_tokens : ANSWER_TOKENS;
}

/* Without pictures their places in the text go as well. */
static char *without_marks(const char *text)
{
    static const char mark[] = "<image>";
    char *out = tkp__alloc(strlen(text) + 1, 1);
    size_t used = 0;
    while (out && *text) {
        if (!strncmp(text, mark, sizeof(mark) - 1)) {
            text += sizeof(mark) - 1;
            text += *text == '\n';
        } else
            out[used++] = *text++;
    }
    if (out)
        out[used] = '\0';
    return out;
}

/* --- what is stored of an answer -------------------------------------------------- */

/* A batch's report is a sum: each of its answers has an equal share. */
static void share_costs(
    tkp__store_answer *a,
    const tkp_report *r,
    const tkp_mllm_times *t,
    int32_t batch)
{
    const double n = batch;
    a->batch = batch;
    a->visual_before = r->visual_before / batch;
    a->visual_after = r->visual_after / batch;
    a->equiv_in = r->equiv_in / n;
    a->macs = r->macs / n;
    a->macs_unpruned = r->macs_unpruned / n;
    a->kv_bytes = (double)r->kv_bytes / n;
    a->kv_bytes_unpruned = (double)r->kv_bytes_unpruned / n;
    a->load_images = t->load_images / n;
    a->vision = t->vision / n;
    a->prefill = t->prefill / n;
    a->pruning = t->pruning / n;
    a->decode = t->decode / n;
    a->score_seconds = r->score_seconds / n;
    a->select_seconds = r->select_seconds / n;
    a->merge_seconds = r->merge_seconds / n;
    a->gather_seconds = r->gather_seconds / n;
}

static char *list_text(const int64_t *values, int32_t count, int32_t batch)
{
    json_t *list = json_array();
    for (int32_t i = 0; i < count; i++)
        json_array_append_new(
            list, json_real((double)values[i] / (double)batch));
    char *text = json_dumps(list, JSON_COMPACT | JSON_REAL_PRECISION(6));
    json_decref(list);
    return text;
}

static tkp_status pack_cells(
    tkp__store_cells *cells,
    const tkp_mllm_result *result,
    int32_t request)
{
    for (int32_t i = 0; i < tkp_mllm_result_images(result, request); i++) {
        const int32_t *values;
        const int64_t n =
            tkp_mllm_result_kept_cells(result, request, i, &values);
        if (n >= 0)
            TKP__TRY(tkp__store_cells_add(cells, values, n));
    }
    return TKP_OK;
}

static tkp_status put_one(
    tkp__study *study,
    int64_t run,
    const tkp__study_batch *batch,
    const tkp_mllm_result *result,
    int32_t i,
    tkp__store_answer *a)
{
    const int32_t *ids;
    char hash[65];
    tkp__eval_score score = {0};
    tkp__store_cells cells = {0};
    const tkp__eval_item *item = batch->items[i];
    const char *text = tkp_mllm_result_text(result, i);
    tkp_status status;
    TKP__TRY_OUT(
        tkp__eval_score_answer(&score, &batch->set->metric, text, item));
    TKP__TRY_OUT(pack_cells(&cells, result, i));
    tkp__eval_hash(hash, item->text, strlen(item->text));
    hash[16] = '\0';
    a->prompt_hash = hash;
    a->text = text;
    a->parsed = score.parsed;
    a->value = score.value;
    a->measure = score.measure;
    a->flags = score.flags;
    a->new_tokens = (int32_t)tkp_mllm_result_tokens(result, i, &ids);
    a->kept = cells.bytes;
    a->kept_bytes = cells.count;
    TKP__TRY_OUT(
        tkp__store_put_answer(study->store, run, batch->item_ids[i], a));
out:
    tkp__store_cells_release(&cells);
    tkp__eval_score_release(&score);
    return status;
}

static tkp_status put_all(
    tkp__study *study,
    int64_t run,
    const tkp__study_batch *batch,
    const tkp_mllm_result *result)
{
    tkp_report report = TKP_REPORT_INIT;
    tkp_mllm_times times = TKP_MLLM_TIMES_INIT;
    tkp__store_answer answer = {0};
    tkp_status status = TKP_OK;
    TKP__TRY(tkp_mllm_result_report(result, &report));
    TKP__TRY(tkp_mllm_result_times(result, &times));
    share_costs(&answer, &report, &times, batch->count);
    char *visual = list_text(report.layer_visual, report.layers, batch->count);
    char *tokens = list_text(report.layer_tokens, report.layers, batch->count);
    answer.layer_visual = visual ? visual : "[]";
    answer.layer_tokens = tokens ? tokens : "[]";
    for (int32_t i = 0; i < batch->count && status == TKP_OK; i++)
        status = put_one(study, run, batch, result, i, &answer);
    free(visual);
    free(tokens);
    return status;
}

/* --- asking ---------------------------------------------------------------------- */

/* The template takes the question's place; both are released as texts. */
static tkp_status wrap(tkp_mllm_request *r, char **text, const char *chat)
{
    char *whole;
    TKP__TRY(tkp__eval_chat(&whole, chat, r->prompt, r->n_images));
    tkp__free(*text);
    *text = whole;
    r->prompt = whole;
    r->format = TKP_MLLM_FORMAT_RAW;
    return TKP_OK;
}

static tkp_status make_requests(
    tkp_mllm_request *requests,
    char **texts,
    const char *chat,
    const tkp__study_condition *condition,
    const tkp__study_batch *batch)
{
    for (int32_t i = 0; i < batch->count; i++) {
        const tkp__eval_item *item = batch->items[i];
        tkp_mllm_request *r = &requests[i];
        tkp_mllm_request_init(r);
        /* The generator of random policies draws by this number: the seed and
         * the question decide, not what else is in the batch. */
        r->id = (uint32_t)item->row;
        r->prompt = item->text;
        if (condition->text_only) {
            texts[i] = without_marks(item->text);
            if (!texts[i])
                return TKP_ERR_MEMORY;
            r->prompt = texts[i];
        } else {
            r->images = batch->paths[i];
            r->n_images = item->n_images;
        }
        if (chat)
            TKP__TRY(wrap(r, &texts[i], chat));
    }
    return TKP_OK;
}

tkp_status tkp__study_ask(
    tkp__study *study,
    const tkp__study_condition *condition,
    int64_t run,
    const tkp__study_batch *batch)
{
    tkp_mllm_generate_options options = TKP_MLLM_GENERATE_OPTIONS_INIT;
    tkp_mllm_result *result = NULL;
    const size_t n = (size_t)batch->count;
    tkp_mllm_request *requests = tkp__zalloc(n, sizeof(*requests));
    char **texts = tkp__zalloc(n, sizeof(*texts));
    tkp_status status = TKP_ERR_MEMORY;
    if (!requests || !texts)
        goto out;
    TKP__TRY_OUT(
        make_requests(requests, texts, study->options.chat, condition, batch));
    options.max_new_tokens = longest(study, batch->set);
    options.policy = condition->policy;
    options.should_stop = tkp__cli_interrupted;
    TKP__TRY_OUT(tkp_mllm_generate(
        &result, study->model, requests, batch->count, &options));
    status = put_all(study, run, batch, result);
out:
    for (size_t i = 0; texts && i < n; i++)
        tkp__free(texts[i]);
    tkp__free(texts);
    tkp__free(requests);
    tkp_mllm_result_destroy(result);
    return status;
}
