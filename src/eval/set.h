#ifndef TKP_EVAL_SET_H
#define TKP_EVAL_SET_H

/*
 * Questions that go together: one column of a table. Whoever reads a file
 * makes sets, whoever asks a model works through them.
 */

#include "eval/metric.h"
#include "eval/reader.h"

typedef struct tkp__eval_set {
    char *name;
    char *card;    /* JSON: what the metric was told, where the file lies */
    char hash[65]; /* SHA-256 of what it was read from */
    tkp__eval_metric metric;
    char metric_name[32];
    int32_t max_new_tokens; /* 0 = nobody said */
    int64_t n_items, capacity;
    int64_t rows; /* before a limit */
    tkp__eval_item *items;
    tkp__eval_records records; /* what pictures of tables lie in */
    json_t *kept;              /* likewise */
} tkp__eval_set;

typedef struct tkp__eval_sets {
    int32_t count;
    tkp__eval_set *sets;
} tkp__eval_sets;

void tkp__eval_set_release(tkp__eval_set *set);
void tkp__eval_sets_release(tkp__eval_sets *sets);
/* Another set at the end, empty; it moves when the next is added. */
tkp_status tkp__eval_sets_add(tkp__eval_set **out, tkp__eval_sets *sets);
/* All of `more` behind those there are; nothing is left of it. */
tkp_status tkp__eval_sets_take(tkp__eval_sets *sets, tkp__eval_sets *more);
/* Takes the item, also if it fails. */
tkp_status tkp__eval_set_add(tkp__eval_set *set, tkp__eval_item *item);

/*
 * Keep `limit` items, spread over splits and categories as all of them are,
 * chosen by the seed; in their old order. Groups stay whole, so that it may be
 * a few more or less. The seed and the set decide, not what other sets there
 * are. Nothing happens if there are not more.
 */
tkp_status
tkp__eval_set_limit(tkp__eval_set *set, int64_t limit, uint64_t seed);

/*
 * Plain questions: a JSON array of objects with `image` (a file, relative to
 * the array's) or `images` (a list of them), `question`, `answer` (a text, or a
 * list of them), and where wanted `task`, `id`, `split`, `group`, `metric` and
 * `cells` (of the grid of visual tokens, that the question is about). Each task
 * is a set; its metric is the first one named, else exact words, or boxes where
 * the answer is one.
 */
tkp_status tkp__eval_questions_read(tkp__eval_sets *out, const char *path);

/* SHA-256 as 64 hexadecimal digits and a NUL. */
void tkp__eval_hash(char out[65], const void *bytes, size_t count);

#endif
