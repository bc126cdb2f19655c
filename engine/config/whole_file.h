/* whole_file: all of an open file in memory, up to a limit. For files that an operator names; a pipe will do. */
#ifndef TIDEWIRE_ENGINE_CONFIG_WHOLE_FILE_H
#define TIDEWIRE_ENGINE_CONFIG_WHOLE_FILE_H

#include <stddef.h>
#include <stdio.h>

/* From malloc. NULL and errno when it cannot be had; EFBIG: it has `size_max` bytes or more, rounded up to a power of two. */
char *whole_file_read(FILE *file, size_t size_max, size_t *size);

#endif
