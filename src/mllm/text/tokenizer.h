#ifndef TKP_MLLM_TEXT_TOKENIZER_H
#define TKP_MLLM_TEXT_TOKENIZER_H

/*
 * The parts of a tokenizer, in the order text goes through them:
 *
 *   added tokens -> normalizer -> pre-tokenizer -> BPE -> post-processor
 *
 * and the decoder on the way back. One file a part; each has a `parse` that
 * reads its section of tokenizer.json and refuses what it does not know.
 */

#include <jansson.h>

#include "mllm/text/text.h"
#include "mllm/text/text_buffer.h"

enum {
    TKP__TEXT_MAX_STEPS = 16, /* of a normalizer or pre-tokenizer */
    /* Ids index arrays: the largest one bounds the memory a file can ask
     * for. The largest vocabularies in use have about a million. */
    TKP__TEXT_MAX_ID = (1 << 21) - 1
};

/* --- added tokens as the files list them ------------------------------- */

typedef struct tkp__added_spec {
    const char *content; /* owned by the JSON tree */
    int32_t id;
    bool special;
    bool single_word;
    bool lstrip;
    bool rstrip;
    bool normalized;
} tkp__added_spec;

typedef struct tkp__added_specs {
    tkp__added_spec *list; /* [count], by id; one an id */
    int64_t count;
} tkp__added_specs;

/* added_tokens of tokenizer.json and added_tokens_decoder of its config taken
 * together; either may be NULL. Where both name a token the first file's flags
 * hold, and it is special if either says so. */
tkp_status tkp__added_specs_parse(
    tkp__added_specs *specs,
    const json_t *added,
    const json_t *config_added);
void tkp__added_specs_free(tkp__added_specs *specs);

/* --- vocabulary -------------------------------------------------------- */

enum tkp__piece_flags {
    TKP__PIECE_MODEL = 1, /* in model.vocab: BPE may produce it */
    TKP__PIECE_ADDED = 2,
    TKP__PIECE_SPECIAL = 4 /* left out by skip_special */
};

typedef struct tkp__piece {
    char *text; /* NULL: no piece has this id */
    uint32_t bytes;
    uint32_t flags;
} tkp__piece;

typedef struct tkp__vocab {
    tkp__piece *pieces;  /* [count], by id */
    tkp__piece **sorted; /* [sorted_count], by bytes */
    char *arena;         /* the pieces' text, NUL after each */
    int64_t count;       /* largest id + 1 */
    int64_t sorted_count;
} tkp__vocab;

tkp_status tkp__vocab_parse(
    tkp__vocab *vocab,
    json_t *model_vocab,
    const tkp__added_specs *added);
void tkp__vocab_free(tkp__vocab *vocab);
/* Id, or -1. */
int32_t
tkp__vocab_find(const tkp__vocab *vocab, const char *text, size_t bytes);

/* --- normalizer -------------------------------------------------------- */

enum tkp__normalize_kind {
    TKP__NORMALIZE_PREPEND, /* `content` before text that is not empty */
    TKP__NORMALIZE_REPLACE, /* `pattern` by `content` */
    TKP__NORMALIZE_NFC
};

typedef struct tkp__normalize_step {
    int32_t kind;
    char *pattern;
    char *content;
} tkp__normalize_step;

typedef struct tkp__normalizer {
    tkp__normalize_step steps[TKP__TEXT_MAX_STEPS];
    int32_t count;
} tkp__normalizer;

tkp_status
tkp__normalizer_parse(tkp__normalizer *normalizer, const json_t *section);
void tkp__normalizer_free(tkp__normalizer *normalizer);
/* The result is in `out`; `scratch` is used on the way. */
tkp_status tkp__normalizer_run(
    const tkp__normalizer *normalizer,
    const char *text,
    size_t bytes,
    tkp__text_buffer *out,
    tkp__text_buffer *scratch);

/* `text` in its canonical composed form (NFC), appended to `out`. */
tkp_status tkp__text_nfc(tkp__text_buffer *out, const char *text, size_t bytes);

