#include "engine/transport/proxy_layer.h"

#include "codec/proxy.h"
#include "engine/log.h"
#include "engine/transport/transport.h"

#include <stdlib.h>

static void
refuse(struct shard *shard, struct connection *c, const char *why)
{
    stats_add(&shard->stats.drops[DROP_PROXY_HEADER], 1);
    log_peer(CONFIG_LOG_NOTICE, DROP_PROXY_HEADER, "Connection from %s closed: %s.", connection_peer_text(c), why);
    connection_drop(shard, c, false);
}

static bool
remember(struct shard *shard, struct connection *c, const struct proxy *header)
{
    struct transport *t = connection_transport(c);
    uint32_t size = (uint32_t)sizeof(struct proxied) + header->common_name.size;
    t->proxied = malloc(size);
    if (t->proxied == NULL) {
        return false;
    }
    *t->proxied = (struct proxied){.tls = header->tls, .certificate = header->certificate, .name_size = header->common_name.size};
    if (header->common_name.size > 0) {
        memcpy(t->proxied->common_name, header->common_name.data, header->common_name.size);
    }
    transport_charge(shard, c, size);
    return true;
}

/* False: its limits are reached. A proxy that speaks for itself (a health check) keeps its own address, and is not counted. */
static bool
learn_peer(struct shard *shard, struct connection *c, const struct proxy *header)
{
    struct peer_address peer = peer_of_address(&header->source, header->source_port);
    return header->local || connection_learn_peer(shard, c, &peer);
}

/* What the header must say and does not; NULL: nothing. Where TLS goes through the proxy, the handshake asks for a certificate. */
static const char *
find_lack(const struct shard *shard, const struct connection *c, const struct proxy *header)
{
    const struct config_listener *listener = &shard->config->listeners[c->listener];
    if (listener->proxy_requires_tls && !header->tls) {
        return "its proxy does not say that it uses TLS";
    }
    if (listener->require_certificate && connection_transport(c)->tls == NULL && !header->certificate) {
        return "its proxy does not say that it has a good certificate";
    }
    return NULL;
}

/* A whole header. False: the connection has ended. */
static bool
accept_header(struct shard *shard, struct connection *c, const struct proxy *header)
{
    if (!learn_peer(shard, c, header)) {
        connection_drop(shard, c, false);
        return false;
    }
    const struct config_listener *listener = &shard->broker->listeners[c->listener];
    connection_transport(c)->peer_is_proxy = header->local || listener->websockets_proxy_count > 0 || listener->websockets_trusts_unix;
    const char *lack = find_lack(shard, c, header);
    if (lack != NULL) {
        transport_note_refusal(shard, c);
        refuse(shard, c, lack);
        return false;
    }
    if (header->tls && !remember(shard, c, header)) {
        stats_add(&shard->stats.drops[DROP_MEMORY], 1);
        connection_drop(shard, c, false);
        return false;
    }
    return true;
}

bool
proxy_layer_received(struct shard *shard, struct connection *c, struct bytes *data)
{
    struct transport *t = connection_transport(c);
    struct bytes all;
    if (!transport_gather(shard, c, *data, &all)) {
        return false;
    }
    struct proxy header;
    enum proxy_status status = proxy_read(all, t->proxy_version, &header);
    if (status == PROXY_NEED_MORE) {
        transport_gather_more(shard, c, *data);
        return false;
    }
    if (status == PROXY_MALFORMED) {
        refuse(shard, c, "it does not start with a valid PROXY header");
        return false;
    }
    bool accepted = accept_header(shard, c, &header);
    t->proxy_version = 0;
    *data = transport_gathered(shard, c, *data, header.size);
    return accepted;
}
