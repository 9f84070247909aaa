/* Byte-pair encoding of one word: O(n log n) by a heap of candidate merges. */

#include <stdio.h>
#include <stdlib.h>

#include "mllm/text/json_field.h"
#include "mllm/text/tokenizer.h"
#include "mllm/text/utf8.h"

/* --- reading ----------------------------------------------------------- */

static uint64_t pair_key(int32_t left, int32_t right)
{
    return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}

static int compare_merges(const void *left, const void *right)
{
    const tkp__merge *a = left;
    const tkp__merge *b = right;
    if (a->pair != b->pair)
        return a->pair < b->pair ? -1 : 1;
    return (a->rank > b->rank) - (a->rank < b->rank);
}

static int32_t
find_model_piece(const tkp__vocab *vocab, const char *text, size_t bytes)
{
    const int32_t id = tkp__vocab_find(vocab, text, bytes);
    return id >= 0 && (vocab->pieces[id].flags & TKP__PIECE_MODEL) ? id : -1;
}

/* "a b" or ["a", "b"], as the writer's version has it. */
static tkp_status split_merge(
    const json_t *entry,
    size_t index,
    const char **left,
    size_t *left_bytes,
    const char **right)
{
    if (json_is_array(entry) && json_array_size(entry) == 2 &&
        json_is_string(json_array_get(entry, 0)) &&
        json_is_string(json_array_get(entry, 1))) {
        *left = json_string_value(json_array_get(entry, 0));
        *left_bytes = strlen(*left);
        *right = json_string_value(json_array_get(entry, 1));
        return TKP_OK;
    }
    const char *text = json_string_value(entry);
    const char *space = text ? strchr(text, ' ') : NULL;
    TKP__CHECK(
        space && !strchr(space + 1, ' '), TKP_ERR_FORMAT,
        "model.merges[%zu] is not \"left right\" or [\"left\", \"right\"]",
        index);
    *left = text;
    *left_bytes = (size_t)(space - text);
    *right = space + 1;
    return TKP_OK;
}

static tkp_status find_merge_piece(
    const json_t *vocab,
    size_t index,
    const char *text,
    int32_t *out)
{
    const json_t *id = json_object_get(vocab, text);
    char shown[TKP__SHOWN_BYTES];
    TKP__CHECK(
        id, TKP_ERR_FORMAT,
        "model.merges[%zu] names \"%s\", which is not in model.vocab", index,
        tkp__shown(shown, text));
    *out = (int32_t)json_integer_value(id);
    return TKP_OK;
}

/* The parser's own table finds pieces here: three look-ups a merge, and it is
 * at hand. */
static tkp_status parse_merge(
    tkp__merge *merge,
    const json_t *vocab,
    const json_t *entry,
    size_t index,
    tkp__text_buffer *joined)
{
    const char *left = NULL, *right = NULL;
    size_t left_bytes = 0;
    int32_t left_id = 0, right_id = 0;
    TKP__TRY(split_merge(entry, index, &left, &left_bytes, &right));
    TKP__TRY(find_merge_piece(vocab, index, right, &right_id));
    tkp__text_buffer_clear(joined);
    TKP__TRY(tkp__text_buffer_append(joined, left, left_bytes));
    TKP__TRY(find_merge_piece(vocab, index, joined->data, &left_id));
    TKP__TRY(tkp__text_buffer_puts(joined, right));
    TKP__TRY(find_merge_piece(vocab, index, joined->data, &merge->id));
    merge->pair = pair_key(left_id, right_id);
    merge->rank = (uint32_t)index;
    return TKP_OK;
}

static tkp_status
parse_merges(tkp__bpe *bpe, const json_t *vocab, const json_t *list)
{
    TKP__CHECK(
        json_array_size(list) < INT32_MAX, TKP_ERR_UNSUPPORTED,
        "model.merges has %zu entries", json_array_size(list));
    bpe->merges = tkp__alloc(json_array_size(list), sizeof(*bpe->merges));
    if (!bpe->merges)
        return TKP_ERR_MEMORY;
    tkp__text_buffer joined = {0};
    tkp_status status = TKP_OK;
    size_t index;
    json_t *entry;
    json_array_foreach(list, index, entry)
    {
        TKP__TRY_OUT(
            parse_merge(&bpe->merges[index], vocab, entry, index, &joined));
    }
    qsort(bpe->merges, index, sizeof(*bpe->merges), compare_merges);
    /* A pair listed twice has its later rank, as in the library that writes
     * these files. */
    for (size_t i = 0; i < index; ++i) {
        if (bpe->count &&
            bpe->merges[bpe->count - 1].pair == bpe->merges[i].pair)
            --bpe->count;
        bpe->merges[bpe->count++] = bpe->merges[i];
    }
out:
    tkp__text_buffer_free(&joined);
    return status;
}

