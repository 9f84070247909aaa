/* The normalizer section: Prepend, Replace, NFC and Sequences of them. */

#include "mllm/text/json_field.h"
#include "mllm/text/tokenizer.h"

static tkp_status
parse_replace(tkp__normalize_step *step, const json_t *section)
{
    json_t *pattern;
    const char *from, *to;
    TKP__TRY(tkp__field_object(section, "normalizer", "pattern", &pattern));
    TKP__CHECK(
        !json_object_get(pattern, "Regex"), TKP_ERR_UNSUPPORTED,
        "Replace.pattern is a Regex, wanted a String");
    TKP__TRY(tkp__field_string(pattern, "Replace.pattern", "String", &from));
    TKP__TRY(tkp__field_string(section, "Replace", "content", &to));
    TKP__CHECK(
        from[0], TKP_ERR_UNSUPPORTED,
        "Replace.pattern.String is empty, wanted some text");
    step->kind = TKP__NORMALIZE_REPLACE;
    step->pattern = tkp__strdup(from);
    step->content = tkp__strdup(to);
    return step->pattern && step->content ? TKP_OK : TKP_ERR_MEMORY;
}

static tkp_status
parse_prepend(tkp__normalize_step *step, const json_t *section)
{
    const char *content;
    TKP__TRY(tkp__field_string(section, "normalizer", "prepend", &content));
    step->kind = TKP__NORMALIZE_PREPEND;
    step->content = tkp__strdup(content);
    return step->content ? TKP_OK : TKP_ERR_MEMORY;
}

static tkp_status
parse_step(tkp__normalizer *normalizer, const json_t *section, const char *type)
{
    TKP__CHECK(
        normalizer->count < TKP__TEXT_MAX_STEPS, TKP_ERR_UNSUPPORTED,
        "normalizer has more than %d steps", TKP__TEXT_MAX_STEPS);
    /* Counted before it is filled, so that a failure half way is freed. */
    tkp__normalize_step *step = &normalizer->steps[normalizer->count++];
    if (strcmp(type, "Prepend") == 0)
        return parse_prepend(step, section);
    if (strcmp(type, "Replace") == 0)
        return parse_replace(step, section);
    if (strcmp(type, "NFC") == 0) {
        step->kind = TKP__NORMALIZE_NFC;
        return TKP_OK;
    }
    char shown[TKP__SHOWN_BYTES];
    return tkp__fail(
        TKP_ERR_UNSUPPORTED,
        "normalizer.type is \"%s\", wanted Prepend, Replace, NFC or Sequence",
        tkp__shown(shown, type));
}

tkp_status
tkp__normalizer_parse(tkp__normalizer *normalizer, const json_t *section)
{
    if (!section)
        return TKP_OK;
    const char *type;
    TKP__TRY(tkp__field_string(section, "normalizer", "type", &type));
    if (strcmp(type, "Sequence") != 0)
        return parse_step(normalizer, section, type);
    json_t *list, *entry;
    size_t index;
    TKP__TRY(tkp__field_array(section, "normalizer", "normalizers", &list));
    json_array_foreach(list, index, entry)
        TKP__TRY(tkp__normalizer_parse(normalizer, entry));
    return TKP_OK;
}

void tkp__normalizer_free(tkp__normalizer *normalizer)
{
    for (int32_t i = 0; i < normalizer->count; ++i) {
        tkp__free(normalizer->steps[i].pattern);
        tkp__free(normalizer->steps[i].content);
    }
    memset(normalizer, 0, sizeof(*normalizer));
}

tkp_status tkp__text_replace(
    tkp__text_buffer *out,
    const char *text,
    size_t bytes,
    const char *pattern,
    const char *content)
{
    const size_t pattern_bytes = strlen(pattern);
    const size_t content_bytes = strlen(content);
    const char *from = text, *end = text + bytes;
    while (from < end) {
        const char *hit =
            memmem(from, (size_t)(end - from), pattern, pattern_bytes);
        const char *until = hit ? hit : end;
        TKP__TRY(tkp__text_buffer_append(out, from, (size_t)(until - from)));
        if (!hit)
            break;
        TKP__TRY(tkp__text_buffer_append(out, content, content_bytes));
        from = hit + pattern_bytes;
    }
    return TKP_OK;
}

static tkp_status run_step(
    const tkp__normalize_step *step,
    const tkp__text_buffer *in,
    tkp__text_buffer *out)
{
    tkp__text_buffer_clear(out);
    if (!in->bytes)
        return TKP_OK;
    switch (step->kind) {
    case TKP__NORMALIZE_PREPEND:
        TKP__TRY(tkp__text_buffer_puts(out, step->content));
        return tkp__text_buffer_append(out, in->data, in->bytes);
    case TKP__NORMALIZE_REPLACE:
        return tkp__text_replace(
            out, in->data, in->bytes, step->pattern, step->content);
    default:
        return tkp__text_nfc(out, in->data, in->bytes);
    }
}

tkp_status tkp__normalizer_run(
    const tkp__normalizer *normalizer,
    const char *text,
    size_t bytes,
    tkp__text_buffer *out,
    tkp__text_buffer *scratch)
{
    tkp__text_buffer_clear(out);
    TKP__TRY(tkp__text_buffer_append(out, text, bytes));
    for (int32_t i = 0; i < normalizer->count; ++i) {
        TKP__TRY(run_step(&normalizer->steps[i], out, scratch));
        const tkp__text_buffer swap = *out;
        *out = *scratch;
        *scratch = swap;
    }
    return TKP_OK;
}
