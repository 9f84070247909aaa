#include "yaml/yaml_tree.h"

#include <yaml.h>

#include "util/text.h"

void tkp__yaml_release(tkp__yaml_tree *tree)
{
    for (int32_t i = 0; i < tree->count; i++)
        tkp__free(tree->nodes[i].text);
    tkp__free(tree->nodes);
    *tree = (tkp__yaml_tree){0};
}

/* --- errors ---------------------------------------------------------------- */

/* Refuse what is well formed, but not part of our YAML. */
static tkp_status
refuse(const tkp__yaml_tree *tree, const yaml_mark_t *at, const char *what)
{
    return tkp__fail(
        TKP_ERR_POLICY, "%s:%zu:%zu: %s", tree->source, at->line + 1,
        at->column + 1, what);
}

/* Bytes that are no text have an offset, not a mark. */
static tkp_status fail_in_bytes(
    const tkp__yaml_tree *tree,
    const yaml_parser_t *parser,
    const char *text,
    size_t bytes)
{
    size_t line = 1;
    size_t column = 1;
    for (size_t i = 0; i < parser->problem_offset && i < bytes; i++) {
        if (text[i] == '\n') {
            line++;
            column = 1;
        } else if (((unsigned char)text[i] & 0xc0) != 0x80) {
            column++;
        }
    }
    return tkp__fail(
        TKP_ERR_PARSE, "%s:%zu:%zu: %s", tree->source, line, column,
        parser->problem);
}

static tkp_status fail_in_parser(
    const tkp__yaml_tree *tree,
    const yaml_parser_t *parser,
    const char *text,
    size_t bytes)
{
    if (parser->error == YAML_MEMORY_ERROR)
        return tkp__fail(
            TKP_ERR_MEMORY, "%s: out of memory in the YAML parser",
            tree->source);
    if (parser->error == YAML_READER_ERROR)
        return fail_in_bytes(tree, parser, text, bytes);
    const yaml_mark_t *at = &parser->problem_mark;
    return tkp__fail(
        TKP_ERR_PARSE, "%s:%zu:%zu: %s%s%s%s", tree->source, at->line + 1,
        at->column + 1,
        parser->problem ? parser->problem : "not well-formed YAML",
        parser->context ? " (" : "", parser->context ? parser->context : "",
        parser->context ? ")" : "");
}

/* --- nodes ----------------------------------------------------------------- */

static tkp_status make_room(tkp__yaml_tree *tree)
{
    if (tree->count < tree->capacity)
        return TKP_OK;
    const int32_t capacity = tree->capacity ? tree->capacity * 2 : 64;
    tkp__yaml_node *nodes = tkp__realloc(
        tree->nodes, (size_t)tree->capacity * sizeof(*nodes),
        (size_t)capacity * sizeof(*nodes));
    if (!nodes)
        return TKP_ERR_MEMORY;
    tree->nodes = nodes;
    tree->capacity = capacity;
    return TKP_OK;
}

static tkp_status
add_node(tkp__yaml_tree *tree, int32_t kind, int32_t parent, yaml_mark_t at)
{
    if (tree->count == TKP__YAML_MAX_NODES)
        return refuse(
            tree, &at, "more than 4096 values, wanted a smaller file");
    TKP__TRY(make_room(tree));
    const int32_t number = tree->count++;
    tree->nodes[number] = (tkp__yaml_node){
        .kind = kind,
        .line = (int32_t)at.line + 1,
        .column = (int32_t)at.column + 1,
        .first = -1,
        .next = -1,
        .last = -1,
    };
    if (parent < 0)
        return TKP_OK;
    tkp__yaml_node *above = &tree->nodes[parent];
    if (above->last < 0)
        above->first = number;
    else
        tree->nodes[above->last].next = number;
    above->last = number;
    above->count++;
    return TKP_OK;
}

static tkp_status
add_scalar(tkp__yaml_tree *tree, const yaml_event_t *event, int32_t parent)
{
    const size_t bytes = event->data.scalar.length;
    const char *value = (const char *)event->data.scalar.value;
    if (memchr(value, '\0', bytes))
        return refuse(tree, &event->start_mark, "a text with a NUL in it");
    TKP__TRY(add_node(tree, TKP__YAML_SCALAR, parent, event->start_mark));
    tkp__yaml_node *node = &tree->nodes[tree->count - 1];
    node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    node->text = tkp__alloc(1, bytes + 1);
    if (!node->text)
        return TKP_ERR_MEMORY;
    memcpy(node->text, value, bytes);
    node->text[bytes] = '\0';
    return TKP_OK;
}

