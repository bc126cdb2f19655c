#include "engine/net/alias.h"

#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static struct alias_table *
make_table(uint16_t count)
{
    struct alias_table *table = calloc(1, sizeof *table + count * sizeof table->aliases[0]);
    if (table != NULL) {
        table->count = count;
    }
    return table;
}

static bool
set_alias(struct alias *alias, struct bytes topic)
{
    uint8_t *copy = realloc(alias->topic, topic.size);
    if (copy == NULL) {
        return false;
    }
    memcpy(copy, topic.data, topic.size);
    alias->topic = copy;
    alias->size = (uint16_t)topic.size;
    return true;
}

uint8_t
alias_resolve(struct connection *c, uint16_t alias_max, uint16_t alias, struct bytes *topic)
{
    if (alias == 0 || alias > alias_max) {
        return REASON_TOPIC_ALIAS_INVALID;
    }
    if (c->aliases_in == NULL) {
        c->aliases_in = make_table(alias_max);
    }
    if (c->aliases_in == NULL || alias > c->aliases_in->count) {
        return REASON_TOPIC_ALIAS_INVALID;
    }
    struct alias *known = &c->aliases_in->aliases[alias - 1];
    if (topic->size > 0) {
        return set_alias(known, *topic) ? REASON_SUCCESS : REASON_QUOTA_EXCEEDED;
    }
    if (known->topic == NULL) {
        return REASON_PROTOCOL_ERROR;
    }
    *topic = bytes_of(known->topic, known->size);
    return REASON_SUCCESS;
}

void
alias_choose(struct connection *c, struct bytes topic, uint16_t *alias, bool *omit)
{
    *alias = 0;
    *omit = false;
    if (c->aliases_out == NULL) {
        c->aliases_out = make_table(c->alias_max_out);
        if (c->aliases_out == NULL) {
            return;
        }
    }
    uint32_t hash = (uint32_t)XXH3_64bits(topic.data, topic.size);
    for (uint16_t i = 0; i < c->aliases_out->count; i++) {
        const struct alias *known = &c->aliases_out->aliases[i];
        if (known->topic == NULL) {
            *alias = (uint16_t)(i + 1);
            return;
        }
        if (known->hash == hash && bytes_equal(bytes_of(known->topic, known->size), topic)) {
            *alias = (uint16_t)(i + 1);
            *omit = true;
            return;
        }
    }
}

void
alias_remember(struct connection *c, struct bytes topic, uint16_t alias)
{
    struct alias *known = &c->aliases_out->aliases[alias - 1];
    known->hash = (uint32_t)XXH3_64bits(topic.data, topic.size);
    set_alias(known, topic); /* without memory it stays free: the next message sets it anew */
}
