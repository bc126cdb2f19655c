/* HTTP hooks: who comes in and which topics may be used when a server elsewhere decides it, and what happens while it thinks. */
#include "test/dialogue/dialogue.h"
#include "test/support/scram_client.h"
#include "test/support/users.h"

#include "engine/identity/http_hook.h"
#include "engine/session/session.h"

#define MANY 1000u
#define AUTH "http_auth_url http://127.0.0.1:1/auth\n"
#define ACL "http_acl_url http://127.0.0.1:1/acl\n"
#define CLOSED "allow_anonymous false\n"

/* ------------------------------------------------------------------------------------------------------- the server that decides */

/* The first rule whose words are all in the question answers it. */
struct rule {
    const char *words[3]; /* NULL: any */
    uint16_t status;
    const char *body;
    enum http_problem problem;
};

#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

#define ALLOW {{NULL}, 204, "", HTTP_ANSWERED}
#define DENY {{NULL}, 403, "", HTTP_ANSWERED}

static struct rule rules[8];
static unsigned asked;
static char last_question[1000], last_url[200];

static bool
applies(const struct rule *rule, const char *question)
{
    for (unsigned i = 0; i < 3 && rule->words[i] != NULL; i++) {
        if (strstr(question, rule->words[i]) == NULL) {
            return false;
        }
    }
    return rule->status != 0 || rule->problem != HTTP_ANSWERED;
}

static void
decide(const struct http_target *target, struct bytes body, struct http_answer *answer)
{
    asked++;
    snprintf(last_question, sizeof last_question, "%.*s", (int)body.size, (const char *)body.data);
    snprintf(last_url, sizeof last_url, "%s", target->url);
    for (unsigned i = 0; i < 8; i++) {
        if (applies(&rules[i], last_question)) {
            answer->problem = rules[i].problem;
            answer->status = rules[i].status;
            answer->size = rules[i].body != NULL ? (uint32_t)strlen(rules[i].body) : 0;
            memcpy(answer->body, rules[i].body, answer->size);
            return;
        }
    }
    complain("nobody expected to be asked %s", last_question);
}

#define THE_SERVER_SAYS(...)                                                                    \
    do {                                                                                        \
        const struct rule said[8] = {__VA_ARGS__};                                              \
        memcpy(rules, said, sizeof rules);                                                      \
        asked = 0;                                                                              \
    } while (0)

/* -------------------------------------------------------------------------------------------------------------------------- CONNECT */

static void
the_server_decides_who_comes_in(struct world *w)
{
    THE_SERVER_SAYS({{"\"password\":\"secret\""}, 200, "{\"result\":\"allow\"}"}, {{"\"username\":\"eve\""}, 200, "{\"result\":\"deny\"}"}, DENY);
    for (uint8_t version = 3; version <= 5; version++) {
        ping(join(w, version, "a", .user_name = "ann", .password = "secret"));
        claim(strstr(last_question, "{\"action\":\"connect\",\"clientid\":\"a\",\"username\":\"ann\",\"peerhost\":\"") == last_question);
        struct client *c = knock(w, version, "b", .user_name = "ann", .password = "other");
        expect_connack(c, REASON_NOT_AUTHORIZED);
        expect_end(c);
        expect_connack(knock(w, version, "c", .user_name = "eve", .password = "x"), REASON_NOT_AUTHORIZED);
        expect_connack(knock(w, version, "c"), REASON_NOT_AUTHORIZED);
        claim(strstr(last_question, "\"username\":null") != NULL && strstr(last_question, "\"password\":null") != NULL);
    }
    claim_text(bytes_from(last_url), "http://127.0.0.1:1/auth");
    claim_equal(WORLD_COUNT(w, drops[DROP_HOOK_DENIED]), 9);
    claim_equal(WORLD_COUNT(w, drops[DROP_HOOK_FAILED]), 0);
}

