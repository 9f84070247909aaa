#ifndef TKP_TESTS_EVAL_EVAL_TESTING_H
#define TKP_TESTS_EVAL_EVAL_TESTING_H

/* Items, scores and tables, made in a line each. */

#include <check.h>

#include "eval/stats.h"

/* An item with this id and these right answers (separated by '|'). */
tkp__eval_item new_item(const char *id, const char *answers);
void set_text(char **field, const char *text);

/* What the metric of this name makes of an answer; release it. */
tkp__eval_score
score_of(const char *metric, const char *answer, const tkp__eval_item *item);
/* The same of an item with these right answers: value, and what was parsed. */
void assert_score_(
    const char *metric,
    const char *answer,
    const char *right,
    double value,
    const char *parsed,
    int line);
#define assert_score(metric_, answer_, right_, value_, parsed_)                \
    assert_score_((metric_), (answer_), (right_), (value_), (parsed_), __LINE__)

/* The item's score goes into the table; releases the item. */
void add_score(
    tkp__eval_table *table,
    const char *metric,
    const char *answer,
    tkp__eval_item item);

double
figure(const char *metric, const tkp__eval_table *table, const char *name);

void assert_near_(double met, double wanted, double most, int line);
#define assert_near(met_, wanted_, most_)                                      \
    assert_near_((met_), (wanted_), (most_), __LINE__)

#endif
