#include "engine/config/whole_file.h"

#include <errno.h>
#include <stdlib.h>

#define ROOM_MIN 4096u

char *
whole_file_read(FILE *file, size_t size_max, size_t *size)
{
    size_t room = ROOM_MIN;
    char *text = malloc(room);
    *size = 0;
    while (text != NULL) {
        *size += fread(text + *size, 1, room - *size, file);
        if (*size < room) {
            break;
        }
        char *larger = room < size_max ? realloc(text, room * 2) : NULL;
        if (larger == NULL) {
            free(text);
            errno = room < size_max ? ENOMEM : EFBIG;
            return NULL;
        }
        text = larger;
        room *= 2;
    }
    if (text != NULL && ferror(file)) {
        free(text);
        text = NULL;
    }
    return text;
}