static void
without_an_opinion_of_the_server_the_listener_decides(struct world *w)
{
    THE_SERVER_SAYS({{NULL}, 200, "{\"result\":\"ignore\"}"});
    expect_connack(knock(w, 5, "a", .user_name = "ann", .password = "secret"), REASON_NOT_AUTHORIZED);
    claim_text(bytes_from(users_reload(w, "allow_anonymous true\n" AUTH)), "");
    for (uint8_t version = 3; version <= 5; version++) {
        join(w, version, "n");
        expect_connack(knock(w, version, "a", .user_name = "ann", .password = "secret"), REASON_BAD_USER_NAME_OR_PASSWORD); /* a name has rights, so it needs a proof */
        expect_connack(knock(w, version, "a", .user_name = "ann"), REASON_BAD_USER_NAME_OR_PASSWORD);
    }
}

/* What does not answer lets nobody in, and is asked again the next time. */
static void
a_server_that_fails_lets_nobody_in(struct world *w)
{
    static const struct rule failures[] = {
        {{NULL}, 500, ""}, {{NULL}, 302, "{\"result\":\"allow\"}"}, {{NULL}, 200, "welcome"},
        {{NULL}, 0, "", HTTP_TIMED_OUT}, {{NULL}, 200, "", HTTP_TOO_LARGE}, {{NULL}, 0, "", HTTP_NO_CONNECTION},
    };
    for (unsigned i = 0; i < sizeof failures / sizeof failures[0]; i++) {
        THE_SERVER_SAYS(failures[i]);
        expect_connack(knock(w, 5, "a", .user_name = "ann", .password = "secret"), REASON_SERVER_UNAVAILABLE);
        expect_connack(knock(w, 3, "a", .user_name = "ann", .password = "secret"), REASON_SERVER_UNAVAILABLE);
        claim_equal(asked, 2);
    }
    claim_equal(WORLD_COUNT(w, drops[DROP_HOOK_FAILED]), 12);
    THE_SERVER_SAYS(ALLOW);
    join(w, 5, "a", .user_name = "ann", .password = "secret");
}

static void
a_failure_may_be_no_opinion(struct world *w)
{
    THE_SERVER_SAYS({{NULL}, 503, ""});
    join(w, 5, "a");
    expect_connack(knock(w, 5, "b", .user_name = "ann", .password = "secret"), REASON_BAD_USER_NAME_OR_PASSWORD);
    claim_equal(WORLD_COUNT(w, drops[DROP_HOOK_FAILED]), 2);
}

/* (Every connection of the simulated network has an address of its own, and that is part of a question: so these are about topics.) */
static void
an_answer_is_remembered_for_its_time_and_until_a_reload(struct world *w)
{
    THE_SERVER_SAYS({{"\"topic\":\"bad\""}, 403, ""}, ALLOW);
    struct client *c = join(w, 5, "c"), *other = join(w, 5, "o");
    publish(c, "t", "1", .qos = 1);
    publish(c, "t", "2", .qos = 1);
    claim_equal(asked, 1);
    publish(c, "T", "3", .qos = 1);
    publish(other, "t", "4", .qos = 1);
    claim_equal(subscribe(c, "t"), 0);
    claim_equal(asked, 4);
    pluck_ack_(c, PACKET_PUBACK, say(c, "bad", "5", .qos = 1), REASON_NOT_AUTHORIZED);
    pluck_ack_(c, PACKET_PUBACK, say(c, "bad", "6", .qos = 1), REASON_NOT_AUTHORIZED);
    claim_equal(asked, 5);
    pass_seconds(w, 6);
    pluck_ack_(c, PACKET_PUBACK, say(c, "bad", "7", .qos = 1), REASON_NOT_AUTHORIZED);
    claim_equal(asked, 6); /* a no is soon forgotten */
    pass_seconds(w, 50);
    publish(c, "t", "8", .qos = 1);
    claim_equal(asked, 6);
    pass_seconds(w, 10);
    publish(c, "t", "9", .qos = 1);
    claim_equal(asked, 7);
    users_reload(w, NULL);
    publish(c, "t", "10", .qos = 1);
    claim_equal(asked, 8);
}

