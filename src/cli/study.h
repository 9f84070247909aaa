#ifndef TKP_CLI_STUDY_H
#define TKP_CLI_STUDY_H

/* What the files of `tokenprune eval` share: a model asked all questions under
 * every condition, each answer stored as it is made. */

#include "cli/cli.h"
#include "eval/set.h"
#include "eval/store.h"

enum { TKP__STUDY_MOST = 64 }; /* budgets, points, policies on a command line */

typedef struct tkp__study_budget {
    char text[40];
    tkp_budget budget;
} tkp__study_budget;

typedef struct tkp__study_point {
    char text[40]; /* "" = the policy's own */
    int32_t point, boundary;
} tkp__study_point;

typedef struct tkp__study_options {
    const char *model; /* NULL = the demo model */
    const char *store, *backend;
    const char *data_root; /* of cards; NULL = the working directory */
    const char *prompt;    /* family of prompts; NULL = the model's */
    const char *chat;      /* template around them; NULL = the model's */
    char *data[TKP__STUDY_MOST], *policies[TKP__STUDY_MOST];
    int32_t n_data, n_policies, n_budgets, n_points;
    tkp__study_budget budgets[TKP__STUDY_MOST];
    tkp__study_point points[TKP__STUDY_MOST];
    int64_t max_images, seeds, limit, batch, max_new_tokens, fit, threads;
    uint64_t seed;
    int32_t dtype, tiling;
    bool quiet;
} tkp__study_options;

/* One way of asking. */
typedef struct tkp__study_condition {
    char *name;          /* preset, file or control */
    const char *control; /* "" = a method */
    char budget[40], point[40];
    tkp_policy *policy; /* NULL = none */
    char *yaml;         /* "" = none */
    uint64_t seed;
    bool text_only; /* without pictures */
    bool refused;   /* it does not go with this model */
} tkp__study_condition;

typedef struct tkp__study {
    tkp__study_options options;
    char model_dir[4096], model_name[256];
    char model_hash[65];
    char *settings, *machine; /* JSON */
    tkp_context *context;
    tkp_mllm *model;
    tkp_mllm_info info;
    tkp__eval_sets sets;
    tkp__store *store;
    int32_t n_conditions;
    tkp__study_condition *conditions;
    int64_t total, done, there, stored; /* answers */
    int32_t refused;                    /* conditions */
    double since, shown;
    bool terminal;
} tkp__study;

/* study_model.c: the model, what it is and what it runs on. */
tkp_status tkp__study_open_model(tkp__study *study);

/* study_data.c: what is asked; the model says whose prompts. */
tkp_status tkp__study_read_data(tkp__study *study);

/* study_conditions.c: controls first, then the policies. */
tkp_status tkp__study_make_conditions(tkp__study *study);
void tkp__study_release_conditions(tkp__study *study);

/* study_files.c: the pictures of some items as files. */
typedef struct tkp__study_files {
    char folder[64]; /* "" = none was needed */
    int32_t n_items;
    const char ***paths; /* of each item, of each picture */
    char **made;
    int32_t n_made;
} tkp__study_files;
tkp_status tkp__study_files_open(
    tkp__study_files *files,
    const tkp__eval_item *const *items,
    int32_t n_items);
void tkp__study_files_close(tkp__study_files *files);

/* study_ask.c: one batch under one condition, into the store. */
typedef struct tkp__study_batch {
    const tkp__eval_set *set;
    const tkp__eval_item **items;
    const int64_t *item_ids;
    const char ***paths;
    int32_t count;
} tkp__study_batch;
tkp_status tkp__study_ask(
    tkp__study *study,
    const tkp__study_condition *condition,
    int64_t run,
    const tkp__study_batch *batch);

/* study_run.c: everything that is not answered yet. */
tkp_status tkp__study_run(tkp__study *study);

/* study_progress.c */
void tkp__study_progress(
    tkp__study *study,
    const tkp__eval_set *set,
    const tkp__study_condition *condition);
/* A line on standard error that stays, whatever is drawn there. */
void tkp__study_note(tkp__study *study, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void tkp__study_progress_end(tkp__study *study);

#endif
