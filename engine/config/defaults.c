#include "engine/config/config.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "engine/config/internal.h"
#include "engine/config/parser.h"

#define DAY_S 86400u

/* What the control group allows this process, 0 if it does not say. A broker in a container is killed by this limit, not by the machine's. */
static uint64_t
group_memory(void)
{
    FILE *file = fopen("/sys/fs/cgroup/memory.max", "re");
    if (file == NULL) {
        return 0;
    }
    unsigned long long bytes = 0;
    if (fscanf(file, "%llu", &bytes) != 1) {
        bytes = 0; /* "max" */
    }
    fclose(file);
    return bytes;
}

static uint64_t
default_memory_limit(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), page_size = sysconf(_SC_PAGESIZE);
    uint64_t machine = pages > 0 && page_size > 0 ? (uint64_t)pages * (uint64_t)page_size : UINT64_C(1) << 30;
    uint64_t group = group_memory();
    return (group != 0 && group < machine ? group : machine) / 4 * 3;
}

void
config_listener_init(struct config_listener *listener)
{
    *listener = (struct config_listener){
        .port = 1883,
        .max_topic_alias = 10,
        .max_topic_alias_broker = 10,
        .max_qos = 2,
        .tls_version_min = 12,
    };
}

#define SECURITY_TEXTS 9

/* Each text of it, by number. */
static char **
security_text(struct config_security *security, unsigned number)
{
    char **const texts[SECURITY_TEXTS] = {
        &security->password_file, &security->jwt_key_file,  &security->jwt_secret_file, &security->jwt_issuer,
        &security->jwt_audience,  &security->http_auth_url, &security->http_acl_url,    &security->acl_file,
        &security->psk_file,
    };
    return texts[number];
}

bool
config_security_copy(struct config_security *out, const struct config_security *like)
{
    bool good = true;
    *out = *like;
    for (unsigned i = 0; i < SECURITY_TEXTS; i++) {
        const char *text = *security_text((struct config_security *)(uintptr_t)like, i);
        char **copy = security_text(out, i);
        *copy = text != NULL ? strdup(text) : NULL;
        good = good && (*copy == NULL) == (text == NULL);
    }
    return good;
}

void
config_security_fini(struct config_security *security)
{
    for (unsigned i = 0; i < SECURITY_TEXTS; i++) {
        free(*security_text(security, i));
    }
    *security = (struct config_security){0};
}

/* Mosquitto 2: a configured listener lets nobody in without a name unless told to. */
bool
config_settle_anonymous(const struct config *config, const struct config_listener *listener, bool configured)
{
    uint8_t answer = listener->own.allow_anonymous != CONFIG_NOT_SAID ? listener->own.allow_anonymous : config->security.allow_anonymous;
    return answer == CONFIG_NOT_SAID ? !configured : answer == CONFIG_YES;
}

bool
config_has_way_in(const struct config *config, unsigned listener)
{
    const struct config_security *security = config_security(config, listener);
    const struct config_listener *l = &config->listeners[listener];
    return l->allow_anonymous || l->use_identity_as_username || l->use_subject_as_username || security->password_file != NULL ||
           security->jwt_key_file != NULL || security->jwt_secret_file != NULL || security->http_auth_url != NULL;
}

#define LISTENER_TEXTS 11

/* Each text of it that is a field of its own, by number. */
static char **
listener_text(struct config_listener *listener, unsigned number)
{
    char **const texts[LISTENER_TEXTS] = {
        &listener->host,     &listener->unix_path, &listener->interface,     &listener->cafile,      &listener->capath, &listener->crlfile,
        &listener->psk_hint, &listener->ciphers,   &listener->ciphers_tls13, &listener->dhparamfile, &listener->file,
    };
    return texts[number];
}

/* True if it went well; NULL of NULL. */
static bool
copy_text(char **out, const char *text)
{
    *out = text != NULL ? strdup(text) : NULL;
    return text == NULL || *out != NULL;
}

