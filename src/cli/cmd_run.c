/* tokenprune run: pictures and a question to an answer, pruned by a policy. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/run.h"
#include "viz/viz.h"

enum {
    MODEL = 'm',
    IMAGE = 'i',
    PROMPT = 'p',
    MAX_NEW_TOKENS = 'n',
    QUIET = 'q',
    POLICY = 256,
    KEEP,
    KEEP_RATIO,
    AT,
    STAGE,
    FIT,
    SCORES,
    SEED,
    BACKEND,
    THREADS,
    DTYPE,
    TILING,
    JSON,
    PICTURE,
    VIDEO,
    FPS,
    COMPARE,
    REPEAT,
    SYSTEM,
    RAW,
    SAMPLE,
    TEMPERATURE,
    TOP_K,
    TOP_P,
    HELP_SHOWN
};

static const tkp__cli_option options[] = {
    {"model", MODEL, "DIR", "Hugging Face model directory; the demo model"},
    {"image", IMAGE, "FILE", "JPEG, PNG or WebP; may be given again"},
    {"video", VIDEO, NULL, "the images are the frames of one video, in order"},
    {"fps", FPS, "X",
     "with --video: its rate, for the model's choice of frames; all are seen"},
    {"prompt", PROMPT, "TEXT",
     "the question; \"<image>\" in it says where the images stand, else they "
     "come first"},
    {"system", SYSTEM, "TEXT", "system text before the question"},
    {"raw", RAW, NULL, "the prompt is the whole text, without chat template"},
    {"policy", POLICY, "NAME|FILE",
     "preset (tokenprune policy list) or YAML file; without it nothing is "
     "pruned"},
    {"keep", KEEP, "COUNT", "visual tokens that stay, or \"all\""},
    {"keep-ratio", KEEP_RATIO, "A/B", "share that stays: 1/4, 0.25 or 25%"},
    {"at", AT, "POINT",
     "where to cut: projector, llm:2 (after 2 layers), or kv (after prefill)"},
    {"stage", STAGE, "N",
     "stage that --keep and --at change; needed if several prune"},
    {"fit", FIT, "LAYERS",
     "the policy is for so many layers (presets of LLaVA-1.5-7B: 32, and 23 "
     "blocks of the encoder); cut at the same depth of this model"},
    {"scores", SCORES, "FILE",
     "safetensors with `scores` [N] f32, for policies with external scores"},
    {"compare", COMPARE, NULL,
     "run without pruning too: its answer, speed-up predicted and realised"},
    {"repeat", REPEAT, "N",
     "time N runs and give medians; 1, with --compare up to 5 within 3 s"},
    {"picture", PICTURE, "OUT.png", "draw the images, dropped patches dimmed"},
    {"json", JSON, NULL, "one JSON object instead of text"},
    {"quiet", QUIET, NULL, "the answer and nothing else"},
    {"max-new-tokens", MAX_NEW_TOKENS, "N", "longest answer; 64"},
    {"sample", SAMPLE, NULL, "draw tokens instead of taking the likeliest"},
    {"temperature", TEMPERATURE, "X", "with --sample; 1"},
    {"top-k", TOP_K, "N", "with --sample: of the N likeliest; all"},
    {"top-p", TOP_P, "X", "with --sample: of the likeliest share X; 1"},
    {"seed", SEED, "S", "for --sample and random policies; 0"},
    {"backend", BACKEND, "NAME", "ref, cpu, cuda or auto; auto"},
    {"threads", THREADS, "N", "OMP_NUM_THREADS, or all processors"},
    {"dtype", DTYPE, "TYPE", "of activations: f32, bf16 or auto; auto"},
    {"tiling", TILING, "WORD",
     "of LLaVA-NeXT: transformers, original, fixed or flat (5 squares, no "
     "newlines); transformers"},
    {NULL, 0, NULL, NULL}};

/* --- options ---------------------------------------------------------------- */

static bool add_image(tkp__run_options *o, const char *path)
{
    const char **images =
        realloc(o->images, ((size_t)o->n_images + 1) * sizeof(*images));
    if (!images) {
        tkp__cli_fail("no memory for the images");
        return false;
    }
    images[o->n_images++] = path;
    o->images = images;
    return true;
}

static bool
read_sampling(const tkp__cli_command *self, int key, tkp__run_options *o)
{
    switch (key) {
    case SAMPLE:
        o->sample = true;
        return true;
    case TEMPERATURE:
        return tkp__cli_double(self, "temperature", 1e-3, 100, &o->temperature);
    case TOP_K:
        return tkp__cli_int(self, "top-k", 0, INT32_MAX, &o->top_k);
    case TOP_P:
        return tkp__cli_double(self, "top-p", 1e-6, 1, &o->top_p);
    default:
        return false;
    }
}

