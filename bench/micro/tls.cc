/*
 * tls: what does a TLS connection cost the broker's end: to begin, to begin again with a ticket, and per record?
 *
 * The client is OpenSSL in the same thread; its time is not in the figures (they are CPU time of our endpoint's calls alone). `handshake` and `resumed` are whole, with the
 * endpoint's memory taken and given back; the argument is the version, and the certificate's key is on P-256, with `_rsa` RSA of 2048 bits. `encrypt` and `decrypt` are per record of so
 * many bytes: a flush of sixteen messages of 256 bytes is one record of 4096.
 *
 * Not answered: what sockets, shards and threads add; what the client pays.
 */
#include "bench/micro/micro.hh"

#include <ctime>
#include <string>

extern "C" {
#include "engine/tls/tickets.h"
#include "test/support/pki.h"
#include "test/support/tls_pair.h"
}

namespace {

/* A listener's context, with files that go away at the end. */
struct place {
    struct pki *pki = pki_open();
    struct tls_tickets *tickets = tickets_open();
    struct tls_context *ecdsa, *rsa;

    place()
    {
        pki_wish wish = {};
        wish.file = "ecdsa";
        wish.common_name = "localhost";
        pki_issue(pki, &wish);
        wish.file = "rsa";
        wish.rsa = true;
        pki_issue(pki, &wish);
        ecdsa = read("ecdsa");
        rsa = read("rsa");
    }

    ~place()
    {
        tls_context_unref(&ecdsa);
        tls_context_unref(&rsa);
        tickets_unref(&tickets);
        pki_close(&pki);
    }

    struct tls_context *
    read(const std::string &name)
    {
        std::string text = "listener 8883\nallow_anonymous true\ncertfile " + std::string(pki_path(pki, (name + ".pem").c_str())) + "\nkeyfile " +
                           pki_path(pki, (name + ".key").c_str()) + "\n";
        char error[512];
        struct tls_context *context = tls_pair_context(text.data(), text.size(), tickets, error, sizeof error);
        micro_require(context != nullptr, error);
        return context;
    }
};

place &
here()
{
    static place one;
    return one;
}

double
cpu_s()
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

/* What our end takes for a whole handshake, from its first byte to the last of its own. */
double
handshake(struct tls_context *context, const struct tls_client_options &options, struct tls **server, struct tls_client **client)
{
    static std::uint8_t flight[65536];
    *client = tls_client_open(&options);
    double start = cpu_s(), ours = 0;
    *server = tls_open(context);
    ours += cpu_s() - start;
    while (tls_state(*server) < TLS_OPEN) {
        tls_client_handshake(*client);
        std::uint32_t size = tls_client_take(*client, flight, sizeof flight);
        micro_require(size > 0, "the client has nothing to say");
        start = cpu_s();
        tls_keep(*server, bytes_of(flight, size));
        if (tls_state(*server) == TLS_HANDSHAKE) {
            tls_handshake(*server);
        }
        ours += cpu_s() - start;
        struct bytes answer = tls_output(*server);
        tls_client_give(*client, answer.data, answer.size);
        tls_output_taken(*server);
    }
    micro_require(tls_state(*server) == TLS_OPEN && tls_client_handshake(*client), "a handshake that fails");
    return ours;
}

double
end(struct tls **server, struct tls_client **client)
{
    double start = cpu_s();
    tls_close(server);
    double ours = cpu_s() - start;
    tls_client_close(client);
    return ours;
}

void
full(benchmark::State &state, struct tls_context *context)
{
    tls_client_options options = {};
    options.version = static_cast<int>(state.range(0));
    for (auto _ : state) {
        struct tls *server;
        struct tls_client *client;
        double ours = handshake(context, options, &server, &client);
        state.SetIterationTime(ours + end(&server, &client));
    }
    state.SetItemsProcessed(state.iterations());
}

void
handshake_ecdsa(benchmark::State &state)
{
    full(state, here().ecdsa);
}
BENCHMARK(handshake_ecdsa)->Arg(12)->Arg(13)->UseManualTime();

void
handshake_rsa(benchmark::State &state)
{
    full(state, here().rsa);
}
BENCHMARK(handshake_rsa)->Arg(12)->Arg(13)->UseManualTime();

void
resumed(benchmark::State &state)
{
    tls_client_options options = {};
    options.version = static_cast<int>(state.range(0));
    struct tls *server;
    struct tls_client *client;
    char byte;
    handshake(here().ecdsa, options, &server, &client);
    tls_client_read(client, &byte, 1); /* the ticket */
    options.session = tls_client_take_session(client);
    end(&server, &client);
    for (auto _ : state) {
        micro_require(options.session != nullptr, "no ticket");
        double ours = handshake(here().ecdsa, options, &server, &client);
        micro_require(tls_client_resumed(client), "not resumed");
        tls_client_read(client, &byte, 1);
        struct tls_client_session *next = tls_client_take_session(client);
        ours += end(&server, &client);
        if (next != nullptr) {
            tls_client_session_free(&options.session);
            options.session = next;
        }
        state.SetIterationTime(ours);
    }
    tls_client_session_free(&options.session);
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK(resumed)->Arg(12)->Arg(13)->UseManualTime();

bool
forget(void *context, const void *data, std::uint32_t size)
{
    (void)context;
    benchmark::DoNotOptimize(data);
    return size > 0;
}

/* Records a second: bytes of a record, version. */
void
encrypt(benchmark::State &state)
{
    tls_client_options options = {};
    options.version = static_cast<int>(state.range(1));
    struct tls *server;
    struct tls_client *client;
    handshake(here().ecdsa, options, &server, &client);
    std::vector<std::uint8_t> plain(static_cast<std::size_t>(state.range(0)), 'x');
    struct tls_sink sink = {forget, nullptr};
    for (auto _ : state) {
        micro_require(tls_write(server, bytes_of(plain.data(), static_cast<std::uint32_t>(plain.size())), &sink), "encryption");
    }
    state.SetItemsProcessed(state.iterations());
    end(&server, &client);
}
BENCHMARK(encrypt)->Args({64, 13})->Args({256, 13})->Args({4096, 13})->Args({16384, 13})->Args({256, 12})->Args({4096, 12});

void
decrypt(benchmark::State &state)
{
    constexpr unsigned RECORDS = 64;
    static std::uint8_t wire[RECORDS * (16384 + 64)], out[16384];
    tls_client_options options = {};
    options.version = static_cast<int>(state.range(1));
    struct tls *server;
    struct tls_client *client;
    handshake(here().ecdsa, options, &server, &client);
    std::vector<std::uint8_t> plain(static_cast<std::size_t>(state.range(0)), 'x');
    struct tls_sink sink = {forget, nullptr};
    for (auto _ : state) {
        for (unsigned i = 0; i < RECORDS; i++) {
            tls_client_write(client, plain.data(), static_cast<std::uint32_t>(plain.size()));
        }
        std::uint32_t size = tls_client_take(client, wire, sizeof wire);
        struct bytes in = bytes_of(wire, size);
        unsigned records = 0;
        double start = cpu_s();
        while (tls_read(server, &in, out, sizeof out, &sink) > 0) {
            records++;
        }
        state.SetIterationTime(cpu_s() - start);
        micro_require(records == RECORDS, "decryption");
    }
    state.SetItemsProcessed(state.iterations() * RECORDS);
    end(&server, &client);
}
BENCHMARK(decrypt)->Args({64, 13})->Args({256, 13})->Args({4096, 13})->Args({16384, 13})->Args({256, 12})->Args({4096, 12})->UseManualTime();

} // namespace
