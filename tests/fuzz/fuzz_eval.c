/*
 * What people hand to the evaluation: tables, JSON, cards, expressions, and
 * answers of models. The first byte says which it is. Whatever comes, it is
 * taken, or refused in one line.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "eval/data.h"
#include "eval/expr.h"

static void check_refusal(void)
{
    const char *message = tkp_last_message();
    if (!message[0] || strchr(message, '\n'))
        abort();
}

/* A file without a name. */
static int write_down(const uint8_t *data, size_t size)
{
    const int descriptor = memfd_create("fuzz", 0);
    if (descriptor < 0 || write(descriptor, data, size) != (ssize_t)size)
        abort();
    return descriptor;
}

/* Pictures of a table lie in it, or in a copy of it. */
static void check_records(const tkp__eval_records *r)
{
    for (int64_t i = 0; i < r->count; i++) {
        const tkp__eval_record *record = &r->records[i];
        const char *begin = r->maps[record->map].data;
        const char *text = record->image.text;
        if (!json_is_object(record->fields) || record->map >= r->n_maps)
            abort();
        if (text && !record->owned &&
            (text < begin ||
             text + record->image.bytes > begin + r->maps[record->map].bytes))
            abort();
    }
}

static void read_records(const uint8_t *data, size_t size, bool table)
{
    char path[64];
    tkp__eval_records records;
    const int descriptor = write_down(data, size);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", descriptor);
    const tkp__eval_source source = {
        .tsv = table ? path : NULL, .json = table ? NULL : path};
    if (tkp__eval_records_read(&records, &source, NULL) == TKP_OK) {
        check_records(&records);
        tkp__eval_records_release(&records);
    } else {
        check_refusal();
    }
    close(descriptor);
}

static void read_card(const char *text, size_t size)
{
    tkp__eval_card card;
    if (tkp__eval_card_parse(&card, text, size, "card") == TKP_OK)
        tkp__eval_card_release(&card);
    else
        check_refusal();
}

static void read_expression(const char *text)
{
    json_t *fields = json_loads(
        "{\"a\": \"Cat\", \"n\": 7, \"l\": [\"x\", {\"w\": 1}], \"A\": \"b\"}",
        0, NULL);
    const tkp__eval_scope scope = {{fields, NULL, NULL}};
    char *value = NULL;
    if (tkp__eval_text_of(&value, text, &scope) != TKP_OK)
        check_refusal();
    tkp__free(value);
    json_decref(fields);
}

/* No answer is refused, and no score leaves [0, 1]. */
static void score_answer(const char *text)
{
    tkp__eval_item item = {0};
    char *yes = (char[]){"yes"}, *letter = (char[]){"A"};
    char *const texts[] = {yes, letter};
    tkp__eval_option options[] = {{'A', yes}, {'B', letter}};
    item.id = yes;
    item.answers = (char **)texts;
    item.options = options;
    item.n_options = 2;
    item.n_answers = 2;
    item.has_box = true;
    item.box = (tkp__eval_box){1, 2, 30, 40, 64, 48};
    for (int32_t i = 0; tkp__eval_metric_name(i); i++) {
        tkp__eval_metric metric;
        tkp__eval_score score = {0};
        if (tkp__eval_metric_find(&metric, tkp__eval_metric_name(i)) != TKP_OK)
            abort();
        const bool letters = !strncmp(tkp__eval_metric_name(i), "sqa", 3) ||
                             !strncmp(tkp__eval_metric_name(i), "m", 1);
        item.answers = (char **)texts + (letters ? 1 : 0);
        item.n_answers = letters ? 1 : 2;
        for (int32_t parser = 1; parser <= TKP__EVAL_BOX_ANY4; parser++) {
            metric.box.parsers[0] = parser;
            if (tkp__eval_score_answer(&score, &metric, text, &item) != TKP_OK)
                check_refusal(); /* of the metric that scores nothing */
            else if (!(score.value >= 0 && score.value <= 1))
                abort();
            tkp__eval_score_release(&score);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    char *text = calloc(1, size);
    if (!text)
        return 0;
    memcpy(text, data + 1, size - 1);
    switch (data[0]) {
    case 't':
        read_records(data + 1, size - 1, true);
        break;
    case 'j':
        read_records(data + 1, size - 1, false);
        break;
    case 'c':
        read_card(text, size - 1);
        break;
    case 'e':
        read_expression(text);
        break;
    default:
        score_answer(text);
        break;
    }
    free(text);
    return 0;
}