static void
remembering_can_be_switched_off(struct world *w)
{
    THE_SERVER_SAYS(ALLOW);
    struct client *c = join(w, 5, "a", .user_name = "ann", .password = "secret");
    join(w, 5, "a", .user_name = "ann", .password = "secret", .will_topic = "w");
    claim_equal(asked, 3);
    c = join(w, 5, "b");
    subscribe(c, "t");
    publish(c, "t", "1");
    take(c, "t", "1", 0);
    publish(c, "t", "2");
    take(c, "t", "2", 0);
    claim_equal(asked, 7);
}

/* Certificate and token come before; the file's users are the file's, others are the server's. */
static void
the_password_file_comes_before_the_server(struct world *w)
{
    users_clear();
    users_add("ann", PASSWORD_PBKDF2, "secret");
    users_reload(w, NULL);
    THE_SERVER_SAYS({{"\"username\":\"bob\""}, 204, ""}, {{"\"username\":\"eve\""}, 200, "{\"result\":\"ignore\"}"}, DENY);
    join(w, 5, "a", .user_name = "ann", .password = "secret");
    expect_connack(knock(w, 5, "a", .user_name = "ann", .password = "other"), REASON_BAD_USER_NAME_OR_PASSWORD);
    claim_equal(asked, 0);
    join(w, 5, "b", .user_name = "bob", .password = "any");
    expect_connack(knock(w, 5, "e", .user_name = "eve", .password = "any"), REASON_BAD_USER_NAME_OR_PASSWORD);
    expect_connack(knock(w, 5, "x", .user_name = "other", .password = "any"), REASON_NOT_AUTHORIZED);
    claim_equal(asked, 3);
}

static void
the_server_may_let_somebody_in_until_a_time(struct world *w)
{
    char answer[100];
    uint64_t wall_s = io_wall_ms(w->broker->shards[0]->io) / 1000;
    snprintf(answer, sizeof answer, "{\"result\":\"allow\",\"expire_at\":%llu}", (unsigned long long)wall_s + 20);
    THE_SERVER_SAYS({{NULL}, 200, answer});
    struct client *c = join(w, 5, "a", .user_name = "ann"), *nameless = join(w, 5, "n");
    pass_seconds(w, 19);
    ping(c);
    ping(nameless);
    pass_seconds(w, 2);
    expect_disconnect(c, REASON_MAXIMUM_CONNECT_TIME);
    expect_disconnect(nameless, REASON_MAXIMUM_CONNECT_TIME);
    expect_connack(knock(w, 5, "a", .user_name = "ann"), REASON_NOT_AUTHORIZED);
}

/* --------------------------------------------------------------------------------------------------------------------------- topics */

static void
the_server_decides_what_is_published(struct world *w)
{
    THE_SERVER_SAYS({{"\"topic\":\"bad\""}, 403, ""}, {{"\"topic\":\"broken\""}, 500, ""}, ALLOW);
    struct client *s = join(w, 5, "s");
    claim_equal(subscribe(s, "#", .qos = 2), 2);
    for (uint8_t version = 4; version <= 5; version++) {
        struct client *p = join(w, version, "p", .user_name = "ann");
        uint8_t denied = version == 5 ? REASON_NOT_AUTHORIZED : REASON_SUCCESS;
        say(p, "bad", "0");
        say(p, "broken", "0");
        pluck_ack_(p, PACKET_PUBACK, say(p, "bad", "1", .qos = 1), denied);
        pluck_ack_(p, PACKET_PUBREC, say(p, "bad", "2", .qos = 2), denied);
        publish(p, "good", "3", .qos = 1);
        claim(strstr(last_question, "{\"action\":\"publish\",\"clientid\":\"p\",\"username\":\"ann\"") == last_question);
        take(s, "good", "3", 1);
        expect_quiet(s);
    }
    claim_equal(WORLD_COUNT(w, drops[DROP_HOOK_DENIED]), 6); /* each is counted once */
    claim_equal(WORLD_COUNT(w, drops[DROP_HOOK_FAILED]), 2);
    claim_equal(WORLD_COUNT(w, drops[DROP_PUBLISH_DENIED]), 0);
    claim_text(bytes_from(last_url), "http://127.0.0.1:1/acl");
}

