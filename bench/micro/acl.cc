/*
 * acl: what does it cost to ask an access list whether a client may use a topic, with 10 000 users of three rules each and 5 000 patterns?
 *
 * `own`: granted by a rule of the client's user; `pattern`: by a pattern with its client identifier, once the user's rules had nothing to say; `denied`: by nothing. `hot` asks
 * for one of 16 clients, `cold` for any of 10 000. A question includes cutting the topic into levels, as for a PUBLISH; `cut` leaves that out, as for the second and further
 * receivers of one message. `first` includes finding the client's rights, once per session and reload.
 *
 * Not answered: patterns in one place that only differ in what stands beside a variable in the same level are tried one by one.
 */
#include "bench/micro/micro.hh"

#include <string>

extern "C" {
#include "engine/access/acl.h"
}

namespace {

constexpr std::size_t HOT = 16;
constexpr std::size_t NAME_BYTES = 96;

std::size_t
user_count()
{
    return micro_size(10000, 100);
}

std::size_t
pattern_count()
{
    return micro_size(5000, 50);
}

std::string
list_text()
{
    std::string text;
    for (std::size_t i = 0; i < user_count(); i++) {
        std::string user = "device-" + std::to_string(i);
        text += "user " + user + "\ntopic readwrite tenants/" + user + "/#\ntopic read public/+/news\ntopic write logs/" + user + "\n";
    }
    for (std::size_t i = 0; i < pattern_count(); i++) {
        std::string kind = std::to_string(i);
        text += i % 2 == 0 ? "pattern readwrite kind-" + kind + "/%c/#\n" : "pattern read kind-" + kind + "/+/%c/%u/data\n";
    }
    return text;
}

const struct acl *
full_list()
{
    static struct acl *acl;
    if (acl == nullptr) {
        char error[300];
        std::string text = list_text();
        acl = acl_parse(text.data(), text.size(), "bench", error, sizeof error);
        micro_require(acl != nullptr, "the list was refused");
        levels_init();
    }
    return acl;
}

/* A client that asks, with one topic of each kind. */
struct client {
    char text[3][NAME_BYTES];
    char id[32];
    struct bytes own, pattern, denied;
    struct acl_subject subject;
    struct acl_rights rights;
};

std::vector<client> &
all_clients()
{
    static std::vector<client> clients;
    if (clients.empty()) {
        const struct acl *acl = full_list();
        clients.resize(user_count());
        for (std::size_t i = 0; i < clients.size(); i++) {
            client &c = clients[i];
            std::size_t kind = i % pattern_count() / 2 * 2;
            std::snprintf(c.id, sizeof c.id, "device-%zu", i);
            std::snprintf(c.text[0], NAME_BYTES, "tenants/%s/sensors/temperature", c.id);
            std::snprintf(c.text[1], NAME_BYTES, "kind-%zu/%s/sensors/temperature", kind, c.id);
            std::snprintf(c.text[2], NAME_BYTES, "kind-%zu/other/sensors/temperature", kind);
            c.own = micro_text(c.text[0]);
            c.pattern = micro_text(c.text[1]);
            c.denied = micro_text(c.text[2]);
            c.subject = {};
            c.subject.client_id = c.subject.user = micro_text(c.id);
            c.subject.named = true;
            c.rights = acl_find_rights(acl, &c.subject);
        }
    }
    return clients;
}

/* Clients in random order. */
std::vector<const client *>
some_clients(std::size_t among)
{
    micro_random random;
    const std::vector<client> &all = all_clients();
    std::vector<const client *> some;
    for (std::size_t i = 0; i < 1 << 14; i++) {
        some.push_back(&all[random.below(among < all.size() ? among : all.size())]);
    }
    return some;
}

using topic_of = struct bytes client::*;

void
ask(benchmark::State &state, topic_of name, std::size_t among, bool granted)
{
    const struct acl *acl = full_list();
    std::vector<const client *> clients = some_clients(among);
    std::uint64_t yes = 0, asked = 0;
    for (auto _ : state) {
        const client &c = *clients[asked++ & (clients.size() - 1)];
        struct acl_topic topic;
        acl_cut_topic(c.*name, &topic);
        yes += acl_allows(acl, &c.rights, &c.subject, ACL_WRITE, &topic);
    }
    micro_require(yes == (granted ? asked : 0), "a wrong answer");
    state.SetItemsProcessed(static_cast<std::int64_t>(asked));
}
BENCHMARK_CAPTURE(ask, own_hot, &client::own, HOT, true);
BENCHMARK_CAPTURE(ask, own_cold, &client::own, SIZE_MAX, true);
BENCHMARK_CAPTURE(ask, pattern_hot, &client::pattern, HOT, true);
BENCHMARK_CAPTURE(ask, pattern_cold, &client::pattern, SIZE_MAX, true);
BENCHMARK_CAPTURE(ask, denied_hot, &client::denied, HOT, false);

void
ask_cut(benchmark::State &state)
{
    const struct acl *acl = full_list();
    std::vector<const client *> clients = some_clients(SIZE_MAX);
    struct acl_topic topic;
    acl_cut_topic(micro_text("public/x/news"), &topic);
    std::uint64_t yes = 0, asked = 0;
    for (auto _ : state) {
        const client &c = *clients[asked++ & (clients.size() - 1)];
        yes += acl_allows(acl, &c.rights, &c.subject, ACL_READ, &topic);
    }
    micro_require(yes == asked, "a wrong answer");
    state.SetItemsProcessed(static_cast<std::int64_t>(asked));
}
BENCHMARK(ask_cut);

void
first(benchmark::State &state)
{
    const struct acl *acl = full_list();
    std::vector<const client *> clients = some_clients(SIZE_MAX);
    std::uint64_t yes = 0, asked = 0;
    for (auto _ : state) {
        const client &c = *clients[asked++ & (clients.size() - 1)];
        struct acl_topic topic;
        acl_cut_topic(c.own, &topic);
        struct acl_rights rights = acl_find_rights(acl, &c.subject);
        yes += acl_allows(acl, &rights, &c.subject, ACL_WRITE, &topic);
    }
    micro_require(yes == asked, "a wrong answer");
    state.SetItemsProcessed(static_cast<std::int64_t>(asked));
}
BENCHMARK(first);

enum wanted { REFUSED, GRANTED, WHATEVER };

void
subscribe(benchmark::State &state, const char *filter, enum wanted wanted)
{
    const struct acl *acl = full_list();
    std::vector<const client *> clients = some_clients(SIZE_MAX);
    std::uint64_t yes = 0, asked = 0;
    for (auto _ : state) {
        const client &c = *clients[asked++ & (clients.size() - 1)];
        yes += acl_may_subscribe(acl, &c.rights, &c.subject, micro_text(filter));
    }
    micro_require(wanted == WHATEVER || yes == (wanted == GRANTED ? asked : 0), "a wrong answer");
    state.SetItemsProcessed(static_cast<std::int64_t>(asked));
}
BENCHMARK_CAPTURE(subscribe, everything, "#", GRANTED);
BENCHMARK_CAPTURE(subscribe, nothing, "kind-1/x/y/z/none", REFUSED);
BENCHMARK_CAPTURE(subscribe, hostile, "+/x/y/z/none", WHATEVER);

void
read_list(benchmark::State &state)
{
    std::string text = list_text();
    char error[300];
    for (auto _ : state) {
        struct acl *acl = acl_parse(text.data(), text.size(), "bench", error, sizeof error);
        acl_free(&acl);
    }
    state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * (user_count() * 3 + pattern_count())));
}
BENCHMARK(read_list);

} // namespace
