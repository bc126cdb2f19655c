#include "engine/config/option_table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "codec/bytes.h"
#include "engine/config/config.h"
#include "engine/config/special.h"
#include "engine/config/ways.h"

#define PACKET_SIZE_MAX (BYTES_VARINT_MAX + 5) /* type, four bytes of Remaining Length, and that many bytes */

#define RATE_MAX UINT32_MAX

#define FIELD(field) .offset = offsetof(struct config, field), .size = sizeof(((struct config *)NULL)->field)
#define LISTENER_FIELD(field) .offset = offsetof(struct config_listener, field), .size = sizeof(((struct config_listener *)NULL)->field)

#define SECURITY_FIELD(field) .offset = offsetof(struct config_security, field), .size = sizeof(((struct config_security *)NULL)->field)

#define NO_BRIDGES "there are no bridges to other brokers yet; take it out"
#define NO_ENGINES "keys in hardware are not supported; name the key in a file with 'keyfile'"
#define NO_PLUGINS "plugins cannot be loaded; take it out"

/* Sorted by name (O1). Name, kind, flags, field; then range, reader or remark. */
static const struct option rows[] = {
    {"accept_protocol_versions", OPTION_REFUSED, 0, .remark = "take it out; 3, 4 and 5 are all accepted on every listener"},
    {"acl_file", OPTION_STRING, OPTION_OF_SECURITY | OPTION_RELOADS, SECURITY_FIELD(acl_file)},
    {"address", OPTION_REFUSED, 0, .remark = NO_BRIDGES},
    {"address_connect_rate", OPTION_RATE, OPTION_RELOADS, FIELD(address_connect_rate), .max = RATE_MAX},
    {"address_max_connections", OPTION_NUMBER, OPTION_RELOADS | OPTION_NEGATIVE_IS_ZERO, FIELD(address_max_connections), .min = 0, .max = INT32_MAX},
    {"address_prefix_ipv4", OPTION_NUMBER, 0, FIELD(address_prefix_ipv4), .min = 8, .max = 32},
    {"address_prefix_ipv6", OPTION_NUMBER, 0, FIELD(address_prefix_ipv6), .min = 16, .max = 128},
    {"addresses", OPTION_REFUSED, 0, .remark = NO_BRIDGES},
    {"allow_anonymous", OPTION_SPECIAL, OPTION_OF_SECURITY | OPTION_RELOADS, SECURITY_FIELD(allow_anonymous), .read = special_read_allow_anonymous},
    {"allow_duplicate_messages", OPTION_IGNORED, 0, .remark = "deprecated in Mosquitto, and it has no part in how overlapping subscriptions are served here"},
    {"allow_zero_length_clientid", OPTION_BOOL, OPTION_FOR_ALL | OPTION_RELOADS, FIELD(allow_zero_length_clientid)},
    {"auth_opt_", OPTION_REFUSED, OPTION_PREFIX, .remark = NO_PLUGINS},
    {"auth_plugin", OPTION_REFUSED, 0, .remark = NO_PLUGINS},
    {"auth_plugin_deny_special_chars", OPTION_REFUSED, 0, .remark = NO_PLUGINS},
    {"auto_id_prefix", OPTION_SPECIAL, OPTION_FOR_ALL | OPTION_RELOADS, FIELD(auto_id_prefix), .read = special_read_auto_id_prefix},
    {"autosave_interval", OPTION_IGNORED, 0, .remark = "every change is kept as it happens; see 'persistence_sync'"},
    {"autosave_on_changes", OPTION_IGNORED, 0, .remark = "every change is kept as it happens; see 'persistence_sync'"},
    {"ban_file", OPTION_STRING, OPTION_RELOADS, FIELD(ban_file)},
    {"batch_wait_us", OPTION_NUMBER, OPTION_RELOADS, FIELD(batch_wait_us), .min = 0, .max = 1000000},
    {"bind_address", OPTION_SPECIAL, 0, .read = special_read_bind_address},
    {"bind_interface", OPTION_SPECIAL, 0, .read = special_read_bind_interface},
    {"bridge_alpn", OPTION_REFUSED, 0, .remark = NO_BRIDGES},
    {"bridge_attempt_unsubscribe", OPTION_REFUSED, 0, .remark = NO_BRIDGES},
    {"bridge_bind_address", OPTION_REFUSED, 0, .remark = NO_BRIDGES},
    {"bridge_cafile", OPTION_REFUSED, 0, .remark = NO_BRIDGES},
    {"bridge_capath", OPTION_REFUSED, 0, .remark = NO_BRIDGES},
    {"bridge_certfile", OPTION_REFUSED, 0, .remark = NO_BRIDGES},
    {"bridge_ciphers", OPTION_REFUSED, 0, .remark = NO_BRIDGES},
    {"bridge_ciphers_tls1.3", OPTION_REFUSED, 0, .remark = NO_BRIDGES},
    {"bridge_identity", OPTION_REFUSED, 0, .remark = NO_BRIDGES},
    {"bridge_insecure", OPTION_REFUSED, 0, .remark = NO_BRIDGES},
    {"bridge_keyfile", OPTION_REFUSED, 0, .remark = NO_BRIDGES},
    {"bridge_max_packet_size", OPTION_REFUSED, 0, .remark = NO_BRIDGES},
    {"bridge_max_topic_alias", OPTION_REFUSED, 0, .remark = NO_BRIDGES},
    {"bridge_outgoing_retain", OPTION_REFUSED, 0, .remark = NO_BRIDGES},
    {"bridge_protocol_version", OPTION_REFUSED, 0, .remark = NO_BRIDGES},
    {"bridge_psk", OPTION_REFUSED, 0, .remark = NO_BRIDGES},
    {"bridge_receive_maximum", OPTION_REFUSED, 0, .remark = NO_BRIDGES},
    {"bridge_reload_type", OPTION_REFUSED, 0, .remark = NO_BRIDGES},
    {"bridge_require_ocsp", OPTION_REFUSED, 0, .remark = NO_BRIDGES},
    {"bridge_session_expiry_interval", OPTION_REFUSED, 0, .remark = NO_BRIDGES},
    {"bridge_tcp_keepalive", OPTION_REFUSED, 0, .remark = NO_BRIDGES},
    {"bridge_tcp_user_timeout", OPTION_REFUSED, 0, .remark = NO_BRIDGES},
    {"bridge_tls_use_os_certs", OPTION_REFUSED, 0, .remark = NO_BRIDGES},
    {"bridge_tls_version", OPTION_REFUSED, 0, .remark = NO_BRIDGES},
    {"cafile", OPTION_STRING, OPTION_OF_LISTENER | OPTION_RELOADS, LISTENER_FIELD(cafile)},
    {"capath", OPTION_STRING, OPTION_OF_LISTENER | OPTION_RELOADS, LISTENER_FIELD(capath)},
    {"certfile", OPTION_SPECIAL, OPTION_OF_LISTENER | OPTION_RELOADS, .read = special_read_certfile},
    {"check_retain_source", OPTION_OFF_ONLY, 0, .remark = "retained messages do not say who published them yet; say 'check_retain_source false'"},
    {"ciphers", OPTION_STRING, OPTION_OF_LISTENER | OPTION_RELOADS, LISTENER_FIELD(ciphers)},
    {"ciphers_tls1.3", OPTION_STRING, OPTION_OF_LISTENER | OPTION_RELOADS, LISTENER_FIELD(ciphers_tls13)},
    {"cleansession", OPTION_REFUSED, 0, .remark = NO_BRIDGES},
    {"client_byte_rate", OPTION_RATE, OPTION_RELOADS, FIELD(client_byte_rate), .max = RATE_MAX},
    {"client_publish_rate", OPTION_RATE, OPTION_RELOADS, FIELD(client_publish_rate), .max = RATE_MAX},
    {"clientid", OPTION_REFUSED, 0, .remark = NO_BRIDGES},
    {"clientid_is_certificate", OPTION_BOOL, OPTION_OF_LISTENER, LISTENER_FIELD(clientid_is_certificate)},
    {"clientid_is_username", OPTION_BOOL, OPTION_OF_LISTENER, LISTENER_FIELD(clientid_is_username)},
    {"clientid_prefixes", OPTION_STRING, OPTION_RELOADS, FIELD(clientid_prefixes)},
    {"connect_timeout", OPTION_NUMBER, OPTION_RELOADS, FIELD(connect_timeout_s), .min = 1, .max = 65535},
    {"connection", OPTION_REFUSED, 0, .remark = NO_BRIDGES},
    {"connection_messages", OPTION_BOOL, OPTION_RELOADS, FIELD(connection_messages)},
    {"core_dumps", OPTION_BOOL, 0, FIELD(core_dumps)},
    {"crlfile", OPTION_STRING, OPTION_OF_LISTENER | OPTION_RELOADS, LISTENER_FIELD(crlfile)},
    {"dhparamfile", OPTION_STRING, OPTION_OF_LISTENER | OPTION_RELOADS, LISTENER_FIELD(dhparamfile)},
    {"disable_client_cert_date_checks", OPTION_BOOL, OPTION_OF_LISTENER | OPTION_RELOADS, LISTENER_FIELD(disable_client_cert_date_checks)},
    {"enable_control_api", OPTION_OFF_ONLY, 0, .remark = "there is no $CONTROL interface yet"},
    {"enable_proxy_protocol", OPTION_SPECIAL, OPTION_OF_LISTENER | OPTION_AFTER_LISTENER, LISTENER_FIELD(proxy_protocol),
     .read = special_read_enable_proxy_protocol},
    {"flapping_ban", OPTION_NUMBER, OPTION_RELOADS, FIELD(flapping_ban_s), .min = 1, .max = 31536000},
    {"flapping_connects", OPTION_NUMBER, OPTION_RELOADS, FIELD(flapping_connects), .min = 0, .max = INT32_MAX},
    {"flapping_refusals", OPTION_NUMBER, OPTION_RELOADS, FIELD(flapping_refusals), .min = 0, .max = INT32_MAX},
    {"flapping_window", OPTION_NUMBER, OPTION_RELOADS, FIELD(flapping_window_s), .min = 1, .max = 86400},
    {"global_connect_rate", OPTION_RATE, OPTION_RELOADS, FIELD(global_connect_rate), .max = RATE_MAX},
    {"global_max_clients", OPTION_NUMBER, OPTION_RELOADS | OPTION_NEGATIVE_IS_ZERO, FIELD(max_sessions), .min = 0, .max = INT32_MAX},
    {"global_max_connections", OPTION_NUMBER, OPTION_RELOADS | OPTION_NEGATIVE_IS_ZERO, FIELD(max_connections_total), .min = 0, .max = INT32_MAX},
    {"global_max_filters", OPTION_NUMBER, OPTION_NEGATIVE_IS_ZERO, FIELD(max_filters), .min = 0, .max = INT64_MAX},
    {"global_plugin", OPTION_REFUSED, 0, .remark = NO_PLUGINS},
    {"http_acl_url", OPTION_SPECIAL, OPTION_OF_SECURITY | OPTION_RELOADS, SECURITY_FIELD(http_acl_url), .read = special_read_http_acl_url},
    {"http_auth_failure", OPTION_SPECIAL, OPTION_RELOADS, FIELD(http_auth_failure_ignored), .read = special_read_http_auth_failure},
    {"http_auth_url", OPTION_SPECIAL, OPTION_OF_SECURITY | OPTION_RELOADS, SECURITY_FIELD(http_auth_url), .read = special_read_http_auth_url},
    {"http_cache_deny_seconds", OPTION_NUMBER, OPTION_RELOADS, FIELD(http_cache_deny_s), .min = 0, .max = 86400},
    {"http_cache_entries", OPTION_NUMBER, OPTION_RELOADS, FIELD(http_cache_entries), .min = 0, .max = 1048576},
    {"http_cache_seconds", OPTION_NUMBER, OPTION_RELOADS, FIELD(http_cache_s), .min = 0, .max = 86400},
    {"http_cafile", OPTION_STRING, OPTION_RELOADS, FIELD(http_cafile)},
    {"http_dir", OPTION_REFUSED, 0, .remark = "files are not served; let a web server do it, and name its pages in 'websockets_origin'"},
    {"http_header", OPTION_SPECIAL, OPTION_RELOADS, .read = special_read_http_header},
    {"http_timeout_ms", OPTION_NUMBER, OPTION_RELOADS, FIELD(http_timeout_ms), .min = 100, .max = 10000},
    {"idle_timeout", OPTION_REFUSED, 0, .remark = NO_BRIDGES},
    {"include_dir", OPTION_SPECIAL, OPTION_RELOADS, .read = special_read_include_dir},
    {"jwt_audience", OPTION_STRING, OPTION_OF_SECURITY | OPTION_RELOADS, SECURITY_FIELD(jwt_audience)},
    {"jwt_claims", OPTION_SPECIAL, OPTION_RELOADS, FIELD(jwt_claims), .read = special_read_jwt_claims},
    {"jwt_issuer", OPTION_STRING, OPTION_OF_SECURITY | OPTION_RELOADS, SECURITY_FIELD(jwt_issuer)},
    {"jwt_key_file", OPTION_STRING, OPTION_OF_SECURITY | OPTION_RELOADS, SECURITY_FIELD(jwt_key_file)},
    {"jwt_leeway", OPTION_NUMBER, OPTION_RELOADS, FIELD(jwt_leeway_s), .min = 0, .max = 3600},
    {"jwt_match_username", OPTION_BOOL, OPTION_RELOADS, FIELD(jwt_match_username)},
    {"jwt_require_expiry", OPTION_BOOL, OPTION_RELOADS, FIELD(jwt_require_expiry)},
    {"jwt_secret_file", OPTION_STRING, OPTION_OF_SECURITY | OPTION_RELOADS, SECURITY_FIELD(jwt_secret_file)},
    {"jwt_username_claim", OPTION_STRING, OPTION_RELOADS, FIELD(jwt_username_claim)},
    {"keepalive_interval", OPTION_REFUSED, 0, .remark = NO_BRIDGES},
    {"keyfile", OPTION_SPECIAL, OPTION_OF_LISTENER | OPTION_RELOADS, .read = special_read_keyfile},
    {"limits_table_size", OPTION_NUMBER, 0, FIELD(limits_table_size), .min = 1024, .max = 16777216},
    {"listener", OPTION_SPECIAL, 0, .read = special_read_listener},
    {"listener_allow_anonymous", OPTION_SPECIAL, OPTION_AFTER_LISTENER | OPTION_RELOADS, .read = special_read_listener_allow_anonymous},
    {"listener_auto_id_prefix", OPTION_REFUSED, 0, .remark = "use 'auto_id_prefix', which is for all listeners"},
    {"listener_byte_rate", OPTION_RATE, OPTION_OF_LISTENER | OPTION_AFTER_LISTENER, LISTENER_FIELD(byte_rate), .max = RATE_MAX},
    {"listener_connect_rate", OPTION_RATE, OPTION_OF_LISTENER | OPTION_AFTER_LISTENER, LISTENER_FIELD(connect_rate), .max = RATE_MAX},
    {"listener_publish_rate", OPTION_RATE, OPTION_OF_LISTENER | OPTION_AFTER_LISTENER, LISTENER_FIELD(publish_rate), .max = RATE_MAX},
    {"local_cleansession", OPTION_REFUSED, 0, .remark = NO_BRIDGES},
    {"local_clientid", OPTION_REFUSED, 0, .remark = NO_BRIDGES},
    {"local_password", OPTION_REFUSED, 0, .remark = NO_BRIDGES},
    {"local_username", OPTION_REFUSED, 0, .remark = NO_BRIDGES},
    {"log_dest", OPTION_SPECIAL, OPTION_RELOADS, FIELD(log_destinations), .read = special_read_log_dest},
    {"log_facility", OPTION_SPECIAL, OPTION_RELOADS, FIELD(log_facility), .read = special_read_log_facility},
    {"log_timestamp", OPTION_BOOL, OPTION_RELOADS, FIELD(log_timestamp)},
    {"log_timestamp_format", OPTION_SPECIAL, OPTION_RELOADS, FIELD(log_timestamp_format), .read = special_read_log_timestamp_format},
    {"log_type", OPTION_SPECIAL, OPTION_RELOADS, FIELD(log_types), .read = special_read_log_type},
    {"login_cache_entries", OPTION_NUMBER, OPTION_RELOADS, FIELD(login_cache_entries), .min = 0, .max = 1 << 24},
    {"login_cache_seconds", OPTION_NUMBER, OPTION_RELOADS, FIELD(login_cache_s), .min = 1, .max = UINT32_MAX / 4},
    {"max_connect_packet_size", OPTION_NUMBER, OPTION_RELOADS | OPTION_CAPPED, FIELD(max_connect_packet_size), .min = 64, .max = PACKET_SIZE_MAX},
    {"max_connections", OPTION_NUMBER, OPTION_OF_LISTENER | OPTION_NEGATIVE_IS_ZERO, LISTENER_FIELD(max_connections), .min = 0, .max = INT32_MAX},
    {"max_inflight_bytes", OPTION_NUMBER, OPTION_RELOADS | OPTION_NEGATIVE_IS_ZERO, FIELD(max_inflight_bytes), .min = 0, .max = UINT32_MAX},
    {"max_inflight_messages", OPTION_SPECIAL, OPTION_RELOADS | OPTION_NEGATIVE_IS_ZERO, FIELD(max_inflight_messages), .read = special_read_max_inflight_messages},
    {"max_keepalive", OPTION_NUMBER, OPTION_RELOADS, FIELD(max_keepalive_s), .min = 0, .max = 65535},
    {"max_output_bytes", OPTION_NUMBER, OPTION_RELOADS, FIELD(max_output_bytes), .min = 4096, .max = 256 << 20},
    {"max_packet_size", OPTION_NUMBER, OPTION_RELOADS | OPTION_CAPPED, FIELD(max_packet_size), .min = 20, .max = PACKET_SIZE_MAX},
    {"max_qos", OPTION_NUMBER, OPTION_OF_LISTENER, LISTENER_FIELD(max_qos), .min = 0, .max = 2},
    {"max_queued_bytes", OPTION_NUMBER, OPTION_RELOADS | OPTION_NEGATIVE_IS_ZERO, FIELD(max_queued_bytes), .min = 0, .max = INT64_MAX},
    {"max_queued_messages", OPTION_NUMBER, OPTION_RELOADS | OPTION_NEGATIVE_IS_ZERO, FIELD(max_queued_messages), .min = 0, .max = UINT32_MAX},
    {"max_retained_bytes", OPTION_NUMBER, OPTION_RELOADS | OPTION_NEGATIVE_IS_ZERO, FIELD(max_retained_bytes), .min = 0, .max = INT64_MAX},
    {"max_retained_messages", OPTION_NUMBER, OPTION_RELOADS | OPTION_NEGATIVE_IS_ZERO, FIELD(max_retained_messages), .min = 0, .max = INT64_MAX},
    {"max_subscriptions", OPTION_NUMBER, OPTION_RELOADS | OPTION_NEGATIVE_IS_ZERO, FIELD(max_subscriptions), .min = 0, .max = UINT32_MAX},
    {"max_topic_alias", OPTION_NUMBER, OPTION_OF_LISTENER | OPTION_AFTER_LISTENER, LISTENER_FIELD(max_topic_alias), .min = 0, .max = 65535},
    {"max_topic_alias_broker", OPTION_NUMBER, OPTION_OF_LISTENER | OPTION_AFTER_LISTENER, LISTENER_FIELD(max_topic_alias_broker), .min = 0, .max = 65535},
    {"max_topic_levels", OPTION_NUMBER, OPTION_RELOADS, FIELD(max_topic_levels), .min = 1, .max = 128},
    {"maximum_qos", OPTION_NUMBER, OPTION_OF_LISTENER | OPTION_ALIAS, LISTENER_FIELD(max_qos), .min = 0, .max = 2},
    {"memory_limit", OPTION_NUMBER, OPTION_RELOADS, FIELD(memory_limit), .min = 0, .max = INT64_MAX},
    {"message_size_limit", OPTION_SPECIAL, OPTION_RELOADS, .read = special_read_message_size_limit},
    {"mount_point", OPTION_REFUSED, 0, .remark = "topics of listeners cannot be kept apart yet"},
    {"notification_topic", OPTION_REFUSED, 0, .remark = NO_BRIDGES},
    {"notifications", OPTION_REFUSED, 0, .remark = NO_BRIDGES},
    {"notifications_local_only", OPTION_REFUSED, 0, .remark = NO_BRIDGES},
    {"packet_buffer_size", OPTION_IGNORED, 0, .remark = "receive buffers are shared by all connections of a shard"},
    {"password", OPTION_REFUSED, 0, .remark = NO_BRIDGES},
    {"password_file", OPTION_STRING, OPTION_OF_SECURITY | OPTION_RELOADS, SECURITY_FIELD(password_file)},
    {"per_listener_settings", OPTION_SPECIAL, 0, FIELD(per_listener_settings), .read = special_read_per_listener_settings},
    {"persistence", OPTION_BOOL, 0, FIELD(persistence)},
    {"persistence_disk_limit", OPTION_NUMBER, 0, FIELD(persistence_disk_limit), .min = 0, .max = INT64_MAX},
    {"persistence_file", OPTION_STRING, 0, FIELD(persistence_file)},
    {"persistence_location", OPTION_STRING, 0, FIELD(persistence_location)},
    {"persistence_segment_size", OPTION_NUMBER, 0, FIELD(persistence_segment_size), .min = 1 << 20, .max = 1 << 30},
    {"persistence_sync", OPTION_SPECIAL, 0, FIELD(persistence_sync), .read = special_read_persistence_sync},
    {"persistent_client_expiration", OPTION_SPECIAL, OPTION_RELOADS, FIELD(persistent_client_expiration_s), .read = special_read_persistent_client_expiration},
    {"pid_file", OPTION_STRING, 0, FIELD(pid_file)},
    {"plugin", OPTION_REFUSED, 0, .remark = NO_PLUGINS},
    {"plugin_load", OPTION_REFUSED, 0, .remark = NO_PLUGINS},
    {"plugin_opt_", OPTION_REFUSED, OPTION_PREFIX, .remark = NO_PLUGINS},
    {"plugin_use", OPTION_REFUSED, 0, .remark = NO_PLUGINS},
    {"port", OPTION_SPECIAL, 0, .read = special_read_port},
    {"protocol", OPTION_SPECIAL, OPTION_OF_LISTENER, LISTENER_FIELD(websockets), .read = special_read_protocol},
    {"proxy_protocol_v2_require_tls", OPTION_BOOL, OPTION_OF_LISTENER | OPTION_AFTER_LISTENER, LISTENER_FIELD(proxy_requires_tls)},
    {"psk_file", OPTION_STRING, OPTION_OF_SECURITY | OPTION_RELOADS, SECURITY_FIELD(psk_file)},
    {"psk_hint", OPTION_SPECIAL, OPTION_OF_LISTENER | OPTION_RELOADS, .read = special_read_psk_hint},
    {"publish_rate_action", OPTION_SPECIAL, OPTION_RELOADS, FIELD(publish_rate_refuses), .read = special_read_publish_rate_action},
    {"queue_memory_limit", OPTION_NUMBER, OPTION_RELOADS, FIELD(queue_memory_limit), .min = 0, .max = INT64_MAX},
    {"queue_qos0_messages", OPTION_BOOL, OPTION_RELOADS, FIELD(queue_qos0_messages)},
    {"receive_maximum", OPTION_NUMBER, OPTION_RELOADS, FIELD(receive_maximum), .min = 1, .max = 65535},
    {"remote_clientid", OPTION_REFUSED, 0, .remark = NO_BRIDGES},
    {"remote_password", OPTION_REFUSED, 0, .remark = NO_BRIDGES},
    {"remote_username", OPTION_REFUSED, 0, .remark = NO_BRIDGES},
    {"require_certificate", OPTION_BOOL, OPTION_OF_LISTENER | OPTION_RELOADS, LISTENER_FIELD(require_certificate)},
    {"restart_timeout", OPTION_REFUSED, 0, .remark = NO_BRIDGES},
    {"retain_available", OPTION_BOOL, OPTION_RELOADS, FIELD(retain_available)},
    {"retain_expiry_interval", OPTION_SPECIAL, OPTION_RELOADS, FIELD(retain_expiry_interval_s), .read = special_read_retain_expiry_interval},
    {"retained_persistence", OPTION_BOOL, 0, FIELD(retained_persistence)},
    {"retry_interval", OPTION_IGNORED, 0, .remark = "messages are sent again when a client reconnects, and only then"},
    {"round_robin", OPTION_REFUSED, 0, .remark = NO_BRIDGES},
    {"set_tcp_nodelay", OPTION_IGNORED, 0, .remark = "TCP_NODELAY is always set"},
    {"shard_connections", OPTION_NUMBER, 0, FIELD(connections_per_shard_max), .min = 0, .max = UINT32_MAX},
    {"shards", OPTION_NUMBER, 0, FIELD(shards), .min = 0, .max = 64},
    {"socket_domain", OPTION_SPECIAL, 0, .read = special_read_socket_domain},
    {"start_type", OPTION_REFUSED, 0, .remark = NO_BRIDGES},
    {"sys_interval", OPTION_NUMBER, OPTION_RELOADS, FIELD(sys_interval_s), .min = 0, .max = 65535},
    {"threshold", OPTION_REFUSED, 0, .remark = NO_BRIDGES},
    {"tls_engine", OPTION_REFUSED, 0, .remark = NO_ENGINES},
    {"tls_engine_kpass_sha1", OPTION_REFUSED, 0, .remark = NO_ENGINES},
    {"tls_keyform", OPTION_SPECIAL, OPTION_OF_LISTENER | OPTION_RELOADS, .read = special_read_tls_keyform},
    {"tls_version", OPTION_SPECIAL, OPTION_OF_LISTENER | OPTION_RELOADS, .read = special_read_tls_version},
    {"topic", OPTION_REFUSED, 0, .remark = NO_BRIDGES},
    {"try_private", OPTION_REFUSED, 0, .remark = NO_BRIDGES},
    {"unix_socket_mode", OPTION_SPECIAL, OPTION_OF_LISTENER | OPTION_AFTER_LISTENER, LISTENER_FIELD(unix_mode), .read = special_read_unix_socket_mode},
    {"upgrade_outgoing_qos", OPTION_BOOL, OPTION_RELOADS, FIELD(upgrade_outgoing_qos)},
    {"use_identity_as_username", OPTION_BOOL, OPTION_OF_LISTENER | OPTION_RELOADS, LISTENER_FIELD(use_identity_as_username)},
    {"use_subject_as_username", OPTION_BOOL, OPTION_OF_LISTENER | OPTION_RELOADS, LISTENER_FIELD(use_subject_as_username)},
    {"use_username_as_clientid", OPTION_BOOL, OPTION_OF_LISTENER, LISTENER_FIELD(use_username_as_clientid)},
    {"user", OPTION_SPECIAL, 0, FIELD(user), .read = special_read_user},
    {"username", OPTION_REFUSED, 0, .remark = NO_BRIDGES},
    {"websockets_forwarded_header", OPTION_SPECIAL, OPTION_OF_LISTENER | OPTION_AFTER_LISTENER, LISTENER_FIELD(websockets_forwarded),
     .read = special_read_websockets_forwarded_header},
    {"websockets_headers_size", OPTION_NUMBER, OPTION_RELOADS, FIELD(websockets_headers_size), .min = 256, .max = 65536},
    {"websockets_log_level", OPTION_IGNORED, 0, .remark = "WebSocket connections are logged as all others are"},
    {"websockets_origin", OPTION_SPECIAL, OPTION_OF_LISTENER | OPTION_AFTER_LISTENER, LISTENER_FIELD(websockets_origin_count),
     .read = special_read_websockets_origin},
    {"websockets_trusted_proxy", OPTION_SPECIAL, OPTION_OF_LISTENER | OPTION_AFTER_LISTENER, LISTENER_FIELD(websockets_proxy_count),
     .read = special_read_websockets_trusted_proxy},
};

