#ifndef TKP_SAFETENSORS_SAFETENSORS_FILE_H
#define TKP_SAFETENSORS_SAFETENSORS_FILE_H

/*
 * What reader, writer and weights share about the container: element types by
 * their names in the file.
 */

#include "safetensors/safetensors.h"

typedef struct tkp__st_dtype {
    const char *name;
    size_t bytes;
    int32_t dtype; /* TKP_DTYPE_NONE: known, but no tkp_tensor can show it */
} tkp__st_dtype;

/* NULL if the name is unknown. */
const tkp__st_dtype *tkp__st_dtype_by_name(const char *name);
/* NULL if it has no name there. */
const tkp__st_dtype *tkp__st_dtype_of(int32_t dtype);

/* Name in the file of entry i's type, for messages. */
const char *
tkp__safetensors_dtype_name(const tkp__safetensors *file, int64_t i);
/* Entry number of a name, or -1. */
int64_t tkp__safetensors_index(const tkp__safetensors *file, const char *name);
const char *tkp__safetensors_path(const tkp__safetensors *file);

#endif
