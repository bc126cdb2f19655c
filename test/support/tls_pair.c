#include "test/support/tls_pair.h"

#include "engine/config/config.h"

#include <assert.h>
#include <string.h>

#define FLIGHT_BYTES (256u << 10)

static bool
give_client(void *context, const void *data, uint32_t size)
{
    struct tls_pair *pair = context;
    tls_client_give(pair->client, data, size);
    return true;
}

struct tls_sink
tls_pair_sink(struct tls_pair *pair)
{
    return (struct tls_sink){.put = give_client, .context = pair};
}

struct tls_context *
tls_pair_context(const char *text, size_t size, struct tls_tickets *tickets, char *error, size_t error_size)
{
    struct config *config = config_parse_text(text, size, "test.conf", false, error, error_size);
    if (config == NULL) {
        return NULL;
    }
    struct tls_context *context = tls_context_read(&config->listeners[0], config_security(config, 0)->psk_file, tickets, error, error_size);
    config_free(&config);
    return context;
}

void
tls_pair_open(struct tls_pair *pair, struct tls_context *context, const struct tls_client_options *options)
{
    pair->server = tls_open(context);
    pair->client = tls_client_open(options);
    assert(pair->server != NULL);
}

void
tls_pair_close(struct tls_pair *pair)
{
    tls_close(&pair->server);
    tls_client_close(&pair->client);
}

static void
give_server(struct tls_pair *pair, struct bytes data)
{
    while (data.size > 0 && tls_state(pair->server) <= TLS_OPEN) {
        uint32_t size = pair->piece > 0 && pair->piece < data.size ? pair->piece : data.size;
        tls_keep(pair->server, bytes_of(data.data, size));
        if (tls_state(pair->server) == TLS_HANDSHAKE) {
            tls_handshake(pair->server);
        }
        data = bytes_of(data.data + size, data.size - size);
    }
    struct bytes out = tls_output(pair->server);
    tls_client_give(pair->client, out.data, out.size);
    tls_output_taken(pair->server);
}

bool
tls_pair_handshake(struct tls_pair *pair)
{
    static uint8_t flight[FLIGHT_BYTES];
    for (unsigned i = 0; i < 20; i++) {
        bool done = tls_client_handshake(pair->client);
        uint32_t size = tls_client_take(pair->client, flight, sizeof flight);
        give_server(pair, bytes_of(flight, size));
        if (size == 0 && (done || tls_client_failed(pair->client))) {
            break;
        }
    }
    return tls_client_handshake(pair->client) && tls_state(pair->server) == TLS_OPEN;
}

uint32_t
tls_pair_to_server(struct tls_pair *pair, void *out, uint32_t size)
{
    static uint8_t flight[FLIGHT_BYTES];
    struct tls_sink sink = tls_pair_sink(pair);
    uint32_t all = 0, sent, got;
    while ((sent = tls_client_take(pair->client, flight, sizeof flight)) > 0) {
        for (uint32_t at = 0, step; at < sent; at += step) {
            step = pair->piece > 0 && pair->piece < sent - at ? pair->piece : sent - at;
            struct bytes in = bytes_of(flight + at, step);
            while (tls_state(pair->server) == TLS_OPEN && all < size && (got = tls_read(pair->server, &in, (uint8_t *)out + all, size - all, &sink)) > 0) {
                all += got;
            }
        }
    }
    return all;
}

uint32_t
tls_pair_to_client(struct tls_pair *pair, const void *data, uint32_t size, void *out, uint32_t out_size)
{
    struct tls_sink sink = tls_pair_sink(pair);
    if (size > 0) {
        bool good = tls_write(pair->server, bytes_of(data, size), &sink);
        assert(good);
        (void)good;
    }
    uint32_t all = 0, got;
    while (all < out_size && (got = tls_client_read(pair->client, (uint8_t *)out + all, out_size - all)) > 0) {
        all += got;
    }
    return all;
}
