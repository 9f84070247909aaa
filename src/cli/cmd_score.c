/* tokenprune score: what a file of answers is worth, without a model. */
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "eval/answers.h"
#include "eval/stats.h"

enum {
    DATA = 'd',
    ANSWERS = 'a',
    ROOT = 256,
    METRIC,
    PARTIAL,
    DETAILS,
    ROUNDS,
    SEED,
    JSON,
    MOST_ROUNDS = 100000
};

typedef struct task {
    const char *data, *answers, *root, *metric, *details;
    bool partial, json;
    int64_t rounds;
    uint64_t seed;
    tkp__eval_card card;
    tkp__eval_set set;
    json_t *said;
    tkp__eval_metric how;
    const char *how_name;
    tkp__eval_scored scored;
    tkp__eval_figures figures;
    double *resampled; /* [rounds, figures] */
} task;

/* --- work ---------------------------------------------------------------------- */

static tkp_status check_answered(const task *t)
{
    const int64_t missing = t->scored.unanswered;
    TKP__CHECK(
        t->scored.answered > 0, TKP_ERR_DATA,
        "%s answers none of the %lld questions of %s; are the ids the same?",
        t->answers, (long long)t->set.n_items, t->set.name);
    TKP__CHECK(
        missing == 0 || t->partial, TKP_ERR_DATA,
        "%lld of %lld questions are not answered, wanted all; --partial scores "
        "the others",
        (long long)missing, (long long)t->set.n_items);
    const int64_t more =
        (int64_t)json_object_size(t->said) - t->scored.answered;
    if (more > 0)
        fprintf(
            stderr,
            "tokenprune: %lld answers are to questions that %s does not have\n",
            (long long)more, t->set.name);
    return TKP_OK;
}

static tkp_status choose_metric(task *t)
{
    t->how = t->card.metric;
    t->how_name = t->card.metric_name;
    if (!t->metric)
        return TKP_OK;
    TKP__TRY(tkp__eval_metric_find(&t->how, t->metric));
    t->how.box = t->card.metric.box;
    t->how_name = t->metric;
    return TKP_OK;
}

static tkp_status score(task *t)
{
    TKP__TRY(tkp__eval_card_load(&t->card, t->data));
    TKP__TRY(choose_metric(t));
    /* Any family will do: nothing is asked. */
    const tkp__eval_data_options options = {
        .root = t->root, .family = t->card.prompts[0].family};
    TKP__TRY(tkp__eval_data_read(&t->set, NULL, &t->card, &options));
    TKP__TRY(tkp__eval_answers_read(&t->said, &t->card, t->answers));
    TKP__TRY(tkp__eval_answers_score(&t->scored, &t->set, &t->how, t->said));
    TKP__TRY(check_answered(t));
    TKP__TRY(tkp__eval_aggregate(&t->figures, &t->how, &t->scored.table, NULL));
    const tkp__eval_table *const tables[] = {&t->scored.table};
    const size_t count = (size_t)t->figures.count;
    t->resampled = tkp__alloc((size_t)t->rounds * count, sizeof(double));
    if (!t->resampled)
        return TKP_ERR_MEMORY;
    return tkp__eval_resample_all(
        t->resampled, (int32_t)t->rounds, &t->how, tables, 1, t->figures.count,
        t->seed);
}

/* Wilson's for a proportion, else between the percentiles of resamples. */
static tkp_status interval_of(const task *t, int32_t i, tkp__eval_interval *out)
{
    const tkp__eval_figure *f = &t->figures.figures[i];
    const size_t rounds = (size_t)t->rounds;
    if (f->hits >= 0) {
        *out = tkp__eval_wilson(f->hits, f->n);
        return TKP_OK;
    }
    double *values = tkp__alloc(rounds, sizeof(double));
    if (!values)
        return TKP_ERR_MEMORY;
    for (size_t r = 0; r < rounds; r++)
        values[r] = t->resampled[r * (size_t)t->figures.count + (size_t)i];
    const tkp_status status =
        tkp__eval_percentiles(out, values, (int32_t)t->rounds);
    tkp__free(values);
    return status;
}

