#include "bench/load/stencil.h"

#include <stdlib.h>

#include "codec/encode.h"

/* Fixed header, topic length, topic, packet identifier, property length. */
#define HEADER_ROOM 128u

static bool
encode(struct stencil *s, const struct options *o, const char *topic, uint32_t room)
{
    uint8_t *payload = malloc(o->size);
    if (payload == NULL) {
        return false;
    }
    memset(payload, 'm', o->size);
    struct publish packet = {
        .topic = bytes_of(topic, (uint32_t)strlen(topic)),
        .payload = bytes_of(payload, (uint32_t)o->size),
        .qos = (uint8_t)o->qos,
        .packet_id = o->qos > 0 ? 1 : 0,
    };
    s->size = encode_publish(s->bytes, room, (uint8_t)o->version, &packet);
    s->payload_at = s->size - (uint32_t)o->size;
    s->id_at = o->qos == 0 ? 0 : s->payload_at - 2 - (o->version == MQTT_VERSION_5 ? 1 : 0);
    free(payload);
    return s->size > 0;
}

bool
stencil_init(struct stencil *s, const struct options *o, const char *topic)
{
    uint32_t room = (uint32_t)o->size + HEADER_ROOM;

    *s = (struct stencil){.bytes = malloc(room)};
    if (s->bytes == NULL) {
        return false;
    }
    if (!o->raw) {
        return encode(s, o, topic, room);
    }
    memset(s->bytes, 'm', o->size);
    s->size = (uint32_t)o->size;
    return true;
}

void
stencil_fini(struct stencil *s)
{
    free(s->bytes);
    *s = (struct stencil){0};
}
