#ifndef TKP_EVAL_CARD_H
#define TKP_EVAL_CARD_H

/*
 * A card says what a data set is: which files, which of their fields is what,
 * how a model of each family is asked, and how answers are scored. It is YAML;
 * the ones that are built in are under src/eval/cards, and docs/eval.md tells
 * how to write one. Texts are expressions or templates (expr.h); NULL = not
 * said. They live as long as the card.
 */

#include "eval/metric.h"
#include "eval/reader.h"
#include "yaml/yaml_tree.h"

enum { TKP__EVAL_MOST_PROMPTS = 16, TKP__EVAL_MOST_COLUMNS = 16 };

/* A file of answers: which record field names the question, which answers. */
typedef struct tkp__eval_answer_form {
    const char *id, *text;
    const char *columns[TKP__EVAL_MOST_COLUMNS + 1];
    bool plain;
} tkp__eval_answer_form;

typedef struct tkp__eval_prompt {
    const char *family, *text;
} tkp__eval_prompt;

typedef struct tkp__eval_card {
    const char *name, *about;
    tkp__eval_source source, join_source;
    const char *source_columns[TKP__EVAL_MOST_COLUMNS + 1];
    const char *join_columns[TKP__EVAL_MOST_COLUMNS + 1];
    const char *join_on;  /* of the second file's records */
    const char *join_key; /* of the first's; both say the same */
    const char *id, *group, *split, *category, *question, *hint, *rotation;
    const char *image;   /* one path below the data's root... */
    const char *images;  /* ...or a list of them */
    const char *answers; /* a text or a list */
    const char *options; /* a list */
    const char *box, *width, *height;
    bool images_only; /* records without a picture are left out */
    bool shuffle;     /* pictures come in an order that is drawn */
    int32_t n_prompts;
    tkp__eval_prompt prompts[TKP__EVAL_MOST_PROMPTS];
    int64_t max_new_tokens; /* 0 = not said */
    int64_t expected;       /* questions; 0 = not said */
    tkp__eval_metric metric;
    tkp__eval_answer_form from_json, from_tsv, from_text;

    const char *metric_name;
    tkp__yaml_tree tree;
    char *source_name;
    char *text; /* the YAML itself */
} tkp__eval_card;

/* A built-in name, or a file: what has a '/', or ends in .yaml or .yml. */
tkp_status tkp__eval_card_load(tkp__eval_card *out, const char *name);
/* YAML text; `source` names it in messages. */
tkp_status tkp__eval_card_parse(
    tkp__eval_card *out,
    const char *text,
    size_t bytes,
    const char *source);
void tkp__eval_card_release(tkp__eval_card *card);

/* How a family is asked; NULL = the card does not say. */
const char *
tkp__eval_card_prompt(const tkp__eval_card *card, const char *family);

/* Built-in cards: name and YAML of number i; false behind the last. */
bool tkp__eval_card_at(int32_t i, const char **name, const char **text);

#endif
