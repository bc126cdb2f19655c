/* Options about tokens and HTTP hooks whose values are more than a text. */
#include "engine/config/special.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/config/internal.h"

/* ------------------------------------------------------------------------------------------------------------------ tokens */

/* The words are cut apart when the files are read (engine/security/security.c). */
bool
special_read_jwt_claims(struct parser *parser, const struct option *option, char *value)
{
    char **field = &parser->config->jwt_claims;
    if (!value_read_string(parser, option, value, field)) {
        return false;
    }
    unsigned count = 0;
    char *copy = strdup(*field), *rest = copy;
    if (copy == NULL) {
        return parser_refuse(parser, "out of memory");
    }
    while (value_next_word(&rest) != NULL) {
        count++;
    }
    free(copy);
    return count <= CONFIG_JWT_CLAIMS_MAX || parser_refuse(parser, "option 'jwt_claims' names more than %d claims", CONFIG_JWT_CLAIMS_MAX);
}

/* -------------------------------------------------------------------------------------------------------------- HTTP hooks */

static bool
starts_with(const char *text, const char *start)
{
    return strncasecmp(text, start, strlen(start)) == 0;
}

/* Where nobody listens between. */
static bool
stays_here(const char *url)
{
    return starts_with(url, "http://127.") || starts_with(url, "http://localhost") || starts_with(url, "http://[::1]");
}

/* The rest of its grammar is libcurl's, which looks at it when the files are read. */
static bool
read_url(struct parser *parser, const struct option *option, char *value, char **field)
{
    if (!value_read_string(parser, option, value, field)) {
        return false;
    }
    const char *url = *field;
    if (!starts_with(url, "http://") && !starts_with(url, "https://")) {
        return parser_refuse(parser, "option '%s' is an address that starts with http:// or https://", option->name);
    }
    for (const char *at = url; *at != '\0'; at++) {
        if (isspace((unsigned char)*at) || iscntrl((unsigned char)*at)) {
            return parser_refuse(parser, "option '%s': an address holds no white space", option->name);
        }
    }
    return true;
}

bool
special_read_http_auth_url(struct parser *parser, const struct option *option, char *value)
{
    char **field = &parser_security(parser, option)->http_auth_url;
    if (!read_url(parser, option, value, field)) {
        return false;
    }
    if (starts_with(*field, "http://") && !stays_here(*field)) {
        parser_warn(parser, "option 'http_auth_url': passwords go to another machine in the clear; use https");
    }
    return true;
}

bool
special_read_http_acl_url(struct parser *parser, const struct option *option, char *value)
{
    return read_url(parser, option, value, &parser_security(parser, option)->http_acl_url);
}

bool
special_read_http_auth_failure(struct parser *parser, const struct option *option, char *value)
{
    const char *word = value_next_word(&value);
    (void)option;
    parser->config->http_auth_failure_ignored = word != NULL && strcmp(word, "ignore") == 0;
    return parser->config->http_auth_failure_ignored || (word != NULL && strcmp(word, "deny") == 0) ||
           parser_refuse(parser, "option 'http_auth_failure' is deny or ignore");
}

/* RFC 9110 5.1: a token, a colon. */
static bool
is_header(const char *text)
{
    size_t name = strcspn(text, ":");
    for (size_t i = 0; i < name; i++) {
        if (!isalnum((unsigned char)text[i]) && strchr("!#$%&'*+-.^_`|~", text[i]) == NULL) {
            return false;
        }
    }
    for (const char *at = text + name; *at != '\0'; at++) {
        if (iscntrl((unsigned char)*at) && *at != '\t') {
            return false;
        }
    }
    return name > 0 && text[name] == ':';
}

/* Adds up. The value may be a secret, so it is not said in messages. */
bool
special_read_http_header(struct parser *parser, const struct option *option, char *value)
{
    struct config *config = parser->config;
    char *header = NULL;
    if (config->http_header_count == CONFIG_HTTP_HEADERS_MAX) {
        return parser_refuse(parser, "option 'http_header' is given more than %d times", CONFIG_HTTP_HEADERS_MAX);
    }
    if (!value_read_string(parser, option, value, &header)) {
        return false;
    }
    if (!is_header(header)) {
        free(header);
        return parser_refuse(parser, "option 'http_header' is a name, a colon and a value");
    }
    config->http_headers[config->http_header_count++] = header;
    return true;
}
