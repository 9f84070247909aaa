/* Finding added tokens in text: leftmost, and of those the longest. */

#include <stdlib.h>

#include "mllm/text/json_field.h"
#include "mllm/text/tokenizer.h"
#include "mllm/text/utf8.h"

static int compare_tokens(const void *left, const void *right)
{
    const tkp__added_token *a = left;
    const tkp__added_token *b = right;
    const int order = (unsigned char)a->match[0] - (unsigned char)b->match[0];
    if (order)
        return order;
    if (a->bytes != b->bytes)
        return a->bytes > b->bytes ? -1 : 1;
    return memcmp(a->match, b->match, a->bytes);
}

static tkp_status set_match(
    tkp__added_token *token,
    const tkp__added_spec *spec,
    const tkp__normalizer *normalizer)
{
    if (!spec->normalized) {
        token->match = tkp__strdup(spec->content);
        token->bytes = strlen(spec->content);
        return token->match ? TKP_OK : TKP_ERR_MEMORY;
    }
    tkp__text_buffer out = {0}, scratch = {0};
    tkp_status status = tkp__normalizer_run(
        normalizer, spec->content, strlen(spec->content), &out, &scratch);
    tkp__text_buffer_free(&scratch);
    if (status == TKP_OK && !out.bytes) {
        char shown[TKP__SHOWN_BYTES];
        status = tkp__fail(
            TKP_ERR_UNSUPPORTED,
            "added token \"%s\": nothing is left of it after normalising",
            tkp__shown(shown, spec->content));
    }
    if (status != TKP_OK) {
        tkp__text_buffer_free(&out);
        return status;
    }
    token->match = out.data;
    token->bytes = out.bytes;
    return TKP_OK;
}

tkp_status tkp__added_set_create(
    tkp__added_set *set,
    const tkp__added_specs *specs,
    const tkp__normalizer *normalizer,
    bool normalized)
{
    set->tokens = tkp__zalloc((size_t)specs->count, sizeof(*set->tokens));
    if (!set->tokens)
        return TKP_ERR_MEMORY;
    for (int64_t i = 0; i < specs->count; ++i) {
        const tkp__added_spec *spec = &specs->list[i];
        if (spec->normalized != normalized)
            continue;
        tkp__added_token *token = &set->tokens[set->count];
        TKP__TRY(set_match(token, spec, normalizer));
        token->id = spec->id;
        token->single_word = spec->single_word;
        token->lstrip = spec->lstrip;
        token->rstrip = spec->rstrip;
        ++set->count;
    }
    qsort(
        set->tokens, (size_t)set->count, sizeof(*set->tokens), compare_tokens);
    int32_t at = 0;
    for (int byte = 0; byte <= 256; ++byte) {
        while (at < set->count &&
               (unsigned char)set->tokens[at].match[0] < byte)
            ++at;
        set->first[byte] = at;
    }
    return TKP_OK;
}

void tkp__added_set_free(tkp__added_set *set)
{
    for (int32_t i = 0; i < set->count; ++i)
        tkp__free(set->tokens[i].match);
    tkp__free(set->tokens);
    memset(set, 0, sizeof(*set));
}

static const tkp__added_token *
token_at(const tkp__added_set *set, const char *text, size_t bytes)
{
    const unsigned char lead = (unsigned char)text[0];
    for (int32_t i = set->first[lead]; i < set->first[lead + 1]; ++i) {
        const tkp__added_token *token = &set->tokens[i];
        if (token->bytes <= bytes &&
            memcmp(token->match, text, token->bytes) == 0)
            return token;
    }
    return NULL;
}

static bool
stands_alone(const char *text, size_t bytes, size_t begin, size_t end)
{
    int32_t before, after;
    if (tkp__utf8_last(text, begin, &before) && tkp__is_word(before))
        return false;
    return !tkp__utf8_next(text + end, bytes - end, &after) ||
           !tkp__is_word(after);
}

static size_t strip_left(const char *text, size_t begin, size_t stop)
{
    int32_t code;
    size_t length;
    while (begin > stop && (length = tkp__utf8_last(text, begin, &code)) &&
           tkp__is_white_space(code))
        begin -= length;
    return begin < stop ? stop : begin;
}

static size_t strip_right(const char *text, size_t bytes, size_t end)
{
    int32_t code;
    size_t length;
    while ((length = tkp__utf8_next(text + end, bytes - end, &code)) &&
           tkp__is_white_space(code))
        end += length;
    return end;
}

bool tkp__added_next(
    const tkp__added_set *set,
    const char *text,
    size_t bytes,
    tkp__added_cursor *cursor,
    tkp__added_match *match)
{
    while (cursor->search < bytes) {
        const size_t begin = cursor->search;
        const tkp__added_token *token =
            token_at(set, text + begin, bytes - begin);
        if (!token) {
            ++cursor->search;
            continue;
        }
        const size_t end = begin + token->bytes;
        cursor->search = end;
        if (token->single_word && !stands_alone(text, bytes, begin, end))
            continue;
        match->id = token->id;
        match->begin =
            token->lstrip ? strip_left(text, begin, cursor->taken) : begin;
        match->end = token->rstrip ? strip_right(text, bytes, end) : end;
        if (match->end > cursor->taken)
            cursor->taken = match->end;
        return true;
    }
    return false;
}
