#include "eval/answers.h"

#include <sys/stat.h>

#include "eval/expr.h"
#include "util/text.h"

/* --- files --------------------------------------------------------------------- */

static bool ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

static bool is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

/* Of the four forms the one that the name tells, and where to read. */
static tkp_status choose_form(
    tkp__eval_answer_form *form,
    tkp__eval_source *source,
    const tkp__eval_card *card,
    const char *path,
    const char *in_folder)
{
    const bool text = ends_with(path, ".txt") || in_folder;
    const bool table = ends_with(path, ".tsv");
    *source = (tkp__eval_source){0};
    *form = text ? card->from_text : table ? card->from_tsv : card->from_json;
    TKP__CHECK(
        !text || form->id, TKP_ERR_UNSUPPORTED,
        "%s: the card %s does not say what text files of answers mean", path,
        card->name);
    if (text || table)
        source->tsv = in_folder ? in_folder : path;
    else
        source->json = path;
    if (form->columns[0])
        source->columns = form->columns;
    source->plain = form->plain;
    if (!form->id)
        form->id = "id";
    if (!form->text)
        form->text = table ? "first(prediction, answer)"
                           : "first(answer, prediction, text)";
    return TKP_OK;
}

static tkp_status add_answer(
    json_t *answers,
    const tkp__eval_answer_form *form,
    const json_t *fields)
{
    const tkp__eval_scope scope = {{fields, NULL, NULL}};
    char *id = NULL, *text = NULL;
    tkp_status status = tkp__eval_text_of(&id, form->id, &scope);
    if (status == TKP_OK && !id)
        status = tkp__fail(
            TKP_ERR_DATA, "the question's id is missing, wanted '%s'",
            tkp__show(form->id).text);
    if (status == TKP_OK)
        status = tkp__eval_text_of(&text, form->text, &scope);
    if (status == TKP_OK && json_object_get(answers, id))
        status = tkp__fail(
            TKP_ERR_DATA, "question '%s' is answered twice, wanted once",
            tkp__show(id).text);
    /* An empty field of a table is an answer too. */
    if (status == TKP_OK &&
        json_object_set_new(answers, id, json_string(text ? text : "")) != 0)
        status = tkp__fail(TKP_ERR_MEMORY, "out of memory for answers");
    tkp__free(id);
    tkp__free(text);
    return status;
}

static tkp_status read_answers(
    json_t *answers,
    const tkp__eval_source *source,
    const tkp__eval_answer_form *form)
{
    tkp__eval_records records;
    TKP__TRY(tkp__eval_records_read(&records, source, NULL));
    tkp_status status = TKP_OK;
    for (int64_t i = 0; i < records.count && status == TKP_OK; i++) {
        status = add_answer(answers, form, records.records[i].fields);
        if (status != TKP_OK)
            tkp__fail_prefix(
                status, "%s", tkp__eval_place_of(&records, i).text);
    }
    tkp__eval_records_release(&records);
    return status;
}

tkp_status tkp__eval_answers_read(
    json_t **out,
    const tkp__eval_card *card,
    const char *path)
{
    tkp__eval_answer_form form;
    tkp__eval_source source;
    char *in_folder = is_folder(path) ? tkp__eval_path(path, "*.txt") : NULL;
    json_t *answers = json_object();
    tkp_status status = choose_form(&form, &source, card, path, in_folder);
    if (status == TKP_OK)
        status = read_answers(answers, &source, &form);
    tkp__free(in_folder);
    if (status == TKP_OK)
        *out = answers;
    else
        json_decref(answers);
    return status;
}

/* --- scores ---------------------------------------------------------------------- */

void tkp__eval_scored_release(tkp__eval_scored *scored)
{
    tkp__eval_table_release(&scored->table);
    for (int64_t i = 0; i < scored->n_items; i++)
        tkp__eval_score_release(&scored->scores[i]);
    tkp__free(scored->scores);
    *scored = (tkp__eval_scored){0};
}

static tkp_status score_item(
    tkp__eval_scored *scored,
    int64_t i,
    const tkp__eval_item *item,
    const tkp__eval_metric *metric,
    const json_t *answers)
{
    const char *answer = json_string_value(json_object_get(answers, item->id));
    tkp__eval_score *score = &scored->scores[i];
    if (!answer) {
        scored->unanswered++;
        return TKP_OK;
    }
    TKP__TRY(tkp__eval_score_answer(score, metric, answer, item));
    scored->answered++;
    scored->unparsed += (score->flags & TKP__EVAL_UNPARSED) != 0;
    scored->few += (score->flags & TKP__EVAL_FEW_ANSWERS) != 0;
    return tkp__eval_table_add(&scored->table, item, score);
}

tkp_status tkp__eval_answers_score(
    tkp__eval_scored *out,
    const tkp__eval_set *set,
    const tkp__eval_metric *metric,
    const json_t *answers)
{
    tkp__eval_scored scored = {.n_items = set->n_items};
    scored.scores =
        tkp__zalloc((size_t)set->n_items + 1, sizeof(tkp__eval_score));
    if (!scored.scores)
        return TKP_ERR_MEMORY;
    for (int64_t i = 0; i < set->n_items; i++) {
        const tkp_status status =
            score_item(&scored, i, &set->items[i], metric, answers);
        if (status != TKP_OK) {
            tkp__eval_scored_release(&scored);
            return status;
        }
    }
    *out = scored;
    return TKP_OK;
}
