#include "bench/load/stencil.h"

#include <stdio.h>
#include <stdlib.h>

#include "bench/load/scenario.h"
#include "codec/encode.h"

/* Fixed header, topic length, topic with number, packet identifier, property length. */
#define HEADER_ROOM (SCENARIO_NAME_ROOM + STENCIL_NUMBER_SIZE + 16u)

static bool
encode(struct stencil *s, enum stencil_kind kind, const struct options *o, const char *topic, uint32_t room)
{
    char name[SCENARIO_NAME_ROOM + STENCIL_NUMBER_SIZE];
    bool numbered = kind == STENCIL_NUMBERED || kind == STENCIL_ERASING;
    uint32_t size = kind == STENCIL_ERASING ? 0 : (uint32_t)o->size;
    uint8_t *payload = malloc(size + 1u);
    if (payload == NULL) {
        return false;
    }
    memset(payload, 'm', size);
    int name_size = snprintf(name, sizeof name, "%s%s", topic, numbered ? "00000000" : "");
    struct publish packet = {
        .topic = bytes_of(name, (uint32_t)name_size),
        .payload = bytes_of(payload, size),
        .qos = (uint8_t)o->qos,
        .packet_id = o->qos > 0 ? 1 : 0,
        .retain = kind != STENCIL_PLAIN,
    };
    s->size = encode_publish(s->bytes, room, (uint8_t)o->version, &packet);
    s->payload_at = s->size - size;
    uint32_t topic_end = s->payload_at - (o->version == MQTT_VERSION_5 ? 1 : 0) - (o->qos > 0 ? 2 : 0);
    s->id_at = o->qos > 0 ? topic_end : 0;
    s->number_at = numbered ? topic_end - STENCIL_NUMBER_SIZE : 0;
    free(payload);
    return s->size > 0;
}

bool
stencil_init(struct stencil *s, enum stencil_kind kind, const struct options *o, const char *topic)
{
    uint32_t room = (uint32_t)o->size + HEADER_ROOM;

    *s = (struct stencil){.bytes = malloc(room)};
    if (s->bytes == NULL) {
        return false;
    }
    if (!o->raw) {
        return encode(s, kind, o, topic, room);
    }
    memset(s->bytes, 'm', o->size);
    s->size = (uint32_t)o->size;
    return true;
}

void
stencil_write_number(const struct stencil *s, uint8_t *out, uint64_t number)
{
    for (uint32_t i = STENCIL_NUMBER_SIZE; i-- > 0; number /= 10) {
        out[s->number_at + i] = (uint8_t)('0' + number % 10);
    }
}

void
stencil_fini(struct stencil *s)
{
    free(s->bytes);
    *s = (struct stencil){0};
}
