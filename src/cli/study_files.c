/* Pictures as files: those of tables lie in them as base64. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/study.h"

void tkp__study_files_close(tkp__study_files *files)
{
    for (int32_t i = 0; i < files->n_made; i++) {
        unlink(files->made[i]);
        tkp__free(files->made[i]);
    }
    for (int32_t i = 0; files->paths && i < files->n_items; i++)
        tkp__free((void *)files->paths[i]);
    if (files->folder[0])
        rmdir(files->folder);
    tkp__free((void *)files->paths);
    tkp__free(files->made);
    *files = (tkp__study_files){0};
}

static tkp_status make_folder(tkp__study_files *files)
{
    const char *root = getenv("TMPDIR");
    char name[sizeof(files->folder)];
    if (files->folder[0])
        return TKP_OK;
    TKP__CHECK(
        snprintf(
            name, sizeof(name), "%s/tokenprune-XXXXXX",
            root && *root && strlen(root) < 32 ? root : "/tmp") <
                (int)sizeof(name) &&
            mkdtemp(name),
        TKP_ERR_IO, "a folder for pictures cannot be made in %s: %s",
        root ? root : "/tmp", strerror(errno));
    memcpy(files->folder, name, sizeof(name));
    return TKP_OK;
}

static tkp_status write_file(const char *path, const tkp__eval_image *image)
{
    unsigned char *bytes;
    size_t count;
    TKP__TRY(tkp__eval_image_bytes(&bytes, &count, image));
    FILE *file = fopen(path, "wb");
    const bool written = file && fwrite(bytes, 1, count, file) == count;
    const bool closed = file && fclose(file) == 0;
    tkp__free(bytes);
    TKP__CHECK(written && closed, TKP_ERR_IO, "%s: %s", path, strerror(errno));
    return TKP_OK;
}

static tkp_status
unpack(tkp__study_files *files, const char **out, const tkp__eval_image *image)
{
    char path[sizeof(files->folder) + 24];
    TKP__TRY(make_folder(files));
    const size_t n = (size_t)files->n_made;
    char **moved =
        tkp__realloc(files->made, n * sizeof(char *), (n + 1) * sizeof(char *));
    if (!moved)
        return TKP_ERR_MEMORY;
    files->made = moved;
    snprintf(path, sizeof(path), "%s/%d", files->folder, files->n_made);
    moved[n] = tkp__strdup(path);
    if (!moved[n])
        return TKP_ERR_MEMORY;
    files->n_made++;
    *out = moved[n];
    return write_file(path, image);
}

static tkp_status
open_item(tkp__study_files *files, int32_t at, const tkp__eval_item *item)
{
    files->paths[at] =
        tkp__zalloc((size_t)item->n_images + 1, sizeof(const char *));
    if (!files->paths[at])
        return TKP_ERR_MEMORY;
    for (int32_t i = 0; i < item->n_images; i++) {
        const tkp__eval_image *image = &item->images[i];
        if (image->path)
            files->paths[at][i] = image->path;
        else
            TKP__TRY(unpack(files, &files->paths[at][i], image));
    }
    return TKP_OK;
}

tkp_status tkp__study_files_open(
    tkp__study_files *files,
    const tkp__eval_item *const *items,
    int32_t n_items)
{
    *files = (tkp__study_files){.n_items = n_items};
    files->paths = tkp__zalloc((size_t)n_items, sizeof(*files->paths));
    if (!files->paths)
        return TKP_ERR_MEMORY;
    for (int32_t i = 0; i < n_items; i++) {
        const tkp_status status = open_item(files, i, items[i]);
        if (status != TKP_OK)
            return tkp__fail_prefix(
                status, "question '%.60s' (row %lld)", items[i]->id,
                (long long)items[i]->row);
    }
    return TKP_OK;
}
