/* The post_processor section: ids put before and after a sequence. */

#include <stdio.h>

#include "mllm/text/json_field.h"
#include "mllm/text/tokenizer.h"

/* Appends the ids special_tokens gives for one name of the template. */
static tkp_status append_special(
    tkp__id_list *list,
    const tkp__vocab *vocab,
    const json_t *section,
    const char *name)
{
    char shown[TKP__SHOWN_BYTES];
    const json_t *entry =
        json_object_get(json_object_get(section, "special_tokens"), name);
    const json_t *ids = json_object_get(entry, "ids");
    TKP__CHECK(
        json_is_array(ids), TKP_ERR_FORMAT,
        "post_processor.special_tokens has no ids for \"%s\"",
        tkp__shown(shown, name));
    size_t index;
    const json_t *value;
    json_array_foreach(ids, index, value)
    {
        const int64_t id =
            json_is_integer(value) ? json_integer_value(value) : -1;
        TKP__CHECK(
            id >= 0 && id < vocab->count && vocab->pieces[id].text,
            TKP_ERR_FORMAT,
            "post_processor.special_tokens: ids[%zu] of \"%s\" is not an id of "
            "this vocabulary",
            index, tkp__shown(shown, name));
        TKP__TRY(tkp__id_list_append(list, (int32_t)id));
    }
    return TKP_OK;
}

static tkp_status parse_single(
    tkp__template *affixes,
    const tkp__vocab *vocab,
    const json_t *section)
{
    json_t *single, *entry;
    size_t index;
    bool sequence_seen = false;
    TKP__TRY(tkp__field_array(section, "post_processor", "single", &single));
    json_array_foreach(single, index, entry)
    {
        char path[TKP__PATH_BYTES];
        json_t *special;
        const char *name;
        snprintf(path, sizeof(path), "post_processor.single[%zu]", index);
        if (json_object_get(entry, "Sequence")) {
            TKP__CHECK(
                !sequence_seen, TKP_ERR_UNSUPPORTED,
                "%s has the sequence a second time", path);
            sequence_seen = true;
            continue;
        }
        TKP__TRY(tkp__field_object(entry, path, "SpecialToken", &special));
        TKP__TRY(tkp__field_string(special, path, "id", &name));
        TKP__TRY(append_special(
            sequence_seen ? &affixes->after : &affixes->before, vocab, section,
            name));
    }
    TKP__CHECK(
        sequence_seen, TKP_ERR_FORMAT,
        "post_processor.single has no Sequence in it");
    return TKP_OK;
}

tkp_status tkp__template_parse(
    tkp__template *affixes,
    const tkp__vocab *vocab,
    const json_t *section)
{
    if (!section)
        return TKP_OK;
    const char *type;
    TKP__TRY(tkp__field_string(section, "post_processor", "type", &type));
    if (strcmp(type, "ByteLevel") == 0)
        return TKP_OK; /* changes offsets only, and there are none here */
    if (strcmp(type, "TemplateProcessing") == 0) {
        TKP__CHECK(
            !affixes->before.count && !affixes->after.count,
            TKP_ERR_UNSUPPORTED,
            "post_processor has more than one TemplateProcessing");
        return parse_single(affixes, vocab, section);
    }
    char shown[TKP__SHOWN_BYTES];
    TKP__CHECK(
        strcmp(type, "Sequence") == 0, TKP_ERR_UNSUPPORTED,
        "post_processor.type is \"%s\", wanted TemplateProcessing, ByteLevel "
        "or Sequence",
        tkp__shown(shown, type));
    json_t *list, *entry;
    size_t index;
    TKP__TRY(tkp__field_array(section, "post_processor", "processors", &list));
    json_array_foreach(list, index, entry)
        TKP__TRY(tkp__template_parse(affixes, vocab, entry));
    return TKP_OK;
}

void tkp__template_free(tkp__template *affixes)
{
    tkp__id_list_free(&affixes->before);
    tkp__id_list_free(&affixes->after);
}
