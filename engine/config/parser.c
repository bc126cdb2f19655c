#include "engine/config/parser.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/config/internal.h"
#include "engine/config/tls_options.h"
#include "engine/config/ways.h"
#include "engine/config/whole_file.h"

void
parser_init(struct parser *parser, struct config *config, bool follow, char *error, size_t error_size)
{
    *parser = (struct parser){.config = config, .file = "", .follow = follow, .error = error, .error_size = error_size};
    config_listener_init(&parser->fallback);
    if (error_size > 0) {
        error[0] = '\0';
    }
}

void
parser_fini(struct parser *parser)
{
    config_listener_fini(&parser->fallback);
}

/* ------------------------------------------------------------------------------------------------------------- messages */

/* One line stays one line, whatever the file holds. */
static void
hide_control_characters(char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f) {
            *text = '?';
        }
    }
}

/* 'file:line: ' and the text. Names of options are short enough; values are cut. */
static void
write_line(const struct parser *parser, char *out, size_t out_size, const char *format, va_list arguments)
{
    int used = parser->line > 0 ? snprintf(out, out_size, "%s:%u: ", parser->file, parser->line) : 0;
    if (used >= 0 && (size_t)used < out_size) {
        vsnprintf(out + used, out_size - (size_t)used, format, arguments);
    }
    if (out_size > 0) {
        hide_control_characters(out);
    }
}

bool
parser_refuse(struct parser *parser, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    write_line(parser, parser->error, parser->error_size, format, arguments);
    va_end(arguments);
    return false;
}

void
parser_warn(struct parser *parser, const char *format, ...)
{
    char line[1024];
    va_list arguments;

    va_start(arguments, format);
    write_line(parser, line, sizeof line, format, arguments);
    va_end(arguments);
    config_warn(parser->config, "%s", line);
}

/* ---------------------------------------------------------------------------------------------------------------- values */

struct config_listener *
parser_listener(struct parser *parser, const struct option *option)
{
    if (parser->listener == NULL) {
        parser->listener = &parser->fallback;
        if (parser->fallback_reason == NULL) {
            parser->fallback_reason = option->name;
        }
    }
    return parser->listener;
}

struct config_security *
parser_security(struct parser *parser, const struct option *option)
{
    parser->security_said = option->name;
    return parser->config->per_listener_settings ? &parser_listener(parser, option)->own : &parser->config->security;
}

static void
store_number(void *field, size_t size, int64_t number)
{
    switch (size) {
    case 1: *(uint8_t *)field = (uint8_t)number; break;
    case 2: *(uint16_t *)field = (uint16_t)number; break;
    case 4: *(uint32_t *)field = (uint32_t)number; break;
    default: *(uint64_t *)field = (uint64_t)number; break;
    }
}

static bool
read_switched_off(struct parser *parser, const struct option *option, char *value)
{
    bool on;
    if (!value_read_bool(parser, option, value, &on)) {
        return false;
    }
    return !on || parser_refuse(parser, "option '%s true' is not supported: %s", option->name, option->remark);
}

static bool
read_field(struct parser *parser, const struct option *option, char *value)
{
    char *base = (char *)parser->config;
    if (option->flags & OPTION_OF_LISTENER) {
        base = (char *)parser_listener(parser, option);
    } else if (option->flags & OPTION_OF_SECURITY) {
        base = (char *)parser_security(parser, option);
    }
    void *field = base + option->offset;

    int64_t number;
    switch (option->kind) {
    case OPTION_BOOL:
        return value_read_bool(parser, option, value, field);
    case OPTION_STRING:
        return value_read_string(parser, option, value, field);
    case OPTION_RATE:
        return value_read_rate(parser, option, value, field);
    default:
        if (!value_read_number(parser, option, value, option->min, option->max, &number)) {
            return false;
        }
        store_number(field, option->size, number);
        return true;
    }
}

static bool
read_value(struct parser *parser, const struct option *option, const char *name, char *value)
{
    if ((option->flags & OPTION_AFTER_LISTENER) && parser->listener == NULL) {
        return parser_refuse(parser, "option '%s' belongs to a listener: put it after a 'listener' line of this file", name);
    }
    if ((option->flags & OPTION_FOR_ALL) && parser->config->per_listener_settings) {
        parser_warn(parser, "option '%s' is for all listeners here, with 'per_listener_settings' too", name);
    }
    switch (option->kind) {
    case OPTION_REFUSED:
        return parser_refuse(parser, "option '%s' is not supported: %s", name, option->remark);
    case OPTION_IGNORED:
        parser_warn(parser, "option '%s' is ignored: %s", name, option->remark);
        return true;
    case OPTION_OFF_ONLY:
        return read_switched_off(parser, option, value);
    case OPTION_SPECIAL:
        return option->read(parser, option, value);
    default:
        return read_field(parser, option, value);
    }
}