/* --- events ----------------------------------------------------------------- */

typedef struct builder {
    tkp__yaml_tree *tree;
    int32_t open[TKP__YAML_MAX_DEPTH]; /* maps and lists around us */
    int32_t depth;
    int32_t documents;
    bool done;
} builder;

static tkp_status
check_marks(const tkp__yaml_tree *tree, const yaml_event_t *event)
{
    const yaml_char_t *anchor = NULL;
    const yaml_char_t *tag = NULL;
    if (event->type == YAML_SCALAR_EVENT) {
        anchor = event->data.scalar.anchor;
        tag = event->data.scalar.tag;
    } else if (event->type == YAML_SEQUENCE_START_EVENT) {
        anchor = event->data.sequence_start.anchor;
        tag = event->data.sequence_start.tag;
    } else if (event->type == YAML_MAPPING_START_EVENT) {
        anchor = event->data.mapping_start.anchor;
        tag = event->data.mapping_start.tag;
    }
    if (anchor)
        return refuse(
            tree, &event->start_mark, "an anchor, wanted the value itself");
    if (tag)
        return refuse(
            tree, &event->start_mark, "a tag, wanted a value without one");
    return TKP_OK;
}

static tkp_status
open_node(builder *b, const yaml_event_t *event, int32_t kind, int32_t parent)
{
    if (b->depth == TKP__YAML_MAX_DEPTH)
        return refuse(
            b->tree, &event->start_mark,
            "nested deeper than 8, wanted less depth");
    TKP__TRY(add_node(b->tree, kind, parent, event->start_mark));
    b->open[b->depth++] = b->tree->count - 1;
    return TKP_OK;
}

static tkp_status start_document(builder *b, const yaml_event_t *event)
{
    if (b->documents++)
        return refuse(
            b->tree, &event->start_mark, "a second document, wanted only one");
    if (event->data.document_start.version_directive ||
        event->data.document_start.tag_directives.start !=
            event->data.document_start.tag_directives.end)
        return refuse(b->tree, &event->start_mark, "a directive, wanted none");
    return TKP_OK;
}

static tkp_status take_event(builder *b, const yaml_event_t *event)
{
    const int32_t parent = b->depth ? b->open[b->depth - 1] : -1;
    TKP__TRY(check_marks(b->tree, event));
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        return start_document(b, event);
    case YAML_ALIAS_EVENT:
        return refuse(
            b->tree, &event->start_mark, "an alias, wanted the value itself");
    case YAML_SCALAR_EVENT:
        return add_scalar(b->tree, event, parent);
    case YAML_SEQUENCE_START_EVENT:
        return open_node(b, event, TKP__YAML_LIST, parent);
    case YAML_MAPPING_START_EVENT:
        return open_node(b, event, TKP__YAML_MAP, parent);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        b->depth--;
        return TKP_OK;
    case YAML_STREAM_END_EVENT:
        b->done = true;
        return TKP_OK;
    default:
        return TKP_OK;
    }
}

static tkp_status build(
    tkp__yaml_tree *tree,
    yaml_parser_t *parser,
    const char *text,
    size_t bytes)
{
    builder b = {.tree = tree};
    while (!b.done) {
        yaml_event_t event;
        if (!yaml_parser_parse(parser, &event))
            return fail_in_parser(tree, parser, text, bytes);
        const tkp_status status = take_event(&b, &event);
        yaml_event_delete(&event);
        TKP__TRY(status);
    }
    return TKP_OK;
}

tkp_status tkp__yaml_parse(
    tkp__yaml_tree *tree,
    const char *text,
    size_t bytes,
    const char *source)
{
    yaml_parser_t parser;
    *tree = (tkp__yaml_tree){.source = source};
    TKP__CHECK(
        bytes <= TKP__YAML_MAX_BYTES, TKP_ERR_POLICY,
        "%s:1:1: text has %zu bytes, wanted at most %d", source, bytes,
        TKP__YAML_MAX_BYTES);
    TKP__CHECK(
        yaml_parser_initialize(&parser), TKP_ERR_MEMORY,
        "%s: out of memory in the YAML parser", source);
    /* UTF-8 whatever the first bytes look like. */
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, bytes);
    const tkp_status status = build(tree, &parser, text, bytes);
    yaml_parser_delete(&parser);
    if (status != TKP_OK)
        tkp__yaml_release(tree);
    return status;
}
