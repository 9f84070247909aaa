/* tokenprune eval: a model on data sets, with and without pruning, into a store. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/study.h"
#include "util/text.h"

enum {
    MODEL = 'm',
    DATA = 'd',
    STORE = 's',
    MAX_NEW_TOKENS = 'n',
    QUIET = 'q',
    POLICY = 256,
    KEEP,
    KEEP_RATIO,
    AT,
    FIT,
    SEEDS,
    SEED,
    LIMIT,
    ROOT,
    PROMPT,
    MAX_IMAGES,
    TEMPLATE,
    BATCH,
    BACKEND,
    THREADS,
    DTYPE,
    HELP_SHOWN
};

static const tkp__cli_option options[] = {
    {"model", MODEL, "DIR", "Hugging Face model directory; the demo model"},
    {"data", DATA, "LIST",
     "data sets, with commas: cards by name (see data list) or YAML file, or "
     "JSON files of questions"},
    {"data-root", ROOT, "DIR", "folder of the cards' files; ."},
    {"prompt", PROMPT, "NAME",
     "the cards' prompts: llava, qwen2vl, ...; the model's"},
    {"template", TEMPLATE, "NAME",
     "around questions: vicuna_v1 (LLaVA's own), llava_v1, vlmeval_llava, "
     "hf_llava; the model's"},
    {"max-images", MAX_IMAGES, "N", "of a card's question; all"},
    {"store", STORE, "FILE",
     "result store; is made, or gone on with if it is there"},
    {"policy", POLICY, "LIST",
     "presets or YAML files, with commas; without it the controls alone"},
    {"keep", KEEP, "LIST", "visual tokens that stay: 144,64"},
    {"keep-ratio", KEEP_RATIO, "LIST", "shares that stay: 1/2,1/4,11%; 1/4"},
    {"at", AT, "LIST",
     "where to cut: projector, llm:1, llm:2, or own (as the policy says); "
     "llm:2"},
    {"fit", FIT, "LAYERS",
     "policies cut at their own points are for so many layers; cut at the same "
     "depth of this model"},
    {"seeds", SEEDS, "N", "runs of everything that draws at random; 5"},
    {"seed", SEED, "S", "the first of them, and of --limit; 0"},
    {"limit", LIMIT, "N",
     "ask N questions of each data set, drawn over its splits and categories; "
     "all"},
    {"batch", BATCH, "N", "questions asked together, 1 to 64; 1"},
    {"max-new-tokens", MAX_NEW_TOKENS, "N",
     "longest answer; as the data set says, else 32"},
    {"quiet", QUIET, NULL, "no progress"},
    {"backend", BACKEND, "NAME", "ref, cpu or auto; auto"},
    {"threads", THREADS, "N", "OMP_NUM_THREADS, or all processors"},
    {"dtype", DTYPE, "TYPE", "of activations: f32, bf16 or auto; auto"},
    {NULL, 0, NULL, NULL}};

/* --- lists ------------------------------------------------------------------- */

/* Call `one` with every part between commas as the option's value. */
static bool each_part(
    const tkp__cli_command *self,
    tkp__study_options *o,
    bool (*one)(const tkp__cli_command *self, tkp__study_options *o))
{
    char *list = strdup(optarg);
    char *rest = list;
    bool good = list != NULL;
    while (good && rest) {
        optarg = strsep(&rest, ",");
        good = one(self, o);
    }
    free(list);
    return good;
}

static bool too_many(const tkp__cli_command *self, const char *option)
{
    tkp__cli_usage(
        self, "--%s: more than %d values", option, (int)TKP__STUDY_MOST);
    return false;
}

static bool add_name(
    const tkp__cli_command *self,
    char **names,
    int32_t *count,
    const char *option)
{
    if (!*optarg) {
        tkp__cli_usage(self, "--%s has an empty name", option);
        return false;
    }
    if (*count == TKP__STUDY_MOST)
        return too_many(self, option);
    names[*count] = strdup(optarg);
    return names[*count] && ++*count;
}

static bool add_data(const tkp__cli_command *self, tkp__study_options *o)
{
    return add_name(self, o->data, &o->n_data, "data");
}

