/* tokenprune data: which data sets there are, and whether one can be read. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "eval/data.h"

enum { ROOT = 256, FAMILY, JSON };

typedef struct checked {
    tkp__eval_card card;
    tkp__eval_set set;
    tkp__eval_data_counts counts;
    int64_t answered, with_image, pictures, missing;
    char first_missing[1024];
} checked;

/* --- list and show ----------------------------------------------------------------- */

static int list(bool json)
{
    const char *name, *text;
    json_t *all = json ? json_array() : NULL;
    for (int32_t i = 0; tkp__eval_card_at(i, &name, &text); i++) {
        tkp__eval_card card;
        const tkp_status status = tkp__eval_card_load(&card, name);
        if (status != TKP_OK) {
            json_decref(all);
            return tkp__cli_failed(status, NULL);
        }
        if (json)
            json_array_append_new(
                all,
                json_pack(
                    "{s:s, s:s, s:s, s:I}", "name", name, "about",
                    card.about ? card.about : "", "metric", card.metric_name,
                    "questions", (json_int_t)card.expected));
        else
            printf(
                "%-16s %-17s %s\n", name, card.metric_name,
                card.about ? card.about : "");
        tkp__eval_card_release(&card);
    }
    return json ? tkp__cli_json_print(
                      json_pack("{s:i, s:o}", "schema", 1, "data", all))
                : tkp__cli_finish(TKP__CLI_OK);
}

static int show(const char *name)
{
    tkp__eval_card card;
    const tkp_status status = tkp__eval_card_load(&card, name);
    if (status != TKP_OK)
        return tkp__cli_failed(status, NULL);
    fputs(card.text, stdout);
    tkp__eval_card_release(&card);
    return tkp__cli_finish(TKP__CLI_OK);
}

/* --- check ------------------------------------------------------------------------- */

/* Pictures in tables are decoded; of files it is enough that they are there. */
static void check_images(checked *c, const tkp__eval_item *item)
{
    for (int32_t i = 0; i < item->n_images; i++) {
        const tkp__eval_image *image = &item->images[i];
        unsigned char *bytes = NULL;
        size_t count = 0;
        bool there;
        if (image->path) {
            there = access(image->path, R_OK) == 0;
            if (!there)
                tkp__fail(TKP_ERR_IO, "%s is not there", image->path);
        } else {
            there = tkp__eval_image_bytes(&bytes, &count, image) == TKP_OK;
            tkp__free(bytes);
        }
        c->pictures++;
        if (!there && c->missing++ == 0)
            snprintf(
                c->first_missing, sizeof(c->first_missing), "row %lld: %.900s",
                (long long)item->row, tkp_last_message());
    }
    c->with_image += item->n_images > 0;
    c->answered += item->n_answers > 0 || item->has_box;
}

static json_t *check_json(const checked *c)
{
    const tkp__eval_data_counts *n = &c->counts;
    return json_pack(
        "{s:i, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, "
        "s:o}",
        "schema", 1, "data", tkp__cli_json_text(c->set.name), "rows",
        (json_int_t)n->rows, "left_out", (json_int_t)n->left_out, "questions",
        (json_int_t)c->set.n_items, "expected", (json_int_t)c->card.expected,
        "answered", (json_int_t)c->answered, "joined_rows",
        (json_int_t)n->joined_rows, "joined_twice", (json_int_t)n->joined_twice,
        "unjoined", (json_int_t)n->unjoined, "with_picture",
        (json_int_t)c->with_image, "pictures", (json_int_t)c->pictures,
        "missing_pictures", (json_int_t)c->missing, "first_prompt",
        tkp__cli_json_text(c->set.n_items ? c->set.items[0].text : NULL));
}

