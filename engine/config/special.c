#include "engine/config/special.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>

#include "codec/bytes.h"
#include "engine/config/internal.h"

/* ------------------------------------------------------------------------------------------------------------- listeners */

/* Where a listener was configured, for messages. */
static bool
note_place(struct parser *parser, struct config_listener *listener)
{
    char *file = strdup(parser->file);
    if (file == NULL) {
        return parser_refuse(parser, "out of memory");
    }
    free(listener->file);
    listener->file = file;
    listener->line = parser->line;
    return true;
}

bool
special_read_listener(struct parser *parser, const struct option *option, char *value)
{
    const char *port_word = value_next_word(&value);
    const char *host = value_next_word(&value);
    if (port_word == NULL) {
        return parser_refuse(parser, "option 'listener' needs a port, and may name an address after it");
    }
    if (host != NULL && host[0] == '#') {
        host = NULL;
    }
    bool unix_socket = strcmp(port_word, "0") == 0;
    if (unix_socket && host == NULL) {
        return parser_refuse(parser, "option 'listener 0' is a Unix socket and needs its path, as in 'listener 0 /run/tidewire/mqtt.socket'");
    }
    char *rest = host != NULL ? value_next_word(&value) : NULL;
    if (rest != NULL && rest[0] != '#') {
        parser_warn(parser, "option 'listener': '%s' after the address is ignored", rest);
    }

    int64_t port;
    char port_copy[32];
    snprintf(port_copy, sizeof port_copy, "%s", port_word);
    if (!value_read_number(parser, option, port_copy, unix_socket ? 0 : 1, UINT16_MAX, &port)) {
        return false;
    }

    struct config *config = parser->config;
    if (config->listener_count == CONFIG_LISTENERS_MAX) {
        return parser_refuse(parser, "more than %d listeners", CONFIG_LISTENERS_MAX);
    }
    struct config_listener *listener = &config->listeners[config->listener_count];
    config_listener_init(listener);
    listener->port = (uint16_t)port;
    char **name = unix_socket ? &listener->unix_path : &listener->host;
    *name = host != NULL ? strdup(host) : NULL;
    if (host != NULL && *name == NULL) {
        return parser_refuse(parser, "out of memory");
    }
    config->listener_count++;
    parser->listener = listener;
    return note_place(parser, listener);
}

/* `port` and `bind_address` speak of the default listener wherever they stand, and it is the last listener from then on. */
static bool
bind_fallback(struct parser *parser, const struct option *option)
{
    parser->listener = &parser->fallback;
    parser->fallback_bound = true;
    if (parser->fallback_reason == NULL) {
        parser->fallback_reason = option->name;
    }
    return note_place(parser, &parser->fallback);
}

bool
special_read_port(struct parser *parser, const struct option *option, char *value)
{
    int64_t port;
    if (!value_read_number(parser, option, value, 1, UINT16_MAX, &port)) {
        return false;
    }
    parser->fallback.port = (uint16_t)port;
    return bind_fallback(parser, option);
}

bool
special_read_bind_address(struct parser *parser, const struct option *option, char *value)
{
    if (parser->fallback.host != NULL) {
        return parser_refuse(parser, "option 'bind_address' is given twice; use one 'listener port address' line for each address");
    }
    return value_read_string(parser, option, value, &parser->fallback.host) && bind_fallback(parser, option);
}

/* Of the default listener it is another way to bind it. */
bool
special_read_bind_interface(struct parser *parser, const struct option *option, char *value)
{
    if (parser->listener == NULL || parser->listener == &parser->fallback) {
        return value_read_string(parser, option, value, &parser->fallback.interface) && bind_fallback(parser, option);
    }
    return value_read_string(parser, option, value, &parser->listener->interface);
}