static bool
add_name_of_policy(const tkp__cli_command *self, tkp__study_options *o)
{
    return add_name(self, o->policies, &o->n_policies, "policy");
}

static bool add_budget(
    const tkp__cli_command *self,
    tkp__study_options *o,
    bool (*read)(const tkp__cli_command *, tkp__cli_policy_choice *))
{
    tkp__cli_policy_choice choice = TKP__CLI_POLICY_CHOICE_INIT;
    if (!read(self, &choice))
        return false;
    if (o->n_budgets == TKP__STUDY_MOST)
        return too_many(self, "keep");
    tkp__study_budget *b = &o->budgets[o->n_budgets++];
    b->budget = choice.budget;
    snprintf(b->text, sizeof(b->text), "%.39s", optarg);
    return true;
}

static bool add_keep(const tkp__cli_command *self, tkp__study_options *o)
{
    return add_budget(self, o, tkp__cli_keep);
}

static bool add_ratio(const tkp__cli_command *self, tkp__study_options *o)
{
    return add_budget(self, o, tkp__cli_keep_ratio);
}

static bool add_point(const tkp__cli_command *self, tkp__study_options *o)
{
    tkp__cli_policy_choice choice = TKP__CLI_POLICY_CHOICE_INIT;
    if (o->n_points == TKP__STUDY_MOST)
        return too_many(self, "at");
    tkp__study_point *p = &o->points[o->n_points];
    *p = (tkp__study_point){0};
    if (strcmp(optarg, "own") != 0) {
        if (!tkp__cli_at(self, &choice))
            return false;
        p->point = choice.point;
        p->boundary = choice.boundary;
        snprintf(p->text, sizeof(p->text), "%.39s", optarg);
    }
    o->n_points++;
    return true;
}

/* --- options ----------------------------------------------------------------- */

static bool
read_conditions(const tkp__cli_command *self, int key, tkp__study_options *o)
{
    switch (key) {
    case POLICY:
        return each_part(self, o, add_name_of_policy);
    case KEEP:
        return each_part(self, o, add_keep);
    case KEEP_RATIO:
        return each_part(self, o, add_ratio);
    case AT:
        return each_part(self, o, add_point);
    case FIT:
        return tkp__cli_int(self, "fit", 1, 65536, &o->fit);
    case SEEDS:
        return tkp__cli_int(self, "seeds", 1, 1000, &o->seeds);
    case SEED:
        return tkp__cli_u64(self, "seed", &o->seed);
    default:
        return false;
    }
}

static bool
read_option(const tkp__cli_command *self, int key, tkp__study_options *o)
{
    switch (key) {
    case MODEL:
        o->model = optarg;
        return true;
    case DATA:
        return each_part(self, o, add_data);
    case ROOT:
        o->data_root = optarg;
        return true;
    case PROMPT:
        o->prompt = optarg;
        return true;
    case TEMPLATE:
        o->chat = optarg;
        return true;
    case MAX_IMAGES:
        return tkp__cli_int(self, "max-images", 1, 10000, &o->max_images);
    case STORE:
        o->store = optarg;
        return true;
    case LIMIT:
        return tkp__cli_int(self, "limit", 1, INT32_MAX, &o->limit);
    case BATCH:
        return tkp__cli_int(self, "batch", 1, 64, &o->batch);
    case MAX_NEW_TOKENS:
        return tkp__cli_int(
            self, "max-new-tokens", 1, 1 << 20, &o->max_new_tokens);
    case QUIET:
        o->quiet = true;
        return true;
    case BACKEND:
        o->backend = optarg;
        return true;
    case THREADS:
        return tkp__cli_int(self, "threads", 1, 1024, &o->threads);
    case DTYPE:
        return tkp__cli_dtype(self, "dtype", &o->dtype);
    default:
        return read_conditions(self, key, o);
    }
}

static void set_defaults(tkp__study_options *o)
{
    if (o->n_budgets == 0) {
        tkp_budget quarter = TKP_BUDGET_INIT;
        quarter.kind = TKP_BUDGET_RATIO;
        quarter.ratio_num = 1;
        quarter.ratio_den = 4;
        o->budgets[o->n_budgets++] = (tkp__study_budget){"1/4", quarter};
    }
    if (o->n_points == 0)
        o->points[o->n_points++] =
            (tkp__study_point){"llm:2", TKP_POINT_LLM, 2};
}

