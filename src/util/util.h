#ifndef TKP_UTIL_UTIL_H
#define TKP_UTIL_UTIL_H

/*
 * What every room may use: messages, memory, checked sizes, half types, views.
 * Built as a static archive and linked into each of our shared objects; the
 * one piece of state, the thread's last message, lives in libtokenprune and is
 * reached through tkp_sys_message_set().
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "tokenprune/status.h"
#include "tokenprune/tensor.h"

/* --- messages ---------------------------------------------------------- */

/* Set the thread's message (printf style) and give `status` back, so that the
 * failing line is `return tkp__fail(TKP_ERR_SHAPE, "...", ...)`. */
tkp_status tkp__fail(tkp_status status, const char *format, ...)
    __attribute__((format(printf, 2, 3), cold));

/* Put "prefix: " before the message that is there (a file name, mostly). */
tkp_status tkp__fail_prefix(tkp_status status, const char *format, ...)
    __attribute__((format(printf, 2, 3), cold));

#define TKP__CHECK(condition, status, ...)                                     \
    do {                                                                       \
        if (!(condition))                                                      \
            return tkp__fail((status), __VA_ARGS__);                           \
    } while (0)

#define TKP__TRY(call)                                                         \
    do {                                                                       \
        tkp_status tkp__try_status = (call);                                   \
        if (tkp__try_status != TKP_OK)                                         \
            return tkp__try_status;                                            \
    } while (0)

/* As TKP__TRY where there is something to release: sets `status`, goes out. */
#define TKP__TRY_OUT(call)                                                     \
    do {                                                                       \
        status = (call);                                                       \
        if (status != TKP_OK)                                                  \
            goto out;                                                          \
    } while (0)

/* --- memory ------------------------------------------------------------ */

/* 64-byte aligned; NULL with the message set when memory is out or the
 * product of count and size does not fit. Zero bytes give a valid pointer. */
void *tkp__alloc(size_t count, size_t size);
void *tkp__zalloc(size_t count, size_t size);
void *tkp__realloc(void *old, size_t old_bytes, size_t new_bytes);
char *tkp__strdup(const char *text);
void tkp__free(void *pointer);

/* --- checked sizes ----------------------------------------------------- */

static inline bool tkp__mul_size(size_t a, size_t b, size_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}
static inline bool tkp__add_size(size_t a, size_t b, size_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}
static inline bool tkp__mul_i64(int64_t a, int64_t b, int64_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}
static inline bool tkp__add_i64(int64_t a, int64_t b, int64_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}
static inline size_t tkp__align_up(size_t bytes, size_t alignment)
{
    return (bytes + alignment - 1) / alignment * alignment;
}

/* --- half types (round to nearest even; subnormals, inf and NaN kept) --- */

static inline float tkp__bf16_to_f32(uint16_t value)
{
    uint32_t bits = (uint32_t)value << 16;
    float out;
    memcpy(&out, &bits, sizeof(out));
    return out;
}
static inline uint16_t tkp__f32_to_bf16(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)((bits >> 16) | 0x40u);
    return (uint16_t)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}
float tkp__f16_to_f32(uint16_t value);
uint16_t tkp__f32_to_f16(float value);

/* Element i (not bytes) of memory of the given floating dtype. */
float tkp__load_f32(const void *data, int32_t dtype, int64_t i);
void tkp__store_f32(void *data, int32_t dtype, int64_t i, float value);

/* --- tensor views ------------------------------------------------------ */

static inline void *tkp__data(const tkp_tensor *t)
{
    return t->data ? (char *)t->data + t->byte_offset : NULL;
}
static inline bool tkp__present(const tkp_tensor *t)
{
    return t && t->dtype != TKP_DTYPE_NONE;
}
static inline bool tkp__is_float(int32_t dtype)
{
    return dtype == TKP_DTYPE_F32 || dtype == TKP_DTYPE_F16 ||
           dtype == TKP_DTYPE_BF16;
}

/* Legal view: ndim, dtype, sizes >= 0, the byte size fits, data present when
 * not empty (unless `descriptor`). `name` begins the message. */
tkp_status
tkp__check_view(const tkp_tensor *t, const char *name, bool descriptor);
/* First and one-past-last byte the view can touch; false when empty. */
bool tkp__extent(const tkp_tensor *t, const char **begin, const char **end);
bool tkp__overlap(const tkp_tensor *a, const tkp_tensor *b);

/* --- option structs (options.c) ------------------------------------------ */

/* Bytes up to and including `field`: how a published size is written down. */
#define TKP__SIZE_THROUGH(type, field)                                         \
    (offsetof(type, field) + sizeof(((type *)0)->field))

/* Every option and params struct says this of itself; see docs/abi.md. */
#define TKP__ASSERT_NO_PADDING(type, last)                                     \
    _Static_assert(                                                            \
        sizeof(type) == TKP__SIZE_THROUGH(type, last), "tail padding")

/*
 * Read an option struct of another (or our own) version into ours.
 *   equal    copied
 *   shorter  copied, the rest is zero: the caller is older
 *   longer   accepted only if what we do not know is zero: the caller is newer
 *   smaller than `min_size`, the first published one: not initialised
 * `name` begins the message. TKP_ERR_OPTION, dst untouched.
 */
tkp_status tkp__util_copy_options(
    void *dst,
    size_t dst_size,
    const void *src,
    uint32_t src_struct_size,
    size_t min_size,
    const char *name);

/* The other direction: fill a struct of the caller's, no further than its
 * struct_size (which stays), from ours of `src_size` bytes. */
tkp_status tkp__util_fill_struct(
    void *dst,
    const void *src,
    size_t src_size,
    size_t min_size,
    const char *name);

#endif
