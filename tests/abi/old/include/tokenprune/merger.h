#ifndef TOKENPRUNE_MERGER_H
#define TOKENPRUNE_MERGER_H

#include "tokenprune/selector.h"

TKP_BEGIN_DECLS

/*
 * A merger says where the content of dropped tokens goes. It replaces the rows
 * of kept tokens by new ones; which tokens are kept, and where they stand, is
 * the selector's.
 */

typedef struct tkp_merger tkp_merger;

enum tkp_merger_kind {
    TKP_MERGER_NONE = 0,           /* nowhere: kept rows stay as they are */
    TKP_MERGER_WINDOW_AVERAGE = 1, /* a kept row becomes its window's mean */
    TKP_MERGER_WINDOW_MAX = 2,     /* ... channel-wise maximum */
    TKP_MERGER_CUSTOM = 3          /* tkp_merger_vtable */
};

typedef struct tkp_merger_options {
    uint32_t struct_size;
    int32_t kind; /* enum tkp_merger_kind */
    int32_t adaptive_overlap; /* window grids of the budget's own shape: 1 =
                                 bins may overlap, floor(i h / h') ..
                                 ceil((i + 1) h / h'), as adaptive pooling
                                 does; 0 = the disjoint windows */
    int32_t reserved;
    const char *custom; /* custom: registered name; copied */
} tkp_merger_options;

#define TKP_MERGER_OPTIONS_INIT                                                \
    {                                                                          \
        (uint32_t)sizeof(tkp_merger_options), 0, 0, 0, NULL                    \
    }
TKP_API void tkp_merger_options_init(tkp_merger_options *options);

/**
 * Window mergers use the windows of the selector, which must keep one token of
 * each (TKP_ERR_OPTION otherwise); a reference on it is kept.
 */
TKP_API TKP_NODISCARD tkp_status tkp_merger_create(
    tkp_merger **out,
    tkp_context *context,
    const tkp_merger_options *options,
    tkp_selector *selector,
    const tkp_model_desc *model);
TKP_API void tkp_merger_destroy(tkp_merger *merger);

TKP_API TKP_NODISCARD tkp_status
tkp_merger_query(const tkp_merger *merger, tkp_requirements *requirements);

/**
 * @param[in]  inputs  hidden [R, D]
 * @param[in]  kept    [K] i32 as tkp_selector_run() gave them
 * @param[out] rows    [K, D] dtype of hidden: the new row of each kept token
 * @param[out] sizes   [K] f32 original tokens each stands for; may be NULL
 * @param[out] assignment [N] i32 entry of `kept` each candidate went to, -1 =
 *                     nowhere; may be NULL. Where windows overlap: the one
 *                     whose disjoint part holds it.
 */
TKP_API TKP_NODISCARD tkp_status tkp_merger_run(
    const tkp_merger *merger,
    tkp_exec *exec,
    const tkp_inputs *inputs,
    const tkp_tensor *kept,
    const tkp_tensor *rows,
    const tkp_tensor *sizes,
    const tkp_tensor *assignment);

typedef struct tkp_merger_vtable {
    uint32_t struct_size;
    uint32_t needs; /* enum tkp_need beside HIDDEN */
    /* As tkp_merger_run(); sizes and assignment are never NULL. */
    tkp_status (*run)(
        void *user,
        const tkp_batch_view *view,
        const tkp_inputs *inputs,
        const tkp_tensor *kept,
        tkp_exec *exec,
        const tkp_tensor *rows,
        const tkp_tensor *sizes,
        const tkp_tensor *assignment);
    void (*release)(void *user);
} tkp_merger_vtable;

TKP_API TKP_NODISCARD tkp_status tkp_merger_register(
    const char *name, const tkp_merger_vtable *vtable, void *user);
TKP_API TKP_NODISCARD tkp_status tkp_merger_unregister(const char *name);

TKP_END_DECLS

#endif
