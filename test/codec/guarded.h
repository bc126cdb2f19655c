/*
 * guarded: bytes whose end lies against an unreadable page, so that one byte read too many is a fault.
 *
 * One buffer per process, remade by each call of guarded(): what the last call returned is gone.
 */
#ifndef TIDEWIRE_TEST_CODEC_GUARDED_H
#define TIDEWIRE_TEST_CODEC_GUARDED_H

#include <assert.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "codec/bytes.h"

#define GUARDED_SIZE_MAX (1u << 20)

/* The first byte of the unreadable page. */
static inline uint8_t *
guarded_end(void)
{
    static uint8_t *end;
    if (end == NULL) {
        size_t page = (size_t)sysconf(_SC_PAGESIZE);
        uint8_t *start = mmap(NULL, GUARDED_SIZE_MAX + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        assert(start != MAP_FAILED);
        end = start + GUARDED_SIZE_MAX;
        int failed = mprotect(end, page, PROT_NONE);
        assert(!failed);
        (void)failed;
    }
    return end;
}

static inline struct bytes
guarded(struct bytes b)
{
    assert(b.size <= GUARDED_SIZE_MAX);
    uint8_t *copy = guarded_end() - b.size;
    if (b.size > 0) {
        memmove(copy, b.data, b.size);
    }
    return bytes_of(copy, b.size);
}

#endif
