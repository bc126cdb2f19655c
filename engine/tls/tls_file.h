/* tls_file: a whole file of keys or certificates in memory, which is wiped afterwards. */
#ifndef TIDEWIRE_ENGINE_TLS_TLS_FILE_H
#define TIDEWIRE_ENGINE_TLS_TLS_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Lists of authorities of a whole operating system have some 200 KB, lists of revocations more. */
#define TLS_FILE_BYTES_MAX (16u << 20)

struct tls_file {
    uint8_t *data;
    size_t size;
};

/* False, and one line in `error` that begins with the option's name. */
bool tls_file_read(struct tls_file *file, const char *option, const char *path, char *error, size_t error_size);
void tls_file_forget(struct tls_file *file);

#endif
