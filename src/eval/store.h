#ifndef TKP_EVAL_STORE_H
#define TKP_EVAL_STORE_H

/*
 * The result store: one SQLite file a study. An answer is in it as soon as it
 * was made, so a run that was killed goes on where it stopped, and everything
 * that a report says is computed from here, without a model.
 *
 *   data    a data set as it was asked: card and questions by their hash
 *   item    its questions, as far as figures need them
 *   run     one model, data set, condition and way of asking
 *   answer  what a run said to an item, its score, what it cost
 *
 * Any number of processes may use a store at once: what one of them has stored
 * first stays.
 */

#include "util/util.h"

enum { TKP__STORE_VERSION = 1 };

typedef struct tkp__store tkp__store;

enum tkp__store_mode {
    TKP__STORE_READ,  /* the file must be there; nothing is written */
    TKP__STORE_WRITE, /* it is made if it is not there */
};

/*
 * TKP_ERR_IO  it cannot be opened; TKP_ERR_FORMAT  it is no database, or that
 * of another program; TKP_ERR_UNSUPPORTED  its schema is of another version.
 */
tkp_status tkp__store_open(tkp__store **out, const char *path, int32_t mode);
void tkp__store_close(tkp__store *store);
const char *tkp__store_path(const tkp__store *store);

/* --- what is stored ----------------------------------------------------------- */

/* Texts are never NULL: "" says that there is none. */

typedef struct tkp__store_data {
    const char *name;
    const char *hash;   /* of card and questions */
    const char *metric; /* name of the kind */
    const char *card;   /* JSON: box rule, where it came from */
    int64_t rows;       /* of the whole data set, before any limit */
} tkp__store_data;

typedef struct tkp__store_item {
    const char *name; /* the question's id */
    const char *group, *split, *category, *question, *gold;
    const char *extra; /* JSON: target cells and the like */
    int64_t position;  /* in the data set */
    int32_t options, rotation, images;
} tkp__store_item;

/* All but `machine` and `revision` are the run's identity: where any of it
 * differs it is another run. */
typedef struct tkp__store_run {
    const char *model, *model_hash;
    const char *settings;  /* JSON: tokens, dtype, limits, prompt family */
    const char *condition; /* name of the row: preset, file or control */
    const char *control;   /* "vanilla", "random", ...; "" = a method */
    const char *budget;    /* as it was asked for: "36", "1/4"; "" = own */
    const char *point;     /* "llm:1", ...; "" = own */
    const char *policy;    /* YAML; "" = no policy */
    uint64_t seed;
    const char *machine;  /* JSON: processor, backends, threads */
    const char *revision; /* of the library */
} tkp__store_run;

typedef struct tkp__store_answer {
    const char *prompt_hash;
    const char *text, *parsed;
    double value, measure;
    uint32_t flags;
    int32_t new_tokens;
    int32_t batch; /* asked together: costs and times are its share */
    /* cost */
    int64_t visual_before, visual_after;
    double equiv_in, macs, macs_unpruned;
    double kv_bytes, kv_bytes_unpruned;
    const char *layer_visual, *layer_tokens; /* JSON lists */
    const void *kept; /* cells by tkp__store_cells_pack(); NULL = all */
    size_t kept_bytes;
    /* seconds */
    double load_images, vision, prefill, pruning, decode;
    double score_seconds, select_seconds, merge_seconds, gather_seconds;
} tkp__store_answer;

/* --- writing ------------------------------------------------------------------ */

/* The row that is there already, or a new one. */
tkp_status tkp__store_put_data(
    tkp__store *store,
    int64_t *id_out,
    const tkp__store_data *data);
tkp_status tkp__store_put_item(
    tkp__store *store,
    int64_t *id_out,
    int64_t data,
    const tkp__store_item *item);
tkp_status tkp__store_put_run(
    tkp__store *store,
    int64_t *id_out,
    int64_t data,
    const tkp__store_run *run);

/* One transaction around many of the above; of answers each has its own. */
tkp_status tkp__store_begin(tkp__store *store);
tkp_status tkp__store_commit(tkp__store *store);

tkp_status
tkp__store_has(tkp__store *store, bool *out, int64_t run, int64_t item);
/* Nothing happens if there is an answer already. */
tkp_status tkp__store_put_answer(
    tkp__store *store,
    int64_t run,
    int64_t item,
    const tkp__store_answer *answer);

/* --- reading ------------------------------------------------------------------- */

/* Texts live until the function returns; what it returns ends the reading. */
typedef tkp_status (*tkp__store_run_fn)(
    void *user,
    int64_t id,
    const tkp__store_run *run,
    const tkp__store_data *data,
    int64_t data_id,
    int64_t answers);
/* In the order in which they were begun. */
tkp_status
tkp__store_each_run(tkp__store *store, tkp__store_run_fn call, void *user);

typedef tkp_status (*tkp__store_answer_fn)(
    void *user,
    int64_t item_id,
    const tkp__store_item *item,
    const tkp__store_answer *answer);
/* In the order of the data set. */
tkp_status tkp__store_each_answer(
    tkp__store *store,
    int64_t run,
    tkp__store_answer_fn call,
    void *user);

/* --- lists of cells (store_cells.c) --------------------------------------------- */

/* Ascending cells of one image behind those before it: their number and the
 * steps between them, seven bits a byte. */
typedef struct tkp__store_cells {
    unsigned char *bytes;
    size_t count, capacity;
} tkp__store_cells;

void tkp__store_cells_release(tkp__store_cells *cells);
tkp_status tkp__store_cells_add(
    tkp__store_cells *cells,
    const int32_t *values,
    int64_t count);

/* The next image's cells, at most `capacity` of them; *at starts with 0.
 * -1 behind the last, -2 if the bytes are damaged or the room is too small. */
int64_t tkp__store_cells_next(
    size_t *at,
    const void *bytes,
    size_t count,
    int32_t *values,
    int64_t capacity);

#endif
