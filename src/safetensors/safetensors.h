#ifndef TKP_SAFETENSORS_SAFETENSORS_H
#define TKP_SAFETENSORS_SAFETENSORS_H

/*
 * Tensors in files: the safetensors container, mapped not read, and written.
 * An archive of its own, for the model's library and for the command.
 */

#include "util/util.h"

typedef struct tkp__safetensors tkp__safetensors; /* one mapped file */

tkp_status tkp__safetensors_open(tkp__safetensors **out, const char *path);
void tkp__safetensors_close(tkp__safetensors *file);
int64_t tkp__safetensors_count(const tkp__safetensors *file);
/* Name and view of entry i (read-only memory; valid until close). */
void tkp__safetensors_entry(
    const tkp__safetensors *file,
    int64_t i,
    const char **name,
    tkp_tensor *view);
/* False if absent. */
bool tkp__safetensors_find(
    const tkp__safetensors *file,
    const char *name,
    tkp_tensor *view);

/* Write a file; the tensors must be contiguous. */
tkp_status tkp__safetensors_write(
    const char *path,
    int64_t count,
    const char *const *names,
    const tkp_tensor *tensors);

#endif
