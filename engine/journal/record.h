/*
 * record: how records lie in a file. Pure functions over bytes that the caller owns.
 *
 *   segment   [head, 4 KiB][batch][batch] ...           a batch: what one write has written, from one block of 4 KiB to another
 *   batch     [record BATCH][record][record] ... zeros
 *   record    [checksum 4][size 3, type 1][sequence 8][content][zeros up to a multiple of 8]
 *
 * Numbers are little-endian. The checksum is the low half of xxh3 of what follows it, seeded with the journal's key and the segment's number: what a file held before it was
 * used again is never taken for good, nor is what a client puts into its payload. The head of a segment is there eight times, once in each sector.
 *
 * Sequence numbers count records, without gaps. A record that is too large for its batch is cut into pieces, each with a sequence number of its own.
 */
#ifndef TIDEWIRE_ENGINE_JOURNAL_RECORD_H
#define TIDEWIRE_ENGINE_JOURNAL_RECORD_H

#include "codec/bytes.h"
#include "engine/io/io.h"

#define RECORD_HEAD_BYTES 16u
#define RECORD_ALIGN 8u
#define RECORD_BLOCK_BYTES IO_FILE_ALIGN
/* Of one batch; a reader holds that much in memory at once, and a commit takes as long as writing it does. */
#define RECORD_BATCH_BYTES_MAX (1u << 20)
#define RECORD_BATCH_CONTENT_BYTES 24u
#define RECORD_BATCH_HEAD_BYTES (RECORD_HEAD_BYTES + RECORD_BATCH_CONTENT_BYTES)

/* The type's byte: what the journal's user says, and pieces. */
#define RECORD_TYPE_MAX 0x3e
#define RECORD_TYPE_BATCH 0x3f
#define RECORD_TYPE_BITS 0x3f
#define RECORD_MORE 0x40     /* another piece follows */
#define RECORD_CONTINUES 0x80 /* it is not the first piece */

static inline uint32_t
record_padded(uint32_t size)
{
    return (size + RECORD_ALIGN - 1) & ~(RECORD_ALIGN - 1);
}

static inline uint32_t
record_blocks(uint32_t size)
{
    return (size + RECORD_BLOCK_BYTES - 1) & ~(RECORD_BLOCK_BYTES - 1);
}

struct record_segment {
    uint64_t key;            /* of the journal, random */
    uint64_t number;
    uint64_t first_sequence; /* 0: nothing was written to it yet */
    uint32_t shard;
};

#define RECORD_FORMAT 1u

/* Fills the head's block. */
void record_put_segment(uint8_t *block, const struct record_segment *segment);
/* For tests: as another version would. */
void record_put_segment_of_format(uint8_t *block, const struct record_segment *segment, uint32_t format);
/* False if none of the head's copies is good. Of several that are, one that has the number `number` is taken, if there is one. `*format` is that of a later version if it is one. */
bool record_read_segment(const uint8_t *block, uint64_t number, struct record_segment *out, uint32_t *format);

uint64_t record_seed(uint64_t key, uint64_t segment_number);

struct record {
    uint64_t sequence;
    uint8_t type;            /* with RECORD_MORE and RECORD_CONTINUES */
    uint32_t footprint;      /* bytes in the file */
    struct bytes content;
};

/* False if `data` does not begin with a good record that ends within `room`. */
bool record_read(const uint8_t *data, uint32_t room, uint64_t seed, struct record *out);

struct record_batch {
    uint64_t first_sequence;
    uint32_t bytes;          /* of all of it, whole blocks */
    uint32_t count;          /* records in it */
    uint64_t position;       /* journal_append()'s, of the first one */
    uint64_t durable;        /* every record with a lower sequence number was on the disk before this batch was written */
};

/* False if no good batch of at most `room` bytes begins here; looks at its first RECORD_BATCH_HEAD_BYTES only. */
bool record_read_batch(const uint8_t *data, uint64_t room, uint64_t seed, struct record_batch *out);

/* A batch in the making. */
struct record_writer {
    uint8_t *data;
    uint32_t room, used;
    uint32_t count;
    uint64_t seed, first_sequence;
};

/* `room`: a multiple of RECORD_BLOCK_BYTES. */
void record_begin(struct record_writer *w, uint8_t *data, uint32_t room, uint64_t seed, uint64_t first_sequence);
/* Bytes of content that one more record may have; 0 also if there is no room for one. */
uint32_t record_content_room(const struct record_writer *w);
/* `type` with its flags; `size` fits. */
void record_add(struct record_writer *w, uint8_t type, const uint8_t *content, uint32_t size);
/* Fills in the BATCH record and the zeros. Returns the batch's bytes. */
uint32_t record_finish(struct record_writer *w, uint64_t position, uint64_t durable);
/* The whole batch is good with another seed now: it goes to another segment. */
void record_reseal(uint8_t *batch, uint64_t seed);

#endif
