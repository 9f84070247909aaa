#ifndef TKP_MLLM_WORKSPACE_POOL_H
#define TKP_MLLM_WORKSPACE_POOL_H

/*
 * Workspaces that calls of generate() hand on to each other. A model has one
 * pool for all threads that use it. It never holds more of them than there were
 * calls at the same time, nor larger ones than a call asked for.
 */

#include <pthread.h>

#include "tokenprune/context.h"
#include "util/util.h"

typedef struct tkp__workspace {
    struct tkp__workspace *next; /* in the pool */
    void *data;
    uint64_t bytes;
} tkp__workspace;

typedef struct tkp__workspace_pool {
    pthread_mutex_t lock;
    tkp__workspace *idle; /* largest first */
    tkp_context *context; /* on whose device they lie */
} tkp__workspace_pool;

#define TKP__WORKSPACE_POOL_INIT(context)                                      \
    {                                                                          \
        PTHREAD_MUTEX_INITIALIZER, NULL, context                               \
    }

/* One of at least `bytes`; what it holds is left from before. */
tkp_status tkp__workspace_take(
    tkp__workspace **out,
    tkp__workspace_pool *pool,
    uint64_t bytes);
/* NULL is nothing. */
void tkp__workspace_give(tkp__workspace_pool *pool, tkp__workspace *workspace);
/* When all have been given back. */
void tkp__workspace_pool_release(tkp__workspace_pool *pool);

#endif
