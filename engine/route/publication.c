#include "engine/route/publication.h"

#include "codec/forward.h"

void
publication_init(struct publication *p)
{
    p->expiry_ms = 0;
    p->stamp = 0;
    p->publisher = 0;
    p->message = NULL;
    p->packet = bytes_of(NULL, 0);
    p->properties = bytes_of(NULL, 0);
    p->qos = 0;
    p->retain = false;
    p->topic_cut = false;
    p->again = false;
    p->recorded = 0;
    p->holders = (struct token_holders){0};
    p->token.identity = 0;
    p->needs = (struct promise_needs){0};
    p->kept_count = 0;
    p->keep_retained = false;
    p->publisher_here = false;
    p->received_kept = false;
    memset(p->image_size, 0, sizeof p->image_size);
}

void
publication_fini(struct shard *shard, struct publication *p)
{
    if (p->holders.count > 0) {
        token_free_holders(shard, &p->holders);
    }
    if (p->needs.gate != NULL) {
        promise_abandon(shard, &p->needs);
    }
    if (p->message != NULL) {
        shard_message_unref(shard, &p->message);
    }
}

void
publication_of_message(struct publication *p, struct message *message)
{
    publication_init(p);
    p->topic = message_topic(message);
    p->properties = message_properties(message);
    p->payload = message_payload(message);
    p->expiry_ms = message->expiry_ms;
    p->stamp = message->stamp;
    p->publisher = message->publisher;
    p->qos = message->qos;
    p->retain = message->retain;
    p->message = message_ref(message);
}

struct message *
publication_message(struct shard *shard, struct publication *p)
{
    if (p->message == NULL) {
        p->message = message_make(shard->account, p->topic, p->properties, p->payload);
        if (p->message == NULL) {
            stats_add(&shard->stats.drops[DROP_MEMORY], 1);
            return NULL;
        }
        p->message->expiry_ms = p->expiry_ms;
        p->message->stamp = p->stamp;
        p->message->publisher = p->publisher;
        p->message->qos = p->qos;
        p->message->retain = p->retain;
    }
    return p->message;
}

struct acl_topic *
publication_cut_topic(struct publication *p)
{
    if (!p->topic_cut) {
        acl_cut_topic(p->topic, &p->cut_topic);
        p->topic_cut = true;
    }
    return &p->cut_topic;
}

uint32_t
publication_expiry_s(uint64_t expiry_ms, uint64_t now_ms, bool *expired)
{
    *expired = expiry_ms <= now_ms;
    return *expired ? 0 : (uint32_t)((expiry_ms - now_ms + 999) / 1000);
}

static uint8_t
kind_of(uint8_t version, uint8_t qos)
{
    return (uint8_t)((version == MQTT_VERSION_5 ? 2 : 0) + (qos > 0 ? 1 : 0));
}

void
publication_set_packet(struct publication *p, struct bytes packet, uint8_t version, uint8_t qos)
{
    p->packet = packet;
    p->packet_kind = kind_of(version, qos);
}

static uint32_t
make_image(const struct shard *shard, const struct publication *p, uint8_t *image, uint8_t version, uint8_t qos)
{
    struct forward f = {.topic = p->topic, .properties = p->properties, .payload = p->payload, .qos = qos > 0};
    if (p->expiry_ms != 0) {
        bool expired;
        f.has_expiry = true;
        f.expiry_s = publication_expiry_s(p->expiry_ms, shard->now_ms, &expired);
    }
    uint32_t size = forward_size(&f, version);
    if (size == 0 || size > PUBLICATION_IMAGE_BYTES) {
        return 0;
    }
    forward_write(image, size, &f, version);
    return size;
}

struct bytes
publication_image(const struct shard *shard, struct publication *p, uint8_t version, uint8_t qos)
{
    uint8_t kind = kind_of(version, qos);
    if (p->packet.size > 0 && p->packet_kind == kind) {
        return p->packet;
    }
    if (p->image_size[kind] == 0) {
        p->image_size[kind] = make_image(shard, p, p->images[kind], version, qos);
    }
    return bytes_of(p->images[kind], p->image_size[kind]);
}

uint32_t
publication_packet_id_at(const struct publication *p, uint32_t size)
{
    uint32_t header = size < 130 ? 2 : size < 16387 ? 3 : size < 2097156 ? 4 : 5;
    return header + 2 + p->topic.size;
}
