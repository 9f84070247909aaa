#include "mllm/workspace_pool.h"

#include "tokenprune/sys/device.h"

static tkp__workspace *pop(tkp__workspace_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    tkp__workspace *w = pool->idle;
    if (w)
        pool->idle = w->next;
    pthread_mutex_unlock(&pool->lock);
    return w;
}

void tkp__workspace_give(tkp__workspace_pool *pool, tkp__workspace *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&pool->lock);
    tkp__workspace **at = &pool->idle;
    while (*at && (*at)->bytes > w->bytes)
        at = &(*at)->next;
    w->next = *at;
    *at = w;
    pthread_mutex_unlock(&pool->lock);
}

static void destroy(tkp__workspace_pool *pool, tkp__workspace *w)
{
    tkp_device_free(pool->context, w->data);
    tkp__free(w);
}

tkp_status tkp__workspace_take(
    tkp__workspace **out,
    tkp__workspace_pool *pool,
    uint64_t bytes)
{
    tkp__workspace *w = pop(pool);
    if (!w)
        w = tkp__zalloc(1, sizeof(*w));
    if (!w)
        return TKP_ERR_MEMORY;
    if (!w->data || w->bytes < bytes) {
        /* The largest there is has to make room for a larger one. */
        tkp_device_free(pool->context, w->data);
        w->data = NULL;
        w->bytes = bytes;
        const tkp_status status =
            tkp_device_alloc(pool->context, &w->data, bytes);
        if (status != TKP_OK) {
            destroy(pool, w);
            return status;
        }
    }
    *out = w;
    return TKP_OK;
}

void tkp__workspace_pool_release(tkp__workspace_pool *pool)
{
    while (pool->idle)
        destroy(pool, pop(pool));
    pthread_mutex_destroy(&pool->lock);
}
