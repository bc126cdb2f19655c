#include "engine/net/alias.h"

#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static void
charge(struct budget_account *account, struct connection_extra *extra, uint64_t bytes)
{
    extra->alias_bytes += bytes;
    budget_charge(account, bytes);
}

/* One of the two tables, made if need be. NULL when out of memory. */
static struct alias_table *
need_table(struct budget_account *account, struct connection_extra *extra, struct alias_table **table, uint16_t count)
{
    if (*table == NULL) {
        size_t bytes = sizeof **table + count * sizeof (*table)->aliases[0];
        *table = calloc(1, bytes);
        if (*table != NULL) {
            (*table)->count = count;
            charge(account, extra, bytes);
        }
    }
    return *table;
}

static void
free_table(struct alias_table *table)
{
    for (uint32_t i = 0; table != NULL && i < table->count; i++) {
        free(table->aliases[i].topic);
    }
    free(table);
}

void
alias_forget_all(struct budget_account *account, struct connection *c)
{
    struct connection_extra *extra = c->extra;
    if (extra != NULL) {
        budget_refund(account, extra->alias_bytes);
        free_table(extra->alias_in);
        free_table(extra->alias_out);
        extra->alias_in = extra->alias_out = NULL;
        extra->alias_bytes = 0;
    }
}

static bool
set_alias(struct budget_account *account, struct connection_extra *extra, struct alias *alias, struct bytes topic)
{
    uint8_t *copy = realloc(alias->topic, topic.size);
    if (copy == NULL) {
        return false;
    }
    memcpy(copy, topic.data, topic.size);
    alias->topic = copy;
    budget_refund(account, alias->size);
    extra->alias_bytes -= alias->size;
    alias->size = (uint16_t)topic.size;
    charge(account, extra, topic.size);
    return true;
}

uint8_t
alias_resolve(struct budget_account *account, struct connection *c, uint16_t alias_max, uint16_t alias, struct bytes *topic)
{
    if (alias == 0 || alias > alias_max) {
        return REASON_TOPIC_ALIAS_INVALID;
    }
    struct connection_extra *extra = connection_need_extra(account, c);
    struct alias_table *table = extra != NULL ? need_table(account, extra, &extra->alias_in, alias_max) : NULL;
    if (table == NULL || alias > table->count) {
        return REASON_TOPIC_ALIAS_INVALID;
    }
    struct alias *known = &table->aliases[alias - 1];
    if (topic->size > 0) {
        return set_alias(account, extra, known, *topic) ? REASON_SUCCESS : REASON_QUOTA_EXCEEDED;
    }
    if (known->topic == NULL) {
        return REASON_PROTOCOL_ERROR;
    }
    *topic = bytes_of(known->topic, known->size);
    return REASON_SUCCESS;
}

struct bytes
alias_known(const struct connection *c, uint16_t alias)
{
    const struct alias_table *table = c->extra != NULL ? c->extra->alias_in : NULL;
    if (table == NULL || alias == 0 || alias > table->count || table->aliases[alias - 1].topic == NULL) {
        return bytes_of(NULL, 0);
    }
    return bytes_of(table->aliases[alias - 1].topic, table->aliases[alias - 1].size);
}

void
alias_choose(struct budget_account *account, struct connection *c, struct bytes topic, uint16_t *alias, bool *omit)
{
    *alias = 0;
    *omit = false;
    struct connection_extra *extra = connection_need_extra(account, c);
    const struct alias_table *table = extra != NULL ? need_table(account, extra, &extra->alias_out, c->alias_max_out) : NULL;
    if (table == NULL) {
        return;
    }
    uint32_t hash = (uint32_t)XXH3_64bits(topic.data, topic.size);
    for (uint16_t i = 0; i < table->count; i++) {
        const struct alias *known = &table->aliases[i];
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
alias_remember(struct budget_account *account, struct connection *c, struct bytes topic, uint16_t alias)
{
    struct alias *known = &c->extra->alias_out->aliases[alias - 1];
    known->hash = (uint32_t)XXH3_64bits(topic.data, topic.size);
    set_alias(account, c->extra, known, topic); /* without memory it stays free: the next message sets it anew */
}
