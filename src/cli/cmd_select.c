/* tokenprune select: one stage of a policy on tensors of a file. */
#include <getopt.h>
#include <stdio.h>

#include "cli/select.h"

enum {
    TENSORS = 't',
    OUT = 'o',
    POLICY = 256,
    KEEP,
    KEEP_RATIO,
    AT,
    STAGE,
    LAYERS,
    SEED,
    BACKEND,
    THREADS,
    JSON,
    HELP_SHOWN
};

static const tkp__cli_option options[] = {
    {"tensors", TENSORS, "FILE", "safetensors file with the inputs"},
    {"policy", POLICY, "NAME|FILE", "preset or YAML file"},
    {"keep", KEEP, "COUNT", "visual tokens that stay, or \"all\""},
    {"keep-ratio", KEEP_RATIO, "A/B", "share that stays: 1/4, 0.25 or 25%"},
    {"at", AT, "POINT",
     "where the stage stands, projector or llm:2; changes budgets only"},
    {"stage", STAGE, "N", "stage of the policy; the one that prunes"},
    {"layers", LAYERS, "N", "decoder layers, for budgets by equivalence"},
    {"seed", SEED, "S", "for random policies"},
    {"out", OUT, "FILE", "write the result as safetensors"},
    {"json", JSON, NULL, "one JSON object instead of text"},
    {"backend", BACKEND, "NAME", "ref, cpu, cuda or auto; auto"},
    {"threads", THREADS, "N", "OMP_NUM_THREADS, or all processors"},
    {NULL, 0, NULL, NULL}};

typedef struct settings {
    const char *tensors, *out, *backend;
    tkp__cli_policy_choice policy;
    int64_t threads, layers;
    bool json;
} settings;

static bool
read_policy(const tkp__cli_command *self, int key, tkp__cli_policy_choice *c)
{
    int64_t stage;
    switch (key) {
    case POLICY:
        c->name = optarg;
        return true;
    case KEEP:
        return tkp__cli_keep(self, c);
    case KEEP_RATIO:
        return tkp__cli_keep_ratio(self, c);
    case AT:
        return tkp__cli_at(self, c);
    case STAGE:
        if (!tkp__cli_int(self, "stage", 0, TKP_POLICY_MAX_STAGES - 1, &stage))
            return false;
        c->stage = (int32_t)stage;
        return true;
    case SEED:
        c->has_seed = true;
        return tkp__cli_u64(self, "seed", &c->seed);
    default:
        return false;
    }
}

static bool read_option(const tkp__cli_command *self, int key, settings *s)
{
    switch (key) {
    case TENSORS:
        s->tensors = optarg;
        return true;
    case OUT:
        s->out = optarg;
        return true;
    case BACKEND:
        s->backend = optarg;
        return true;
    case JSON:
        s->json = true;
        return true;
    case LAYERS:
        return tkp__cli_int(self, "layers", 1, 65536, &s->layers);
    case THREADS:
        return tkp__cli_int(self, "threads", 1, 1024, &s->threads);
    default:
        return read_policy(self, key, &s->policy);
    }
}

static int
parse(const tkp__cli_command *self, int argc, char **argv, settings *s)
{
    for (;;) {
        const int key = tkp__cli_next(self, argc, argv);
        if (key == TKP__CLI_END)
            break;
        if (key == TKP__CLI_HELP) {
            tkp__cli_help(self);
            return HELP_SHOWN;
        }
        if (key == TKP__CLI_BAD || !read_option(self, key, s))
            return TKP__CLI_USAGE;
    }
    if (optind < argc)
        return tkp__cli_usage(
            self, "'%.40s' is no option; give the file as --tensors FILE",
            argv[optind]);
    if (!s->tensors)
        return tkp__cli_usage(self, "--tensors is missing");
    if (!s->policy.name)
        return tkp__cli_usage(self, "--policy is missing");
    return TKP__CLI_OK;
}

typedef struct job {
    tkp__select_file file;
    tkp__select_case c;
    tkp__select_stage stage;
    tkp__select_outcome outcome;
    tkp_context *context;
} job;

static tkp_status work(job *j, const settings *s)
{
    TKP__TRY(tkp__select_stage_pick(&j->stage, &s->policy));
    TKP__TRY(tkp__select_file_read(&j->file, s->tensors));
    TKP__TRY(tkp__select_case_create(&j->c, &j->file));
    TKP__TRY(tkp__cli_context(&j->context, s->backend, (int32_t)s->threads));
    TKP__TRY(tkp__select_apply(
        &j->outcome, &j->c, &j->stage, j->context, s->layers));
    return s->out ? tkp__select_write(s->out, &j->c, &j->outcome) : TKP_OK;
}

static int tell(const job *j, bool json)
{
    if (json)
        return tkp__cli_json_print(
            tkp__select_to_json(&j->c, &j->stage, &j->outcome, j->context));
    tkp__select_print(&j->c, &j->stage, &j->outcome);
    return tkp__cli_finish(TKP__CLI_OK);
}

static void release(job *j)
{
    tkp__select_outcome_release(&j->outcome);
    tkp__select_case_release(&j->c);
    tkp__select_file_release(&j->file);
    tkp_policy_destroy(j->stage.policy);
    tkp_context_destroy(j->context);
}

static int run(const tkp__cli_command *self, int argc, char **argv)
{
    settings s = {.policy = TKP__CLI_POLICY_CHOICE_INIT};
    int code = parse(self, argc, argv, &s);
    if (code == HELP_SHOWN)
        return tkp__cli_finish(TKP__CLI_OK);
    if (code != TKP__CLI_OK)
        return code;
    job j = {0};
    const tkp_status status = work(&j, &s);
    code = status == TKP_OK ? tell(&j, s.json) : tkp__cli_failed(status, NULL);
    release(&j);
    return code;
}

const tkp__cli_command tkp__cli_select = {
    .name = "select",
    .summary = "Apply a policy to tensors of a file, without a model",
    .usage = "--policy NAME|FILE --tensors FILE [OPTION...]",
    .options = options,
    .notes =
        "Tensors by name: features or hidden; q, k and lse; attention_rows;\n"
        "attention; cls_attention; scores; norm_weight; text; and of the\n"
        "layout grid, tile, span, text_span, length, positions, keep_always and\n"
        "valid. docs/select.md has their shapes and what comes out.",
    .examples =
        "tokenprune select --policy pooling --tensors rows.safetensors\n"
        "tokenprune select --policy fastv --keep 144 -t case.safetensors "
        "--json\n"
        "tokenprune select --policy mine.yaml --stage 1 -t case.safetensors \\\n"
        "    -o kept.safetensors\n",
    .run = run,
};