static void check_text(const checked *c)
{
    const tkp__eval_data_counts *n = &c->counts;
    printf("%-18s %lld", "rows", (long long)n->rows);
    if (n->left_out)
        printf(", %lld without picture left out", (long long)n->left_out);
    printf("\n%-18s %lld", "questions", (long long)c->set.n_items);
    if (c->card.expected)
        printf(
            ", %lld expected, difference %+lld", (long long)c->card.expected,
            (long long)(c->set.n_items - c->card.expected));
    printf("\n%-18s %lld", "with right answer", (long long)c->answered);
    if (c->card.join_on)
        printf(
            " (%lld rows in the second file, %lld keys twice, %lld questions "
            "without one)",
            (long long)n->joined_rows, (long long)n->joined_twice,
            (long long)n->unjoined);
    printf(
        "\n%-18s %lld, of %lld questions; %lld missing\n", "pictures",
        (long long)c->pictures, (long long)c->with_image,
        (long long)c->missing);
    if (c->missing)
        printf("%-18s %s\n", "", c->first_missing);
    if (c->set.n_items)
        printf("first prompt:\n%s\n", c->set.items[0].text);
}

/* 1 if something is not as it should be. */
static int
check(const char *name, const tkp__eval_data_options *options, bool json)
{
    checked c = {0};
    tkp_status status = tkp__eval_card_load(&c.card, name);
    if (status == TKP_OK)
        status = tkp__eval_data_read(&c.set, &c.counts, &c.card, options);
    for (int64_t i = 0; status == TKP_OK && i < c.set.n_items; i++)
        check_images(&c, &c.set.items[i]);
    int code = TKP__CLI_OK;
    if (status != TKP_OK) {
        code = tkp__cli_failed(status, NULL);
    } else {
        const bool whole =
            (!c.card.expected || c.card.expected == c.set.n_items) &&
            !c.missing && !c.counts.unjoined;
        if (json)
            code = tkp__cli_json_print(check_json(&c));
        else
            check_text(&c);
        code = tkp__cli_finish(
            code == TKP__CLI_OK && !whole ? TKP__CLI_FAILED : code);
    }
    tkp__eval_set_release(&c.set);
    tkp__eval_card_release(&c.card);
    return code;
}

/* --- command line ------------------------------------------------------------------- */

static int run(const tkp__cli_command *self, int argc, char **argv)
{
    tkp__eval_data_options options = {0};
    bool json = false;
    for (int key; (key = tkp__cli_next(self, argc, argv)) != TKP__CLI_END;) {
        if (key == TKP__CLI_HELP) {
            tkp__cli_help(self);
            return tkp__cli_finish(TKP__CLI_OK);
        }
        if (key == ROOT)
            options.root = optarg;
        else if (key == FAMILY)
            options.family = optarg;
        else if (key == JSON)
            json = true;
        else
            return TKP__CLI_USAGE;
    }
    const char *what = optind < argc ? argv[optind] : "";
    const int operands = argc - optind - 1;
    if (strcmp(what, "list") == 0)
        return operands == 0
                   ? list(json)
                   : tkp__cli_usage(self, "data list takes no operand");
    if (strcmp(what, "show") == 0)
        return operands == 1 ? show(argv[optind + 1])
                             : tkp__cli_usage(self, "data show wants one CARD");
    if (strcmp(what, "check") == 0)
        return operands == 1
                   ? check(argv[optind + 1], &options, json)
                   : tkp__cli_usage(self, "data check wants one CARD");
    return tkp__cli_usage(
        self, "data '%.40s', wanted list, show or check", what);
}

static const tkp__cli_option options_table[] = {
    {"data-root", ROOT, "DIR", "folder of the data set's files; ."},
    {"prompt", FAMILY, "NAME", "whose prompts: llava, qwen2vl, ...; llava"},
    {"json", JSON, NULL, "list, check: one JSON object instead of text"},
    {NULL, 0, NULL, NULL}};

const tkp__cli_command tkp__cli_data = {
    .name = "data",
    .summary = "List, show and check data sets",
    .usage = "list | show CARD | check CARD [OPTION...]",
    .options = options_table,
    .notes =
        "list   the built-in cards: name, metric, what it is\n"
        "show   one card as YAML, to be changed and given as a file\n"
        "check  read the data set's files: rows, pictures, right answers, the\n"
        "       first prompt; the exit code is 1 if something is missing",
    .examples = "tokenprune data list\n"
                "tokenprune data show pope >mine.yaml\n"
                "tokenprune data check pope --data-root eval/pope\n",
    .run = run,
};