bool
special_read_socket_domain(struct parser *parser, const struct option *option, char *value)
{
    const char *word = value_next_word(&value);
    struct config_listener *listener = parser_listener(parser, option);
    bool ipv4 = word != NULL && strcmp(word, "ipv4") == 0;
    bool ipv6 = word != NULL && strcmp(word, "ipv6") == 0;
    if (!ipv4 && !ipv6) {
        return parser_refuse(parser, "option 'socket_domain' is ipv4 or ipv6; leave it out for both");
    }
    listener->ipv4_only = ipv4;
    listener->ipv6_only = ipv6;
    return true;
}

/* -------------------------------------------------------------------------------------------------------- who may come in */

static bool
read_answer(struct parser *parser, const struct option *option, char *value, uint8_t *out)
{
    bool yes;
    if (!value_read_bool(parser, option, value, &yes)) {
        return false;
    }
    *out = yes ? CONFIG_YES : CONFIG_NO;
    return true;
}

bool
special_read_allow_anonymous(struct parser *parser, const struct option *option, char *value)
{
    return read_answer(parser, option, value, &parser_security(parser, option)->allow_anonymous);
}

bool
special_read_listener_allow_anonymous(struct parser *parser, const struct option *option, char *value)
{
    if (parser->listener == &parser->fallback) {
        return parser_refuse(parser, "option 'listener_allow_anonymous' needs a 'listener' line before it; 'allow_anonymous' is for all listeners");
    }
    return read_answer(parser, option, value, &parser->listener->own.allow_anonymous);
}

/* As Mosquitto: once it is true it stays. */
bool
special_read_per_listener_settings(struct parser *parser, const struct option *option, char *value)
{
    bool on;
    if (!value_read_bool(parser, option, value, &on)) {
        return false;
    }
    if (on && !parser->config->per_listener_settings && parser->security_said != NULL) {
        return parser_refuse(parser, "option 'per_listener_settings' has to come before '%s', whose meaning it changes", parser->security_said);
    }
    parser->config->per_listener_settings |= on;
    return true;
}

/* Client identifiers are at most 65535 bytes; Mosquitto's bound keeps generated ones readable. */
bool
special_read_auto_id_prefix(struct parser *parser, const struct option *option, char *value)
{
    if (!value_read_string(parser, option, value, &parser->config->auto_id_prefix)) {
        return false;
    }
    return strlen(parser->config->auto_id_prefix) <= 50 || parser_refuse(parser, "option 'auto_id_prefix' is longer than 50 bytes");
}

/* Unlike for other texts, the last one wins in Mosquitto too. */
bool
special_read_user(struct parser *parser, const struct option *option, char *value)
{
    return value_read_string(parser, option, value, &parser->config->user);
}

/* -------------------------------------------------------------------------------------------------------------- include_dir */

/* Mosquitto's order: by letter, and the capital of a letter before its small form. */
static int
compare_names(const struct dirent **a, const struct dirent **b)
{
    const unsigned char *x = (const unsigned char *)(*a)->d_name, *y = (const unsigned char *)(*b)->d_name;
    for (; *x != '\0' && *y != '\0'; x++, y++) {
        int difference = toupper(*x) - toupper(*y);
        difference = difference != 0 ? difference : *x - *y;
        if (difference != 0) {
            return difference;
        }
    }
    return *x - *y;
}

static int
is_configuration(const struct dirent *entry)
{
    size_t size = strlen(entry->d_name);
    return size > 5 && strcmp(entry->d_name + size - 5, ".conf") == 0;
}

static bool
read_entry(struct parser *parser, const char *directory, const char *name)
{
    char *path;
    if (asprintf(&path, "%s/%s", directory, name) < 0) {
        return parser_refuse(parser, "out of memory");
    }
    parser->depth++;
    bool good = parser_read_file(parser, path);
    parser->depth--;
    free(path);
    return good;
}

