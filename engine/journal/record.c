#include "engine/journal/record.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <assert.h>
#include <endian.h>

static const uint8_t MAGIC[8] = {'t', 'i', 'd', 'e', 'w', 'i', 'r', 'e'};

/* No journal gets there: so sums do not overflow, whatever a file says. */
#define NUMBER_MAX (UINT64_C(1) << 62)
#define SECTOR_BYTES 512u
#define SEGMENT_COPIES (RECORD_BLOCK_BYTES / SECTOR_BYTES)
#define SEGMENT_CHECKED_BYTES 40u /* of a copy, before its checksum */

static void
put_u32(uint8_t *at, uint32_t value)
{
    value = htole32(value);
    memcpy(at, &value, sizeof value);
}

static void
put_u64(uint8_t *at, uint64_t value)
{
    value = htole64(value);
    memcpy(at, &value, sizeof value);
}

static uint32_t
get_u32(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return le32toh(value);
}

static uint64_t
get_u64(const uint8_t *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return le64toh(value);
}

/* ------------------------------------------------------------------------------------------------------------- segments */

void
record_put_segment(uint8_t *block, const struct record_segment *segment)
{
    record_put_segment_of_format(block, segment, RECORD_FORMAT);
}

void
record_put_segment_of_format(uint8_t *block, const struct record_segment *segment, uint32_t format)
{
    memset(block, 0, RECORD_BLOCK_BYTES);
    for (uint32_t i = 0; i < SEGMENT_COPIES; i++) {
        uint8_t *copy = block + i * SECTOR_BYTES;
        memcpy(copy, MAGIC, sizeof MAGIC);
        put_u32(copy + 8, format);
        put_u32(copy + 12, segment->shard);
        put_u64(copy + 16, segment->key);
        put_u64(copy + 24, segment->number);
        put_u64(copy + 32, segment->first_sequence);
        put_u64(copy + SEGMENT_CHECKED_BYTES, XXH3_64bits(copy, SEGMENT_CHECKED_BYTES));
    }
}

static bool
read_copy(const uint8_t *copy, struct record_segment *out, uint32_t *format)
{
    if (memcmp(copy, MAGIC, sizeof MAGIC) != 0 || get_u64(copy + SEGMENT_CHECKED_BYTES) != XXH3_64bits(copy, SEGMENT_CHECKED_BYTES)) {
        return false;
    }
    *format = get_u32(copy + 8);
    *out = (struct record_segment){
        .shard = get_u32(copy + 12), .key = get_u64(copy + 16), .number = get_u64(copy + 24), .first_sequence = get_u64(copy + 32)};
    return true;
}

bool
record_read_segment(const uint8_t *block, uint64_t number, struct record_segment *out, uint32_t *format)
{
    bool found = false;
    for (uint32_t i = 0; i < SEGMENT_COPIES; i++) {
        struct record_segment copy;
        uint32_t its_format;
        if (!read_copy(block + i * SECTOR_BYTES, &copy, &its_format)) {
            continue;
        }
        /* A head that was torn has copies of two times: the later one has begun. */
        bool better = !found || (copy.number == number && (out->number != number || copy.first_sequence > out->first_sequence));
        if (better) {
            *out = copy;
            *format = its_format;
        }
        found = true;
    }
    return found;
}

uint64_t
record_seed(uint64_t key, uint64_t segment_number)
{
    return XXH3_64bits_withSeed(&segment_number, sizeof segment_number, key);
}

/* -------------------------------------------------------------------------------------------------------------- records */

static uint32_t
checksum_of(const uint8_t *record, uint32_t size, uint64_t seed)
{
    return (uint32_t)XXH3_64bits_withSeed(record + 4, RECORD_HEAD_BYTES - 4 + size, seed);
}

static void
put_record(uint8_t *at, uint8_t type, uint64_t sequence, uint32_t size, uint64_t seed)
{
    put_u32(at + 4, size << 8 | type);
    put_u64(at + 8, sequence);
    put_u32(at, checksum_of(at, size, seed));
}

