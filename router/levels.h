/*
 * levels: a topic or filter cut at its '/' and hashed level by level, in one pass over the bytes.
 *
 * SIMD where the machine has it (chosen once, at levels_init), with a portable twin that gives equal results. Reads no byte outside the topic.
 */
#ifndef TIDEWIRE_ROUTER_LEVELS_H
#define TIDEWIRE_ROUTER_LEVELS_H

#include "codec/topic.h"

struct levels {
    uint32_t count;                      /* 1 to TOPIC_LEVELS_MAX; a topic with more gives 0 */
    uint16_t start[TOPIC_LEVELS_MAX];    /* offset of each level */
    uint16_t size[TOPIC_LEVELS_MAX];
    uint64_t hash[TOPIC_LEVELS_MAX];     /* keyed: equal levels, equal hashes */
};

/* Chooses the implementation. Idempotent; before any thread starts. */
void levels_init(void);
void levels_split(struct bytes topic, uint64_t key, struct levels *out);
void levels_split_portable(struct bytes topic, uint64_t key, struct levels *out);

#endif
