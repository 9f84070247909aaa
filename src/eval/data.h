#ifndef TKP_EVAL_DATA_H
#define TKP_EVAL_DATA_H

/* A data set as a card says it is: its questions, ready to be asked. */

#include "eval/card.h"
#include "eval/set.h"

typedef struct tkp__eval_data_options {
    const char *root;   /* folder of the files; NULL = the working directory */
    const char *family; /* whose prompts; NULL = "llava" */
    uint64_t seed;      /* of the orders of pictures */
    int32_t max_images; /* of a question, the first of them; 0 = all */
    int32_t needle;     /* 1 + tenth of the list where the first picture of a
                           shuffled one is put; 0 = where it falls */
} tkp__eval_data_options;

typedef struct tkp__eval_data_counts {
    int64_t rows;         /* that were read */
    int64_t left_out;     /* of them, without a picture */
    int64_t joined_rows;  /* of the second file */
    int64_t joined_twice; /* of them, with a key that was there before: the last
                             one counts */
    int64_t unjoined;     /* questions without a row of the second file */
} tkp__eval_data_counts;

/* Release the set. TKP_ERR_IO, _FORMAT, _DATA with file, row and field. A
 * question that finds nothing in the second file has no answer; `counts`, which
 * may be NULL, tells how many. */
tkp_status tkp__eval_data_read(
    tkp__eval_set *out,
    tkp__eval_data_counts *counts,
    const tkp__eval_card *card,
    const tkp__eval_data_options *options);

/* --- between the files of this room ------------------------------------------- */

/* An item out of a record and what was joined to it, NULL = nothing
 * (data_item.c). Pictures of a table are the caller's business. */
tkp_status tkp__eval_item_make(
    tkp__eval_item *out,
    const tkp__eval_card *card,
    const json_t *fields,
    const json_t *joined,
    const tkp__eval_data_options *options,
    int64_t number);

/* Options as lines "A. ...". */
char *tkp__eval_option_lines(const tkp__eval_item *item);

#endif
