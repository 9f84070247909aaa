#ifndef TKP_CLI_RUN_H
#define TKP_CLI_RUN_H

/* What the files of `tokenprune run` share. */

#include "cli/cli.h"
#include "safetensors/safetensors.h"

typedef struct tkp__run_options {
    const char *model; /* NULL = the demo model */
    const char **images;
    int32_t n_images;
    const char *prompt, *system, *backend, *picture, *scores;
    tkp__cli_policy_choice policy;
    int64_t threads, max_new_tokens, top_k, repeat; /* repeat 0 = by itself */
    int64_t fit; /* layers that the policy is for; 0 = as many as there are */
    double temperature, top_p, fps;
    uint64_t seed;
    int32_t dtype;
    int32_t tiling; /* enum tkp_mllm_tiling */
    bool video;     /* the images are its frames */
    bool raw, sample, compare, json, quiet;
} tkp__run_options;

enum { TKP__RUN_MOST_BLOCKS = 256 };

/* An answer, with the median times of the runs that gave it. An interrupted one
 * has what there was of it. */
typedef struct tkp__run_answer {
    tkp_mllm_result *result; /* of the first run */
    tkp_report report;
    tkp_mllm_times times;
    int32_t runs;  /* that were timed to the end */
    bool complete; /* the prompt was read: there is a report */
} tkp__run_answer;

typedef struct tkp__run {
    tkp__run_options options;
    char model_dir[4096];
    tkp_context *context;
    tkp_policy *policy; /* NULL = none */
    tkp__safetensors *scores_file;
    tkp_tensor scores; /* from --scores */
    tkp_mllm *model;
    tkp_mllm_info info;
    double load_seconds;
    tkp__run_answer answer;
    tkp__run_answer whole; /* with --compare: without pruning */
    bool drawn;            /* the picture is written */
} tkp__run;

/* run_answer.c: load the model, ask it. */
tkp_status tkp__run_open(tkp__run *run);
tkp_status tkp__run_ask(tkp__run *run);
void tkp__run_close(tkp__run *run);

/* Seconds for each token after the first; 0 if there was none. */
/* Patches that leave each block of the encoder; how many blocks. */
int32_t
tkp__run_blocks(const tkp__run *run, int64_t *patches, int32_t capacity);
double tkp__run_per_token(const tkp__run_answer *answer);
/* From image files to the last token. */
double tkp__run_total(const tkp__run_answer *answer);
bool tkp__run_same_answer(const tkp__run *run);

void tkp__run_print(const tkp__run *run);      /* run_table.c */
json_t *tkp__run_to_json(const tkp__run *run); /* run_json.c */

#endif