bool
special_read_include_dir(struct parser *parser, const struct option *option, char *value)
{
    if (parser->depth > 0) {
        return parser_refuse(parser, "option 'include_dir' works only in the main configuration file");
    }
    char *directory = NULL;
    if (!value_read_string(parser, option, value, &directory)) {
        return false;
    }
    bool good = true;
    if (parser->follow) {
        struct dirent **entries;
        int count = scandir(directory, &entries, is_configuration, compare_names);
        if (count < 0) {
            good = parser_refuse(parser, "option 'include_dir': cannot read '%s': %s", directory, strerror(errno));
        }
        for (int i = 0; i < count; i++) {
            good = good && read_entry(parser, directory, entries[i]->d_name);
            free(entries[i]);
        }
        if (count >= 0) {
            free(entries);
        }
    }
    free(directory);
    return good;
}

/* -------------------------------------------------------------------------------------------------------------- logging */

struct word_bit {
    const char *word;
    uint32_t bit;
};

static const struct word_bit log_type_words[] = {
    {"error", CONFIG_LOG_ERROR},
    {"warning", CONFIG_LOG_WARNING},
    {"notice", CONFIG_LOG_NOTICE},
    {"information", CONFIG_LOG_INFORMATION},
    {"debug", CONFIG_LOG_DEBUG},
    {"subscribe", CONFIG_LOG_SUBSCRIBE},
    {"unsubscribe", CONFIG_LOG_UNSUBSCRIBE},
    {"internal", CONFIG_LOG_INTERNAL},
    {"all", UINT32_MAX},
    {NULL, 0},
};

static const struct word_bit log_destination_words[] = {
    {"stderr", CONFIG_LOG_TO_STDERR},
    {"stdout", CONFIG_LOG_TO_STDOUT},
    {"syslog", CONFIG_LOG_TO_SYSLOG},
    {"topic", CONFIG_LOG_TO_TOPIC},
    {NULL, 0},
};

static uint32_t
find_bit(const struct word_bit *words, const char *word)
{
    for (; words->word != NULL; words++) {
        if (strcmp(words->word, word) == 0) {
            return words->bit;
        }
    }
    return 0;
}

/* The first line replaces the default, the others add to it; `none` starts over. */
static void
add_bit(uint32_t *bits, bool *said, uint32_t bit)
{
    *bits = (*said && bit != 0 ? *bits : 0) | bit;
    *said = true;
}

bool
special_read_log_type(struct parser *parser, const struct option *option, char *value)
{
    const char *word = value_next_word(&value);
    if (word == NULL) {
        return parser_refuse(parser, "option '%s' needs a value", option->name);
    }
    if (strcmp(word, "websockets") == 0) {
        parser_warn(parser, "option 'log_type websockets' is ignored: WebSocket connections are logged as all others are");
        return true;
    }
    uint32_t bit = find_bit(log_type_words, word);
    if (bit == 0 && strcmp(word, "none") != 0) {
        return parser_refuse(parser, "option 'log_type' is one of error, warning, notice, information, debug, subscribe, unsubscribe, internal, "
                             "none, all, not '%s'", word);
    }
    add_bit(&parser->config->log_types, &parser->log_types_said, bit);
    return true;
}

bool
special_read_log_dest(struct parser *parser, const struct option *option, char *value)
{
    struct config *config = parser->config;
    const char *word = value_next_word(&value);
    if (word == NULL) {
        return parser_refuse(parser, "option '%s' needs a value", option->name);
    }
    uint32_t bit = find_bit(log_destination_words, word);
    if (strcmp(word, "file") == 0) {
        if (config->log_file != NULL) {
            return parser_refuse(parser, "option 'log_dest file' is given twice; there can be one log file");
        }
        if (!value_read_string(parser, option, value, &config->log_file)) {
            return false;
        }
        bit = CONFIG_LOG_TO_FILE;
    }
    if (bit == 0 && strcmp(word, "none") != 0) {
        return parser_refuse(parser, "option 'log_dest' is one of stderr, stdout, syslog, topic, file PATH, none, not '%s'", word);
    }
    add_bit(&config->log_destinations, &parser->log_destinations_said, bit);
    return true;
}

