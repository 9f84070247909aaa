#ifndef TKP_EVAL_ANSWERS_H
#define TKP_EVAL_ANSWERS_H

/* Answers that someone else's program wrote down, and what they are worth. */

#include "eval/data.h"

/*
 * An object from a question's id to its answer. The file is a table
 * (NAME.tsv), text files of MME's tool (NAME.txt, or a folder of them), or
 * else JSON; the card says what their fields mean, and without it `id` and
 * `answer` do. Release it. TKP_ERR_DATA for an id that comes twice.
 */
tkp_status tkp__eval_answers_read(
    json_t **out,
    const tkp__eval_card *card,
    const char *path);

typedef struct tkp__eval_scored {
    tkp__eval_table table;
    int64_t answered, unanswered, unparsed, few;
    tkp__eval_score *scores; /* [n_items]; parsed NULL = unanswered */
    int64_t n_items;
} tkp__eval_scored;

/* Score what is there; the caller says what unanswered questions mean. */
tkp_status tkp__eval_answers_score(
    tkp__eval_scored *out,
    const tkp__eval_set *set,
    const tkp__eval_metric *metric,
    const json_t *answers);
void tkp__eval_scored_release(tkp__eval_scored *scored);

#endif
