/* Text to ids: the picture of the whole way. */

#include "mllm/text/tokenizer.h"
#include "mllm/text/utf8.h"

typedef struct encoder {
    const tkp__tokenizer *tokenizer;
    bool plain;
    tkp__text_buffer normalized;
    tkp__text_buffer scratch;
    tkp__pretokenize_run pretokenize;
    tkp__bpe_work bpe;
    tkp__id_list ids;
} encoder;

/* What to do with text between added tokens; `at_start`: the input's start. */
typedef tkp_status (
    *gap_fn)(encoder *e, const char *text, size_t bytes, bool at_start);

static tkp_status word_to_ids(void *user, const char *word, size_t bytes)
{
    encoder *e = user;
    const tkp__tokenizer *t = e->tokenizer;
    return tkp__bpe_word(&t->bpe, &t->vocab, &e->bpe, word, bytes, &e->ids);
}

static tkp_status
gap_to_words(encoder *e, const char *text, size_t bytes, bool at_start)
{
    return tkp__pretokenize(&e->pretokenize, text, bytes, at_start);
}

static tkp_status split_on_added(
    encoder *e,
    const tkp__added_set *set,
    const char *text,
    size_t bytes,
    bool at_start,
    gap_fn gap)
{
    tkp__added_cursor cursor = {0};
    tkp__added_match match;
    size_t taken = 0;
    while (!e->plain && tkp__added_next(set, text, bytes, &cursor, &match)) {
        if (match.begin > taken)
            TKP__TRY(gap(
                e, text + taken, match.begin - taken, at_start && taken == 0));
        TKP__TRY(tkp__id_list_append(&e->ids, match.id));
        taken = cursor.taken;
    }
    if (taken == bytes)
        return TKP_OK;
    return gap(e, text + taken, bytes - taken, at_start && taken == 0);
}

static tkp_status
gap_to_normalized(encoder *e, const char *text, size_t bytes, bool at_start)
{
    const tkp__tokenizer *t = e->tokenizer;
    TKP__TRY(tkp__normalizer_run(
        &t->normalizer, text, bytes, &e->normalized, &e->scratch));
    return split_on_added(
        e, &t->added_normalized, e->normalized.data, e->normalized.bytes,
        at_start, gap_to_words);
}

static tkp_status append_all(tkp__id_list *out, const tkp__id_list *in)
{
    for (int64_t i = 0; i < in->count; ++i)
        TKP__TRY(tkp__id_list_append(out, in->ids[i]));
    return TKP_OK;
}

static tkp_status
encode(encoder *e, const char *text, size_t bytes, uint32_t flags)
{
    const tkp__tokenizer *t = e->tokenizer;
    e->plain = (flags & TKP__ENCODE_PLAIN) != 0;
    e->pretokenize.splitter = &t->pretokenizer;
    e->pretokenize.word = word_to_ids;
    e->pretokenize.user = e;
    if (flags & TKP__ENCODE_SPECIAL)
        TKP__TRY(append_all(&e->ids, &t->affixes.before));
    TKP__TRY(
        split_on_added(e, &t->added_raw, text, bytes, true, gap_to_normalized));
    if (flags & TKP__ENCODE_SPECIAL)
        TKP__TRY(append_all(&e->ids, &t->affixes.after));
    return TKP_OK;
}

tkp_status tkp__tokenizer_encode(
    const tkp__tokenizer *tokenizer,
    const char *text,
    size_t bytes,
    uint32_t flags,
    int32_t **ids_out,
    int64_t *count_out)
{
    TKP__CHECK(
        text || !bytes, TKP_ERR_ARGUMENT,
        "text is NULL, %zu bytes of it wanted", bytes);
    TKP__CHECK(
        bytes <= INT32_MAX / 8, TKP_ERR_ARGUMENT,
        "text has %zu bytes, wanted at most %d", bytes, INT32_MAX / 8);
    TKP__CHECK(
        !(flags & ~(uint32_t)(TKP__ENCODE_SPECIAL | TKP__ENCODE_PLAIN)),
        TKP_ERR_ARGUMENT, "flags 0x%x are not known", (unsigned)flags);
    const size_t valid = tkp__utf8_valid_prefix(text, bytes);
    TKP__CHECK(
        valid == bytes, TKP_ERR_ARGUMENT,
        "text is not UTF-8 at byte %zu (0x%02x)", valid,
        (unsigned)(unsigned char)text[valid]);

    encoder e = {.tokenizer = tokenizer};
    tkp_status status = encode(&e, text, bytes, flags);
    if (status == TKP_OK && !e.ids.ids) {
        e.ids.ids = tkp__alloc(0, sizeof(*e.ids.ids));
        status = e.ids.ids ? TKP_OK : TKP_ERR_MEMORY;
    }
    tkp__text_buffer_free(&e.normalized);
    tkp__text_buffer_free(&e.scratch);
    tkp__pretokenize_run_free(&e.pretokenize);
    tkp__bpe_work_free(&e.bpe);
    if (status != TKP_OK) {
        tkp__id_list_free(&e.ids);
        return status;
    }
    *ids_out = e.ids.ids;
    *count_out = e.ids.count;
    return TKP_OK;
}