/* The logger gives a time 128 bytes; a format that needs more would lose the time without a word. */
bool
special_read_log_timestamp_format(struct parser *parser, const struct option *option, char *value)
{
    if (!value_read_string(parser, option, value, &parser->config->log_timestamp_format)) {
        return false;
    }
    char text[128];
    struct tm longest = {.tm_year = 8099, .tm_mon = 8, .tm_mday = 29, .tm_wday = 3, .tm_yday = 271, .tm_hour = 23, .tm_min = 59, .tm_sec = 59};
    return strftime(text, sizeof text, parser->config->log_timestamp_format, &longest) > 0 ||
           parser_refuse(parser, "option 'log_timestamp_format' gives more than %zu bytes, or nothing", sizeof text - 1);
}

bool
special_read_log_facility(struct parser *parser, const struct option *option, char *value)
{
    static const int facilities[] = {LOG_LOCAL0, LOG_LOCAL1, LOG_LOCAL2, LOG_LOCAL3, LOG_LOCAL4, LOG_LOCAL5, LOG_LOCAL6, LOG_LOCAL7};
    int64_t number;
    if (!value_read_number(parser, option, value, 0, 7, &number)) {
        return false;
    }
    parser->config->log_facility = facilities[number];
    return true;
}

/* ---------------------------------------------------------------------------------------------------------------- numbers */

/* 0 and everything below it are Mosquitto's 'no limit'. */
bool
special_read_max_inflight_messages(struct parser *parser, const struct option *option, char *value)
{
    int64_t number;
    if (!value_read_number(parser, option, value, 0, UINT16_MAX, &number)) {
        return false;
    }
    parser->config->max_inflight_messages = number == 0 ? UINT16_MAX : (uint16_t)number;
    return true;
}

bool
special_read_message_size_limit(struct parser *parser, const struct option *option, char *value)
{
    int64_t number;
    if (!value_read_number(parser, option, value, 0, BYTES_VARINT_MAX, &number)) {
        return false;
    }
    return number == 0 || parser_refuse(parser, "option 'message_size_limit' is not supported: use 'max_packet_size', which counts the whole packet");
}

bool
special_read_persistence_sync(struct parser *parser, const struct option *option, char *value)
{
    const char *word = value_next_word(&value);
    struct config *config = parser->config;
    if (word != NULL && strcmp(word, "interval") == 0) {
        int64_t ms;
        if (!value_read_number(parser, option, value, 1, 3600000, &ms)) {
            return false;
        }
        config->persistence_sync = CONFIG_SYNC_INTERVAL;
        config->persistence_interval_ms = (uint32_t)ms;
        return true;
    }
    bool always = word != NULL && strcmp(word, "always") == 0;
    if (!always && (word == NULL || strcmp(word, "none") != 0)) {
        return parser_refuse(parser, "option '%s' is always, interval with a number of milliseconds, or none", option->name);
    }
    config->persistence_sync = always ? CONFIG_SYNC_ALWAYS : CONFIG_SYNC_NONE;
    return true;
}

bool
special_read_persistent_client_expiration(struct parser *parser, const struct option *option, char *value)
{
    return value_read_duration(parser, option, value, &parser->config->persistent_client_expiration_s);
}

/* Minutes in the file, as in Mosquitto 2.1; 10 000 000 of them are 19 years. */
bool
special_read_retain_expiry_interval(struct parser *parser, const struct option *option, char *value)
{
    int64_t minutes;
    if (!value_read_number(parser, option, value, 1, 10000000, &minutes)) {
        return false;
    }
    parser->config->retain_expiry_interval_s = (uint32_t)(minutes * 60);
    return true;
}

/* -------------------------------------------------------------------------------------------------------------- limits */

bool
special_read_publish_rate_action(struct parser *parser, const struct option *option, char *value)
{
    const char *word = value_next_word(&value);
    bool refuse = word != NULL && strcmp(word, "refuse") == 0;
    if (!refuse && (word == NULL || strcmp(word, "delay") != 0)) {
        return parser_refuse(parser, "option '%s' is delay or refuse", option->name);
    }
    parser->config->publish_rate_refuses = refuse;
    return true;
}