static int parse(
    const tkp__cli_command *self,
    int argc,
    char **argv,
    tkp__study_options *o)
{
    for (;;) {
        const int key = tkp__cli_next(self, argc, argv);
        if (key == TKP__CLI_END)
            break;
        if (key == TKP__CLI_BAD ||
            (key != TKP__CLI_HELP && !read_option(self, key, o)))
            return TKP__CLI_USAGE;
        if (key == TKP__CLI_HELP) {
            tkp__cli_help(self);
            return HELP_SHOWN;
        }
    }
    if (optind < argc)
        return tkp__cli_usage(self, "'%.40s' is no option", argv[optind]);
    if (o->n_data == 0)
        return tkp__cli_usage(self, "--data is missing");
    if (!o->store)
        return tkp__cli_usage(self, "--store is missing");
    set_defaults(o);
    return TKP__CLI_OK;
}

/* --- the whole ----------------------------------------------------------------- */

static void close_study(tkp__study *study)
{
    tkp__study_release_conditions(study);
    tkp__eval_sets_release(&study->sets);
    tkp__store_close(study->store);
    tkp_mllm_destroy(study->model);
    tkp_context_destroy(study->context);
    free(study->settings);
    free(study->machine);
    for (int32_t i = 0; i < study->options.n_data; i++)
        free(study->options.data[i]);
    for (int32_t i = 0; i < study->options.n_policies; i++)
        free(study->options.policies[i]);
}

static int finish(const tkp__study *study, tkp_status status)
{
    if (status != TKP_OK && status != TKP_ERR_CANCELLED)
        return tkp__cli_failed(status, NULL);
    if (status == TKP_ERR_CANCELLED) {
        tkp__cli_fail(
            "interrupted; %lld answers are stored, the same command goes on",
            (long long)study->done);
        return 130; /* what a shell says of SIGINT */
    }
    printf(
        "%lld answers stored in %s", (long long)study->stored,
        study->options.store);
    if (study->there)
        printf(", %lld were there", (long long)study->there);
    if (study->refused)
        printf("; %d conditions left out", study->refused);
    printf("\ntokenprune report --store %s shows them\n", study->options.store);
    return tkp__cli_finish(TKP__CLI_OK);
}

static tkp_status evaluate(tkp__study *study)
{
    study->terminal = isatty(STDERR_FILENO) != 0;
    TKP__TRY(tkp__study_open_model(study));
    TKP__TRY(tkp__study_read_data(study));
    TKP__TRY(tkp__study_make_conditions(study));
    TKP__TRY(
        tkp__store_open(&study->store, study->options.store, TKP__STORE_WRITE));
    return tkp__study_run(study);
}

static int eval_command(const tkp__cli_command *self, int argc, char **argv)
{
    tkp__study *study = tkp__zalloc(1, sizeof(*study));
    if (!study)
        return tkp__cli_failed(TKP_ERR_MEMORY, NULL);
    study->options.seeds = 5;
    study->options.batch = 1;
    int code = parse(self, argc, argv, &study->options);
    if (code == TKP__CLI_OK)
        code = finish(study, evaluate(study));
    close_study(study);
    tkp__free(study);
    return code == HELP_SHOWN ? tkp__cli_finish(TKP__CLI_OK) : code;
}

const tkp__cli_command tkp__cli_eval = {
    .name = "eval",
    .summary = "Ask a model the questions of data sets, pruned in many ways",
    .usage = "--data LIST --store FILE [--policy LIST] [OPTION...]",
    .options = options,
    .notes =
        "Beside the policies the controls are always asked: vanilla, text-only,\n"
        "and at each point drop-all, random (of every seed) and uniform. Each\n"
        "answer is stored as it is made. What is there already is not asked\n"
        "again: after Ctrl-C, or worse, the same command goes on, and a policy\n"
        "more costs only that policy.",
    .examples =
        "tokenprune eval -d examples/demo/questions.json -s demo.db \\\n"
        "    --policy fastv,divprune --keep-ratio 1/4,1/9 --at llm:1,llm:2\n"
        "tokenprune report -s demo.db\n",
    .run = eval_command,
};
