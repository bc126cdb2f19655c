#include "bench/load/raw.h"

#include "bench/load/raw_hello.h"

static void
greet(struct client *c)
{
    const struct options *o = c->shared->options;
    struct raw_hello hello = {
        .role = c->role == CLIENT_PUBLISHER ? RAW_PUBLISHER : RAW_SUBSCRIBER,
        .scenario = (uint8_t)o->scenario,
        .index = c->role_index,
        .message_size = (uint32_t)o->size,
    };
    memcpy(client_reserve(c, sizeof hello), &hello, sizeof hello);
    client_wrote(c, sizeof hello);
}

static void
leave(struct client *c)
{
    client_fail(c, FAILURE_CLOSED, 0); /* there is no good-bye: closing is enough */
}

static uint32_t
take(struct client *c, struct bytes input)
{
    uint32_t size = (uint32_t)c->shared->options->size;

    if (c->state == CLIENT_GREETING) {
        if (input.data[0] != RAW_WELCOME) {
            client_fail(c, FAILURE_UNEXPECTED, 0);
            return 0;
        }
        client_set_greeted(c);
        client_set_ready(c);
        return 1;
    }
    if (c->role != CLIENT_SUBSCRIBER) {
        client_fail(c, FAILURE_UNEXPECTED, 0);
        return 0;
    }
    if (input.size < size) {
        return 0;
    }
    c->shared->events->message(c->shared->owner, c, bytes_of(input.data, size));
    return size;
}

const struct client_protocol raw_protocol = {.greet = greet, .leave = leave, .take = take};
