#include "test/sim/names.h"

#include "codec/topic.h"
#include "test/sim/dice.h"

#include <stdio.h>
#include <stdlib.h>

#define NOISE_STEP 4096u

static const char *const topics[NAMES_TOPICS] = {
    "a", "b", "a/b", "a/c", "b/b", "a/b/c", "c/d", "/x", "$app/a", "s/x", "s/y", "s/x/y", "a/b/c/d/e/f/g",
    "r/0", "r/1", "r/2", "r/0/deep",
    "w/0", "w/1", "w/2",
};

static const char *const filters[NAMES_FILTERS] = {
    "a", "b", "a/b", "a/c", "b/b", "a/b/c", "c/d", "s/x", "r/0", "r/1", "$app/a", "w/0",
    "+", "a/+", "+/b", "a/#", "#", "+/+", "a/b/#", "/+", "$app/#", "w/+", "w/#", "r/+", "r/#", "+/+/c", "b/#", "r/0/#",
    "$share/g/s/+", "$share/g/s/x", "$share/h/s/#", "$share/g/a/b", "$share/h/a/#", "$share/k/#", "$share/g/s/y", "$share/k/s/x/y",
    "$share/h/+/b", "$share/g/w/#", "$share/k/r/+", "$share/h/s/x",
};

static bool matches[NAMES_FILTERS][NAMES_TOPICS];
static uint8_t noise[NAMES_PAYLOAD_MAX + NOISE_STEP];

static struct bytes
text_of(const char *text)
{
    return bytes_of(text, (uint32_t)strlen(text));
}

void
names_init(void)
{
    for (uint32_t f = 0; f < NAMES_FILTERS; f++) {
        struct topic_filter parsed;
        if (!topic_filter_parse(text_of(filters[f]), TOPIC_LEVELS_MAX, &parsed) || parsed.shared != (f >= NAMES_SHARED)) {
            fprintf(stderr, "names: %s\n", filters[f]);
            abort();
        }
        for (uint32_t t = 0; t < NAMES_TOPICS; t++) {
            matches[f][t] = topic_match(parsed.filter, text_of(topics[t]));
        }
    }
    struct dice dice = {7};
    for (uint32_t i = 0; i < sizeof noise; i++) {
        noise[i] = (uint8_t)dice_next(&dice);
    }
}

struct bytes
names_topic(uint32_t topic)
{
    return text_of(topics[topic]);
}

struct bytes
names_filter(uint32_t filter)
{
    return text_of(filters[filter]);
}

bool
names_match(uint32_t filter, uint32_t topic)
{
    return matches[filter][topic];
}

uint32_t
names_find_topic(struct bytes name)
{
    uint32_t topic = 0;
    while (topic < NAMES_TOPICS && !bytes_equal(name, text_of(topics[topic]))) {
        topic++;
    }
    return topic;
}

struct bytes
names_payload(uint32_t uid, uint32_t size)
{
    static uint8_t payload[NAMES_PAYLOAD_MAX];
    if (size == 0) {
        return bytes_of(NULL, 0);
    }
    struct writer w = writer_of(payload, sizeof payload);
    writer_u32(&w, 0x54574d53u);
    writer_u32(&w, uid);
    writer_u32(&w, size);
    writer_put(&w, bytes_of(noise + uid * 2654435761u % NOISE_STEP, size - NAMES_PAYLOAD_MIN));
    return bytes_of(payload, size);
}

uint32_t
names_payload_uid(struct bytes payload)
{
    struct reader r = reader_of(payload);
    uint32_t magic = reader_u32(&r);
    uint32_t uid = reader_u32(&r);
    return r.failed || magic != 0x54574d53u ? UINT32_MAX : uid;
}
