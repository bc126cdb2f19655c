/*
 * option_table: every option name there is, Mosquitto's 2.0 and 2.1 and our own, one row each, and what becomes of it.
 *
 * Nothing is passed over in silence: a name is read into a field, refused with what to do instead, or accepted with a warning. A name
 * that has no row is an error.
 *
 * Invariants
 *   O1  rows are sorted by name (option_find searches by halves).
 *   O2  a row that is read into a field names a field of the size that its kind needs.
 *   O3  a row that is refused or ignored says why in `remark`.
 *
 * Threads  any; the table never changes.
 */
#ifndef TIDEWIRE_ENGINE_CONFIG_OPTION_TABLE_H
#define TIDEWIRE_ENGINE_CONFIG_OPTION_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct config;
struct option;
struct parser;

enum option_kind {
    OPTION_BOOL,     /* true, false, 1, 0 */
    OPTION_NUMBER,   /* into 1, 2, 4 or 8 bytes without sign */
    OPTION_RATE,     /* so many a second, and optionally so many at once: struct config_rate */
    OPTION_STRING,   /* the rest of the line */
    OPTION_SPECIAL,  /* `read` knows */
    OPTION_REFUSED,  /* not supported; `remark` says what to do */
    OPTION_OFF_ONLY, /* a switch that is not supported: false is accepted, true refused */
    OPTION_IGNORED,  /* makes no difference here; a warning */
};

enum option_flag {
    OPTION_RELOADS = 1 << 0,          /* a reload changes it at run time */
    OPTION_OF_LISTENER = 1 << 1,      /* the field is in struct config_listener: the last listener's, or else the default listener's */
    OPTION_AFTER_LISTENER = 1 << 2,   /* ... and there has to be one, as in Mosquitto 2.1 */
    OPTION_NEGATIVE_IS_ZERO = 1 << 3, /* Mosquitto's way to say 'no limit' */
    OPTION_CAPPED = 1 << 4,           /* more than `max` is `max`, with a warning */
    OPTION_PREFIX = 1 << 5,           /* the name is the start of a family of names */
    OPTION_ALIAS = 1 << 6,            /* an older name of another row */
    OPTION_OF_SECURITY = 1 << 7,      /* the field is in struct config_security: the one for all, or with per_listener_settings the listener's */
    OPTION_FOR_ALL = 1 << 8,          /* for all listeners even with per_listener_settings, other than in Mosquitto */
};

struct option {
    const char *name;
    enum option_kind kind;
    unsigned flags;
    uint16_t offset, size; /* of the field */
    int64_t min, max;
    bool (*read)(struct parser *parser, const struct option *option, char *value);
    const char *remark;
};

const struct option *option_find(const char *name);
/* The known name with the fewest typing errors between, NULL if none is near. */
const char *option_nearest(const char *name);
const struct option *option_rows(size_t *count);
/* Asserts the invariants. For tests and fuzzing. */
void option_table_check(void);

/* True if `a` and `b` say the same for a row with a field; rows of listeners are compared over all listeners. */
bool option_same(const struct option *option, const struct config *a, const struct config *b);

#endif