static void
a_topic_alias_is_the_topic_that_it_stands_for(struct world *w)
{
    THE_SERVER_SAYS({{"\"topic\":\"bad\""}, 403, ""}, ALLOW);
    struct client *c = join(w, 5, "c");
    subscribe(c, "#");
    say(c, "good", "1", .alias = 1);
    say(c, "bad", "2", .alias = 2);
    say(c, "", "3", .alias = 2);
    say(c, "", "4", .alias = 1);
    take(c, "good", "1", 0);
    take(c, "good", "4", 0);
    expect_quiet(c);
}

static void
messages_keep_their_order_while_the_server_thinks(struct world *w)
{
    THE_SERVER_SAYS(ALLOW);
    struct client *s = join(w, 5, "s"), *p = join(w, 5, "p"), *other = join(w, 5, "o");
    subscribe(s, "#", .qos = 1);
    publish(other, "o", "0");
    take(s, "o", "0", 0);
    sim_hold_work(w->sim, true, MANY);
    uint16_t first = say(p, "a", "1", .qos = 1), second = say(p, "b", "2", .qos = 1);
    client_send(p, &(struct packet){.type = PACKET_PINGREQ});
    expect_quiet(p);
    publish(other, "o", "3"); /* known: nobody waits for him */
    take(s, "o", "3", 0);
    expect_quiet(s);
    sim_hold_work(w->sim, false, 0);
    take(s, "a", "1", 1);
    take(s, "b", "2", 1);
    expect_ack(p, PACKET_PUBACK, first, REASON_SUCCESS);
    expect_ack(p, PACKET_PUBACK, second, REASON_SUCCESS);
    expect(p, PACKET_PINGRESP);
}

/* A SUBSCRIBE for several filters; the codes of its SUBACK as digits of hexadecimal pairs. */
static const char *
subscribe_to(struct client *c, const char *const *filters, unsigned count)
{
    static char codes[600];
    static uint8_t entries[8192];
    uint32_t size = 0;
    for (unsigned i = 0; i < count; i++) {
        size += encode_subscribe_entry(entries + size, sizeof entries - size, bytes_from(filters[i]), (struct subscription_options){.qos = 1});
    }
    client_send(c, &(struct packet){.type = PACKET_SUBSCRIBE, .subscribe = {.packet_id = 7, .count = count, .entries = bytes_of(entries, size)}});
    struct packet p = expect_(c, PACKET_SUBACK);
    claim_equal(p.suback.codes.size, count);
    for (unsigned i = 0; i < count && i < 256; i++) {
        sprintf(codes + 2 * i, "%02x", p.suback.codes.data[i]);
    }
    return codes;
}

static void
every_filter_of_a_subscribe_gets_its_own_answer(struct world *w)
{
    static const char *const filters[] = {"a/#", "bad/+", "$share/group/bad/+", "$share/group/good", "broken", "a/+/#", "wrong/#/x", "b"};
    THE_SERVER_SAYS({{"\"topic\":\"bad/+\""}, 403, ""}, {{"\"topic\":\"broken\""}, 500, ""}, {{"\"action\":\"subscribe\""}, 204, ""});
    for (uint8_t version = 3; version <= 5; version++) {
        struct client *c = join(w, version, "c");
        const char *codes = subscribe_to(c, filters, 8);
        claim_text(bytes_from(codes), version == 5 ? "0187870187018f01" : "0180800180018001");
        bye(c, 0);
    }
}

/* What would be more requests than one packet may cause is denied without one. */
static void
more_filters_than_are_asked_about_are_denied(struct world *w)
{
    static char texts[300][8];
    const char *filters[300];
    for (unsigned i = 0; i < 300; i++) {
        snprintf(texts[i], sizeof texts[i], "f/%u", i);
        filters[i] = texts[i];
    }
    THE_SERVER_SAYS(ALLOW);
    struct client *c = join(w, 5, "c");
    subscribe_to(c, filters, 300);
    claim_equal(asked, 256);
    claim_equal(WORLD_COUNT(w, subscriptions), 256);
    claim_equal(WORLD_COUNT(w, drops[DROP_HOOK_DENIED]), 44);
}

