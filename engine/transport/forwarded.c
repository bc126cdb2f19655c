#include "engine/transport/forwarded.h"

#include "codec/http.h"

static struct address
address_of_peer(const struct peer_address *peer)
{
    struct address address = {.family = peer->family == AF_INET ? ADDRESS_IPV4 : peer->family == AF_INET6 ? ADDRESS_IPV6 : ADDRESS_NONE};
    memcpy(address.bytes, peer->bytes, address.family == ADDRESS_IPV4 ? 4 : sizeof address.bytes);
    return address;
}

bool
forwarded_is_trusted(const struct config_listener *listener, const struct peer_address *peer)
{
    struct address address = address_of_peer(peer);
    for (unsigned i = 0; i < listener->websockets_proxy_count; i++) {
        if (address_in_network(&address, &listener->websockets_proxies[i])) {
            return true;
        }
    }
    return false;
}

static bool
read_port(struct bytes text, uint16_t *port)
{
    uint32_t value = 0;
    for (uint32_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9' || value > UINT16_MAX) {
            return false;
        }
        value = value * 10 + (uint32_t)(text.data[i] - '0');
    }
    *port = (uint16_t)value;
    return text.size > 0 && value <= UINT16_MAX;
}

/* "[address]:port", "[address]" or "address:port" of IPv4: the address, and what follows it. Anything else is an address alone. */
static struct bytes
split_port(struct bytes text, struct bytes *after)
{
    *after = bytes_of(NULL, 0);
    bool bracketed = text.size > 0 && text.data[0] == '[';
    const uint8_t *end = text.size > 0 ? memchr(text.data, bracketed ? ']' : ':', text.size) : NULL;
    if (end == NULL) {
        return text;
    }
    uint32_t size = (uint32_t)(end - text.data);
    if (bracketed) {
        *after = bytes_of(end + 1, text.size - size - 1);
        return bytes_of(text.data + 1, size - 1);
    }
    if (memchr(end + 1, ':', text.size - size - 1) != NULL) {
        return text; /* IPv6 as X-Forwarded-For has it */
    }
    *after = bytes_of(end, text.size - size);
    return bytes_of(text.data, size);
}

/* RFC 7239 6: a proxy may say that it does not know, or hide behind a name of its own. */
static bool
is_withheld(struct bytes node)
{
    return node.size == 0 || node.data[0] == '_' || http_same(node, "unknown");
}

static bool
read_node(struct bytes text, struct peer_address *peer)
{
    struct bytes after;
    struct bytes host = split_port(text, &after);
    *peer = (struct peer_address){0};
    if (is_withheld(host)) {
        return true;
    }
    struct address address;
    uint16_t port = 0;
    bool port_is_good = after.size == 0 || (after.data[0] == ':' && read_port(bytes_of(after.data + 1, after.size - 1), &port));
    if (!port_is_good || !address_parse(host, &address)) {
        return false;
    }
    *peer = peer_of_address(&address, port);
    return true;
}

bool
forwarded_client(const struct config_listener *listener, const struct upgrade *request, bool of_unix_socket, struct peer_address *peer)
{
    const struct upgrade_forwarded *list = listener->websockets_forwarded == CONFIG_FORWARDED ? &request->forwarded : &request->x_forwarded_for;
    bool trusted = of_unix_socket ? listener->websockets_trusts_unix : forwarded_is_trusted(listener, peer);
    for (uint32_t i = list->count; trusted && i > 0; i--) {
        if (!read_node(list->at[i - 1], peer)) {
            return false;
        }
        trusted = forwarded_is_trusted(listener, peer);
    }
    return true;
}
