/*
 * config: what an operator can choose, read from mosquitto.conf's grammar and the command line.
 *
 * A struct config is immutable once built. A reload (SIGHUP) builds a new one; the engine takes over from it what can change at run time
 * (marked R below) and keeps the old one's answer for the rest.
 *
 * Invariants of a finished configuration
 *   C1  there is a listener; every one has a port or the path of a Unix socket, and a place (`file`), and no two share host, port and family.
 *   C2  every listener lets somebody in: anonymous clients are allowed, or there is a way for clients to say who they are (not one that is `gone`).
 *   C3  numbers are within the ranges of option_table; max_connect_packet_size <= max_packet_size; max_inflight_messages > 0.
 *   C4  auto_id_prefix is there; log_file is there if lines go to a file.
 *   C5  every warning is one line.
 *   C6  options of TLS are there only where TLS is spoken, certificates have their keys, and nothing of it in a build without TLS.
 *
 * A reloaded configuration has the listeners of the old one, in their order: one that was added is left out, one that is missing is there as `gone`,
 * with what the old one said. It needs nothing of the old configuration.
 *
 * Errors  one clear line: file, line, option, what is wrong, what to do. Never half a configuration.
 * Exit    for CONFIG_EXIT_ERROR main answers 3, as Mosquitto.
 */
#ifndef TIDEWIRE_ENGINE_CONFIG_CONFIG_H
#define TIDEWIRE_ENGINE_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codec/address.h"

#define CONFIG_LISTENERS_MAX 16
#define CONFIG_LOG_FILES_MAX 1
#define CONFIG_ORIGINS_MAX 16  /* of websockets_origin, per listener */
#define CONFIG_UNIX_PATH_MAX 107 /* bytes: what the kernel takes */
#define CONFIG_PROXIES_MAX 16  /* of websockets_trusted_proxy, per listener */
#define CONFIG_COMMAND_PORTS_MAX 10 /* Mosquitto's number of -p */
#define CONFIG_CERTIFICATES_MAX 8   /* of a listener; each costs a few kilobytes and a look at its names per handshake */
#define CONFIG_WARNINGS_MAX 32      /* more are counted into the last one */

enum config_log_type { /* bit mask: log_type */
    CONFIG_LOG_ERROR = 1 << 0,
    CONFIG_LOG_WARNING = 1 << 1,
    CONFIG_LOG_NOTICE = 1 << 2,
    CONFIG_LOG_INFORMATION = 1 << 3,
    CONFIG_LOG_DEBUG = 1 << 4,
    CONFIG_LOG_SUBSCRIBE = 1 << 5,
    CONFIG_LOG_UNSUBSCRIBE = 1 << 6,
    CONFIG_LOG_INTERNAL = 1 << 7,
};

enum config_log_destination { /* bit mask: log_dest */
    CONFIG_LOG_TO_STDERR = 1 << 0,
    CONFIG_LOG_TO_STDOUT = 1 << 1,
    CONFIG_LOG_TO_SYSLOG = 1 << 2,
    CONFIG_LOG_TO_FILE = 1 << 3,
    CONFIG_LOG_TO_TOPIC = 1 << 4, /* $SYS/broker/log/ */
};

/* So many a second, and so many at once. */
struct config_rate {
    uint32_t per_second; /* 0: no limit */
    uint32_t burst;
};

enum config_answer {
    CONFIG_NOT_SAID,
    CONFIG_NO,
    CONFIG_YES,
};

/* Settings that are there once, or with `per_listener_settings` for each listener: see config_security(). */
struct config_security {
    uint8_t allow_anonymous; /* enum config_answer; struct config_listener says what follows from it */
    char *password_file;
    char *acl_file;          /* who may read and write which topics; NULL: everybody everything */
    char *psk_file;          /* for listeners with a psk_hint */
    char *jwt_key_file, *jwt_secret_file; /* NULL both: no tokens */
    char *jwt_issuer, *jwt_audience;      /* NULL: not asked for */
    char *http_auth_url, *http_acl_url;   /* NULL: nobody is asked */
};

enum config_forwarded { /* websockets_forwarded_header: which field names the client, when a trusted proxy sends it */
    CONFIG_X_FORWARDED_FOR,
    CONFIG_FORWARDED,
};

