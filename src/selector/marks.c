#include "selector/selector.h"

void tkp__selector_reconcile(
    uint8_t *mark,
    const int32_t *order,
    int32_t n,
    int32_t have,
    int32_t wanted)
{
    for (int32_t i = n - 1; have > wanted && i >= 0; i--)
        if (mark[order[i]]) {
            mark[order[i]] = 0;
            have--;
        }
    for (int32_t i = 0; have < wanted && i < n; i++)
        if (!mark[order[i]]) {
            mark[order[i]] = 1;
            have++;
        }
}
