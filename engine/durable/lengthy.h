/*
 * lengthy: bytes behind a length of one to four bytes (a Variable Byte Integer): what may be larger than 65 535, and mostly is small.
 */
#ifndef TIDEWIRE_ENGINE_DURABLE_LENGTHY_H
#define TIDEWIRE_ENGINE_DURABLE_LENGTHY_H

#include "codec/bytes.h"

static inline uint32_t
lengthy_size(struct bytes b)
{
    return varint_size(b.size) + b.size;
}

static inline void
lengthy_put(struct writer *w, struct bytes b)
{
    writer_varint(w, b.size);
    writer_put(w, b);
}

static inline struct bytes
lengthy_read(struct reader *r)
{
    return reader_take(r, reader_varint(r));
}

#endif
