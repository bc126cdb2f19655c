/* A build without TLS: no listener asks for it (engine/config refuses its options), so there is never a context, and never an endpoint. */
#include "engine/tls/tickets.h"
#include "engine/tls/tls.h"

#include <assert.h>
#include <stdio.h>

bool
tls_context_wanted(const struct config_listener *listener)
{
    (void)listener;
    return false;
}

struct tls_context *
tls_context_read(const struct config_listener *listener, const char *psk_file, struct tls_tickets *tickets, char *error, size_t error_size)
{
    (void)listener, (void)psk_file, (void)tickets;
    snprintf(error, error_size, "this build has no TLS");
    return NULL;
}

struct tls_context *
tls_context_ref(struct tls_context *context)
{
    return context;
}

void
tls_context_unref(struct tls_context **context)
{
    assert(*context == NULL);
}

/* Something to point at: nobody looks into it. */
static char no_tickets;

struct tls_tickets *
tickets_open(void)
{
    return (struct tls_tickets *)(void *)&no_tickets;
}

struct tls_tickets *
tickets_ref(struct tls_tickets *tickets)
{
    return tickets;
}

void
tickets_unref(struct tls_tickets **tickets)
{
    *tickets = NULL;
}

struct tls *
tls_open(struct tls_context *context)
{
    (void)context;
    return NULL;
}

void
tls_close(struct tls **tls)
{
    assert(*tls == NULL);
}

enum tls_state
tls_state(const struct tls *tls)
{
    (void)tls;
    return TLS_FAILED;
}

size_t
tls_bytes(const struct tls *tls)
{
    (void)tls;
    return 0;
}

void
tls_keep(struct tls *tls, struct bytes data)
{
    (void)tls, (void)data;
}

void
tls_handshake(struct tls *tls)
{
    (void)tls;
}

struct bytes
tls_output(const struct tls *tls)
{
    (void)tls;
    return bytes_of(NULL, 0);
}

void
tls_output_taken(struct tls *tls)
{
    (void)tls;
}

uint32_t
tls_read(struct tls *tls, struct bytes *in, uint8_t *out, uint32_t size, const struct tls_sink *sink)
{
    (void)tls, (void)in, (void)out, (void)size, (void)sink;
    return 0;
}

bool
tls_write(struct tls *tls, struct bytes plain, const struct tls_sink *sink)
{
    (void)tls, (void)plain, (void)sink;
    return false;
}

void
tls_end(struct tls *tls, const struct tls_sink *sink)
{
    (void)tls, (void)sink;
}

enum tls_failure
tls_failure(const struct tls *tls)
{
    (void)tls;
    return TLS_FAILURE_HANDSHAKE;
}

const char *
tls_problem(const struct tls *tls)
{
    (void)tls;
    return "this build has no TLS";
}

bool
tls_get_identity(const struct tls *tls, struct tls_identity *identity)
{
    (void)tls;
    *identity = (struct tls_identity){0};
    return false;
}