/* What is asked counts as memory while it is asked, and of a SUBSCRIBE with many filters only so many questions are written at a time. */
static void
questions_that_wait_are_in_the_memory_limit(struct world *w)
{
    THE_SERVER_SAYS(DENY);
    struct client *c = join(w, 5, "c");
    uint64_t before = (uint64_t)world_charged_bytes(w);
    uint8_t entries[64 * 128];
    uint32_t size = 0;
    for (unsigned i = 0; i < 64; i++) {
        char filter[128];
        snprintf(filter, sizeof filter, "%0110u/%u", 0, i);
        size += encode_subscribe_entry(entries + size, (uint32_t)sizeof entries - size, bytes_from(filter), (struct subscription_options){.qos = 1});
    }
    sim_hold_work(w->sim, true, MANY);
    client_send(c, &(struct packet){.type = PACKET_SUBSCRIBE, .subscribe = {.packet_id = 7, .count = 64, .entries = bytes_of(entries, size)}});
    expect_quiet(c);
    uint64_t held = (uint64_t)world_charged_bytes(w) - before;
    claim(held >= 2 * size); /* the packet, and the questions' own texts */
    sim_hold_work(w->sim, false, 0);
    expect(c, PACKET_SUBACK);
    vanish(c);
    world_settle(w);
    claim((uint64_t)world_charged_bytes(w) <= before);
}

static void
a_will_that_the_server_denies_keeps_its_client_out(struct world *w)
{
    THE_SERVER_SAYS({{"\"topic\":\"bad\""}, 403, ""}, {{"\"topic\":\"broken\""}, 500, ""}, ALLOW);
    struct client *s = join(w, 5, "s");
    subscribe(s, "#");
    for (uint8_t version = 3; version <= 5; version++) {
        expect_connack(knock(w, version, "c", .user_name = "ann", .will_topic = "bad"), REASON_NOT_AUTHORIZED);
        expect_connack(knock(w, version, "c", .user_name = "ann", .will_topic = "broken"), REASON_SERVER_UNAVAILABLE);
    }
    claim_equal(WORLD_COUNT(w, sessions), 1);
    struct client *c = join(w, 5, "c", .user_name = "ann", .will_topic = "good", .will_payload = "bye");
    vanish(c);
    take(s, "good", "bye", 0);
}

static void
who_may_everything_is_not_asked_about(struct world *w)
{
    THE_SERVER_SAYS({{"\"action\":\"connect\""}, 200, "{\"result\":\"allow\",\"is_superuser\":true}"}, DENY);
    struct client *c = join(w, 5, "c", .user_name = "root", .will_topic = "w");
    claim_equal(subscribe(c, "#"), 0);
    publish(c, "t", "1");
    take(c, "t", "1", 0);
    claim_equal(asked, 1);
}

static void
no_opinion_about_a_topic_leaves_it_to_others(struct world *w)
{
    THE_SERVER_SAYS({{NULL}, 200, "{\"result\":\"ignore\"}"});
    struct client *c = join(w, 5, "c");
    claim_equal(subscribe(c, "#"), 0);
    publish(c, "t", "1");
    take(c, "t", "1", 0);
}

/* ------------------------------------------------------------------------------------------------------------ while the server thinks */

/* It may be found out only when he is read from again. */
static void
who_leaves_while_the_server_thinks_is_gone_afterwards(struct world *w)
{
    THE_SERVER_SAYS(ALLOW);
    struct client *p = join(w, 5, "p", .user_name = "p", .expiry_s = 100), *s = join(w, 5, "s", .user_name = "s");
    subscribe(s, "t");
    sim_hold_work(w->sim, true, MANY);
    say(p, "t", "last words");
    vanish(p);
    vanish(knock(w, 5, "x", .user_name = "x", .will_topic = "w"));
    sim_hold_work(w->sim, false, 0);
    take_in(s);
    claim_equal(WORLD_COUNT(w, connected), 1);
}

