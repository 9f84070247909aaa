#include "budget/budget.h"

#include "tokenprune/sys/base.h"

void tkp_budget_init(tkp_budget *budget)
{
    if (budget)
        *budget = (tkp_budget)TKP_BUDGET_INIT;
}

tkp_status tkp_budget_resolve(
    const tkp_budget *budget,
    int64_t n,
    int32_t boundary,
    int32_t layers,
    int64_t *keep_out)
{
    tkp_sys_message_clear();
    TKP__CHECK(budget, TKP_ERR_ARGUMENT, "budget is NULL");
    TKP__CHECK(keep_out, TKP_ERR_ARGUMENT, "keep_out is NULL");
    tkp_budget copy;
    TKP__TRY(tkp__budget_copy(&copy, budget, "budget"));
    TKP__CHECK(
        copy.kind != TKP_BUDGET_RANK, TKP_ERR_UNSUPPORTED,
        "budget: kind is rank, which attention decides; a sequence resolves "
        "it");
    return tkp__budget_resolve(&copy, n, 0, boundary, layers, keep_out);
}

tkp_status tkp_apportion(
    int64_t total,
    int64_t n,
    const int64_t *weight,
    const int64_t *limit,
    int64_t *share)
{
    tkp_sys_message_clear();
    TKP__CHECK(
        n >= 0, TKP_ERR_ARGUMENT, "n is %lld, wanted 0 or more", (long long)n);
    TKP__CHECK(
        n == 0 || (weight && limit && share), TKP_ERR_ARGUMENT,
        "weight, limit and share must not be NULL");
    return tkp__apportion(total, n, weight, limit, share);
}
