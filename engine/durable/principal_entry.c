#include "engine/durable/principal_entry.h"

#include "engine/durable/lengthy.h"

#include <stdio.h>

#define IS_SUPERUSER 1u
/* A host or path, an interface, a port; what is longer is told apart by its beginning. */
#define ADDRESS_MAX 600

/* What tells a listener apart: `host%interface:port`, or a path. */
static struct bytes
name_listener(const struct config_listener *listener, char out[ADDRESS_MAX])
{
    if (listener->unix_path != NULL) {
        snprintf(out, ADDRESS_MAX, "%s", listener->unix_path);
    } else {
        const char *host = listener->host != NULL ? listener->host : "";
        const char *interface = listener->interface != NULL ? listener->interface : "";
        snprintf(out, ADDRESS_MAX, "%s%%%s:%u", host, interface, listener->port);
    }
    return bytes_of(out, (uint32_t)strlen(out));
}

/* The first one if there is none of that name. */
static uint8_t
find_listener(struct bytes name, const struct config_listener *listeners, unsigned count)
{
    char address[ADDRESS_MAX];
    for (unsigned i = 0; i < count; i++) {
        if (bytes_equal(name, name_listener(&listeners[i], address))) {
            return (uint8_t)i;
        }
    }
    return 0;
}

uint32_t
principal_entry_size(const struct principal *principal, const struct config_listener *listener)
{
    char address[ADDRESS_MAX];
    uint32_t size = 1 + 1 + 8 + 8 + 2 + principal->user.size + lengthy_size(name_listener(listener, address)) + varint_size(principal->claim_count);
    for (uint32_t i = 0; i < principal->claim_count; i++) {
        size += lengthy_size(principal->claims[i].name) + lengthy_size(principal->claims[i].value);
    }
    return size;
}

void
principal_entry_put(struct writer *w, const struct principal *principal, const struct config_listener *listener)
{
    char address[ADDRESS_MAX];
    writer_u8(w, principal->way);
    writer_u8(w, principal->superuser ? IS_SUPERUSER : 0);
    writer_u64(w, principal->credential);
    writer_u64(w, principal->expires_wall_ms);
    writer_binary(w, principal->user);
    lengthy_put(w, name_listener(listener, address));
    writer_varint(w, principal->claim_count);
    for (uint32_t i = 0; i < principal->claim_count; i++) {
        lengthy_put(w, principal->claims[i].name);
        lengthy_put(w, principal->claims[i].value);
    }
}

static bool
read_claims(struct reader *r, struct principal_entry *out)
{
    out->principal.claims = out->claims;
    out->principal.claim_count = reader_varint(r);
    if (out->principal.claim_count > PRINCIPAL_ENTRY_CLAIMS_MAX) {
        return false;
    }
    for (uint32_t i = 0; i < out->principal.claim_count; i++) {
        out->claims[i].name = lengthy_read(r);
        out->claims[i].value = lengthy_read(r);
    }
    return !r->failed;
}

bool
principal_entry_read(struct bytes content, const struct config_listener *listeners, unsigned listener_count, struct principal_entry *out)
{
    struct reader r = reader_of(content);
    out->principal = (struct principal){.way = reader_u8(&r)};
    unsigned flags = reader_u8(&r);
    out->principal.superuser = (flags & IS_SUPERUSER) != 0;
    out->principal.credential = reader_u64(&r);
    out->principal.expires_wall_ms = reader_u64(&r);
    out->principal.user = reader_binary(&r);
    out->principal.listener = find_listener(lengthy_read(&r), listeners, listener_count);
    return read_claims(&r, out) && out->principal.way <= PRINCIPAL_BY_HOOK && (flags & ~IS_SUPERUSER) == 0;
}
