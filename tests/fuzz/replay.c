/*
 * Runs a fuzz target over files, or over the files of folders, without
 * libFuzzer: the corpus as an ordinary test.
 */

#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return 1;
    }
    fseek(file, 0, SEEK_END);
    const long size = ftell(file);
    rewind(file);
    /* Exactly as large as the file, so that reading past it is seen. */
    uint8_t *data = malloc(size > 0 ? (size_t)size : 1);
    int failed = 1;
    if (data && size >= 0 &&
        fread(data, 1, (size_t)size, file) == (size_t)size) {
        /* On a crash, the last line names the file. */
        printf("%s\n", path);
        fflush(stdout);
        LLVMFuzzerTestOneInput(data, (size_t)size);
        failed = 0;
    }
    free(data);
    fclose(file);
    return failed;
}

static int replay(const char *path, int *files)
{
    struct stat info;
    if (stat(path, &info) != 0) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return 1;
    }
    if (!S_ISDIR(info.st_mode)) {
        (*files)++;
        return replay_file(path);
    }
    struct dirent **entries;
    const int count = scandir(path, &entries, NULL, alphasort);
    if (count < 0)
        return 1;
    int failed = 0;
    for (int i = 0; i < count; i++) {
        if (entries[i]->d_name[0] != '.') {
            char child[4096];
            snprintf(child, sizeof(child), "%s/%s", path, entries[i]->d_name);
            failed |= replay(child, files);
        }
        free(entries[i]);
    }
    free(entries);
    return failed;
}

int main(int argc, char **argv)
{
    int failed = 0;
    int files = 0;
    for (int i = 1; i < argc; i++)
        failed |= replay(argv[i], &files);
    printf("%d inputs\n", files);
    return failed || files == 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
