/* Addresses of HTTP hooks, in a snapshot. */
#include "engine/security/security_parts.h"

#include <errno.h>
#include <stdio.h>

static bool
read_target(struct http_target *target, const char *url, const char *option, const struct config *config, char *error, size_t error_size)
{
    if (url == NULL) {
        return true;
    }
    if (!http_client_begin()) {
        snprintf(error, error_size, "option %s: libcurl cannot be set up", option);
        return false;
    }
    if (!http_url_check(url)) {
        snprintf(error, error_size, "option %s: the address is not one that a request can go to", option);
        return false;
    }
    *target = (struct http_target){
        .url = url,
        .headers = (const char *const *)config->http_headers,
        .header_count = config->http_header_count,
        .ca_file = config->http_cafile,
        .timeout_ms = config->http_timeout_ms,
    };
    return true;
}

/* libcurl would say so with the first request, and the operator would not be there. */
static bool
check_ca_file(const struct config *config, char *error, size_t error_size)
{
    FILE *file = config->http_cafile != NULL ? fopen(config->http_cafile, "re") : NULL;
    if (config->http_cafile != NULL && file == NULL) {
        snprintf(error, error_size, "%s: cannot be read: %s", config->http_cafile, strerror(errno));
        return false;
    }
    if (file != NULL) {
        fclose(file);
    }
    return true;
}

bool
security_read_hooks(struct security *security, const struct config *config, char *error, size_t error_size)
{
    for (unsigned i = 0; i < config->listener_count; i++) {
        const struct config_security *from = config_security(config, i);
        struct security_listener *to = &security->listeners[i];
        if (!read_target(&to->http_auth, from->http_auth_url, "http_auth_url", config, error, error_size) ||
            !read_target(&to->http_acl, from->http_acl_url, "http_acl_url", config, error, error_size)) {
            return false;
        }
    }
    return check_ca_file(config, error, error_size);
}