#define ROW_COUNT (sizeof rows / sizeof rows[0])
#define NAME_MAX_BYTES 64 /* longer than any name; what is longer is not near to any */

const struct option *
option_rows(size_t *count)
{
    *count = ROW_COUNT;
    return rows;
}

static int
compare_name(const void *name, const void *row)
{
    const struct option *option = row;
    if (option->flags & OPTION_PREFIX) {
        return strncmp(name, option->name, strlen(option->name));
    }
    return strcmp(name, option->name);
}

const struct option *
option_find(const char *name)
{
    return bsearch(name, rows, ROW_COUNT, sizeof rows[0], compare_name);
}

/* Levenshtein's distance: characters to add, drop or change. */
static unsigned
distance(const char *a, const char *b)
{
    unsigned row[NAME_MAX_BYTES + 1];
    size_t b_size = strlen(b);
    assert(b_size <= NAME_MAX_BYTES);

    for (unsigned j = 0; j <= b_size; j++) {
        row[j] = j;
    }
    for (unsigned i = 1; a[i - 1] != '\0'; i++) {
        unsigned diagonal = row[0];
        row[0] = i;
        for (unsigned j = 1; j <= b_size; j++) {
            unsigned changed = diagonal + (a[i - 1] != b[j - 1]);
            unsigned shorter = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            diagonal = row[j];
            row[j] = changed < shorter ? changed : shorter;
        }
    }
    return row[b_size];
}

