#include "eval/eval_testing.h"

#include <math.h>

void set_text(char **field, const char *text)
{
    tkp__free(*field);
    *field = tkp__strdup(text);
    ck_assert_ptr_nonnull(*field);
}

tkp__eval_item new_item(const char *id, const char *answers)
{
    tkp__eval_item item = {0};
    set_text(&item.id, id);
    set_text(&item.group, id);
    set_text(&item.split, "");
    set_text(&item.category, "");
    set_text(&item.question, "?");
    set_text(&item.text, "?");
    set_text(&item.hint, "");
    while (*answers) {
        char one[256];
        const size_t n = strcspn(answers, "|");
        ck_assert_uint_lt(n, sizeof(one));
        memcpy(one, answers, n);
        one[n] = '\0';
        ck_assert_int_eq(tkp__eval_item_add_answer(&item, one), TKP_OK);
        answers += n + (answers[n] == '|');
    }
    return item;
}

tkp__eval_score
score_of(const char *metric, const char *answer, const tkp__eval_item *item)
{
    tkp__eval_metric m;
    tkp__eval_score score = {0};
    ck_assert_int_eq(tkp__eval_metric_find(&m, metric), TKP_OK);
    ck_assert_msg(
        tkp__eval_score_answer(&score, &m, answer, item) == TKP_OK,
        "%s of '%s': %s", metric, answer, tkp_last_message());
    return score;
}

void assert_score_(
    const char *metric,
    const char *answer,
    const char *right,
    double value,
    const char *parsed,
    int line)
{
    tkp__eval_item item = new_item("1", right);
    tkp__eval_score score = score_of(metric, answer, &item);
    ck_assert_msg(
        fabs(score.value - value) < 1e-12, "line %d: %s of '%s' is %g", line,
        metric, answer, score.value);
    ck_assert_msg(
        strcmp(score.parsed, parsed) == 0, "line %d: %s of '%s' is '%s'", line,
        metric, answer, score.parsed);
    tkp__eval_score_release(&score);
    tkp__eval_item_release(&item);
}

void add_score(
    tkp__eval_table *table,
    const char *metric,
    const char *answer,
    tkp__eval_item item)
{
    tkp__eval_score score = score_of(metric, answer, &item);
    ck_assert_int_eq(tkp__eval_table_add(table, &item, &score), TKP_OK);
    tkp__eval_score_release(&score);
    tkp__eval_item_release(&item);
}

double
figure(const char *metric, const tkp__eval_table *table, const char *name)
{
    tkp__eval_metric m;
    tkp__eval_figures figures;
    ck_assert_int_eq(tkp__eval_metric_find(&m, metric), TKP_OK);
    ck_assert_msg(
        tkp__eval_aggregate(&figures, &m, table, NULL) == TKP_OK, "%s",
        tkp_last_message());
    const tkp__eval_figure *f = tkp__eval_figure_of(&figures, name);
    ck_assert_msg(f != NULL, "%s has no figure '%s'", metric, name);
    const double value = f->value;
    tkp__eval_figures_release(&figures);
    return value;
}

void assert_near_(double met, double wanted, double most, int line)
{
    ck_assert_msg(
        fabs(met - wanted) <= most, "line %d: %.6f, wanted %.6f", line, met,
        wanted);
}
