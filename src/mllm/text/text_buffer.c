#include "mllm/text/text_buffer.h"

tkp_status tkp__text_buffer_reserve(tkp__text_buffer *buffer, size_t extra)
{
    size_t wanted;
    TKP__CHECK(
        tkp__add_size(buffer->bytes, extra, &wanted) &&
            tkp__add_size(wanted, 1, &wanted) && wanted < SIZE_MAX / 4,
        TKP_ERR_MEMORY, "text of %zu + %zu bytes does not fit", buffer->bytes,
        extra);
    if (wanted <= buffer->capacity)
        return TKP_OK;
    size_t capacity = wanted + wanted / 2 + 64;
    char *data = tkp__realloc(buffer->data, buffer->bytes, capacity);
    if (!data)
        return TKP_ERR_MEMORY;
    data[buffer->bytes] = '\0';
    buffer->data = data;
    buffer->capacity = capacity;
    return TKP_OK;
}

tkp_status tkp__text_buffer_append(
    tkp__text_buffer *buffer,
    const char *text,
    size_t bytes)
{
    TKP__TRY(tkp__text_buffer_reserve(buffer, bytes));
    if (bytes)
        memcpy(buffer->data + buffer->bytes, text, bytes);
    buffer->bytes += bytes;
    buffer->data[buffer->bytes] = '\0';
    return TKP_OK;
}

tkp_status tkp__text_buffer_puts(tkp__text_buffer *buffer, const char *text)
{
    return tkp__text_buffer_append(buffer, text, strlen(text));
}

void tkp__text_buffer_clear(tkp__text_buffer *buffer)
{
    buffer->bytes = 0;
    if (buffer->data)
        buffer->data[0] = '\0';
}

void tkp__text_buffer_free(tkp__text_buffer *buffer)
{
    tkp__free(buffer->data);
    memset(buffer, 0, sizeof(*buffer));
}

tkp_status tkp__id_list_append(tkp__id_list *list, int32_t id)
{
    if (list->count == list->capacity) {
        const int64_t capacity = list->capacity + list->capacity / 2 + 64;
        int32_t *ids = tkp__realloc(
            list->ids, (size_t)list->count * sizeof(*ids),
            (size_t)capacity * sizeof(*ids));
        if (!ids)
            return TKP_ERR_MEMORY;
        list->ids = ids;
        list->capacity = capacity;
    }
    list->ids[list->count++] = id;
    return TKP_OK;
}

void tkp__id_list_free(tkp__id_list *list)
{
    tkp__free(list->ids);
    memset(list, 0, sizeof(*list));
}