static void
a_login_that_the_server_thinks_about_for_too_long_is_given_up(struct world *w)
{
    THE_SERVER_SAYS(ALLOW);
    sim_hold_work(w->sim, true, MANY);
    struct client *c = knock(w, 5, "c", .user_name = "ann");
    pass_seconds(w, 11);
    expect_connack(c, REASON_SERVER_BUSY);
    expect_end(c);
    sim_hold_work(w->sim, false, 0);
    claim_equal(WORLD_COUNT(w, connects), 0);
}

static void
a_session_is_taken_over_while_the_server_thinks(struct world *w)
{
    THE_SERVER_SAYS(ALLOW);
    struct client *s = join(w, 5, "s"), *p = join(w, 5, "p", .expiry_s = 100);
    subscribe(s, "#");
    sim_hold_work(w->sim, true, MANY);
    say(p, "t", "never", .qos = 1);
    settle(p);
    struct client *again = rejoin(w, 5, "p", .expiry_s = 100);
    expect_disconnect(p, REASON_SESSION_TAKEN_OVER);
    sim_hold_work(w->sim, false, 0);
    expect_quiet(s);
    publish(again, "t", "now", .qos = 1);
    take(s, "t", "now", 0);
}

static void
a_client_that_waits_for_the_server_is_not_silent(struct world *w)
{
    THE_SERVER_SAYS(ALLOW);
    struct client *p = join(w, 5, "p", .keep_alive_s = 10);
    sim_hold_work(w->sim, true, MANY);
    say(p, "t", "1");
    pass_seconds(w, 60);
    expect_quiet(p);
    sim_hold_work(w->sim, false, 0);
    ping(p);
}

/* The time of a request begins when it is handed over, not when a worker comes to it. */
static void
a_request_that_waits_too_long_for_a_worker_is_not_sent(struct world *w)
{
    THE_SERVER_SAYS(ALLOW);
    sim_hold_work(w->sim, true, MANY);
    struct client *c = knock(w, 5, "c", .user_name = "ann");
    settle(c);
    world_advance(w, 101);
    sim_hold_work(w->sim, false, 0);
    expect_connack(c, REASON_SERVER_UNAVAILABLE);
    claim_equal(asked, 0);
    claim_equal(WORLD_COUNT(w, drops[DROP_HOOK_FAILED]), 1);
}

static void
a_request_of_a_client_that_is_gone_is_not_sent(struct world *w)
{
    THE_SERVER_SAYS(ALLOW);
    struct client *p = join(w, 5, "p", .expiry_s = 100);
    sim_hold_work(w->sim, true, MANY);
    say(p, "t", "never", .qos = 1);
    settle(p);
    rejoin(w, 5, "p", .expiry_s = 100);
    expect_disconnect(p, REASON_SESSION_TAKEN_OVER);
    sim_hold_work(w->sim, false, 0);
    world_settle(w);
    claim_equal(asked, 0);
}

static void
a_stop_while_the_server_thinks_is_clean(struct world *w)
{
    THE_SERVER_SAYS(ALLOW);
    struct client *p = join(w, 5, "p", .user_name = "p"), *s = join(w, 5, "s", .user_name = "s");
    sim_hold_work(w->sim, true, MANY);
    say(p, "t", "never");
    ask(s, "t");
    settle(knock(w, 5, "x", .user_name = "x"));
}

static void
questions_that_cannot_wait_are_refused(struct world *w)
{
    THE_SERVER_SAYS(ALLOW);
    struct client *p = join(w, 5, "p", .user_name = "p");
    sim_hold_work(w->sim, true, 0);
    expect_connack(knock(w, 5, "x", .user_name = "x"), REASON_SERVER_UNAVAILABLE);
    pluck_ack_(p, PACKET_PUBACK, say(p, "t", "1", .qos = 1), REASON_NOT_AUTHORIZED);
    claim_equal(subscribe(p, "t"), REASON_NOT_AUTHORIZED);
    sim_hold_work(w->sim, false, 0);
    publish(p, "t", "1", .qos = 1); /* a failure is not remembered */
}