bool
config_listener_copy(struct config_listener *out, const struct config_listener *like)
{
    *out = *like;
    bool good = config_security_copy(&out->own, &like->own);
    for (unsigned i = 0; i < LISTENER_TEXTS; i++) {
        good &= copy_text(listener_text(out, i), *listener_text((struct config_listener *)(uintptr_t)like, i));
    }
    for (unsigned i = 0; i < like->certificate_count; i++) {
        good &= copy_text(&out->certificates[i].certfile, like->certificates[i].certfile);
        good &= copy_text(&out->certificates[i].keyfile, like->certificates[i].keyfile);
    }
    for (unsigned i = 0; i < like->websockets_origin_count; i++) {
        good &= copy_text(&out->websockets_origins[i], like->websockets_origins[i]);
    }
    return good;
}

void
config_listener_fini(struct config_listener *listener)
{
    config_security_fini(&listener->own);
    for (unsigned i = 0; i < LISTENER_TEXTS; i++) {
        free(*listener_text(listener, i));
    }
    for (unsigned i = 0; i < listener->certificate_count; i++) {
        free(listener->certificates[i].certfile);
        free(listener->certificates[i].keyfile);
    }
    for (unsigned i = 0; i < listener->websockets_origin_count; i++) {
        free(listener->websockets_origins[i]);
    }
    *listener = (struct config_listener){0};
}

static bool
same_text(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

bool
config_listener_same_address(const struct config_listener *a, const struct config_listener *b)
{
    return same_text(a->host, b->host) && same_text(a->unix_path, b->unix_path) && same_text(a->interface, b->interface) && a->port == b->port && a->ipv4_only == b->ipv4_only && a->ipv6_only == b->ipv6_only;
}

struct config *
config_new(void)
{
    struct config *config = calloc(1, sizeof *config);
    if (config == NULL) {
        return NULL;
    }
    config->auto_id_prefix = strdup("auto-");
    config->jwt_username_claim = strdup("sub");
    if (config->auto_id_prefix == NULL || config->jwt_username_claim == NULL) {
        config_free(&config);
        return NULL;
    }

    config->batch_wait_us = 50;
    config->allow_zero_length_clientid = true;
    config->login_cache_entries = 16384;
    config->login_cache_s = DAY_S;
    config->jwt_require_expiry = true;
    config->jwt_leeway_s = 10;
    config->http_timeout_ms = 2000;
    config->http_cache_s = 60;
    config->http_cache_deny_s = 5;
    config->http_cache_entries = 16384;
    config->connect_timeout_s = 10;
    config->websockets_headers_size = 4096;
    config->max_keepalive_s = 65535;
    config->persistent_client_expiration_s = 14 * DAY_S;
    config->max_packet_size = 2000000;
    config->max_connect_packet_size = 16384;
    config->max_inflight_messages = 100;
    config->receive_maximum = 1000;
    config->max_queued_messages = 1000;
    config->max_output_bytes = 4 << 20;
    config->max_subscriptions = 10000;
    config->max_topic_levels = 128;
    config->retain_available = true;
    config->queue_memory_limit = 256 << 20;
    config->persistence_segment_size = 16 << 20;
    config->retained_persistence = true;
    config->memory_limit = default_memory_limit();

    config->address_prefix_ipv4 = 32;
    config->address_prefix_ipv6 = 64;
    config->limits_table_size = 16384;
    config->flapping_window_s = 60;
    config->flapping_ban_s = 300;

    config->sys_interval_s = 10;
    config->log_types = CONFIG_LOG_ERROR | CONFIG_LOG_WARNING | CONFIG_LOG_NOTICE | CONFIG_LOG_INFORMATION;
    config->log_destinations = CONFIG_LOG_TO_STDERR;
    config->log_facility = LOG_DAEMON;
    config->log_timestamp = true;
    config->connection_messages = true;
    return config;
}

struct config *
config_default(void)
{
    char error[256];
    return config_parse_text("", 0, "defaults", false, error, sizeof error);
}

void
config_free(struct config **configp)
{
    struct config *config = *configp;
    *configp = NULL;
    if (config == NULL) {
        return;
    }
    for (unsigned i = 0; i < config->listener_count; i++) {
        config_listener_fini(&config->listeners[i]);
    }
    for (unsigned i = 0; i < config->warning_count; i++) {
        free(config->warnings[i]);
    }
    free(config->user);
    free(config->pid_file);
    free(config->auto_id_prefix);
    free(config->clientid_prefixes);
    free(config->jwt_username_claim);
    free(config->jwt_claims);
    free(config->http_cafile);
    for (unsigned i = 0; i < config->http_header_count; i++) {
        free(config->http_headers[i]);
    }
    config_security_fini(&config->security);
    free(config->ban_file);
    free(config->persistence_location);
    free(config->persistence_file);
    free(config->log_file);
    free(config->log_timestamp_format);
    free(config->config_file);
    free(config);
}

void
config_warn(struct config *config, const char *format, ...)
{
    char line[1024];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);

    if (config->warning_count == CONFIG_WARNINGS_MAX) {
        char *last = strdup("... and more warnings about the configuration");
        if (last != NULL) {
            free(config->warnings[CONFIG_WARNINGS_MAX - 1]);
            config->warnings[CONFIG_WARNINGS_MAX - 1] = last;
        }
        return;
    }
    char *copy = strdup(line);
    if (copy != NULL) {
        config->warnings[config->warning_count++] = copy;
    }
}

