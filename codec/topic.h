/*
 * topic: rules for topic names and topic filters, and the one obvious matcher.
 *
 * Names are `struct bytes` as they came off the wire. Checks include UTF-8 (codec/bytes.h), so a string that passed one of
 * them needs no second look. MQTT5 4.7 and 4.8, MQTT3 4.7.
 */
#ifndef TIDEWIRE_CODEC_TOPIC_H
#define TIDEWIRE_CODEC_TOPIC_H

#include "codec/bytes.h"

/* Levels ("a/b" has two) that any topic name or filter may have, whatever the configuration says. The matcher's arrays
 * are of this size: raising it costs stack and the worst case of a match. */
#define TOPIC_LEVELS_MAX 128u

/*
 * True if `name` may stand in a PUBLISH: not empty, valid UTF-8, no '+' or '#', at most `levels_max` levels.
 * MQTT5 [MQTT-3.3.2-1] [MQTT-3.3.2-2] [MQTT-4.7.3-1].
 */
bool topic_name_check(struct bytes name, uint32_t levels_max);

/* A topic filter taken apart. Without `$share/` the group is empty and `filter` is the whole. */
struct topic_filter {
    struct bytes filter; /* what is matched */
    struct bytes group;  /* the share name, or empty */
    bool shared;
    bool wildcard;       /* holds '+' or '#' */
    uint32_t levels;
};

/*
 * True if `text` may stand in a SUBSCRIBE; fills `out` with borrowed parts. '+' and '#' stand alone in their level, '#'
 * only in the last one; a share name is not empty and holds no '/', '+' or '#', and a filter follows it.
 * MQTT5 [MQTT-4.7.1-1] [MQTT-4.7.1-2] [MQTT-4.8.2-1] [MQTT-4.8.2-2].
 */
bool topic_filter_parse(struct bytes text, uint32_t levels_max, struct topic_filter *out);

/*
 * True if the valid `filter` (no `$share/`) matches the valid `name`. A filter that starts with a wildcard never matches
 * a name that starts with '$'. MQTT5 [MQTT-4.7.2-1]. Slow and obvious: the router's index is held against it.
 */
bool topic_match(struct bytes filter, struct bytes name);

#endif
