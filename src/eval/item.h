#ifndef TKP_EVAL_ITEM_H
#define TKP_EVAL_ITEM_H

/*
 * One question of a data set, whatever file it came from: what a model is
 * asked, what it is shown, and what the right answers are. Readers and cards
 * make items, metrics and runners read them.
 *
 * Lists (splits, categories) are one string with commas: POPE's table has
 * questions that belong to several splits.
 */

#include <jansson.h>

#include "util/util.h"

/* A picture: a file, or base64 text that lies in the reader's memory (and is
 * decoded when it is asked for, not before: tables hold gigabytes of it). */
typedef struct tkp__eval_image {
    char *path; /* NULL: base64 */
    const char *base64;
    size_t base64_bytes;
} tkp__eval_image;

typedef struct tkp__eval_option {
    char letter; /* 'A'... */
    char *text;
} tkp__eval_option;

typedef struct tkp__eval_box {
    double x1, y1, x2, y2; /* pixels */
    double width, height;  /* of the picture */
} tkp__eval_box;

typedef struct tkp__eval_item {
    char *id;       /* unique within the data set */
    char *group;    /* resampled together: MME's picture, MMBench's question;
                       else the id */
    char *split;    /* "" = the data set has none; may be a list */
    char *category; /* likewise */
    char *question; /* as the annotation has it */
    char *text;     /* what the model is asked, pictures as "<image>"; "" until
                       a prompt was made */
    char *hint;     /* "" = none */
    int64_t row;    /* where it stands in its file, from 1 */

    int32_t n_images;
    int32_t n_answers;
    int32_t n_options;
    int32_t rotation; /* of a circular copy; 0 = as written */
    tkp__eval_image *images;
    char **answers;
    tkp__eval_option *options;

    bool has_box;
    tkp__eval_box box;
    json_t *extra; /* object for reports; NULL = nothing */
} tkp__eval_item;

/* Everything that hangs on the item; the item itself is the caller's. */
void tkp__eval_item_release(tkp__eval_item *item);

/* Member lists that grow by one; text is copied. */
tkp_status tkp__eval_item_add_answer(tkp__eval_item *item, const char *text);
tkp_status
tkp__eval_item_add_option(tkp__eval_item *item, char letter, const char *text);
tkp_status tkp__eval_item_add_file(tkp__eval_item *item, const char *path);
tkp_status
tkp__eval_item_add_base64(tkp__eval_item *item, const char *text, size_t bytes);

/* The encoded picture (JPEG, PNG...) in memory of its own; tkp__free() it.
 * TKP_ERR_IO names the file, TKP_ERR_FORMAT says what is wrong with base64. */
tkp_status tkp__eval_image_bytes(
    unsigned char **out,
    size_t *bytes_out,
    const tkp__eval_image *image);

/* Position of `letter` among the options, -1 if it is none of them. */
int32_t tkp__eval_item_option(const tkp__eval_item *item, char letter);

#endif