const char *
option_nearest(const char *name)
{
    size_t size = strlen(name);
    if (size > NAME_MAX_BYTES) {
        return NULL;
    }
    const char *nearest = NULL;
    unsigned least = (unsigned)size / 3 + 2; /* a third of it may be wrong */
    for (size_t i = 0; i < ROW_COUNT; i++) {
        unsigned errors = distance(name, rows[i].name);
        if (errors < least) {
            least = errors;
            nearest = rows[i].name;
        }
    }
    return nearest;
}

static bool
same_bytes(const struct option *option, const char *a, const char *b)
{
    if (option->read == special_read_websockets_origin || option->read == special_read_websockets_trusted_proxy) {
        return ways_same_list(option, (const void *)a, (const void *)b);
    }
    if (option->kind == OPTION_STRING || option->read == special_read_user) {
        const char *x = *(char *const *)(a + option->offset), *y = *(char *const *)(b + option->offset);
        return x == NULL || y == NULL ? x == y : strcmp(x, y) == 0;
    }
    return memcmp(a + option->offset, b + option->offset, option->size) == 0;
}

bool
option_same(const struct option *option, const struct config *a, const struct config *b)
{
    if (!(option->flags & (OPTION_OF_LISTENER | OPTION_OF_SECURITY))) {
        return same_bytes(option, (const char *)a, (const char *)b);
    }
    bool security = option->flags & OPTION_OF_SECURITY;
    if (security && !same_bytes(option, (const char *)&a->security, (const char *)&b->security)) {
        return false;
    }
    unsigned count = a->listener_count < b->listener_count ? a->listener_count : b->listener_count;
    for (unsigned i = 0; i < count; i++) {
        const struct config_listener *x = &a->listeners[i], *y = &b->listeners[i];
        if (!same_bytes(option, security ? (const char *)&x->own : (const char *)x, security ? (const char *)&y->own : (const char *)y)) {
            return false;
        }
    }
    return true;
}

static bool
size_fits_kind(const struct option *option)
{
    size_t size = option->size;
    switch (option->kind) {
    case OPTION_BOOL: return size == sizeof(bool);
    case OPTION_RATE: return size == sizeof(struct config_rate);
    case OPTION_STRING: return size == sizeof(char *);
    case OPTION_NUMBER: return size == 1 || size == 2 || size == 4 || size == 8;
    default: return true;
    }
}

void
option_table_check(void)
{
    for (size_t i = 0; i < ROW_COUNT; i++) {
        const struct option *option = &rows[i];
        assert(i == 0 || strcmp(rows[i - 1].name, option->name) < 0);                                        /* O1 */
        assert(size_fits_kind(option));                                                                     /* O2 */
        assert(option->kind != OPTION_NUMBER || option->min <= option->max);                                 /* O2 */
        assert(option->kind != OPTION_NUMBER || option->size == 8 || option->max < INT64_C(1) << (8 * option->size)); /* O2 */
        assert((option->kind == OPTION_SPECIAL) == (option->read != NULL));
        assert(option->kind < OPTION_REFUSED || option->remark != NULL);                                     /* O3 */
        assert(strlen(option->name) <= NAME_MAX_BYTES);
        assert(option_find(option->name) == option);
    }
}
