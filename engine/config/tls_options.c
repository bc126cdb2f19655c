#include "engine/config/tls_options.h"

#include <string.h>

#include "engine/config/internal.h"
#include "engine/config/special.h"

/* The first certificate of the listener whose file of this kind is not named yet: certfile and keyfile come in pairs, in any order. */
static bool
read_of_pair(struct parser *parser, const struct option *option, char *value, bool key)
{
    struct config_listener *listener = parser_listener(parser, option);
    unsigned i = 0;
    while (i < listener->certificate_count && (key ? listener->certificates[i].keyfile : listener->certificates[i].certfile) != NULL) {
        i++;
    }
    if (i == CONFIG_CERTIFICATES_MAX) {
        return parser_refuse(parser, "option '%s': more than %d certificates for a listener", option->name, CONFIG_CERTIFICATES_MAX);
    }
    if (i == listener->certificate_count) {
        listener->certificate_count++;
    }
    return value_read_string(parser, option, value, key ? &listener->certificates[i].keyfile : &listener->certificates[i].certfile);
}

bool
special_read_certfile(struct parser *parser, const struct option *option, char *value)
{
    return read_of_pair(parser, option, value, false);
}

bool
special_read_keyfile(struct parser *parser, const struct option *option, char *value)
{
    return read_of_pair(parser, option, value, true);
}

bool
special_read_psk_hint(struct parser *parser, const struct option *option, char *value)
{
    char **hint = &parser_listener(parser, option)->psk_hint;
    return value_read_string(parser, option, value, hint) &&
           (strlen(*hint) <= 127 || parser_refuse(parser, "option 'psk_hint' is longer than 127 bytes"));
}

/* As in Mosquitto, the oldest version that is spoken. */
bool
special_read_tls_version(struct parser *parser, const struct option *option, char *value)
{
    const char *word = value_next_word(&value);
    struct config_listener *listener = parser_listener(parser, option);
    if (word != NULL && (strcmp(word, "tlsv1.1") == 0 || strcmp(word, "tlsv1") == 0)) {
        return parser_refuse(parser, "option 'tls_version': TLS before 1.2 is not spoken; say tlsv1.2 or tlsv1.3");
    }
    bool newest = word != NULL && strcmp(word, "tlsv1.3") == 0;
    if (!newest && (word == NULL || strcmp(word, "tlsv1.2") != 0)) {
        return parser_refuse(parser, "option 'tls_version' is tlsv1.2 or tlsv1.3");
    }
    listener->tls_version_min = newest ? 13 : 12;
    return true;
}

bool
special_read_tls_keyform(struct parser *parser, const struct option *option, char *value)
{
    const char *word = value_next_word(&value);
    (void)parser_listener(parser, option);
    return (word != NULL && strcmp(word, "pem") == 0) || parser_refuse(parser, "option 'tls_keyform': only pem is supported");
}

/* TLS ends at a proxy, which tells of the client's certificate. */
static bool
proxy_tells(const struct config_listener *listener)
{
    return listener->proxy_protocol == 2 && listener->certificate_count == 0 && listener->psk_hint == NULL;
}

/* The first option that needs TLS of the listener's own; NULL: none. */
static const char *
some_tls_option(const struct config_listener *listener)
{
    const struct {
        bool there;
        const char *name;
    } options[] = {
        {listener->certificate_count > 0, "certfile"},
        {listener->psk_hint != NULL, "psk_hint"},
        {listener->cafile != NULL, "cafile"},
        {listener->capath != NULL, "capath"},
        {listener->crlfile != NULL, "crlfile"},
        {listener->require_certificate && !proxy_tells(listener), "require_certificate"},
        {listener->disable_client_cert_date_checks, "disable_client_cert_date_checks"},
        {listener->ciphers != NULL, "ciphers"},
        {listener->ciphers_tls13 != NULL, "ciphers_tls1.3"},
        {listener->dhparamfile != NULL, "dhparamfile"},
    };
    for (unsigned i = 0; i < sizeof options / sizeof options[0]; i++) {
        if (options[i].there) {
            return options[i].name;
        }
    }
    return NULL;
}

/* What would leave the operator with less than was asked for. */
static bool
check_listener_tls(struct parser *parser, unsigned number)
{
    const struct config_listener *listener = &parser->config->listeners[number];
    const char *option = some_tls_option(listener);
    const char *wrong = NULL;
    if (option != NULL && listener->certificate_count == 0 && listener->psk_hint == NULL) {
        return parser_refuse(parser, "%s:%u: option '%s' does nothing without TLS, which needs 'certfile' and 'keyfile', or 'psk_hint'", listener->file,
                             listener->line, option);
    }
    if (option != NULL && !TIDEWIRE_TLS) {
        return parser_refuse(parser, "%s:%u: option '%s': this build has no TLS (TIDEWIRE_TLS is OFF)", listener->file, listener->line, option);
    }
    for (unsigned i = 0; i < listener->certificate_count; i++) {
        const struct config_certificate *pair = &listener->certificates[i];
        wrong = pair->keyfile == NULL ? "a 'certfile' has no 'keyfile'" : pair->certfile == NULL ? "a 'keyfile' has no 'certfile'" : wrong;
    }
    if (listener->psk_hint != NULL && config_security(parser->config, number)->psk_file == NULL) {
        wrong = "'psk_hint' needs a 'psk_file'";
    } else if (proxy_tells(listener)) {
        return true;
    } else if (listener->require_certificate && listener->certificate_count == 0) {
        wrong = "'require_certificate' needs a certificate of the listener's own: 'certfile' and 'keyfile'";
    } else if (listener->require_certificate && listener->cafile == NULL && listener->capath == NULL) {
        wrong = "'require_certificate' needs 'cafile' or 'capath': who may sign the clients' certificates";
    } else if (listener->crlfile != NULL && !listener->require_certificate) {
        wrong = "'crlfile' does nothing without 'require_certificate true'";
    } else if (listener->crlfile != NULL && listener->disable_client_cert_date_checks) {
        /* The library looks for revocations last, and not at all once something else was wrong. */
        wrong = "'crlfile' does not go with 'disable_client_cert_date_checks true': an expired certificate that is revoked would be let in";
    }
    return wrong == NULL || parser_refuse(parser, "%s:%u: %s", listener->file, listener->line, wrong);
}

bool
tls_options_check(struct parser *parser)
{
    struct config *config = parser->config;
    for (unsigned i = 0; i < config->listener_count; i++) {
        if (!check_listener_tls(parser, i)) {
            return false;
        }
        if (config_security(config, i)->psk_file != NULL && config->listeners[i].psk_hint == NULL && config->per_listener_settings) {
            config_warn(config, "%s:%u: psk_file does nothing without a psk_hint", config->listeners[i].file, config->listeners[i].line);
        }
    }
    return true;
}