/* A certificate that a listener may show, in PEM form, with what lies between it and an authority; and its key. Both are there in a finished configuration. */
struct config_certificate {
    char *certfile, *keyfile;
};

#define CONFIG_HTTP_HEADERS_MAX 8
#define CONFIG_JWT_CLAIMS_MAX 8

/* Segments of the journal are made of blocks of so many bytes: persistence_segment_size is rounded down to them. */
#define CONFIG_SEGMENT_ALIGN 4096u

/* When something counts as kept: option persistence_sync. */
enum config_sync {
    CONFIG_SYNC_ALWAYS,   /* it is on the disk */
    CONFIG_SYNC_INTERVAL, /* the kernel has it, and it is on the disk soon */
    CONFIG_SYNC_NONE,     /* the kernel has it */
};

struct config_listener {
    char *host;                 /* NULL: all interfaces */
    uint16_t port;              /* 0: a Unix socket */
    char *unix_path;            /* of the Unix socket; NULL: none */
    uint32_t unix_mode;         /* `unix_socket_mode`: permissions of the path; 0: as the umask has it */
    char *interface;            /* `bind_interface`: its addresses instead of `host`; NULL: none */
    bool loopback;              /* no listener was configured: host is "127.0.0.1", and ::1 is wanted too where the machine has it */
    bool ipv4_only, ipv6_only;  /* socket_domain */
    uint32_t max_connections;   /* 0: unlimited (Mosquitto's -1) */
    uint16_t max_topic_alias;   /* what clients may send; default 10 */
    uint16_t max_topic_alias_broker; /* what we use towards clients; default 10 */
    uint8_t max_qos;            /* 0..2, default 2 */
    bool gone;                  /* after a reload: the file does not have it any more, it goes on as it was until a restart */

    /* Who may come in */
    struct config_security own; /* with `per_listener_settings`; `allow_anonymous` here: listener_allow_anonymous too */
    bool allow_anonymous;       /* (R) what counts */
    bool use_username_as_clientid;
    bool clientid_is_username;    /* others are refused */
    bool clientid_is_certificate; /* the same with the certificate's name */

    /* Ways in */
    bool websockets;            /* `protocol websockets` */
    char *websockets_origins[CONFIG_ORIGINS_MAX];
    unsigned websockets_origin_count; /* 0: any */
    struct address_network websockets_proxies[CONFIG_PROXIES_MAX]; /* `websockets_trusted_proxy`: who may name the client's address */
    unsigned websockets_proxy_count;
    bool websockets_trusts_unix; /* `websockets_trusted_proxy unix`: whoever comes through the Unix socket may, too */
    uint8_t websockets_forwarded; /* enum config_forwarded */
    uint8_t proxy_protocol;     /* `enable_proxy_protocol`: version of the PROXY header that every connection starts with, 1 or 2; 0: none */
    bool proxy_requires_tls;    /* `proxy_protocol_v2_require_tls` */

    /* TLS (R): spoken if there is a certificate or a psk_hint */
    struct config_certificate certificates[CONFIG_CERTIFICATES_MAX]; /* `certfile`, `keyfile`: the first, and others for clients that ask for another name */
    unsigned certificate_count;
    char *cafile, *capath;      /* authorities of clients' certificates; NULL: none */
    char *crlfile;              /* revoked certificates of clients; NULL: nobody looks */
    bool require_certificate;
    bool disable_client_cert_date_checks;
    bool use_identity_as_username; /* the certificate's Common Name, or the identity of the pre-shared key */
    bool use_subject_as_username;  /* the certificate's whole subject */
    char *psk_hint;             /* NULL: no pre-shared keys */
    uint8_t tls_version_min;    /* 12 or 13 */
    char *ciphers;              /* of TLS 1.2; NULL: what is good today */
    char *ciphers_tls13;
    char *dhparamfile;          /* NULL: no finite-field Diffie-Hellman in TLS 1.2 */

    /* Limits (engine/limits/limits.h) */
    struct config_rate connect_rate; /* `listener_connect_rate` */
    struct config_rate publish_rate; /* `listener_publish_rate`: of all its clients together */
    struct config_rate byte_rate;    /* `listener_byte_rate` */
    char *file;                 /* where it was configured, for messages */
    unsigned line;
};

struct config {
    struct config_listener listeners[CONFIG_LISTENERS_MAX];
    unsigned listener_count;

