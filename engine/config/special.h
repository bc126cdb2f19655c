/*
 * special: options whose value is not simply a number, a switch or a text. Rows of option_table point here. Internal to engine/config.
 */
#ifndef TIDEWIRE_ENGINE_CONFIG_SPECIAL_H
#define TIDEWIRE_ENGINE_CONFIG_SPECIAL_H

#include "engine/config/parser.h"

typedef bool special_reader(struct parser *parser, const struct option *option, char *value);

special_reader special_read_allow_anonymous, special_read_auto_id_prefix, special_read_bind_address, special_read_bind_interface, special_read_http_acl_url,
    special_read_http_auth_failure, special_read_http_auth_url, special_read_http_header, special_read_include_dir, special_read_jwt_claims,
    special_read_listener, special_read_listener_allow_anonymous, special_read_log_dest, special_read_log_facility, special_read_log_timestamp_format,
    special_read_log_type, special_read_max_inflight_messages, special_read_message_size_limit, special_read_per_listener_settings,
    special_read_persistence_sync, special_read_persistent_client_expiration, special_read_port, special_read_publish_rate_action, special_read_retain_expiry_interval, special_read_socket_domain, special_read_user;

/* Of ways.c. */
special_reader special_read_enable_proxy_protocol, special_read_protocol, special_read_unix_socket_mode, special_read_websockets_forwarded_header,
    special_read_websockets_origin, special_read_websockets_trusted_proxy;

/* Of tls_options.c. */
special_reader special_read_certfile, special_read_keyfile, special_read_psk_hint, special_read_tls_keyform, special_read_tls_version;

#endif