/* Neither a question under way nor its answer outlives what it was asked for in a way that harms. */
static void
a_reload_while_the_server_thinks_is_survived(struct world *w)
{
    THE_SERVER_SAYS(ALLOW);
    struct client *p = join(w, 5, "p", .user_name = "p");
    sim_hold_work(w->sim, true, MANY);
    say(p, "t", "1");
    struct client *x = knock(w, 5, "x", .user_name = "x"), *v = knock(w, 5, "p2", .user_name = "p", .will_topic = "w");
    settle(x);
    claim_text(bytes_from(users_reload(w, "allow_anonymous true\n")), "");
    sim_hold_work(w->sim, false, 0);
    expect_disconnect(p, REASON_NOT_AUTHORIZED); /* nobody there any more who would let it in */
    expect(x, PACKET_CONNACK);
    expect(v, PACKET_CONNACK);
    join(w, 5, "y", .will_topic = "w");
}

/* What is asked about the will is asked after the login was accepted: which may not be so any more. */
static void
a_user_that_a_reload_took_away_does_not_come_in_with_a_will(struct world *w)
{
    users_clear();
    users_add("ann", PASSWORD_PBKDF2, "secret");
    users_add("bob", PASSWORD_PBKDF2, "other");
    users_reload(w, NULL);
    THE_SERVER_SAYS(ALLOW);
    bye(join(w, 5, "a", .user_name = "ann", .password = "secret"), 0); /* remembered: only the will waits */
    bye(join(w, 5, "b", .user_name = "bob", .password = "other"), 0);
    sim_hold_work(w->sim, true, MANY);
    struct client *ann = knock(w, 5, "a", .user_name = "ann", .password = "secret", .will_topic = "w"),
                  *bob = knock(w, 5, "b", .user_name = "bob", .password = "other", .will_topic = "w");
    settle(ann);
    users_clear();
    users_add("bob", PASSWORD_PBKDF2, "other");
    users_reload(w, NULL);
    expect_quiet(ann);
    sim_hold_work(w->sim, false, 0);
    expect_connack(ann, REASON_BAD_USER_NAME_OR_PASSWORD);
    expect_connack(bob, REASON_SUCCESS);
}

static void
an_answer_about_a_login_is_for_one_configuration(struct world *w)
{
    THE_SERVER_SAYS(ALLOW);
    sim_hold_work(w->sim, true, MANY);
    struct client *c = knock(w, 5, "c", .user_name = "ann");
    settle(c);
    THE_SERVER_SAYS(DENY);
    claim_text(bytes_from(users_reload(w, CLOSED "http_auth_url http://127.0.0.1:1/other\n")), "");
    expect_quiet(c);
    sim_hold_work(w->sim, false, 0);
    expect_connack(c, REASON_NOT_AUTHORIZED);
    claim_text(bytes_from(last_url), "http://127.0.0.1:1/other");
}

/* Enhanced authentication says who it is; the will is asked about all the same, while the proof is kept. */
static void
a_will_after_enhanced_authentication_is_asked_about_too(struct world *w)
{
    users_clear();
    users_add("eve", PASSWORD_SCRAM, "pencil");
    users_reload(w, NULL);
    for (unsigned round = 0; round < 2; round++) {
        THE_SERVER_SAYS({{"\"username\":\"eve\"", round == 0 ? "\"topic\":\"w\"" : "nothing"}, 204, ""}, DENY);
        users_reload(w, NULL); /* forget */
        struct scram_client d;
        scram_client_start(&d, "n,,", "eve", round == 0 ? "nonce-a" : "nonce-b", "pencil");
        char first[sizeof d.first];
        snprintf(first, sizeof first, "%s", d.first);
        struct client *c = knock(w, 5, "e", .method = "SCRAM-SHA-256", .data = first, .will_topic = "w");
        struct packet challenge = expect(c, PACKET_AUTH);
        claim(scram_client_answer(&d, challenge.disconnect.properties.authentication_data));
        struct packet proof = {.type = PACKET_AUTH, .disconnect = {.reason = REASON_CONTINUE_AUTHENTICATION}};
        proof.disconnect.properties.authentication_method = bytes_from("SCRAM-SHA-256");
        properties_mark(&proof.disconnect.properties, PROPERTY_AUTHENTICATION_METHOD);
        proof.disconnect.properties.authentication_data = scram_client_final(&d);
        properties_mark(&proof.disconnect.properties, PROPERTY_AUTHENTICATION_DATA);
        client_send(c, &proof);
        struct packet connack = expect_connack(c, round == 0 ? REASON_SUCCESS : REASON_NOT_AUTHORIZED);
        if (round == 0) {
            claim(scram_client_accepts(&d, connack.connack.properties.authentication_data));
            ping(c);
        }
        claim_equal(asked, 1);
    }
}