    /* The machine */
    unsigned shards;                    /* option `shards`; 0: one per usable core */
    uint32_t connections_per_shard_max; /* `shard_connections`: socket slots per shard; 0: what the system allows */
    uint32_t batch_wait_us;             /* `batch_wait_us`: bounded waiting for more work under load, default 50, 0 off */
    char *user;                         /* `user`: whom to become when started as root; default none if it does not exist */
    char *pid_file;
    bool core_dumps;                    /* `core_dumps`: a crash may write memory, with all secrets, to disk; default false */

    /* Clients and sessions (R) */
    bool per_listener_settings;
    struct config_security security;    /* without `per_listener_settings` */
    char *clientid_prefixes;            /* NULL: none; client identifiers start with it */
    uint32_t login_cache_entries;       /* `login_cache_entries`: passwords remembered as right, per shard; default 16384, 0: none */
    uint32_t login_cache_s;             /* `login_cache_seconds`: for how long after they were used last; default a day */
    char *jwt_username_claim;           /* the claim that is the user name; default "sub" */
    char *jwt_claims;                   /* words: claims that access lists may use; NULL: none */
    bool jwt_match_username;            /* CONNECT's User Name has to be the token's; default false */
    bool jwt_require_expiry;            /* default true */
    uint32_t jwt_leeway_s;              /* clocks may differ by this; default 10 */
    char *http_headers[CONFIG_HTTP_HEADERS_MAX]; /* `http_header`: sent with each request */
    unsigned http_header_count;
    char *http_cafile;                  /* NULL: the system's certificates */
    uint32_t http_timeout_ms;           /* of a whole request; default 2000 */
    uint32_t http_cache_s;              /* `http_cache_seconds`; default 60, 0: nothing is remembered */
    uint32_t http_cache_deny_s;         /* `http_cache_deny_seconds`; default 5 */
    uint32_t http_cache_entries;        /* per shard; default 16384 */
    bool http_auth_failure_ignored;     /* `http_auth_failure ignore`; default deny */
    bool allow_zero_length_clientid;    /* default true */
    char *auto_id_prefix;               /* default "auto-" */
    uint32_t connect_timeout_s;         /* `connect_timeout`: from accept to the end of CONNECT, default 10 */
    uint16_t max_keepalive_s;           /* `max_keepalive`, default 65535; keep-alive of 0 or more becomes this for version 5 */
    uint32_t persistent_client_expiration_s; /* sessions of 3.x clients with clean session 0, and the upper bound for version 5; 0: never... default 14 days (zombie sessions) */
    uint32_t max_connections_total;     /* `global_max_connections`; 0: unlimited */
    uint32_t max_sessions;              /* `global_max_clients`: sessions, connected or not; 0: unlimited */
    uint32_t websockets_headers_size;   /* `websockets_headers_size`: the HTTP request of a WebSocket, default 4096 */
    uint32_t max_packet_size;           /* `max_packet_size`, default 2 000 000 */
    uint32_t max_connect_packet_size;   /* `max_connect_packet_size`: before CONNECT is complete, default 16 384 */
    uint16_t max_inflight_messages;     /* QoS 1 and 2 sent and not yet acknowledged, per client; default 100; 0: 65535 */
    uint16_t receive_maximum;           /* `receive_maximum`: what we let clients have in flight towards us; default 1000 */
    uint32_t max_inflight_bytes;        /* 0: none */
    uint32_t max_queued_messages;       /* default 1000, 0: none */
    uint64_t max_queued_bytes;          /* default 0: none */
    bool queue_qos0_messages;           /* default false */
    uint64_t max_output_bytes;          /* `max_output_bytes`: bytes waiting to be sent to one client before QoS 0 is dropped for it, default 4 MiB */
    uint32_t max_subscriptions;         /* `max_subscriptions`: per client, default 10 000, 0: none */
    uint32_t max_topic_levels;          /* `max_topic_levels`, default 128 (the most) */
    uint64_t max_filters;               /* `global_max_filters`: distinct filters in the process, default 0: none */
    bool upgrade_outgoing_qos;          /* default false */
    bool retain_available;              /* default true */
    uint64_t max_retained_messages;     /* `max_retained_messages`, default 0: none */
    uint64_t max_retained_bytes;        /* `max_retained_bytes`, default 0: none */
    uint32_t retain_expiry_interval_s;  /* 0: never */
    uint64_t queue_memory_limit;        /* `queue_memory_limit`: bytes of queued messages in memory, for all shards, before queues of kept sessions go to the disk; default 256 MiB */

