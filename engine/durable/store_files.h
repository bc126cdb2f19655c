/*
 * store_files: what a store does with names of files and directories. All of it blocks, and is for the start.
 */
#ifndef TIDEWIRE_ENGINE_DURABLE_STORE_FILES_H
#define TIDEWIRE_ENGINE_DURABLE_STORE_FILES_H

#include "engine/io/io.h"

/* Of a path with its end; store_open() refuses a location that leaves no room for what comes behind it. */
#define STORE_PATH_MAX 4096

/* As sprintf(), into a path. */
__attribute__((format(printf, 2, 3))) void store_files_join(char out[STORE_PATH_MAX], const char *format, ...);

/* Writes the line to `error`, with what `result` (-errno) means behind it, and returns `result`. */
__attribute__((format(printf, 4, 5))) int store_files_refuse(int result, char *error, size_t error_size, const char *format, ...);

/* Names in a directory, one after the other with a zero behind each. */
struct store_names {
    char *text;
    size_t size, room;
    int result; /* -ENOMEM: not all of them */
};

/* 0 or -errno. To be freed in both cases. */
int store_files_list(struct io_set *ios, const char *directory, struct store_names *out);
void store_names_free(struct store_names *names);
/* The one behind `name`, or the first one for NULL; NULL: that was all. */
const char *store_names_next(const struct store_names *names, const char *name);

bool store_files_is_there(struct io_set *ios, const char *path);
/* The directory, and up to `depth` levels of directories in it. 0 or -errno; 0 also if it is not there. */
int store_files_remove_tree(struct io_set *ios, const char *path, unsigned depth);

#endif