static char with_users[300], scram_users[300];

static const struct dialogue dialogues[] = {
    TELL_WITH(the_server_decides_who_comes_in, CLOSED AUTH),
    TELL_WITH(without_an_opinion_of_the_server_the_listener_decides, CLOSED AUTH),
    TELL_WITH(a_server_that_fails_lets_nobody_in, CLOSED AUTH),
    TELL_WITH(a_failure_may_be_no_opinion, AUTH "http_auth_failure ignore\n"),
    TELL_WITH(an_answer_is_remembered_for_its_time_and_until_a_reload, ACL),
    TELL_WITH(remembering_can_be_switched_off, CLOSED AUTH ACL "http_cache_seconds 0\n"),
    TELL_WITH(the_password_file_comes_before_the_server, with_users),
    TELL_WITH(the_server_may_let_somebody_in_until_a_time, CLOSED AUTH),
    TELL_WITH(the_server_decides_what_is_published, ACL),
    TELL_WITH(a_topic_alias_is_the_topic_that_it_stands_for, ACL),
    TELL_WITH(messages_keep_their_order_while_the_server_thinks, ACL),
    TELL_WITH(every_filter_of_a_subscribe_gets_its_own_answer, ACL),
    TELL_WITH(more_filters_than_are_asked_about_are_denied, ACL),
    TELL_WITH(questions_that_wait_are_in_the_memory_limit, ACL "http_cache_seconds 0\nhttp_cache_deny_seconds 0\nhttp_cache_entries 0\n"),
    TELL_WITH(a_will_that_the_server_denies_keeps_its_client_out, CLOSED AUTH ACL),
    TELL_WITH(who_may_everything_is_not_asked_about, CLOSED AUTH ACL),
    TELL_WITH(no_opinion_about_a_topic_leaves_it_to_others, ACL),
    TELL_WITH(who_leaves_while_the_server_thinks_is_gone_afterwards, CLOSED AUTH ACL),
    TELL_WITH(a_login_that_the_server_thinks_about_for_too_long_is_given_up, CLOSED AUTH),
    TELL_WITH(a_session_is_taken_over_while_the_server_thinks, ACL),
    TELL_WITH(a_client_that_waits_for_the_server_is_not_silent, ACL),
    TELL_WITH(a_request_that_waits_too_long_for_a_worker_is_not_sent, CLOSED AUTH "http_timeout_ms 100\n"),
    TELL_WITH(a_request_of_a_client_that_is_gone_is_not_sent, ACL),
    TELL_WITH(a_stop_while_the_server_thinks_is_clean, CLOSED AUTH ACL),
    TELL_WITH(questions_that_cannot_wait_are_refused, CLOSED AUTH ACL),
    TELL_WITH(a_reload_while_the_server_thinks_is_survived, CLOSED AUTH ACL),
    TELL_WITH(a_user_that_a_reload_took_away_does_not_come_in_with_a_will, scram_users),
    TELL_WITH(an_answer_about_a_login_is_for_one_configuration, CLOSED AUTH),
    TELL_WITH(a_will_after_enhanced_authentication_is_asked_about_too, scram_users),
};

int
main(int argc, char **argv)
{
    http_hook_replace(decide);
    users_open();
    users_clear();
    snprintf(with_users, sizeof with_users, CLOSED AUTH "password_file %s\n", users_path());
    snprintf(scram_users, sizeof scram_users, CLOSED ACL "password_file %s\n", users_path());
    int failed = dialogue_main(dialogues, sizeof dialogues / sizeof dialogues[0], argc, argv);
    users_close();
    return failed;
}