/* ----------------------------------------------------------------------------------------------------------------- lines */

static bool
refuse_name(struct parser *parser, const char *name)
{
    if (name[0] == '#') {
        return parser_refuse(parser, "a comment starts in the first column of its line");
    }
    if (strchr(name, '\t') != NULL) {
        return parser_refuse(parser, "an option is separated from its value by spaces, not by a tab");
    }
    const char *near = option_nearest(name);
    if (near != NULL) {
        return parser_refuse(parser, "unknown option '%s'; did you mean '%s'?", name, near);
    }
    return parser_refuse(parser, "unknown option '%s'", name);
}

static bool
read_line(struct parser *parser, char *line)
{
    if (line[0] == '#') {
        return true;
    }
    char *name = value_next_word(&line);
    if (name == NULL) {
        return true;
    }
    const struct option *option = option_find(name);
    if (option == NULL) {
        return refuse_name(parser, name);
    }
    return read_value(parser, option, name, line);
}

/* Copies a line, so that values can be cut in place, and takes off its end: any number of CR. */
static bool
read_line_copy(struct parser *parser, const char *line, size_t size)
{
    while (size > 0 && line[size - 1] == '\r') {
        size--;
    }
    if (size > PARSER_LINE_MAX) {
        return parser_refuse(parser, "the line is longer than %u bytes", PARSER_LINE_MAX);
    }
    if (memchr(line, '\0', size) != NULL) {
        return parser_refuse(parser, "the line holds a NUL byte; is this a text file?");
    }
    char *copy = strndup(line, size);
    if (copy == NULL) {
        return parser_refuse(parser, "out of memory");
    }
    bool good = read_line(parser, copy);
    free(copy);
    return good;
}

bool
parser_read_text(struct parser *parser, const char *text, size_t size, const char *name)
{
    /* A file starts without a listener, and the one that includes it goes on with its own. */
    struct config_listener *outer_listener = parser->listener;
    const char *outer_file = parser->file;
    unsigned outer_line = parser->line;

    parser->listener = NULL;
    parser->file = name;
    parser->line = 0;

    const char *end = size > 0 ? text + size : text;
    while (text < end) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        const char *line_end = newline != NULL ? newline : end;
        parser->line++;
        if (!read_line_copy(parser, text, (size_t)(line_end - text))) {
            return false;
        }
        text = newline != NULL ? newline + 1 : end;
    }

    parser->listener = outer_listener;
    parser->file = outer_file;
    parser->line = outer_line;
    return true;
}

/* ----------------------------------------------------------------------------------------------------------------- files */

bool
parser_read_file(struct parser *parser, const char *path)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return parser_refuse(parser, "cannot open configuration file '%s': %s", path, strerror(errno));
    }
    size_t size;
    char *text = whole_file_read(file, PARSER_FILE_MAX, &size);
    int error = errno;
    fclose(file);
    if (text == NULL) {
        return parser_refuse(parser, "cannot read configuration file '%s': %s", path, strerror(error));
    }
    bool good = parser_read_text(parser, text, size, path);
    free(text);
    return good;
}

/* ------------------------------------------------------------------------------------------------------------- at the end */

/* Without a configured listener: loopback only, on 1883 or on the ports of -p, with what was said of the default listener. */
static bool
add_loopback(struct parser *parser)
{
    struct config *config = parser->config;
    unsigned count = config->command_port_count > 0 ? config->command_port_count : 1;

    for (unsigned i = 0; i < count; i++) {
        struct config_listener *listener = &config->listeners[config->listener_count++];
        *listener = parser->fallback;
        listener->port = config->command_port_count > 0 ? config->command_ports[i] : 1883;
        listener->loopback = true;
        listener->host = strdup("127.0.0.1");
        listener->file = strdup(config->command_port_count > 0 ? "command line" : "default");
        listener->line = 0;
        if (!config_security_copy(&listener->own, &parser->fallback.own) || listener->host == NULL || listener->file == NULL) {
            return parser_refuse(parser, "out of memory");
        }
    }
    return true;
}