static void
check_listener(const struct config *config, unsigned i)
{
    const struct config_listener *listener = &config->listeners[i];
    assert((listener->port != 0) == (listener->unix_path == NULL) && listener->file != NULL); /* C1 */
    assert(listener->unix_path == NULL || (listener->host == NULL && listener->interface == NULL));
    assert(listener->proxy_protocol <= 2 && (!listener->proxy_requires_tls || listener->proxy_protocol == 2));
    assert(!listener->loopback || strcmp(listener->host, "127.0.0.1") == 0);
    assert(!listener->ipv4_only || !listener->ipv6_only);
    for (unsigned j = 0; j < i; j++) {
        assert(!config_listener_same_address(listener, &config->listeners[j])); /* C1 */
    }
}

static void
check_listener_tls(const struct config *config, unsigned i)
{
    const struct config_listener *listener = &config->listeners[i];
    bool tls = listener->certificate_count > 0 || listener->psk_hint != NULL;
    assert(TIDEWIRE_TLS || !tls);
    assert(tls || (listener->cafile == NULL && listener->capath == NULL && listener->crlfile == NULL &&
                   (!listener->require_certificate || listener->proxy_protocol == 2)));
    assert(listener->psk_hint == NULL || config_security(config, i)->psk_file != NULL);
    for (unsigned j = 0; j < listener->certificate_count; j++) {
        assert(listener->certificates[j].certfile != NULL && listener->certificates[j].keyfile != NULL);
    }
}

/* Rows that are numbers hold what their range allows; the others are seen to by name. */
static void
check_ranges(const struct config *config)
{
    size_t count;
    const struct option *rows = option_rows(&count);
    for (size_t i = 0; i < count; i++) {
        for (unsigned j = 0; rows[i].kind == OPTION_NUMBER && j < config->listener_count; j++) {
            bool of_listener = rows[i].flags & OPTION_OF_LISTENER;
            const char *base = of_listener ? (const char *)&config->listeners[j] : (const char *)config;
            uint64_t number = 0;
            memcpy(&number, base + rows[i].offset, rows[i].size); /* little-endian, as everything this runs on */
            bool cut = strcmp(rows[i].name, "max_connect_packet_size") == 0; /* it may be below its range when it follows max_packet_size */
            assert((number >= (uint64_t)rows[i].min || cut) && number <= (uint64_t)rows[i].max); /* C3 */
        }
    }
}

void
config_check(const struct config *config)
{
    assert(config->listener_count >= 1 && config->listener_count <= CONFIG_LISTENERS_MAX); /* C1 */
    for (unsigned i = 0; i < config->listener_count; i++) {
        check_listener(config, i);
        check_listener_tls(config, i); /* C6 */
    }
    for (unsigned i = 0; i < config->listener_count; i++) {
        assert(config->listeners[i].gone || config_has_way_in(config, i)); /* C2 */
    }

    check_ranges(config);
    assert(config->max_connect_packet_size <= config->max_packet_size && config->max_inflight_messages > 0); /* C3 */

    assert(config->auto_id_prefix != NULL && config->jwt_username_claim != NULL);
    assert(!(config->log_destinations & CONFIG_LOG_TO_FILE) || config->log_file != NULL); /* C4 */

    assert(config->warning_count <= CONFIG_WARNINGS_MAX);
    for (unsigned i = 0; i < config->warning_count; i++) {
        assert(strchr(config->warnings[i], '\n') == NULL); /* C5 */
    }
}