/* --- what is printed -------------------------------------------------------------- */

static tkp_status print_text(const task *t)
{
    int width = 6;
    for (int32_t i = 0; i < t->figures.count; i++) {
        const int used = (int)strlen(t->figures.figures[i].name);
        width = used > width ? used : width;
    }
    printf(
        "%s by %s, %lld questions", t->set.name, t->how_name,
        (long long)t->scored.answered);
    if (t->scored.unanswered)
        printf(", %lld not answered", (long long)t->scored.unanswered);
    if (t->scored.unparsed)
        printf(", %lld not understood", (long long)t->scored.unparsed);
    if (t->scored.few)
        printf(
            ", %lld with fewer than ten right answers",
            (long long)t->scored.few);
    printf("\n\n%-*s %10s  %-19s %8s\n", width, "figure", "value", "95 %", "n");
    for (int32_t i = 0; i < t->figures.count; i++) {
        const tkp__eval_figure *f = &t->figures.figures[i];
        tkp__eval_interval interval;
        char range[48] = "-", value[32] = "-";
        TKP__TRY(interval_of(t, i, &interval));
        if (isfinite(interval.low))
            snprintf(
                range, sizeof(range), "%.2f .. %.2f", interval.low,
                interval.high);
        if (isfinite(f->value))
            snprintf(value, sizeof(value), "%.2f", f->value);
        printf(
            "%-*s %10s  %-19s %8lld\n", width, f->name, value, range,
            (long long)f->n);
    }
    return TKP_OK;
}

static tkp_status make_json(const task *t, json_t **out)
{
    json_t *list = json_array();
    for (int32_t i = 0; i < t->figures.count; i++) {
        const tkp__eval_figure *f = &t->figures.figures[i];
        tkp__eval_interval interval;
        const tkp_status status = interval_of(t, i, &interval);
        if (status != TKP_OK) {
            json_decref(list);
            return status;
        }
        json_array_append_new(
            list, json_pack(
                      "{s:o, s:o, s:I, s:o, s:o}", "name",
                      tkp__cli_json_text(f->name), "value",
                      tkp__cli_json_real(f->value), "n", (json_int_t)f->n,
                      "low", tkp__cli_json_real(interval.low), "high",
                      tkp__cli_json_real(interval.high)));
    }
    *out = json_pack(
        "{s:i, s:o, s:o, s:s, s:I, s:I, s:I, s:I, s:o}", "schema", 1, "data",
        tkp__cli_json_text(t->set.name), "metric",
        tkp__cli_json_text(t->how_name), "hash", t->set.hash, "questions",
        (json_int_t)t->set.n_items, "answered", (json_int_t)t->scored.answered,
        "unparsed", (json_int_t)t->scored.unparsed, "few_answers",
        (json_int_t)t->scored.few, "figures", list);
    return TKP_OK;
}

/* A line of JSON for each question that was answered. */
static tkp_status write_details(const task *t)
{
    FILE *file = fopen(t->details, "wb");
    TKP__CHECK(file, TKP_ERR_IO, "%s: %s", t->details, strerror(errno));
    for (int64_t i = 0; i < t->set.n_items; i++) {
        const tkp__eval_score *s = &t->scored.scores[i];
        const tkp__eval_item *item = &t->set.items[i];
        if (!s->parsed)
            continue;
        json_t *line = json_pack(
            "{s:o, s:O, s:o, s:f, s:f}", "id", tkp__cli_json_text(item->id),
            "answer", json_object_get(t->said, item->id), "parsed",
            tkp__cli_json_text(s->parsed), "score", s->value, "measure",
            s->measure);
        if (line)
            json_dumpf(line, file, JSON_COMPACT | JSON_REAL_PRECISION(9));
        fputc('\n', file);
        json_decref(line);
    }
    const bool failed = ferror(file);
    TKP__CHECK(
        fclose(file) == 0 && !failed, TKP_ERR_IO, "%s: %s", t->details,
        strerror(errno));
    return TKP_OK;
}