static bool
read_pruning(const tkp__cli_command *self, int key, tkp__run_options *o)
{
    int64_t stage;
    switch (key) {
    case POLICY:
        o->policy.name = optarg;
        return true;
    case KEEP:
        return tkp__cli_keep(self, &o->policy);
    case KEEP_RATIO:
        return tkp__cli_keep_ratio(self, &o->policy);
    case AT:
        return tkp__cli_at(self, &o->policy);
    case STAGE:
        if (!tkp__cli_int(self, "stage", 0, TKP_POLICY_MAX_STAGES - 1, &stage))
            return false;
        o->policy.stage = (int32_t)stage;
        return true;
    case FIT:
        return tkp__cli_int(self, "fit", 1, 65536, &o->fit);
    case SCORES:
        o->scores = optarg;
        return true;
    case SEED:
        o->policy.has_seed = true;
        if (!tkp__cli_u64(self, "seed", &o->policy.seed))
            return false;
        o->seed = o->policy.seed;
        return true;
    default:
        return read_sampling(self, key, o);
    }
}

static bool read_tiling(const tkp__cli_command *self, int32_t *tiling)
{
    static const char *const words[] = {
        [TKP_MLLM_TILING_TRANSFORMERS] = "transformers",
        [TKP_MLLM_TILING_ORIGINAL] = "original",
        [TKP_MLLM_TILING_FIXED] = "fixed",
        [TKP_MLLM_TILING_FLAT] = "flat",
    };
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (!strcmp(optarg, words[i])) {
            *tiling = (int32_t)i;
            return true;
        }
    tkp__cli_usage(
        self,
        "--tiling is '%.40s', wanted transformers, original, fixed or flat",
        optarg);
    return false;
}

static bool
read_machine(const tkp__cli_command *self, int key, tkp__run_options *o)
{
    switch (key) {
    case MODEL:
        o->model = optarg;
        return true;
    case BACKEND:
        o->backend = optarg;
        return true;
    case THREADS:
        return tkp__cli_int(self, "threads", 1, 1024, &o->threads);
    case DTYPE:
        return tkp__cli_dtype(self, "dtype", &o->dtype);
    case TILING:
        return read_tiling(self, &o->tiling);
    default:
        return read_pruning(self, key, o);
    }
}

static bool
read_output(const tkp__cli_command *self, int key, tkp__run_options *o)
{
    switch (key) {
    case COMPARE:
        o->compare = true;
        return true;
    case REPEAT:
        return tkp__cli_int(self, "repeat", 1, 100, &o->repeat);
    case PICTURE:
        o->picture = optarg;
        return true;
    case JSON:
        o->json = true;
        return true;
    case QUIET:
        o->quiet = true;
        return true;
    default:
        return read_machine(self, key, o);
    }
}

static bool
read_option(const tkp__cli_command *self, int key, tkp__run_options *o)
{
    switch (key) {
    case IMAGE:
        return add_image(o, optarg);
    case VIDEO:
        o->video = true;
        return true;
    case FPS:
        return tkp__cli_double(self, "fps", 1e-3, 1e6, &o->fps);
    case PROMPT:
        o->prompt = optarg;
        return true;
    case SYSTEM:
        o->system = optarg;
        return true;
    case RAW:
        o->raw = true;
        return true;
    case MAX_NEW_TOKENS:
        return tkp__cli_int(
            self, "max-new-tokens", 1, 1 << 20, &o->max_new_tokens);
    default:
        return read_output(self, key, o);
    }
}

/* What only together makes no sense. */
static int check(const tkp__cli_command *self, const tkp__run_options *o)
{
    const tkp__cli_policy_choice *p = &o->policy;
    if (!o->prompt)
        return tkp__cli_usage(self, "--prompt is missing");
    if (!p->name && (p->has_budget || p->point || p->stage >= 0 || o->fit))
        return tkp__cli_usage(
            self,
            "--keep, --keep-ratio, --at, --stage and --fit need a --policy");
    if (!p->name && o->scores)
        return tkp__cli_usage(self, "--scores needs a --policy");
    if (o->picture && o->n_images == 0)
        return tkp__cli_usage(self, "--picture needs an --image");
    if (o->video && o->n_images == 0)
        return tkp__cli_usage(self, "--video needs an --image for each frame");
    if (o->fps && !o->video)
        return tkp__cli_usage(self, "--fps needs --video");
    if (o->json && o->quiet)
        return tkp__cli_usage(self, "--json and --quiet: one of them");
    if (o->raw && o->system)
        return tkp__cli_usage(self, "--raw and --system: one of them");
    if (!o->sample && (o->temperature || o->top_k || o->top_p))
        return tkp__cli_usage(
            self, "--temperature, --top-k and --top-p need --sample");
    return TKP__CLI_OK;
}

