/*
 * alias: topic aliases of one connection, both ways. They live and die with it, and are charged to the account. MQTT5 3.3.2.3.4.
 */
#ifndef TIDEWIRE_ENGINE_NET_ALIAS_H
#define TIDEWIRE_ENGINE_NET_ALIAS_H

#include "codec/reason.h"
#include "engine/net/connection.h"

/*
 * What a client's PUBLISH means: with a topic and an alias the pair is remembered, with an alias alone the topic is filled in. Returns 0, or the reason to disconnect with:
 * 0x94 for an alias above `alias_max`, 0x82 for one that was never set. MQTT5 [MQTT-3.3.2-7].
 */
uint8_t alias_resolve(struct budget_account *account, struct connection *c, uint16_t alias_max, uint16_t alias, struct bytes *topic);

/* The topic that a client has given this alias; empty: none. Borrowed. */
struct bytes alias_known(const struct connection *c, uint16_t alias);

/*
 * Picks an alias for a topic to be sent: `*omit` if the client knows it already; else, once the packet is on its way, alias_remember() is to follow. The first
 * alias_max_out topics of a connection get one each. 0: none.
 */
void alias_choose(struct budget_account *account, struct connection *c, struct bytes topic, uint16_t *alias, bool *omit);
void alias_remember(struct budget_account *account, struct connection *c, struct bytes topic, uint16_t alias);

void alias_forget_all(struct budget_account *account, struct connection *c);

#endif
