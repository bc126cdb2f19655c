#include "engine/config/ways.h"

#include <stdlib.h>
#include <string.h>

#include "codec/bytes.h"
#include "engine/config/special.h"

bool
special_read_protocol(struct parser *parser, const struct option *option, char *value)
{
    const char *word = value_next_word(&value);
    struct config_listener *listener = parser_listener(parser, option);
    if (word == NULL) {
        return parser_refuse(parser, "option 'protocol' needs a value");
    }
    listener->websockets = strcmp(word, "websockets") == 0;
    return listener->websockets || strcmp(word, "mqtt") == 0 || parser_refuse(parser, "option 'protocol %s' is not supported: it is mqtt or websockets", word);
}

/* --------------------------------------------------------------------------------------------------------- PROXY protocol */

bool
special_read_enable_proxy_protocol(struct parser *parser, const struct option *option, char *value)
{
    int64_t version;
    if (!value_read_number(parser, option, value, 1, 2, &version)) {
        return false;
    }
    parser_listener(parser, option)->proxy_protocol = (uint8_t)version;
    return true;
}

/* ------------------------------------------------------------------------------------------------------------ Unix sockets */

/* Octal, as chmod has it: `0660` and `660` are the same. */
bool
special_read_unix_socket_mode(struct parser *parser, const struct option *option, char *value)
{
    const char *word = value_next_word(&value);
    char *end = NULL;
    unsigned long mode = word != NULL ? strtoul(word, &end, 8) : 0;
    if (word == NULL || word[0] < '0' || word[0] > '7' || *end != '\0' || mode == 0 || mode > 0777) {
        return parser_refuse(parser, "option 'unix_socket_mode' is an octal number from 1 to 777, as in 'unix_socket_mode 0660'");
    }
    parser_listener(parser, option)->unix_mode = (uint32_t)mode;
    return true;
}

/* --------------------------------------------------------------------------------------------------------------- WebSocket */

bool
special_read_websockets_origin(struct parser *parser, const struct option *option, char *value)
{
    struct config_listener *listener = parser_listener(parser, option);
    if (listener->websockets_origin_count == CONFIG_ORIGINS_MAX) {
        return parser_refuse(parser, "more than %d times 'websockets_origin' for one listener", CONFIG_ORIGINS_MAX);
    }
    char *origin = NULL;
    if (!value_read_string(parser, option, value, &origin)) {
        free(origin);
        return false;
    }
    listener->websockets_origins[listener->websockets_origin_count++] = origin;
    return true;
}

bool
special_read_websockets_trusted_proxy(struct parser *parser, const struct option *option, char *value)
{
    struct config_listener *listener = parser_listener(parser, option);
    const char *word = value_next_word(&value);
    if (word == NULL) {
        return parser_refuse(parser, "option 'websockets_trusted_proxy' needs an address, a network as in 10.0.0.0/8, or 'unix'");
    }
    if (strcmp(word, "unix") == 0) {
        listener->websockets_trusts_unix = true;
        return true;
    }
    if (listener->websockets_proxy_count == CONFIG_PROXIES_MAX) {
        return parser_refuse(parser, "more than %d times 'websockets_trusted_proxy' for one listener", CONFIG_PROXIES_MAX);
    }
    struct address_network *network = &listener->websockets_proxies[listener->websockets_proxy_count];
    if (!address_parse_network(bytes_of(word, (uint32_t)strlen(word)), network)) {
        return parser_refuse(parser, "option 'websockets_trusted_proxy': '%s' is no address and no network (whose bits behind the '/' must be zero)", word);
    }
    listener->websockets_proxy_count++;
    return true;
}

bool
special_read_websockets_forwarded_header(struct parser *parser, const struct option *option, char *value)
{
    const char *word = value_next_word(&value);
    bool standard = word != NULL && strcmp(word, "forwarded") == 0;
    bool usual = word != NULL && strcmp(word, "x-forwarded-for") == 0;
    if (!standard && !usual) {
        return parser_refuse(parser, "option 'websockets_forwarded_header' is x-forwarded-for or forwarded");
    }
    parser_listener(parser, option)->websockets_forwarded = standard ? CONFIG_FORWARDED : CONFIG_X_FORWARDED_FOR;
    return true;
}

static bool
same_origins(const struct config_listener *a, const struct config_listener *b)
{
    bool same = a->websockets_origin_count == b->websockets_origin_count;
    for (unsigned i = 0; same && i < a->websockets_origin_count; i++) {
        same = strcmp(a->websockets_origins[i], b->websockets_origins[i]) == 0;
    }
    return same;
}

bool
ways_same_list(const struct option *option, const struct config_listener *a, const struct config_listener *b)
{
    if (option->read == special_read_websockets_origin) {
        return same_origins(a, b);
    }
    return a->websockets_proxy_count == b->websockets_proxy_count && a->websockets_trusts_unix == b->websockets_trusts_unix &&
           memcmp(a->websockets_proxies, b->websockets_proxies, a->websockets_proxy_count * sizeof a->websockets_proxies[0]) == 0;
}

/* -------------------------------------------------------------------------------------------------------------- at the end */

static const char *
conflict(const struct config_listener *listener)
{
    if (listener->unix_path != NULL && strlen(listener->unix_path) > CONFIG_UNIX_PATH_MAX) {
        return "the path of a Unix socket is too long: at most 107 bytes";
    }
    if (listener->unix_path != NULL && (listener->interface != NULL || listener->ipv4_only || listener->ipv6_only)) {
        return "'bind_interface' and 'socket_domain' are not for Unix sockets";
    }
    if (listener->unix_mode != 0 && listener->unix_path == NULL) {
        return "'unix_socket_mode' is for Unix sockets: 'listener 0 PATH'";
    }
    if (listener->proxy_requires_tls && listener->proxy_protocol != 2) {
        return "'proxy_protocol_v2_require_tls' needs 'enable_proxy_protocol 2': version 1 does not tell whether a client uses TLS";
    }
    bool of_websockets = listener->websockets_origin_count > 0 || listener->websockets_proxy_count > 0 || listener->websockets_trusts_unix;
    if (of_websockets && !listener->websockets) {
        return "'websockets_origin' and 'websockets_trusted_proxy' need 'protocol websockets'";
    }
    return NULL;
}

bool
ways_check(struct parser *parser)
{
    const struct config *config = parser->config;
    for (unsigned i = 0; i < config->listener_count; i++) {
        const struct config_listener *listener = &config->listeners[i];
        const char *why = conflict(listener);
        if (why != NULL) {
            return parser_refuse(parser, "%s:%u: %s", listener->file, listener->line, why);
        }
    }
    return true;
}
