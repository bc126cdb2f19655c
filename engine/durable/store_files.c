#include "engine/durable/store_files.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
store_files_join(char out[STORE_PATH_MAX], const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(out, STORE_PATH_MAX, format, arguments);
    va_end(arguments);
    assert(size < STORE_PATH_MAX);
}

int
store_files_refuse(int result, char *error, size_t error_size, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(error, error_size, format, arguments);
    va_end(arguments);
    if (size >= 0 && (size_t)size < error_size) {
        snprintf(error + size, error_size - (size_t)size, ": %s", strerror(-result));
    }
    return result;
}

static void
add_name(void *context, const char *name)
{
    struct store_names *names = context;
    size_t size = strlen(name) + 1;
    if (names->size + size > names->room) {
        size_t room = 2 * names->room + size + 256;
        char *text = realloc(names->text, room);
        if (text == NULL) {
            names->result = -ENOMEM;
            return;
        }
        names->text = text;
        names->room = room;
    }
    memcpy(names->text + names->size, name, size);
    names->size += size;
}

int
store_files_list(struct io_set *ios, const char *directory, struct store_names *out)
{
    *out = (struct store_names){0};
    int result = io_directory_list(ios, directory, add_name, out);
    return result != 0 ? result : out->result;
}

void
store_names_free(struct store_names *names)
{
    free(names->text);
    *names = (struct store_names){0};
}

const char *
store_names_next(const struct store_names *names, const char *name)
{
    const char *next = name != NULL ? name + strlen(name) + 1 : names->text;
    return next != NULL && next < names->text + names->size ? next : NULL;
}

bool
store_files_is_there(struct io_set *ios, const char *path)
{
    struct io_file *file;
    int result = io_file_open(ios, path, 0, &file);
    if (result == 0) {
        io_file_close(&file);
    }
    /* One that cannot be opened is there. */
    return result != -ENOENT && result != -ENOTDIR;
}

/* A file, or a directory with what is in it. */
static int
remove_entry(struct io_set *ios, const char *path, unsigned depth)
{
    int result = io_remove(ios, path);
    return result == 0 || result == -ENOENT || depth == 0 ? result : store_files_remove_tree(ios, path, depth - 1);
}

int
store_files_remove_tree(struct io_set *ios, const char *path, unsigned depth)
{
    struct store_names names;
    char inside[STORE_PATH_MAX];
    int result = store_files_list(ios, path, &names);
    for (const char *name = NULL; result == 0 && (name = store_names_next(&names, name)) != NULL;) {
        store_files_join(inside, "%s/%s", path, name);
        result = remove_entry(ios, inside, depth);
    }
    store_names_free(&names);
    result = result != 0 ? result : io_remove(ios, path);
    return result == -ENOENT ? 0 : result;
}
