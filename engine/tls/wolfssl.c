#include "engine/tls/wolfssl.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* Randomness fetched at once: a system call costs as much as some hundred bytes of it. */
#define POOL_BYTES 512u

static _Thread_local size_t *counted;

size_t *
wolfssl_count_memory(size_t *count)
{
    size_t *before = counted;
    counted = count;
    return before;
}

static void *
count_in(void *memory)
{
    if (counted != NULL) {
        *counted += malloc_usable_size(memory);
    }
    return memory;
}

static void
count_out(void *memory)
{
    if (counted != NULL) {
        *counted -= malloc_usable_size(memory);
    }
}

static void *
library_malloc(size_t size)
{
    return count_in(malloc(size));
}

static void
library_free(void *memory)
{
    count_out(memory);
    free(memory);
}

static void *
library_realloc(void *memory, size_t size)
{
    size_t before = malloc_usable_size(memory);
    void *moved = realloc(memory, size);
    if (moved != NULL && counted != NULL) {
        *counted += malloc_usable_size(moved) - before;
    }
    return moved;
}

static bool usable;

static void
begin(void)
{
    usable = wolfSSL_SetAllocators(library_malloc, library_free, library_realloc) == 0 && wolfSSL_Init() == WOLFSSL_SUCCESS;
}

bool
wolfssl_begin(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, begin);
    return usable;
}

static bool
fill(unsigned char *out, size_t size)
{
    while (size > 0) {
        ssize_t got = getrandom(out, size, 0);
        if (got < 0 && errno != EINTR) {
            return false;
        }
        size_t step = got > 0 ? (size_t)got : 0;
        out += step;
        size -= step;
    }
    return true;
}

/*
 * From the kernel, not through the seam: keys must not follow from a simulation's seed, and steps of a handshake run in threads that have no shard. What has been
 * handed out is wiped.
 */
int
tls_random(unsigned char *out, unsigned size)
{
    static _Thread_local struct {
        unsigned char bytes[POOL_BYTES];
        unsigned left;
    } pool;
    if (size > POOL_BYTES) {
        return fill(out, size) ? 0 : -1;
    }
    if (pool.left < size) {
        if (!fill(pool.bytes, POOL_BYTES)) {
            return -1;
        }
        pool.left = POOL_BYTES;
    }
    pool.left -= size;
    memcpy(out, pool.bytes + pool.left, size);
    explicit_bzero(pool.bytes + pool.left, size);
    return 0;
}
