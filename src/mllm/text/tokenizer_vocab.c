/* Pieces by id and by text: sorted pointers and bsearch, so that a file made
 * to collide in some hash table gains nothing. */

#include <stdlib.h>

#include "mllm/text/json_field.h"
#include "mllm/text/tokenizer.h"

static int compare_text(const char *a, size_t na, const char *b, size_t nb)
{
    const int order = memcmp(a, b, na < nb ? na : nb);
    return order ? order : (na > nb) - (na < nb);
}

static int compare_pieces(const void *left, const void *right)
{
    const tkp__piece *a = *(tkp__piece *const *)left;
    const tkp__piece *b = *(tkp__piece *const *)right;
    return compare_text(a->text, a->bytes, b->text, b->bytes);
}

int32_t tkp__vocab_find(const tkp__vocab *vocab, const char *text, size_t bytes)
{
    if (bytes > UINT32_MAX)
        return -1;
    const tkp__piece key = {.text = (char *)text, .bytes = (uint32_t)bytes};
    const tkp__piece *key_pointer = &key;
    tkp__piece **hit = bsearch(
        &key_pointer, vocab->sorted, (size_t)vocab->sorted_count,
        sizeof(*vocab->sorted), compare_pieces);
    return hit ? (int32_t)(*hit - vocab->pieces) : -1;
}

/* How much memory the pieces need; every id checked. */
static tkp_status measure(
    tkp__vocab *vocab,
    json_t *model_vocab,
    const tkp__added_specs *added,
    size_t *arena_bytes)
{
    int64_t last = -1;
    const char *key;
    json_t *value;
    char shown[TKP__SHOWN_BYTES];
    *arena_bytes = 0;
    json_object_foreach(model_vocab, key, value)
    {
        TKP__CHECK(
            json_is_integer(value), TKP_ERR_FORMAT,
            "model.vocab: the id of \"%s\" is not an integer",
            tkp__shown(shown, key));
        const int64_t id = json_integer_value(value);
        TKP__CHECK(
            id >= 0 && id <= TKP__TEXT_MAX_ID, TKP_ERR_FORMAT,
            "model.vocab: the id of \"%s\" is %lld, wanted 0..%d",
            tkp__shown(shown, key), (long long)id, TKP__TEXT_MAX_ID);
        last = id > last ? id : last;
        *arena_bytes += strlen(key) + 1;
    }
    for (int64_t i = 0; i < added->count; ++i) {
        last = added->list[i].id > last ? added->list[i].id : last;
        *arena_bytes += strlen(added->list[i].content) + 1;
    }
    vocab->count = last + 1;
    return TKP_OK;
}

/* Gives the piece its text, taken from the arena's free end. */
static void
put_piece(tkp__piece *piece, char **free_end, const char *text, uint32_t flags)
{
    const size_t bytes = strlen(text);
    memcpy(*free_end, text, bytes + 1);
    piece->text = *free_end;
    piece->bytes = (uint32_t)bytes;
    piece->flags = flags;
    *free_end += bytes + 1;
}

static tkp_status
fill(tkp__vocab *vocab, json_t *model_vocab, const tkp__added_specs *added)
{
    char *free_end = vocab->arena;
    const char *key;
    json_t *value;
    char shown[TKP__SHOWN_BYTES], other[TKP__SHOWN_BYTES];
    json_object_foreach(model_vocab, key, value)
    {
        tkp__piece *piece = &vocab->pieces[json_integer_value(value)];
        TKP__CHECK(
            !piece->text, TKP_ERR_FORMAT,
            "model.vocab: id %lld is that of \"%s\" and of \"%s\"",
            (long long)json_integer_value(value),
            tkp__shown(other, piece->text), tkp__shown(shown, key));
        put_piece(piece, &free_end, key, TKP__PIECE_MODEL);
    }
    for (int64_t i = 0; i < added->count; ++i) {
        const tkp__added_spec *spec = &added->list[i];
        tkp__piece *piece = &vocab->pieces[spec->id];
        TKP__CHECK(
            !piece->text || strcmp(piece->text, spec->content) == 0,
            TKP_ERR_FORMAT,
            "added token \"%s\" has id %d, which is that of \"%s\"",
            tkp__shown(shown, spec->content), (int)spec->id,
            tkp__shown(other, piece->text));
        if (!piece->text)
            put_piece(piece, &free_end, spec->content, 0);
        piece->flags |= TKP__PIECE_ADDED;
        if (spec->special)
            piece->flags |= TKP__PIECE_SPECIAL;
    }
    return TKP_OK;
}

static tkp_status sort_pieces(tkp__vocab *vocab)
{
    for (int64_t id = 0; id < vocab->count; ++id) {
        if (vocab->pieces[id].text)
            vocab->sorted[vocab->sorted_count++] = &vocab->pieces[id];
    }
    qsort(
        vocab->sorted, (size_t)vocab->sorted_count, sizeof(*vocab->sorted),
        compare_pieces);
    char shown[TKP__SHOWN_BYTES];
    for (int64_t i = 1; i < vocab->sorted_count; ++i)
        TKP__CHECK(
            compare_pieces(&vocab->sorted[i - 1], &vocab->sorted[i]) != 0,
            TKP_ERR_FORMAT, "\"%s\" has id %d and id %d",
            tkp__shown(shown, vocab->sorted[i]->text),
            (int)(vocab->sorted[i - 1] - vocab->pieces),
            (int)(vocab->sorted[i] - vocab->pieces));
    return TKP_OK;
}

tkp_status tkp__vocab_parse(
    tkp__vocab *vocab,
    json_t *model_vocab,
    const tkp__added_specs *added)
{
    size_t arena_bytes;
    TKP__TRY(measure(vocab, model_vocab, added, &arena_bytes));
    vocab->arena = tkp__alloc(arena_bytes, 1);
    vocab->pieces = tkp__zalloc((size_t)vocab->count, sizeof(*vocab->pieces));
    vocab->sorted = tkp__alloc((size_t)vocab->count, sizeof(*vocab->sorted));
    if (!vocab->arena || !vocab->pieces || !vocab->sorted)
        return TKP_ERR_MEMORY;
    TKP__TRY(fill(vocab, model_vocab, added));
    return sort_pieces(vocab);
}

void tkp__vocab_free(tkp__vocab *vocab)
{
    tkp__free(vocab->pieces);
    tkp__free(vocab->sorted);
    tkp__free(vocab->arena);
    memset(vocab, 0, sizeof(*vocab));
}

int64_t tkp__tokenizer_vocab_size(const tkp__tokenizer *tokenizer)
{
    return tokenizer->vocab.count;
}

int32_t tkp__tokenizer_find(const tkp__tokenizer *tokenizer, const char *piece)
{
    return tkp__vocab_find(&tokenizer->vocab, piece, strlen(piece));
}

const char *tkp__tokenizer_piece(const tkp__tokenizer *tokenizer, int32_t id)
{
    if (id < 0 || id >= tokenizer->vocab.count)
        return NULL;
    return tokenizer->vocab.pieces[id].text;
}
