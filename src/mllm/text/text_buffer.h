#ifndef TKP_MLLM_TEXT_TEXT_BUFFER_H
#define TKP_MLLM_TEXT_TEXT_BUFFER_H

/* Bytes and ids that grow. All-zero is a valid empty one. */

#include "util/util.h"

typedef struct tkp__text_buffer {
    char *data; /* NUL after the last byte once anything was put in */
    size_t bytes;
    size_t capacity;
} tkp__text_buffer;

typedef struct tkp__id_list {
    int32_t *ids;
    int64_t count;
    int64_t capacity;
} tkp__id_list;

/* Room for `extra` bytes more, and the NUL. */
tkp_status tkp__text_buffer_reserve(tkp__text_buffer *buffer, size_t extra);
tkp_status tkp__text_buffer_append(
    tkp__text_buffer *buffer,
    const char *text,
    size_t bytes);
tkp_status tkp__text_buffer_puts(tkp__text_buffer *buffer, const char *text);
void tkp__text_buffer_clear(tkp__text_buffer *buffer);
void tkp__text_buffer_free(tkp__text_buffer *buffer);

tkp_status tkp__id_list_append(tkp__id_list *list, int32_t id);
void tkp__id_list_free(tkp__id_list *list);

#endif
