/*
 * MME's points. Two questions a picture; of each sub-task, per cent of the
 * questions that are right plus per cent of the pictures with both right.
 * Source: calculation.py of the benchmark's eval_tool.
 */
#include "eval/kinds.h"

static const char *const perception[] = {"existence", "count",    "position",
                                         "color",     "posters",  "celebrity",
                                         "scene",     "landmark", "artwork",
                                         "OCR"};
static const char *const cognition[] = {
    "commonsense_reasoning", "numerical_calculation", "text_translation",
    "code_reasoning"};

enum { QUESTIONS = 2 };

static bool is_among(const char *name, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(name, list[i]) == 0)
            return true;
    return false;
}
#define IS_AMONG(name_, list_)                                                 \
    is_among((name_), (list_), sizeof(list_) / sizeof(*(list_)))

/* A picture's questions. */
typedef struct pair {
    int32_t questions, right, category;
} pair;

typedef struct task {
    int64_t questions, right, pairs, both;
} task;

static tkp_status fill_pairs(pair *pairs, const tkp__eval_table *table)
{
    for (int64_t i = 0; i < table->n_rows; i++) {
        const tkp__eval_row *row = &table->rows[i];
        pair *p = &pairs[row->group];
        TKP__CHECK(
            p->questions == 0 || p->category == row->category, TKP_ERR_DATA,
            "picture '%.60s' belongs to sub-tasks '%.40s' and '%.40s', wanted "
            "one",
            table->groups.names[row->group],
            table->categories.names[p->category],
            table->categories.names[row->category]);
        p->category = row->category;
        p->questions++;
        p->right += row->value == 1;
    }
    for (int32_t g = 0; g < table->groups.count; g++)
        TKP__CHECK(
            pairs[g].questions == QUESTIONS, TKP_ERR_DATA,
            "picture '%.60s' has %d question%s, wanted %d",
            table->groups.names[g], pairs[g].questions,
            pairs[g].questions == 1 ? "" : "s", QUESTIONS);
    return TKP_OK;
}

static tkp_status put_tasks(
    tkp__eval_figures *out,
    const tkp__eval_table *table,
    const task *tasks)
{
    double points[2] = {0, 0};
    int64_t counts[2] = {0, 0};
    for (int32_t c = 0; c < table->categories.count; c++) {
        const char *name = table->categories.names[c];
        const task *t = &tasks[c];
        const bool thinks = IS_AMONG(name, cognition);
        TKP__CHECK(
            thinks || IS_AMONG(name, perception), TKP_ERR_DATA,
            "sub-task is '%.60s', wanted one of MME's fourteen", name);
        /* A resample may leave out a small task. */
        if (t->questions)
            points[thinks] +=
                tkp__eval_percent((double)t->right, (double)t->questions) +
                tkp__eval_percent((double)t->both, (double)t->pairs);
        counts[thinks] += t->questions;
    }
    TKP__TRY(tkp__eval_put(
        out, NULL, "total", points[0] + points[1], counts[0] + counts[1], -1));
    TKP__TRY(tkp__eval_put(out, NULL, "perception", points[0], counts[0], -1));
    TKP__TRY(tkp__eval_put(out, NULL, "cognition", points[1], counts[1], -1));
    for (int32_t c = 0; c < table->categories.count; c++) {
        const char *name = table->categories.names[c];
        const task *t = &tasks[c];
        TKP__TRY(tkp__eval_put(
            out, name, "score",
            tkp__eval_percent((double)t->right, (double)t->questions) +
                tkp__eval_percent((double)t->both, (double)t->pairs),
            t->questions, -1));
        TKP__TRY(tkp__eval_put_share(out, name, "acc", t->right, t->questions));
        TKP__TRY(tkp__eval_put_share(out, name, "acc+", t->both, t->pairs));
    }
    return TKP_OK;
}

tkp_status tkp__eval_figures_mme(
    tkp__eval_figures *out,
    const tkp__eval_kind *kind,
    const tkp__eval_table *table,
    const uint32_t *weights)
{
    (void)kind;
    pair *pairs = tkp__zalloc((size_t)table->groups.count + 1, sizeof(pair));
    task *tasks =
        tkp__zalloc((size_t)table->categories.count + 1, sizeof(task));
    tkp_status status =
        pairs && tasks ? fill_pairs(pairs, table) : TKP_ERR_MEMORY;
    for (int32_t g = 0; status == TKP_OK && g < table->groups.count; g++) {
        const int64_t w = weights ? weights[g] : 1;
        task *t = &tasks[pairs[g].category];
        t->questions += QUESTIONS * w;
        t->right += pairs[g].right * w;
        t->pairs += w;
        t->both += pairs[g].right == QUESTIONS ? w : 0;
    }
    if (status == TKP_OK)
        status = put_tasks(out, table, tasks);
    tkp__free(pairs);
    tkp__free(tasks);
    return status;
}