/* All of `pattern` in `text` replaced, left to right, appended to `out`. */
tkp_status tkp__text_replace(
    tkp__text_buffer *out,
    const char *text,
    size_t bytes,
    const char *pattern,
    const char *content);

/* --- added tokens ------------------------------------------------------ */

typedef struct tkp__added_token {
    char *match; /* as it stands in the text looked at */
    size_t bytes;
    int32_t id;
    bool single_word; /* not next to a word character */
    bool lstrip;      /* swallows white space before it */
    bool rstrip;      /* and after it */
} tkp__added_token;

/* Sorted by first byte, then longest first. */
typedef struct tkp__added_set {
    tkp__added_token *tokens;
    int32_t count;
    int32_t first[257]; /* tokens whose first byte is b: first[b]..first[b+1] */
} tkp__added_set;

typedef struct tkp__added_match {
    int32_t id;
    size_t begin;
    size_t end;
} tkp__added_match;

/* The tokens of `specs` that are looked for before normalising, or after. */
tkp_status tkp__added_set_create(
    tkp__added_set *set,
    const tkp__added_specs *specs,
    const tkp__normalizer *normalizer,
    bool normalized);
void tkp__added_set_free(tkp__added_set *set);
/* Where the search stands: start at {0, 0}. False when there is no more. */
typedef struct tkp__added_cursor {
    size_t search; /* raw matches are looked for from here */
    size_t taken;  /* text before it was given out already */
} tkp__added_cursor;
bool tkp__added_next(
    const tkp__added_set *set,
    const char *text,
    size_t bytes,
    tkp__added_cursor *cursor,
    tkp__added_match *match);

/* --- pre-tokenizer ----------------------------------------------------- */

typedef struct tkp__regex tkp__regex; /* tokenizer_regex.c: PCRE2 */

enum tkp__split_kind {
    TKP__SPLIT_METASPACE,    /* spaces to `mark`, `mark` in front, then split */
    TKP__SPLIT_REGEX,        /* matches and what is between them */
    TKP__SPLIT_PREFIX_SPACE, /* a space before text that has none */
    TKP__SPLIT_BYTE_ALPHABET /* each byte to its visible character */
};
enum tkp__prepend_scheme {
    TKP__PREPEND_ALWAYS,
    TKP__PREPEND_FIRST, /* only to the text's beginning */
    TKP__PREPEND_NEVER
};

typedef struct tkp__split_step {
    int32_t kind;
    int32_t prepend_scheme;
    bool split;   /* Metaspace: one word a mark */
    char mark[5]; /* one character */
    tkp__regex *regex;
} tkp__split_step;

typedef struct tkp__pretokenizer {
    tkp__split_step steps[TKP__TEXT_MAX_STEPS];
    int32_t count;
} tkp__pretokenizer;

tkp_status
tkp__pretokenizer_parse(tkp__pretokenizer *splitter, const json_t *section);
void tkp__pretokenizer_free(tkp__pretokenizer *splitter);

/* One run's memory; words come out one by one. */
typedef tkp_status (*tkp__word_fn)(void *user, const char *word, size_t bytes);
typedef struct tkp__pretokenize_run {
    const tkp__pretokenizer *splitter;
    tkp__word_fn word;
    void *user;
    tkp__text_buffer texts[TKP__TEXT_MAX_STEPS];
} tkp__pretokenize_run;
/* `at_start`: the text begins where the whole input began. */
tkp_status tkp__pretokenize(
    tkp__pretokenize_run *run,
    const char *text,
    size_t bytes,
    bool at_start);
void tkp__pretokenize_run_free(tkp__pretokenize_run *run);

tkp_status tkp__regex_compile(tkp__regex **out, const char *oniguruma);
void tkp__regex_destroy(tkp__regex *regex);
typedef struct tkp__regex_search tkp__regex_search;
tkp_status
tkp__regex_search_begin(tkp__regex_search **out, const tkp__regex *regex);
/* First match at or after `from`; *found false when there is none. */
tkp_status tkp__regex_search_next(
    tkp__regex_search *search,
    const char *text,
    size_t bytes,
    size_t from,
    bool *found,
    size_t *begin,
    size_t *end);
