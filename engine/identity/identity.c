#include "engine/identity/identity.h"

#include "engine/transport/transport.h"

#define NAME_SIZE_MAX 65535u /* of a string in MQTT */

/* Empty unless it can be a user name. */
static struct bytes
name_of(const char *text, size_t size)
{
    struct bytes name = bytes_of(text, (uint32_t)size);
    return size > 0 && size <= NAME_SIZE_MAX && utf8_check(name) ? name : bytes_of(NULL, 0);
}

static struct bytes
name_from(const char *text)
{
    return text != NULL ? name_of(text, strlen(text)) : bytes_of(NULL, 0);
}

static const struct config_listener *
listener_of(const struct shard *shard, const struct connection *c)
{
    return &shard->config->listeners[c->listener];
}

bool
identity_is_asked_for(const struct shard *shard, const struct connection *c)
{
    const struct config_listener *listener = listener_of(shard, c);
    return listener->use_identity_as_username || listener->use_subject_as_username;
}

struct bytes
identity_name(const struct connection *c)
{
    const struct transport *t = connection_transport(c);
    struct tls_identity identity;
    if (transport_identity(c, &identity)) {
        return name_from(identity.psk_identity != NULL ? identity.psk_identity : identity.common_name);
    }
    /* Where TLS ends at the proxy; if it goes through, only the client's own certificate counts. */
    if (t != NULL && t->tls == NULL && t->proxied != NULL && t->proxied->certificate) {
        return name_of((const char *)t->proxied->common_name, t->proxied->name_size);
    }
    return bytes_of(NULL, 0);
}

struct bytes
identity_user(const struct shard *shard, const struct connection *c)
{
    struct tls_identity identity;
    if (!listener_of(shard, c)->use_subject_as_username) {
        return identity_name(c);
    }
    return transport_identity(c, &identity) ? name_from(identity.subject) : bytes_of(NULL, 0);
}
