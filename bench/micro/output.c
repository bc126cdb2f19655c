#include "bench/micro/output.h"

#include "engine/net/connection.h"

#include <stdlib.h>

struct output {
    struct shard *shard; /* of which only what output needs is set up */
    struct budget_account account;
    struct connection *connections;
};

struct output *
output_open(uint32_t connection_count)
{
    struct output *o = aligned_alloc(_Alignof(struct output), sizeof *o);
    if (o == NULL) {
        return NULL;
    }
    memset((void *)o, 0, sizeof *o);
    o->shard = aligned_alloc(_Alignof(struct shard), sizeof *o->shard);
    o->connections = calloc(connection_count, sizeof *o->connections);
    if (o->shard == NULL || o->connections == NULL) {
        free(o->shard);
        free(o->connections);
        free(o);
        return NULL;
    }
    memset((void *)o->shard, 0, sizeof *o->shard);
    o->shard->account = &o->account;
    o->shard->look_at_bytes = INT64_MAX; /* there is no memory limit */
    chunk_pool_init(&o->shard->chunks, &o->account);
    return o;
}

bool
output_put(struct output *o, uint32_t connection, struct bytes packet)
{
    uint8_t *at = connection_append(o->shard, &o->connections[connection], packet.size);
    if (at != NULL) {
        memcpy(at, packet.data, packet.size);
    }
    return at != NULL;
}

static uint64_t
give_chunks(struct output *o, struct connection *c)
{
    uint64_t bytes = 0;
    while (c->out_first != NULL) {
        struct chunk *chunk = c->out_first;
        c->out_first = chunk->next;
        bytes += chunk->used;
        chunk_give(&o->shard->chunks, &chunk);
    }
    c->out_bytes = 0;
    c->dirty = false;
    return bytes;
}

uint64_t
output_sent(struct output *o)
{
    uint64_t bytes = 0;
    while (o->shard->dirty != NULL) {
        struct connection *c = o->shard->dirty;
        o->shard->dirty = c->dirty_next;
        bytes += give_chunks(o, c);
    }
    return bytes;
}

void
output_close(struct output **op)
{
    struct output *o = *op;
    if (o == NULL) {
        return;
    }
    *op = NULL;
    output_sent(o);
    chunk_pool_fini(&o->shard->chunks);
    free(o->shard);
    free(o->connections);
    free(o);
}
