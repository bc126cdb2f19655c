#include "engine/tls/tls_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* 0 or -errno. */
static int
read_all(FILE *stream, struct tls_file *file)
{
    struct stat status;
    if (fstat(fileno(stream), &status) != 0) {
        return -errno;
    }
    if (!S_ISREG(status.st_mode)) {
        return S_ISDIR(status.st_mode) ? -EISDIR : -EINVAL;
    }
    if (status.st_size > (off_t)TLS_FILE_BYTES_MAX) {
        return -EFBIG;
    }
    file->data = malloc((size_t)status.st_size + 1);
    if (file->data == NULL) {
        return -ENOMEM;
    }
    file->size = fread(file->data, 1, (size_t)status.st_size, stream);
    return ferror(stream) ? -EIO : 0;
}

bool
tls_file_read(struct tls_file *file, const char *option, const char *path, char *error, size_t error_size)
{
    *file = (struct tls_file){0};
    FILE *stream = fopen(path, "re");
    int result = stream != NULL ? 0 : -errno;
    if (stream != NULL) {
        setvbuf(stream, NULL, _IONBF, 0); /* no second copy of a key in a buffer that nobody wipes */
        result = read_all(stream, file);
        fclose(stream);
    }
    if (result != 0) {
        tls_file_forget(file);
        snprintf(error, error_size, "%s %s cannot be read: %s", option, path, strerror(-result));
    }
    return result == 0;
}

void
tls_file_forget(struct tls_file *file)
{
    if (file->data != NULL) {
        explicit_bzero(file->data, file->size);
    }
    free(file->data);
    *file = (struct tls_file){0};
}