/* What changes BPE in ways not done here must be off. */
static tkp_status refuse_variants(const json_t *model)
{
    static const char *const affixes[] = {
        "continuing_subword_prefix", "end_of_word_suffix"};
    char shown[TKP__SHOWN_BYTES];
    for (size_t i = 0; i < 2; ++i) {
        const char *affix =
            json_string_value(json_object_get(model, affixes[i]));
        TKP__CHECK(
            !affix || !*affix, TKP_ERR_UNSUPPORTED,
            "model.%s is \"%s\", wanted none", affixes[i],
            tkp__shown(shown, affix));
    }
    const json_t *dropout = json_object_get(model, "dropout");
    TKP__CHECK(
        !dropout || json_is_null(dropout) || json_number_value(dropout) == 0,
        TKP_ERR_UNSUPPORTED, "model.dropout is %g, wanted null",
        json_number_value(dropout));
    return TKP_OK;
}

static tkp_status
parse_unknown(tkp__bpe *bpe, const tkp__vocab *vocab, const json_t *model)
{
    const json_t *token = json_object_get(model, "unk_token");
    bpe->unk_id = -1;
    if (!token || json_is_null(token))
        return TKP_OK;
    const char *text;
    char shown[TKP__SHOWN_BYTES];
    TKP__TRY(tkp__field_string(model, "model", "unk_token", &text));
    bpe->unk_id = find_model_piece(vocab, text, strlen(text));
    TKP__CHECK(
        bpe->unk_id >= 0, TKP_ERR_FORMAT,
        "model.unk_token \"%s\" is not in model.vocab",
        tkp__shown(shown, text));
    return TKP_OK;
}

static void fill_single_ids(tkp__bpe *bpe, const tkp__vocab *vocab)
{
    for (int i = 0; i < 128; ++i) {
        const char text = (char)i;
        bpe->ascii_ids[i] = find_model_piece(vocab, &text, 1);
    }
    for (int i = 0; i < 256; ++i) {
        char text[8];
        snprintf(text, sizeof(text), "<0x%02X>", (unsigned)i);
        bpe->byte_ids[i] = find_model_piece(vocab, text, 6);
    }
}

tkp_status
tkp__bpe_parse(tkp__bpe *bpe, const tkp__vocab *vocab, const json_t *model)
{
    json_t *merges, *pieces;
    TKP__TRY(refuse_variants(model));
    TKP__TRY(parse_unknown(bpe, vocab, model));
    TKP__TRY(
        tkp__field_bool_or(model, "model", "fuse_unk", false, &bpe->fuse_unk));
    TKP__TRY(tkp__field_bool_or(
        model, "model", "byte_fallback", false, &bpe->byte_fallback));
    TKP__TRY(tkp__field_bool_or(
        model, "model", "ignore_merges", false, &bpe->ignore_merges));
    TKP__TRY(tkp__field_object(model, "model", "vocab", &pieces));
    TKP__TRY(tkp__field_array(model, "model", "merges", &merges));
    TKP__CHECK(merges, TKP_ERR_FORMAT, "model.merges is missing");
    TKP__TRY(parse_merges(bpe, pieces, merges));
    fill_single_ids(bpe, vocab);
    return TKP_OK;
}

void tkp__bpe_free(tkp__bpe *bpe)
{
    tkp__free(bpe->merges);
    memset(bpe, 0, sizeof(*bpe));
}

/* --- running ----------------------------------------------------------- */

struct tkp__bpe_symbol {
    int32_t id;       /* -1: merged into the one before it */
    int32_t previous; /* -1 at the ends */
    int32_t next;
};

struct tkp__bpe_candidate {
    uint32_t rank;
    int32_t at; /* the left symbol */
    int32_t id; /* what the two become */
};

static const tkp__merge *
find_merge(const tkp__bpe *bpe, int32_t left, int32_t right)
{
    const tkp__merge key = {.pair = pair_key(left, right)};
    size_t low = 0, high = (size_t)bpe->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (bpe->merges[middle].pair < key.pair)
            low = middle + 1;
        else
            high = middle;
    }
    return low < (size_t)bpe->count && bpe->merges[low].pair == key.pair
               ? &bpe->merges[low]
               : NULL;
}

static bool before(const tkp__bpe_candidate *a, const tkp__bpe_candidate *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->at < b->at;
}

static void heap_push(tkp__bpe_work *work, tkp__bpe_candidate candidate)
{
    tkp__bpe_candidate *heap = work->heap;
    size_t at = work->heap_count++;
    while (at > 0 && before(&candidate, &heap[(at - 1) / 2])) {
        heap[at] = heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap[at] = candidate;
}

static tkp__bpe_candidate heap_pop(tkp__bpe_work *work)
{
    tkp__bpe_candidate *heap = work->heap;
    const tkp__bpe_candidate top = heap[0];
    const tkp__bpe_candidate last = heap[--work->heap_count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= work->heap_count)
            break;
        if (child + 1 < work->heap_count &&
            before(&heap[child + 1], &heap[child]))
            ++child;
        if (!before(&heap[child], &last))
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = last;
    return top;
}

static tkp_status work_reserve(tkp__bpe_work *work, size_t symbols)
{
    if (symbols <= work->capacity)
        return TKP_OK;
    TKP__CHECK(
        symbols < INT32_MAX / 4, TKP_ERR_ARGUMENT,
        "one word of %zu bytes, wanted at most %d", symbols, INT32_MAX / 4);
    tkp__bpe_work_free(work);
    symbols += symbols / 2 + 64;
    /* n - 1 pairs at first, and each of n - 1 merges makes two more. */
    work->symbols = tkp__alloc(symbols, sizeof(*work->symbols));
    work->heap = tkp__alloc(3 * symbols, sizeof(*work->heap));
    if (!work->symbols || !work->heap)
        return TKP_ERR_MEMORY;
    work->capacity = symbols;
    return TKP_OK;
}

void tkp__bpe_work_free(tkp__bpe_work *work)
{
    tkp__free(work->symbols);
    tkp__free(work->heap);
    memset(work, 0, sizeof(*work));
}

static bool bytes_known(const tkp__bpe *bpe, const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes; ++i) {
        if (bpe->byte_ids[(unsigned char)text[i]] < 0)
            return false;
    }
    return bytes > 0;
}

