/*
 * levels: a topic or filter cut at its '/' and hashed level by level.
 *
 * SIMD where the machine has it (chosen once, at levels_init), with a portable twin that gives equal results. Reads no byte outside the topic.
 *
 * A hash belongs to a level's bytes and its place: equal levels at equal places have equal hashes. Kept are their sums from the first level on, so that the sum of any
 * stretch, less some of its levels, is cheap to have (filter_index.c).
 */
#ifndef TIDEWIRE_ROUTER_LEVELS_H
#define TIDEWIRE_ROUTER_LEVELS_H

#include "codec/topic.h"

struct levels {
    uint32_t count;                       /* 1 to TOPIC_LEVELS_MAX; a topic with more gives 0 */
    uint16_t start[TOPIC_LEVELS_MAX];     /* offset of each level */
    uint16_t size[TOPIC_LEVELS_MAX];
    uint64_t sums[TOPIC_LEVELS_MAX + 1];  /* sums[i]: of the hashes of the first i levels */
};

/* What hashes depend on, besides the topic. */
struct levels_key {
    uint64_t first, second, third, step;
};

static inline uint64_t
levels_hash_of(const struct levels *levels, uint32_t i)
{
    return levels->sums[i + 1] - levels->sums[i];
}

/* Chooses the implementation. Idempotent; before any thread starts. */
void levels_init(void);
struct levels_key levels_key_from(uint64_t secret);
/* Count, starts and sizes. */
void levels_cut(struct bytes topic, struct levels *out);
/* The sums up to that of `to` levels (at most the count) of a topic that has been cut, where that of `from` levels is known; sums[0] is 0. */
void levels_hash(struct bytes topic, const struct levels_key *key, uint32_t from, uint32_t to, struct levels *out);
/* Both, for all levels; and its twin. */
void levels_split(struct bytes topic, const struct levels_key *key, struct levels *out);
void levels_split_portable(struct bytes topic, const struct levels_key *key, struct levels *out);

#endif
