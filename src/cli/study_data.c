/* The data sets of a study: cards by name or file, or plain questions. */
#include "cli/study.h"
#include "eval/chat.h"
#include "eval/data.h"

/* Plain questions are JSON; everything else names a card. */
static bool is_questions(const char *name)
{
    const char *end = strrchr(name, '.');
    return end && strcmp(end, ".json") == 0;
}

static const char *family_of(const tkp__study *study)
{
    if (study->options.prompt)
        return study->options.prompt;
    return strcmp(study->info.kind, "qwen2_vl") == 0 ? "qwen2vl" : "llava";
}

/* Told now, not after the first answer that cannot be scored. */
static tkp_status check_scorable(const tkp__eval_set *set)
{
    for (int64_t i = 0; i < set->n_items; i++) {
        tkp__eval_score score = {0};
        const tkp_status status =
            tkp__eval_score_answer(&score, &set->metric, "", &set->items[i]);
        tkp__eval_score_release(&score);
        if (status != TKP_OK)
            return tkp__fail_prefix(status, "%s", set->name);
    }
    return TKP_OK;
}

static tkp_status
read_card(tkp__eval_sets *out, const tkp__study *study, const char *name)
{
    const tkp__eval_data_options options = {
        .root = study->options.data_root,
        .family = family_of(study),
        .seed = study->options.seed,
        .max_images = (int32_t)study->options.max_images};
    tkp__eval_card card;
    tkp__eval_set *set;
    TKP__TRY(tkp__eval_card_load(&card, name));
    tkp_status status = tkp__eval_sets_add(&set, out);
    if (status == TKP_OK)
        status = tkp__eval_data_read(set, NULL, &card, &options);
    if (status == TKP_OK)
        status = check_scorable(set);
    tkp__eval_card_release(&card);
    return status;
}

/* A name that is none is told before anything is read. */
static tkp_status check_chat(const tkp__study *study)
{
    char *text;
    if (!study->options.chat)
        return TKP_OK;
    TKP__CHECK(
        strncmp(study->info.kind, "llava", 5) == 0, TKP_ERR_UNSUPPORTED,
        "template is '%.40s', but the model is %s: templates are for LLaVA",
        study->options.chat, study->info.kind);
    TKP__TRY(tkp__eval_chat(&text, study->options.chat, "", 0));
    tkp__free(text);
    return TKP_OK;
}

tkp_status tkp__study_read_data(tkp__study *study)
{
    TKP__TRY(check_chat(study));
    for (int32_t i = 0; i < study->options.n_data; i++) {
        const char *name = study->options.data[i];
        tkp__eval_sets more = {0};
        tkp_status status = is_questions(name)
                                ? tkp__eval_questions_read(&more, name)
                                : read_card(&more, study, name);
        if (status == TKP_OK)
            status = tkp__eval_sets_take(&study->sets, &more);
        tkp__eval_sets_release(&more);
        TKP__TRY(status);
    }
    for (int32_t i = 0; i < study->sets.count; i++)
        TKP__TRY(tkp__eval_set_limit(
            &study->sets.sets[i], study->options.limit, study->options.seed));
    return TKP_OK;
}
