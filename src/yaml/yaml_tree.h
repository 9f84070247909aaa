#ifndef TKP_YAML_YAML_TREE_H
#define TKP_YAML_YAML_TREE_H

/*
 * YAML text as a small tree: bounded, and only the part of YAML that our
 * files are written in (one document; no anchors, aliases, tags or directives).
 */

#include "util/util.h"

enum {
    TKP__YAML_MAX_BYTES = 256 * 1024,
    TKP__YAML_MAX_NODES = 4096,
    TKP__YAML_MAX_DEPTH = 8
};

enum tkp__yaml_kind { TKP__YAML_SCALAR, TKP__YAML_LIST, TKP__YAML_MAP };

typedef struct tkp__yaml_node {
    int32_t kind; /* enum tkp__yaml_kind */
    int32_t line; /* 1-based; */
    int32_t column;
    int32_t plain; /* scalar without quotes */
    char *text;    /* scalar; NUL-terminated, without a NUL inside */
    int32_t first; /* first child, -1 = none; of a map: key, value, ... */
    int32_t next;  /* sibling, -1 = last */
    int32_t count; /* children */
    int32_t last;  /* last child while it is built */
} tkp__yaml_node;

typedef struct tkp__yaml_tree {
    const char *source; /* name of the text in messages */
    int32_t count;      /* node 0 is the root; 0 = an empty text */
    int32_t capacity;
    tkp__yaml_node *nodes;
} tkp__yaml_tree;

/* On failure there is nothing to release. `source` must outlive the tree. */
tkp_status tkp__yaml_parse(
    tkp__yaml_tree *tree,
    const char *text,
    size_t bytes,
    const char *source);
void tkp__yaml_release(tkp__yaml_tree *tree);

static inline const tkp__yaml_node *
tkp__yaml_at(const tkp__yaml_tree *tree, int32_t i)
{
    return i < 0 ? NULL : &tree->nodes[i];
}

#endif
