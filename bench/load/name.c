#include "bench/load/name.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* A client identifier inside a topic, and a number. */
#define LONGEST_INSERT 96u
#define LONGEST_NAME 240u

const char *
name_check(const char *template, bool may_have_client_id)
{
    size_t inserts = 0;

    if (*template == '\0') {
        return "is empty";
    }
    for (const char *at = strchr(template, '%'); at != NULL; at = strchr(at + 2, '%')) {
        if (at[1] != 'i' && at[1] != '%' && !(at[1] == 'c' && may_have_client_id)) {
            return may_have_client_id ? "only %i, %c and %% are known" : "only %i and %% are known";
        }
        inserts += at[1] == 'c' ? LONGEST_INSERT : 20;
    }
    return strlen(template) + inserts > LONGEST_NAME ? "is too long" : NULL;
}

static size_t
write_insert(char what, const struct options *o, uint32_t number, uint32_t index, char *out, size_t room)
{
    int size = 1;

    switch (what) {
    case 'i': size = snprintf(out, room, "%" PRIu64, o->first + number); break;
    case 'c': name_write_client_id(o, index, out, room); return strlen(out);
    default: snprintf(out, room, "%%"); break;
    }
    return (size_t)size < room ? (size_t)size : room - 1;
}

void
name_write(const char *template, const struct options *o, uint32_t number, uint32_t index, char *out, size_t room)
{
    size_t used = 0;

    for (const char *at = template; *at != '\0' && used + 1 < room; at++) {
        if (*at == '%') {
            used += write_insert(*++at, o, number, index, out + used, room - used);
        } else {
            out[used++] = *at;
        }
    }
    out[used] = '\0';
}

void
name_write_client_id(const struct options *o, uint32_t index, char *out, size_t room)
{
    if (o->client_id != NULL) {
        name_write(o->client_id, o, index, index, out, room < LONGEST_INSERT ? room : LONGEST_INSERT);
    } else {
        snprintf(out, room, "bench%dx%u", o->run, index);
    }
}