static int
parse(const tkp__cli_command *self, int argc, char **argv, tkp__run_options *o)
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
        return tkp__cli_usage(
            self, "'%.40s' is no option; give images as --image FILE",
            argv[optind]);
    return check(self, o);
}

/* --- the whole ---------------------------------------------------------------- */

static tkp_status draw(const tkp__run *run)
{
    const int32_t n = tkp_mllm_result_images(run->answer.result, 0);
    tkp__viz_image *images = tkp__zalloc((size_t)n, sizeof(*images));
    if (!images)
        return TKP_ERR_MEMORY;
    tkp_status status = TKP_OK;
    for (int32_t i = 0; i < n && status == TKP_OK; i++) {
        tkp__viz_image *v = &images[i];
        status = tkp_mllm_result_image(
            run->answer.result, 0, i, &v->rgb, &v->height, &v->width,
            &v->grid_rows, &v->grid_cols);
        v->n_cells =
            tkp_mllm_result_kept_cells(run->answer.result, 0, i, &v->cells);
    }
    if (status == TKP_OK)
        status = tkp__viz_kept(run->options.picture, images, n);
    tkp__free(images);
    return status;
}

/* What there is of the answer stands there; its cost follows, if it is known. */
static int stopped(const tkp__run *run)
{
    if (!run->options.json && run->answer.complete) {
        putchar('\n');
        if (!run->options.quiet)
            tkp__run_print(run);
    }
    tkp__cli_fail("interrupted");
    return 130; /* what a shell says of SIGINT */
}

/* The library counts the prompts of a batch; here there is one. */
static int failed(const tkp__run *run, tkp_status status)
{
    static const char one[] = "request 0: ";
    if (status == TKP_ERR_CANCELLED)
        return stopped(run);
    const char *message = tkp_last_message();
    if (strncmp(message, one, sizeof(one) - 1) == 0)
        return tkp__cli_fail("%s", message + sizeof(one) - 1);
    return tkp__cli_failed(status, NULL);
}

static int answer(tkp__run *run)
{
    tkp_status status = tkp__run_open(run);
    if (status == TKP_OK)
        status = tkp__run_ask(run);
    if (status == TKP_OK && run->options.picture) {
        status = draw(run);
        run->drawn = status == TKP_OK;
        if (status != TKP_OK && !run->options.json)
            putchar('\n');
    }
    if (status != TKP_OK)
        return failed(run, status);
    if (run->options.json)
        return tkp__cli_json_print(tkp__run_to_json(run));
    putchar('\n');
    if (!run->options.quiet)
        tkp__run_print(run);
    return tkp__cli_finish(TKP__CLI_OK);
}

static int run_command(const tkp__cli_command *self, int argc, char **argv)
{
    tkp__run run = {.options.policy = TKP__CLI_POLICY_CHOICE_INIT};
    int code = parse(self, argc, argv, &run.options);
    if (code == TKP__CLI_OK)
        code = answer(&run);
    tkp__run_close(&run);
    return code == HELP_SHOWN ? tkp__cli_finish(TKP__CLI_OK) : code;
}

const tkp__cli_command tkp__cli_run = {
    .name = "run",
    .summary = "Ask a multimodal model about images, with pruning",
    .usage = "[--model DIR] --image FILE... --prompt TEXT [OPTION...]",
    .options = options,
    .notes =
        "The answer is printed while it is made; a short table of what was\n"
        "pruned, and what that saved, follows. Ctrl-C stops the answer: what\n"
        "there is of it, and what that cost, is printed.",
    .examples =
        "tokenprune run -i cat.jpg -p \"What is on the mat?\"\n"
        "tokenprune run -i cat.jpg -p \"What is on the mat?\" \\\n"
        "    --policy fastv --keep-ratio 1/4 --compare --picture kept.png\n"
        "tokenprune run -m llava-1.5-7b-hf -i a.png -i b.png \\\n"
        "    -p \"What changed?\" --policy pooling --keep 288 --json\n",
    .run = run_command,
};