/* Puts the default listener before the others. */
static bool
add_fallback(struct parser *parser)
{
    struct config *config = parser->config;
    if (config->listener_count == CONFIG_LISTENERS_MAX) {
        return parser_refuse(parser, "more than %d listeners", CONFIG_LISTENERS_MAX);
    }
    if (!parser->fallback_bound) {
        config_warn(config, "the default listener (port 1883, all interfaces) is started too, because '%s' comes before the first 'listener'",
                    parser->fallback_reason);
    }
    memmove(config->listeners + 1, config->listeners, config->listener_count * sizeof config->listeners[0]);
    config->listener_count++;
    config->listeners[0] = parser->fallback;
    parser->fallback = (struct config_listener){0};

    if (config->listeners[0].file == NULL) {
        config->listeners[0].file = strdup("default");
    }
    return config->listeners[0].file != NULL || parser_refuse(parser, "out of memory");
}

static const char *
host_name(const struct config_listener *listener)
{
    if (listener->unix_path != NULL) {
        return listener->unix_path;
    }
    return listener->interface != NULL ? listener->interface : listener->host != NULL ? listener->host : "all interfaces";
}

static bool
check_listeners_differ(struct parser *parser)
{
    const struct config *config = parser->config;
    for (unsigned i = 0; i < config->listener_count; i++) {
        const struct config_listener *a = &config->listeners[i];
        for (unsigned j = 0; j < i; j++) {
            const struct config_listener *b = &config->listeners[j];
            if (config_listener_same_address(a, b)) {
                return parser_refuse(parser, "%s:%u: port %u on %s is listened on already by %s:%u", a->file, a->line, a->port,
                                     host_name(a), b->file, b->line);
            }
        }
    }
    return true;
}

/* Clients show who they are below MQTT. A certificate that is not required is not looked at. */
static bool
has_names(const struct config_listener *listener)
{
    return listener->require_certificate || listener->psk_hint != NULL || listener->proxy_protocol == 2;
}

/* Such a broker would refuse everyone; better to say so at start. */
static bool
check_somebody_may_come(struct parser *parser, bool configured)
{
    struct config *config = parser->config;
    for (unsigned i = 0; i < config->listener_count; i++) {
        struct config_listener *listener = &config->listeners[i];
        listener->allow_anonymous = config_settle_anonymous(config, listener, configured);
        if (!has_names(listener) && (listener->use_identity_as_username || listener->use_subject_as_username || listener->clientid_is_certificate)) {
            return parser_refuse(parser, "%s:%u: the listener on port %u asks for the names of certificates or pre-shared keys, and there are none: "
                                 "'require_certificate true', 'psk_hint' and 'enable_proxy_protocol 2' bring them", listener->file, listener->line, listener->port);
        }
        if (!config_has_way_in(config, i)) {
            return parser_refuse(parser, "%s:%u: the listener on port %u would keep everyone out: say 'allow_anonymous true', or name a 'password_file', "
                                         "'jwt_key_file', 'jwt_secret_file' or 'http_auth_url'",
                                 listener->file, listener->line, listener->port);
        }
    }
    return true;
}

bool
parser_finish(struct parser *parser)
{
    struct config *config = parser->config;
    parser->line = 0; /* what follows is not about one line */

    bool configured = config->listener_count > 0 || parser->fallback_bound;
    if (configured && parser->fallback_reason != NULL && !add_fallback(parser)) {
        return false;
    }
    if (configured && config->command_port_count > 0) {
        config_warn(config, "-p is ignored: the configuration file defines listeners");
    }
    if (!configured && !add_loopback(parser)) {
        return false;
    }
    if (!ways_check(parser) || !tls_options_check(parser) || !check_listeners_differ(parser) || !check_somebody_may_come(parser, configured)) {
        return false;
    }

    if (config->max_connect_packet_size > config->max_packet_size) {
        config->max_connect_packet_size = config->max_packet_size;
    }
    config->persistence_segment_size -= config->persistence_segment_size % CONFIG_SEGMENT_ALIGN;
    if (config->verbose) {
        config->log_types = UINT32_MAX;
    }
    return true;
}

struct config *
config_parse_text(const char *text, size_t size, const char *name, bool follow, char *error, size_t error_size)
{
    struct config *config = config_new();
    if (config == NULL) {
        snprintf(error, error_size, "out of memory");
        return NULL;
    }
    struct parser parser;
    parser_init(&parser, config, follow, error, error_size);
    if (!parser_read_text(&parser, text, size, name) || !parser_finish(&parser)) {
        config_free(&config);
    }
    parser_fini(&parser);
    return config;
}