void tkp__regex_search_end(tkp__regex_search *search);

/* GPT-2's byte alphabet: 256 printable characters that stand for bytes. */
int32_t tkp__byte_to_code(unsigned char byte);
int32_t tkp__code_to_byte(int32_t code); /* -1: not in the alphabet */

/* --- byte-pair encoding ------------------------------------------------ */

typedef struct tkp__merge {
    uint64_t pair; /* left id in the upper half, right id in the lower */
    uint32_t rank;
    int32_t id;
} tkp__merge;

typedef struct tkp__bpe {
    tkp__merge *merges; /* [count], by pair */
    int64_t count;
    int32_t ascii_ids[128]; /* one-character pieces, -1 if none */
    int32_t byte_ids[256];  /* <0xHH>, -1 if none */
    int32_t unk_id;         /* -1: characters that are not known are dropped */
    bool fuse_unk;
    bool byte_fallback;
    bool ignore_merges; /* a word that is a piece is that piece */
} tkp__bpe;

tkp_status
tkp__bpe_parse(tkp__bpe *bpe, const tkp__vocab *vocab, const json_t *model);
void tkp__bpe_free(tkp__bpe *bpe);

typedef struct tkp__bpe_symbol tkp__bpe_symbol;
typedef struct tkp__bpe_candidate tkp__bpe_candidate;
typedef struct tkp__bpe_work {
    tkp__bpe_symbol *symbols;
    tkp__bpe_candidate *heap;
    size_t capacity; /* symbols; the heap has three times as many */
    size_t heap_count;
} tkp__bpe_work;
void tkp__bpe_work_free(tkp__bpe_work *work);
/* Appends the ids of one word. */
tkp_status tkp__bpe_word(
    const tkp__bpe *bpe,
    const tkp__vocab *vocab,
    tkp__bpe_work *work,
    const char *word,
    size_t bytes,
    tkp__id_list *out);

/* --- post-processor ---------------------------------------------------- */

typedef struct tkp__template {
    tkp__id_list before;
    tkp__id_list after;
} tkp__template;

tkp_status tkp__template_parse(
    tkp__template *affixes,
    const tkp__vocab *vocab,
    const json_t *section);
void tkp__template_free(tkp__template *affixes);

/* --- decoder ----------------------------------------------------------- */

enum tkp__decoder_kind {
    TKP__DECODER_PIECES, /* replace, byte fallback, fuse, strip */
    TKP__DECODER_METASPACE,
    TKP__DECODER_BYTE_LEVEL
};

typedef struct tkp__decoder {
    int32_t kind;
    tkp__normalizer replace; /* applied to each piece */
    bool byte_fallback;
    int32_t strip_count;  /* at most so many `strip` off the text's front */
    char strip[5];        /* one character; Metaspace: the mark */
    bool drop_first_mark; /* Metaspace: marks of the first piece vanish */
} tkp__decoder;

tkp_status tkp__decoder_parse(tkp__decoder *decoder, const json_t *section);
void tkp__decoder_free(tkp__decoder *decoder);

/* --- the whole --------------------------------------------------------- */

struct tkp__tokenizer {
    tkp__vocab vocab;
    tkp__normalizer normalizer;
    tkp__added_set added_raw;
    tkp__added_set added_normalized;
    tkp__pretokenizer pretokenizer;
    tkp__bpe bpe;
    tkp__template affixes;
    tkp__decoder decoder;
};

/* What tokenizer.json would say of a Qwen2 checkpoint that has vocab.json
 * (whose object `vocab` is) and merges.txt instead; json_decref() it. */
tkp_status tkp__qwen2_layout(
    json_t **out,
    json_t *vocab,
    const char *merges,
    size_t merges_bytes,
    const json_t *config);

/* As tkp__tokenizer_load, of file contents in memory. `config` (the text of
 * tokenizer_config.json) may be NULL. */
tkp_status tkp__tokenizer_load_memory(
    tkp__tokenizer **out,
    const char *json,
    size_t json_bytes,
    const char *config,
    size_t config_bytes);

#endif
