#include "eval/item.h"

#include <errno.h>
#include <nettle/base64.h>
#include <stdio.h>

enum { MOST_IMAGES = 16384, MOST_ANSWERS = 4096, MOST_OPTIONS = 26 };

void tkp__eval_item_release(tkp__eval_item *item)
{
    char *const texts[] = {item->id,       item->group,    item->split,
                           item->category, item->question, item->text,
                           item->hint};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        tkp__free(texts[i]);
    for (int32_t i = 0; i < item->n_images; i++)
        tkp__free(item->images[i].path);
    for (int32_t i = 0; i < item->n_answers; i++)
        tkp__free(item->answers[i]);
    for (int32_t i = 0; i < item->n_options; i++)
        tkp__free(item->options[i].text);
    tkp__free(item->images);
    tkp__free(item->answers);
    tkp__free(item->options);
    json_decref(item->extra);
    *item = (tkp__eval_item){0};
}

/* Room for one more of `size` bytes; a list has room for the next power of
 * two. */
static tkp_status
grow(void **list, int32_t count, int32_t most, size_t size, const char *what)
{
    TKP__CHECK(
        count < most, TKP_ERR_FORMAT,
        "a question has more than %d %s, wanted at most as many", most, what);
    if (count & (count - 1))
        return TKP_OK;
    const size_t room = count ? 2 * (size_t)count : 1;
    void *moved = tkp__realloc(*list, (size_t)count * size, room * size);
    if (!moved)
        return TKP_ERR_MEMORY;
    *list = moved;
    return TKP_OK;
}

tkp_status tkp__eval_item_add_answer(tkp__eval_item *item, const char *text)
{
    TKP__TRY(grow(
        (void **)&item->answers, item->n_answers, MOST_ANSWERS, sizeof(char *),
        "answers"));
    char *copy = tkp__strdup(text);
    if (!copy)
        return TKP_ERR_MEMORY;
    item->answers[item->n_answers++] = copy;
    return TKP_OK;
}

tkp_status
tkp__eval_item_add_option(tkp__eval_item *item, char letter, const char *text)
{
    TKP__TRY(grow(
        (void **)&item->options, item->n_options, MOST_OPTIONS,
        sizeof(tkp__eval_option), "options"));
    char *copy = tkp__strdup(text);
    if (!copy)
        return TKP_ERR_MEMORY;
    item->options[item->n_options++] =
        (tkp__eval_option){.letter = letter, .text = copy};
    return TKP_OK;
}

static tkp_status add_image(tkp__eval_item *item, tkp__eval_image image)
{
    TKP__TRY(grow(
        (void **)&item->images, item->n_images, MOST_IMAGES,
        sizeof(tkp__eval_image), "pictures"));
    item->images[item->n_images++] = image;
    return TKP_OK;
}

tkp_status tkp__eval_item_add_file(tkp__eval_item *item, const char *path)
{
    char *copy = tkp__strdup(path);
    if (!copy)
        return TKP_ERR_MEMORY;
    const tkp_status status = add_image(item, (tkp__eval_image){.path = copy});
    if (status != TKP_OK)
        tkp__free(copy);
    return status;
}

tkp_status
tkp__eval_item_add_base64(tkp__eval_item *item, const char *text, size_t bytes)
{
    return add_image(
        item, (tkp__eval_image){.base64 = text, .base64_bytes = bytes});
}

/* --- pictures as bytes -------------------------------------------------------- */

static tkp_status decode_base64(
    unsigned char **out,
    size_t *bytes_out,
    const char *text,
    size_t bytes)
{
    struct base64_decode_ctx context;
    size_t used = BASE64_DECODE_LENGTH(bytes);
    unsigned char *data = tkp__alloc(used + 1, 1);
    if (!data)
        return TKP_ERR_MEMORY;
    base64_decode_init(&context);
    if (!base64_decode_update(&context, &used, data, bytes, text)) {
        tkp__free(data);
        return tkp__fail(
            TKP_ERR_FORMAT,
            "the picture has a character that is not base64, wanted A-Z, a-z, "
            "0-9, + and /");
    }
    if (!base64_decode_final(&context) || used == 0) {
        tkp__free(data);
        return tkp__fail(
            TKP_ERR_FORMAT,
            "the picture's base64 has %llu characters and is cut off",
            (unsigned long long)bytes);
    }
    *out = data;
    *bytes_out = used;
    return TKP_OK;
}

static tkp_status read_stream(
    unsigned char **out,
    size_t *bytes_out,
    FILE *file,
    const char *path)
{
    size_t used = 0, capacity = 1 << 16;
    unsigned char *data = tkp__alloc(capacity, 1);
    while (data) {
        used += fread(data + used, 1, capacity - used, file);
        if (used < capacity)
            break;
        unsigned char *moved = tkp__realloc(data, used, 2 * capacity);
        if (!moved)
            tkp__free(data);
        data = moved;
        capacity *= 2;
    }
    if (!data)
        return TKP_ERR_MEMORY;
    if (ferror(file)) {
        tkp__free(data);
        return tkp__fail(TKP_ERR_IO, "%s: %s", path, strerror(errno));
    }
    *out = data;
    *bytes_out = used;
    return TKP_OK;
}

tkp_status tkp__eval_image_bytes(
    unsigned char **out,
    size_t *bytes_out,
    const tkp__eval_image *image)
{
    if (!image->path)
        return decode_base64(
            out, bytes_out, image->base64, image->base64_bytes);
    FILE *file = fopen(image->path, "rb");
    if (!file)
        return tkp__fail(TKP_ERR_IO, "%s: %s", image->path, strerror(errno));
    const tkp_status status = read_stream(out, bytes_out, file, image->path);
    fclose(file);
    return status;
}

int32_t tkp__eval_item_option(const tkp__eval_item *item, char letter)
{
    for (int32_t i = 0; i < item->n_options; i++)
        if (item->options[i].letter == letter)
            return i;
    return -1;
}
