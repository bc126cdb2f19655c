/*
 * login: what does a login cost, on the shard and beside it?
 *
 * `verify` is the slow hash on a worker thread, by kind and cost; `remembered` is what stands in for it when the same device comes back; `find_user` the look into a
 * password file; `exchange` all of SCRAM's work on the shard for one login (the client does the slow hash).
 *
 * Not answered: what the connection itself costs (bench/README.md: connstorm), and how many hashes a busy machine gets done at its workers' priority.
 */
#include "bench/micro/micro.hh"

#include <string>

extern "C" {
#include "engine/identity/password_file.h"
#include "engine/identity/scram.h"
#include "engine/identity/verified.h"
}

namespace {

struct kind {
    enum password_kind kind;
    std::uint32_t cost;
};

/* What files have: Mosquitto 1.6, 2.0 and 2.1, then tidewire-passwd's. */
const struct kind kinds[] = {
    {PASSWORD_SHA512, 0}, {PASSWORD_PBKDF2, 101}, {PASSWORD_PBKDF2, 1000}, {PASSWORD_PBKDF2, 210000}, {PASSWORD_SCRAM, 100000}, {PASSWORD_ARGON2ID, 1},
};

void
verify(benchmark::State &state)
{
    const struct kind &k = kinds[state.range(0)];
    struct password password;
    micro_require(password_make(&password, k.kind, k.cost, micro_text("secret")), "no password could be made");
    bool right = true;
    for (auto _ : state) {
        right &= password_verify(&password, micro_text("secret"));
    }
    micro_require(right, "the right password was refused");
    state.SetLabel(std::string(password_kind_name(k.kind)) + " " + std::to_string(k.cost));
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK(verify)->DenseRange(0, 5);

void
remembered(benchmark::State &state)
{
    const std::uint8_t key[VERIFIED_KEY_SIZE] = {1};
    struct verified *v = verified_open(16384, key);
    struct verified_tag tag;
    bool right = verified_make_tag(v, micro_text("device-4711"), micro_text("a password of some length"), 7, &tag);
    verified_add(v, &tag, 1);
    for (auto _ : state) {
        right &= verified_make_tag(v, micro_text("device-4711"), micro_text("a password of some length"), 7, &tag) && verified_find(v, &tag, 1, 10);
    }
    micro_require(right, "what was added was not found");
    verified_close(&v);
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK(remembered);

void
find_user(benchmark::State &state)
{
    const unsigned users = 10000;
    std::string text;
    struct password password;
    char stored[PASSWORD_TEXT_MAX], error[256];
    micro_require(password_make(&password, PASSWORD_SHA512, 0, micro_text("x")), "no password could be made");
    password_write(&password, stored);
    for (unsigned i = 0; i < users; i++) {
        text += "device-" + std::to_string(i) + ":" + stored + "\n";
    }
    struct password_file *file = password_file_parse(text.data(), text.size(), "bench", error, sizeof error);
    micro_require(file != nullptr, "the file was refused");
    unsigned found = 0, i = 0;
    for (auto _ : state) {
        std::string user = "device-" + std::to_string(i = (i + 7919) % users);
        found += password_file_find(file, micro_text(user.c_str())) != nullptr;
    }
    micro_require(found == state.iterations(), "a user was not found");
    password_file_free(&file);
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK(find_user);

/* RFC 7677's own exchange: the same challenge each time, so that the same proof is right. */
void
exchange(benchmark::State &state)
{
    const char *nonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    struct bytes first = micro_text("n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
    struct bytes last = micro_text("c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
    struct password password;
    const char *why = password_parse(micro_text("SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
                                                "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="), &password);
    micro_require(why == nullptr, "the password was refused");
    struct scram scram;
    char out[SCRAM_SERVER_FINAL_MAX];
    bool right = true;
    for (auto _ : state) {
        right &= scram_start(&scram, first, &why) == SCRAM_CONTINUE;
        scram_challenge(&scram, &password, nonce);
        right &= scram_finish(&scram, last, out, &why) == SCRAM_CONTINUE;
    }
    micro_require(right, "the exchange failed");
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK(exchange);

} // namespace
