/*
 * same: whether two short runs of bytes are equal, without a call. Internal to the router.
 *
 * Topics and their levels are short, and a call of memcmp() costs more than comparing them: so up to 32 bytes are compared by loads that overlap in the middle.
 */
#ifndef TIDEWIRE_ROUTER_SAME_H
#define TIDEWIRE_ROUTER_SAME_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Bits that differ between eight bytes here and there. */
static inline uint64_t
same_diff_8(const uint8_t *a, const uint8_t *b)
{
    uint64_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return x ^ y;
}

static inline uint32_t
same_diff_4(const uint8_t *a, const uint8_t *b)
{
    uint32_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return x ^ y;
}

static inline bool
same_bytes(const uint8_t *a, const uint8_t *b, uint32_t size)
{
    if (size > 32) {
        return memcmp(a, b, size) == 0;
    }
    if (size >= 16) {
        uint64_t front = same_diff_8(a, b) | same_diff_8(a + 8, b + 8);
        return (front | same_diff_8(a + size - 16, b + size - 16) | same_diff_8(a + size - 8, b + size - 8)) == 0;
    }
    if (size >= 8) {
        return (same_diff_8(a, b) | same_diff_8(a + size - 8, b + size - 8)) == 0;
    }
    if (size >= 4) {
        return (same_diff_4(a, b) | same_diff_4(a + size - 4, b + size - 4)) == 0;
    }
    return size == 0 || (a[0] == b[0] && a[size / 2] == b[size / 2] && a[size - 1] == b[size - 1]);
}

#endif