    /* The journal (engine/journal/journal.h) */
    bool persistence;                   /* default false */
    char *persistence_location;         /* directory; NULL: the current one */
    char *persistence_file;             /* the database that Mosquitto has there, which must not be forgotten (engine/durable/store.h); NULL: mosquitto.db */
    enum config_sync persistence_sync;  /* default CONFIG_SYNC_ALWAYS */
    uint32_t persistence_interval_ms;   /* CONFIG_SYNC_INTERVAL */
    uint32_t persistence_segment_size;  /* default 16 MiB */
    uint64_t persistence_disk_limit;    /* default 0: what the disk has */
    bool retained_persistence;          /* default true */

    uint64_t memory_limit;              /* `memory_limit`, bytes for all shards; default: three quarters of the machine's memory */

    /* Limits (R; engine/limits/limits.h) */
    struct config_rate global_connect_rate;
    struct config_rate address_connect_rate; /* of one address, or of its network as the prefixes say */
    uint32_t address_max_connections;   /* default 0: none */
    uint8_t address_prefix_ipv4;        /* default 32 */
    uint8_t address_prefix_ipv6;        /* default 64: what one customer gets */
    uint32_t limits_table_size;         /* addresses and clients remembered for these limits, default 16 384 */
    struct config_rate client_publish_rate, client_byte_rate; /* of one client, from the client to us */
    bool publish_rate_refuses;          /* `publish_rate_action refuse`: Quota exceeded instead of reading later */
    uint32_t flapping_connects;         /* a client identifier that connects so often in the window is banned; default 0: never */
    uint32_t flapping_refusals;         /* the same for an address whose connections are refused */
    uint32_t flapping_window_s;         /* default 60 */
    uint32_t flapping_ban_s;            /* default 300 */
    char *ban_file;                     /* NULL: none; read anew with each reload */

    /* Looking inside (R) */
    uint32_t sys_interval_s;            /* default 10, 0: no $SYS */
    uint32_t log_types;                 /* enum config_log_type */
    uint32_t log_destinations;
    char *log_file;
    int log_facility;                   /* syslog's LOG_DAEMON and so on */
    bool log_timestamp;                 /* default true */
    char *log_timestamp_format;         /* NULL: seconds since 1970, as Mosquitto */
    bool connection_messages;           /* default true */

    bool verbose;                       /* -v */
    bool daemonize;                     /* -d */
    bool test_only;                     /* --test-config */
    char *config_file;                  /* NULL: none */
    uint16_t command_ports[CONFIG_COMMAND_PORTS_MAX]; /* -p, kept for the reload */
    unsigned command_port_count;

    /* What was accepted and will not do what was asked, one line each. log_open writes them. */
    char *warnings[CONFIG_WARNINGS_MAX];
    unsigned warning_count;
};

/* What the command line asked for when there is nothing to run. */
enum config_outcome {
    CONFIG_RUN,
    CONFIG_EXIT_OK,     /* -h, --version: printed */
    CONFIG_EXIT_ERROR,  /* already explained on stderr */
};

/* Builds a configuration from main's arguments; with `test_only` it is to be looked at and not to be run. */
enum config_outcome config_from_arguments(int argc, char **argv, struct config **out);

/* Prints the warnings, and that it is valid: for --test-config, when the files that it names are found good too. */
void config_tell_valid(const struct config *config);

/* Reads the file that `old` was read from once more, with the same command line settings. NULL, with a line in `error`, when it is wrong: the old one stays. */
struct config *config_reload(const struct config *old, char *error, size_t error_size);

/* Parses a text as a whole file of name `name` (no include directories are followed unless `follow`). For tests and fuzzing. NULL and a line in `error` on any error. */
struct config *config_parse_text(const char *text, size_t size, const char *name, bool follow, char *error, size_t error_size);

/* The settings that count for a listener: its own, or those for all. */
static inline const struct config_security *
config_security(const struct config *config, unsigned listener)
{
    return config->per_listener_settings ? &config->listeners[listener].own : &config->security;
}

/* The defaults: loopback, port 1883, anonymous allowed. */
struct config *config_default(void);
void config_free(struct config **config);
/* Asserts the invariants. */
void config_check(const struct config *config);

#endif
