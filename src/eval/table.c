/* Scores with the numbers of their groups, splits and categories. */
#include "eval/metric.h"

static void names_release(tkp__eval_names *names)
{
    for (int32_t i = 0; i < names->count; i++)
        tkp__free(names->names[i]);
    tkp__free(names->names);
    json_decref(names->numbers);
    *names = (tkp__eval_names){0};
}

void tkp__eval_table_release(tkp__eval_table *table)
{
    names_release(&table->groups);
    names_release(&table->splits);
    names_release(&table->categories);
    tkp__free(table->rows);
    *table = (tkp__eval_table){0};
}

static tkp_status out_of_memory(void)
{
    return tkp__fail(TKP_ERR_MEMORY, "out of memory for a table of scores");
}

/* A name not seen before gets the next number. */
static tkp_status
number_of(int32_t *out, tkp__eval_names *names, const char *text, size_t bytes)
{
    if (!names->numbers && !(names->numbers = json_object()))
        return out_of_memory();
    const json_t *known = json_object_getn(names->numbers, text, bytes);
    if (known) {
        *out = (int32_t)json_integer_value(known);
        return TKP_OK;
    }
    const int32_t n = names->count;
    if ((n & (n - 1)) == 0) { /* room for the next power of two */
        char **moved = tkp__realloc(
            names->names, (size_t)n * sizeof(char *),
            (n ? 2 * (size_t)n : 1) * sizeof(char *));
        if (!moved)
            return TKP_ERR_MEMORY;
        names->names = moved;
    }
    char *copy = tkp__zalloc(bytes + 1, 1);
    if (!copy)
        return TKP_ERR_MEMORY;
    memcpy(copy, text, bytes);
    if (json_object_setn_new_nocheck(
            names->numbers, text, bytes, json_integer(n)) != 0) {
        tkp__free(copy);
        return out_of_memory();
    }
    names->names[names->count++] = copy;
    *out = n;
    return TKP_OK;
}

static tkp_status add_row(tkp__eval_table *table, const tkp__eval_row *row)
{
    if (table->n_rows == table->capacity) {
        const int64_t wanted = table->capacity ? 2 * table->capacity : 256;
        tkp__eval_row *moved = tkp__realloc(
            table->rows, (size_t)table->n_rows * sizeof(*moved),
            (size_t)wanted * sizeof(*moved));
        if (!moved)
            return TKP_ERR_MEMORY;
        table->rows = moved;
        table->capacity = wanted;
    }
    table->rows[table->n_rows++] = *row;
    return TKP_OK;
}

/* The next of a list with commas; false behind the last. "" is one name. */
static bool next_name(const char **at, const char **name, size_t *bytes)
{
    if (!*at)
        return false;
    const char *text = *at + strspn(*at, " ");
    size_t n = strcspn(text, ",");
    *at = text[n] ? text + n + 1 : NULL;
    while (n > 0 && text[n - 1] == ' ')
        n--;
    *name = text;
    *bytes = n;
    return true;
}

tkp_status tkp__eval_table_add(
    tkp__eval_table *table,
    const tkp__eval_item *item,
    const tkp__eval_score *score)
{
    tkp__eval_row row = {
        .value = score->value,
        .measure = score->measure,
        .flags = score->flags,
        .options = item->n_options,
        .rotation = item->rotation,
        .image = item->n_images > 0};
    const char *split_at = item->split;
    const char *name;
    size_t bytes;
    TKP__TRY(number_of(
        &row.group, &table->groups, item->group, strlen(item->group)));
    while (next_name(&split_at, &name, &bytes)) {
        const char *category_at = item->category;
        TKP__TRY(number_of(&row.split, &table->splits, name, bytes));
        while (next_name(&category_at, &name, &bytes)) {
            TKP__TRY(number_of(&row.category, &table->categories, name, bytes));
            TKP__TRY(add_row(table, &row));
        }
    }
    return TKP_OK;
}
