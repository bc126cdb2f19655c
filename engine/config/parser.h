/*
 * parser: mosquitto.conf's grammar, and the state that lasts from its first line to its last.
 *
 *      text ──► lines ──► name + value ──► row of option_table ──► field of struct config
 *
 * The grammar is Mosquitto's: a line is blank, a comment ('#' in its first column, nowhere else), or a name, spaces and a value. Options of a
 * listener belong to the last `listener` line of the same file. Internal to engine/config.
 *
 * Invariants
 *   P1  after the first error nothing more is read, and `error` holds the one line that explains it.
 *   P2  `listener` is NULL, points at `fallback`, or into config->listeners.
 *
 * Memory  the parser borrows `config` and `error`; parser_finish moves the fallback listener into the config or frees it.
 */
#ifndef TIDEWIRE_ENGINE_CONFIG_PARSER_H
#define TIDEWIRE_ENGINE_CONFIG_PARSER_H

#include "engine/config/config.h"
#include "engine/config/option_table.h"

#define PARSER_LINE_MAX 65536u    /* bytes; a string of MQTT cannot be longer. Raising it costs that much memory while reading */
#define PARSER_FILE_MAX (4u << 20) /* bytes; the whole file is read into memory */

struct parser {
    struct config *config;
    const char *file; /* being read */
    unsigned line;
    unsigned depth;   /* 1 while reading what include_dir names */
    bool follow;      /* include_dir is followed */

    struct config_listener *listener; /* the last one of this file */
    struct config_listener fallback;  /* the default listener: `port`, `bind_address`, options before any listener */
    const char *fallback_reason;      /* the option that brought it into being; NULL: it does not exist */
    bool fallback_bound;              /* it has a `port` or `bind_address`: it is not confined to loopback */
    const char *security_said;        /* the last option that per_listener_settings has to come before */

    bool log_types_said;
    bool log_destinations_said;

    char *error;
    size_t error_size;
};

void parser_init(struct parser *parser, struct config *config, bool follow, char *error, size_t error_size);
void parser_fini(struct parser *parser);

/* All return false after an error. */
__attribute__((warn_unused_result)) bool parser_read_text(struct parser *parser, const char *text, size_t size, const char *name);
__attribute__((warn_unused_result)) bool parser_read_file(struct parser *parser, const char *path);
/* What can be decided only at the end: the listeners, who may come in, what follows from other options. */
__attribute__((warn_unused_result)) bool parser_finish(struct parser *parser);

/* -------------------------------------------------------------------------------------------------- for what reads values */

/* Writes 'file:line: ' and the text to `error`. Always false. */
__attribute__((format(printf, 2, 3))) bool parser_refuse(struct parser *parser, const char *format, ...);
__attribute__((format(printf, 2, 3))) void parser_warn(struct parser *parser, const char *format, ...);

/* The listener that the current line speaks of. */
struct config_listener *parser_listener(struct parser *parser, const struct option *option);

/* Where the current line's security setting goes: to all, or with per_listener_settings to the listener. */
struct config_security *parser_security(struct parser *parser, const struct option *option);

/* The next word of the value, cut at a space; NULL at its end. */
char *value_next_word(char **value);
bool value_read_bool(struct parser *parser, const struct option *option, char *value, bool *out);
bool value_read_number(struct parser *parser, const struct option *option, char *value, int64_t min, int64_t max, int64_t *out);
/* 'RATE' or 'RATE BURST'; a burst that is not given is one second's worth. */
bool value_read_rate(struct parser *parser, const struct option *option, char *value, struct config_rate *out);
/* Replaces *out by a copy of the rest of the line without blanks around it. */
bool value_read_string(struct parser *parser, const struct option *option, char *value, char **out);
/* Seconds from '14d', '2m', 'never' (0). */
bool value_read_duration(struct parser *parser, const struct option *option, char *value, uint32_t *out);

#endif
