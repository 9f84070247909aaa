#ifndef TKP_CLI_DOCTOR_H
#define TKP_CLI_DOCTOR_H

#include "cli/cli.h"

/* Prune 16 tokens with known scores on this backend and look at the result. */
tkp_status tkp__doctor_selftest(const char *backend);

#endif