static void put_symbol(tkp__bpe_work *work, int32_t *count, int32_t id)
{
    work->symbols[*count].id = id;
    ++*count;
}

/* One symbol a character; if that is not a piece its bytes; if those are not
 * either the unknown token. An unknown one is put when the next known
 * character comes (that is what lets a run of them be one), and bytes do not
 * count as such: the reference's order, odd as it is. */
static int32_t first_symbols(
    const tkp__bpe *bpe,
    const tkp__vocab *vocab,
    tkp__bpe_work *work,
    const char *word,
    size_t bytes)
{
    int32_t count = 0;
    bool unknown = false;
    size_t length;
    for (size_t at = 0; at < bytes; at += length) {
        int32_t code;
        length = tkp__utf8_next(word + at, bytes - at, &code);
        const int32_t id = code < 128
                               ? bpe->ascii_ids[code]
                               : find_model_piece(vocab, word + at, length);
        if (id >= 0) {
            if (unknown)
                put_symbol(work, &count, bpe->unk_id);
            unknown = false;
            put_symbol(work, &count, id);
        } else if (bpe->byte_fallback && bytes_known(bpe, word + at, length)) {
            for (size_t i = 0; i < length; ++i)
                put_symbol(
                    work, &count, bpe->byte_ids[(unsigned char)word[at + i]]);
        } else if (bpe->unk_id >= 0) {
            if (unknown && !bpe->fuse_unk)
                put_symbol(work, &count, bpe->unk_id);
            unknown = true;
        }
    }
    if (unknown)
        put_symbol(work, &count, bpe->unk_id);
    return count;
}

static void
offer(const tkp__bpe *bpe, tkp__bpe_work *work, int32_t left, int32_t right)
{
    if (left < 0 || right < 0)
        return;
    const tkp__merge *merge =
        find_merge(bpe, work->symbols[left].id, work->symbols[right].id);
    if (merge)
        heap_push(
            work, (tkp__bpe_candidate){
                      .rank = merge->rank, .at = left, .id = merge->id});
}

static void merge_all(const tkp__bpe *bpe, tkp__bpe_work *work, int32_t count)
{
    tkp__bpe_symbol *symbols = work->symbols;
    for (int32_t i = 0; i < count; ++i) {
        symbols[i].previous = i - 1;
        symbols[i].next = i + 1 < count ? i + 1 : -1;
    }
    work->heap_count = 0;
    for (int32_t i = 0; i + 1 < count; ++i)
        offer(bpe, work, i, i + 1);
    while (work->heap_count) {
        const tkp__bpe_candidate top = heap_pop(work);
        tkp__bpe_symbol *left = &symbols[top.at];
        if (left->id < 0 || left->next < 0)
            continue;
        /* Stale if the two no longer make what they did when it was pushed. */
        const tkp__bpe_symbol *right = &symbols[left->next];
        const tkp__merge *merge = find_merge(bpe, left->id, right->id);
        if (!merge || merge->id != top.id)
            continue;
        symbols[left->next].id = -1;
        left->id = top.id;
        left->next = right->next;
        if (left->next >= 0)
            symbols[left->next].previous = top.at;
        offer(bpe, work, left->previous, top.at);
        offer(bpe, work, top.at, left->next);
    }
}

tkp_status tkp__bpe_word(
    const tkp__bpe *bpe,
    const tkp__vocab *vocab,
    tkp__bpe_work *work,
    const char *word,
    size_t bytes,
    tkp__id_list *out)
{
    if (bpe->ignore_merges) {
        const int32_t id = find_model_piece(vocab, word, bytes);
        if (id >= 0)
            return tkp__id_list_append(out, id);
    }
    TKP__TRY(work_reserve(work, bytes));
    const int32_t count = first_symbols(bpe, vocab, work, word, bytes);
    merge_all(bpe, work, count);
    for (int32_t i = 0; i < count; i = work->symbols[i].next) {
        TKP__TRY(tkp__id_list_append(out, work->symbols[i].id));
        if (work->symbols[i].next < 0)
            break;
    }
    return TKP_OK;
}
