/*
 * replay_main: runs one harness over every file of the directories given as arguments, in the ordinary test run and with
 * any compiler. A directory without files is an error: a corpus that went missing must not look like a test that passed.
 */
#include <dirent.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Into a buffer of exactly its size, so that a sanitizer sees one byte read too many. False if it cannot be read. */
static bool
replay_file(const char *path, size_t size)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return false;
    }
    uint8_t *data = malloc(size > 0 ? size : 1);
    bool complete = data != NULL && fread(data, 1, size, file) == size;
    if (complete) {
        LLVMFuzzerTestOneInput(data, size);
    }
    free(data);
    fclose(file);
    return complete;
}

/* Files replayed, or -1. */
static long
replay_directory(const char *directory)
{
    DIR *dir = opendir(directory);
    if (dir == NULL) {
        perror(directory);
        return -1;
    }
    long count = 0;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        char path[PATH_MAX];
        struct stat about;
        snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        if (stat(path, &about) != 0 || !S_ISREG(about.st_mode)) {
            continue;
        }
        if (!replay_file(path, (size_t)about.st_size)) {
            fprintf(stderr, "%s: cannot be read\n", path);
            closedir(dir);
            return -1;
        }
        count++;
    }
    closedir(dir);
    return count;
}

int
main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: %s DIRECTORY...\n", argv[0]);
        return 2;
    }
    for (int i = 1; i < argc; i++) {
        long count = replay_directory(argv[i]);
        printf("%s: %ld inputs\n", argv[i], count);
        if (count <= 0) {
            return 1;
        }
    }
    return 0;
}
