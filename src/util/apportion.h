#ifndef TKP_UTIL_APPORTION_H
#define TKP_UTIL_APPORTION_H

#include "util/util.h"

/* tkp_apportion(): weights and limits may be anything from 0 up; no memory. */
tkp_status tkp__apportion(
    int64_t total,
    int64_t n,
    const int64_t *weight,
    const int64_t *limit,
    int64_t *share);

#endif