static int show(const task *t)
{
    json_t *object = NULL;
    tkp_status status = t->details ? write_details(t) : TKP_OK;
    if (status == TKP_OK)
        status = t->json ? make_json(t, &object) : print_text(t);
    if (status != TKP_OK)
        return tkp__cli_failed(status, NULL);
    return t->json ? tkp__cli_json_print(object) : tkp__cli_finish(TKP__CLI_OK);
}

/* --- command line -------------------------------------------------------------------- */

enum { GO_ON = -1 };

static int option_of(const tkp__cli_command *self, task *t, int key)
{
    switch (key) {
    case DATA:
        t->data = optarg;
        return GO_ON;
    case ANSWERS:
        t->answers = optarg;
        return GO_ON;
    case ROOT:
        t->root = optarg;
        return GO_ON;
    case METRIC:
        t->metric = optarg;
        return GO_ON;
    case DETAILS:
        t->details = optarg;
        return GO_ON;
    case PARTIAL:
        t->partial = true;
        return GO_ON;
    case JSON:
        t->json = true;
        return GO_ON;
    case ROUNDS:
        return tkp__cli_int(self, "rounds", 1, MOST_ROUNDS, &t->rounds)
                   ? GO_ON
                   : TKP__CLI_USAGE;
    case SEED:
        return tkp__cli_u64(self, "seed", &t->seed) ? GO_ON : TKP__CLI_USAGE;
    case TKP__CLI_HELP:
        tkp__cli_help(self);
        return tkp__cli_finish(TKP__CLI_OK);
    default:
        return TKP__CLI_USAGE;
    }
}

static int run(const tkp__cli_command *self, int argc, char **argv)
{
    task t = {.rounds = 1000};
    for (int key; (key = tkp__cli_next(self, argc, argv)) != TKP__CLI_END;) {
        const int code = option_of(self, &t, key);
        if (code != GO_ON)
            return code;
    }
    if (optind < argc)
        return tkp__cli_usage(
            self, "operand '%.40s' is not wanted", argv[optind]);
    if (!t.data || !t.answers)
        return tkp__cli_usage(
            self, "--%s is missing", t.data ? "answers" : "data");
    const tkp_status status = score(&t);
    const int code =
        status == TKP_OK ? show(&t) : tkp__cli_failed(status, NULL);
    tkp__free(t.resampled);
    tkp__eval_figures_release(&t.figures);
    tkp__eval_scored_release(&t.scored);
    json_decref(t.said);
    tkp__eval_set_release(&t.set);
    tkp__eval_card_release(&t.card);
    return code;
}

static const tkp__cli_option options[] = {
    {"data", DATA, "CARD", "data set: a name (see data list) or a YAML file"},
    {"answers", ANSWERS, "FILE",
     "answers: JSON lines as LLaVA writes them, a table of VLMEvalKit "
     "(NAME.tsv), or the folder of text files of MME's tool"},
    {"data-root", ROOT, "DIR", "folder of the data set's files; ."},
    {"metric", METRIC, "NAME", "score by another metric than the card's"},
    {"partial", PARTIAL, NULL, "leave out questions that are not answered"},
    {"details", DETAILS, "FILE", "write a line of JSON for each question"},
    {"rounds", ROUNDS, "N", "resamples for intervals; 1000"},
    {"seed", SEED, "S", "of the resamples; 0"},
    {"json", JSON, NULL, "one JSON object instead of text"},
    {NULL, 0, NULL, NULL}};

const tkp__cli_command tkp__cli_score = {
    .name = "score",
    .summary = "Score a file of answers; no model is needed",
    .usage = "--data CARD --answers FILE [OPTION...]",
    .options = options,
    .notes =
        "The first figure is the one that papers print. Intervals are Wilson's\n"
        "for proportions and percentiles of resamples for the others. A metric\n"
        "is named after the program whose rule it follows; docs/eval.md.",
    .examples =
        "tokenprune score -d pope --data-root eval/pope \\\n"
        "    -a eval/pope/answers/llava-v1.5-13b.jsonl\n"
        "tokenprune score -d mme --data-root eval/MME -a answers/mine --json\n",
    .run = run,
};
