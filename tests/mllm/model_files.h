#ifndef TESTS_MLLM_MODEL_FILES_H
#define TESTS_MLLM_MODEL_FILES_H

/*
 * Files for tests: the golden folder, scratch folders, whole files in memory.
 */

#include <check.h>
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tokenprune/status.h"
#include "util/util.h"

/* A path of the golden folder in a buffer of the caller. */
static inline const char *golden_path(char out[PATH_MAX], const char *name)
{
    const char *root = getenv("TKP_TEST_DATA");
    snprintf(out, PATH_MAX, "%s/%s", root ? root : "tests/golden", name);
    return out;
}

/* The whole file, to be released with free(). */
static inline uint8_t *read_whole(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    ck_assert_msg(file, "%s is not there", path);
    fseek(file, 0, SEEK_END);
    *size = (size_t)ftell(file);
    rewind(file);
    uint8_t *bytes = malloc(*size + 1);
    ck_assert(bytes && fread(bytes, 1, *size, file) == *size);
    bytes[*size] = 0;
    fclose(file);
    return bytes;
}

static inline void write_whole(const char *path, const void *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");
    ck_assert_msg(file, "%s cannot be written", path);
    ck_assert_uint_eq(fwrite(bytes, 1, size, file), size);
    ck_assert_int_eq(fclose(file), 0);
}

/* A scratch folder that knows how to go away (it has no folders in it). */
static inline void scratch_make(char out[PATH_MAX])
{
    const char *root = getenv("TMPDIR");
    snprintf(out, PATH_MAX, "%s/tkp-test-XXXXXX", root ? root : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(out));
}

static inline void scratch_remove(const char *folder)
{
    DIR *dir = opendir(folder);
    ck_assert_ptr_nonnull(dir);
    for (struct dirent *e = readdir(dir); e; e = readdir(dir)) {
        char path[PATH_MAX + 300];
        snprintf(path, sizeof(path), "%s/%s", folder, e->d_name);
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            unlink(path);
    }
    closedir(dir);
    rmdir(folder);
}

/* Copy every file of a golden folder into a scratch folder. */
static inline void scratch_copy(const char *folder, const char *golden)
{
    char source[PATH_MAX];
    golden_path(source, golden);
    DIR *dir = opendir(source);
    ck_assert_msg(dir, "%s is not there", source);
    for (struct dirent *e = readdir(dir); e; e = readdir(dir)) {
        if (e->d_name[0] == '.')
            continue;
        char from[PATH_MAX + 300];
        char to[PATH_MAX + 300];
        snprintf(from, sizeof(from), "%s/%s", source, e->d_name);
        snprintf(to, sizeof(to), "%s/%s", folder, e->d_name);
        size_t size;
        uint8_t *bytes = read_whole(from, &size);
        write_whole(to, bytes, size);
        free(bytes);
    }
    closedir(dir);
}

static inline uint64_t fnv1a(const void *bytes, size_t size)
{
    const uint8_t *p = bytes;
    uint64_t value = 0xcbf29ce484222325u;
    for (size_t i = 0; i < size; i++)
        value = (value ^ p[i]) * 0x100000001b3u;
    return value;
}

#define assert_message(part)                                                   \
    ck_assert_msg(                                                             \
        strstr(tkp_last_message(), (part)) != NULL,                            \
        "message is \"%s\", wanted \"%s\" in it", tkp_last_message(), (part))

#define assert_ok(call)                                                        \
    do {                                                                       \
        const tkp_status assert_ok_status = (call);                            \
        ck_assert_msg(                                                         \
            assert_ok_status == TKP_OK, "%s: %s",                              \
            tkp_status_string(assert_ok_status), tkp_last_message());          \
    } while (0)

#endif
