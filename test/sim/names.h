/*
 * names: the topics and filters that all runs use, which filter matches which topic, and the bytes of every payload.
 *
 * There are few of them, so that subscriptions overlap, and of every kind: exact, '+', '#', shared, `$`-topics, empty levels. A payload tells which
 * message it is, so that nothing can be delivered unnoticed in place of something else.
 */
#ifndef TIDEWIRE_TEST_SIM_NAMES_H
#define TIDEWIRE_TEST_SIM_NAMES_H

#include "codec/bytes.h"

#define NAMES_TOPICS 20u
#define NAMES_FILTERS 40u
/* Topics from here on are for wills; those before it from NAMES_RETAINED on get mostly retained messages. */
#define NAMES_WILLS 17u
#define NAMES_RETAINED 13u
/* Filters from here on are shared subscriptions; before it ordinary ones. */
#define NAMES_SHARED 28u
#define NAMES_PAYLOAD_MIN 12u
#define NAMES_PAYLOAD_MAX (96u * 1024)

void names_init(void);
struct bytes names_topic(uint32_t topic);
struct bytes names_filter(uint32_t filter);
bool names_match(uint32_t filter, uint32_t topic);
/* The topic's number; NAMES_TOPICS if it is none of ours. */
uint32_t names_find_topic(struct bytes name);

/* The payload of message `uid`: `size` bytes, borrowed until the next call. */
struct bytes names_payload(uint32_t uid, uint32_t size);
/* Which message it is; UINT32_MAX if the first bytes are not those of a message. */
uint32_t names_payload_uid(struct bytes payload);

#endif
