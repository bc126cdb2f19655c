/*
 * manifest: what a store is: of which format, for how many shards, with which secret, and in which of its directories the journals are. A small text with a checksum, replaced as a
 * whole: whoever reads it finds one that was written, never half of one.
 */
#ifndef TIDEWIRE_ENGINE_DURABLE_MANIFEST_H
#define TIDEWIRE_ENGINE_DURABLE_MANIFEST_H

#include "engine/io/io.h"

#define MANIFEST_FORMAT 1u
#define MANIFEST_SECRET_BYTES 32
#define MANIFEST_SHARDS_MAX 64u
#define MANIFEST_TEXT_MAX 512

struct manifest {
    uint64_t generation;    /* of the journals' directory; from 1 on */
    uint32_t shard_count;
    uint8_t secret[MANIFEST_SECRET_BYTES];
};

enum manifest_answer {
    MANIFEST_GOOD,
    MANIFEST_DAMAGED,
    MANIFEST_OF_A_LATER_FORMAT,
};

/* Pure. Returns the size of the text. */
uint32_t manifest_print(const struct manifest *manifest, char text[MANIFEST_TEXT_MAX]);
/* `*format` is set if the text is none of ours' format. */
enum manifest_answer manifest_parse(const char *text, uint32_t size, struct manifest *out, uint64_t *format);

/* Block; for the start. 0; -ENOENT: there is none, and `error` says nothing; else -errno and one line in `error`. */
int manifest_read(struct io_set *ios, const char *directory, struct manifest *out, char *error, size_t error_size);
/* In place of the one that is there; on the disk when it returns 0. */
int manifest_write(struct io_set *ios, const char *directory, const struct manifest *manifest, char *error, size_t error_size);

#endif