bool
record_read(const uint8_t *data, uint32_t room, uint64_t seed, struct record *out)
{
    if (room < RECORD_HEAD_BYTES) {
        return false;
    }
    uint32_t size_type = get_u32(data + 4);
    uint32_t size = size_type >> 8;
    if ((size_type & RECORD_TYPE_BITS) == 0 || size > room - RECORD_HEAD_BYTES || get_u32(data) != checksum_of(data, size, seed)) {
        return false;
    }
    uint32_t footprint = RECORD_HEAD_BYTES + record_padded(size);
    *out = (struct record){.sequence = get_u64(data + 8),
                           .type = (uint8_t)size_type,
                           .footprint = footprint < room ? footprint : room,
                           .content = bytes_of(data + RECORD_HEAD_BYTES, size)};
    return true;
}

/* -------------------------------------------------------------------------------------------------------------- batches */

bool
record_read_batch(const uint8_t *data, uint64_t room, uint64_t seed, struct record_batch *out)
{
    struct record record;
    if (get_u32(data + 4) != (RECORD_BATCH_CONTENT_BYTES << 8 | RECORD_TYPE_BATCH) || !record_read(data, RECORD_BATCH_HEAD_BYTES, seed, &record)) {
        return false;
    }
    const uint8_t *content = record.content.data;
    *out = (struct record_batch){.first_sequence = record.sequence,
                                 .bytes = get_u32(content),
                                 .count = get_u32(content + 4),
                                 .position = get_u64(content + 8),
                                 .durable = get_u64(content + 16)};
    return out->bytes > 0 && out->bytes % RECORD_BLOCK_BYTES == 0 && out->bytes <= RECORD_BATCH_BYTES_MAX && out->bytes <= room && out->first_sequence > 0 &&
           out->count <= out->bytes / RECORD_HEAD_BYTES && out->first_sequence <= NUMBER_MAX && out->position <= NUMBER_MAX && out->durable <= out->first_sequence;
}

void
record_begin(struct record_writer *w, uint8_t *data, uint32_t room, uint64_t seed, uint64_t first_sequence)
{
    assert(room % RECORD_BLOCK_BYTES == 0 && room <= RECORD_BATCH_BYTES_MAX);
    *w = (struct record_writer){.data = data, .room = room, .used = RECORD_BATCH_HEAD_BYTES, .seed = seed, .first_sequence = first_sequence};
}

uint32_t
record_content_room(const struct record_writer *w)
{
    return w->used + RECORD_HEAD_BYTES < w->room ? w->room - w->used - RECORD_HEAD_BYTES : 0;
}

void
record_add(struct record_writer *w, uint8_t type, const uint8_t *content, uint32_t size)
{
    assert(size <= record_content_room(w) && (type & RECORD_TYPE_BITS) != 0);
    uint8_t *at = w->data + w->used;
    uint32_t padded = record_padded(size);
    if (size > 0) {
        memcpy(at + RECORD_HEAD_BYTES, content, size);
    }
    memset(at + RECORD_HEAD_BYTES + size, 0, padded - size);
    put_record(at, type, w->first_sequence + w->count, size, w->seed);
    w->used += RECORD_HEAD_BYTES + padded;
    w->count++;
}

uint32_t
record_finish(struct record_writer *w, uint64_t position, uint64_t durable)
{
    uint32_t bytes = record_blocks(w->used);
    memset(w->data + w->used, 0, bytes - w->used);
    uint8_t *content = w->data + RECORD_HEAD_BYTES;
    put_u32(content, bytes);
    put_u32(content + 4, w->count);
    put_u64(content + 8, position);
    put_u64(content + 16, durable);
    put_record(w->data, RECORD_TYPE_BATCH, w->first_sequence, RECORD_BATCH_CONTENT_BYTES, w->seed);
    return bytes;
}

static uint32_t
reseal_one(uint8_t *at, uint64_t seed)
{
    uint32_t size = get_u32(at + 4) >> 8;
    put_u32(at, checksum_of(at, size, seed));
    return RECORD_HEAD_BYTES + record_padded(size);
}

void
record_reseal(uint8_t *batch, uint64_t seed)
{
    uint32_t count = get_u32(batch + RECORD_HEAD_BYTES + 4);
    uint32_t at = reseal_one(batch, seed);
    for (uint32_t i = 0; i < count; i++) {
        at += reseal_one(batch + at, seed);
    }
}
