/* MQTT inside of TLS, on simulated time: handshakes whose steps run elsewhere, and everything that may happen to a connection meanwhile. */
#include "test/dialogue/speaker.h"

#include "test/support/pki.h"

#define MANY 1000000u

/* Filled in by main(): where the certificates lie is not known before. */
static char options[1024], watched[1200];

static struct speaker
speak(struct world *w, const struct tls_client_options *wishes)
{
    return (struct speaker){meet(w, 5), tls_client_open(wishes)};
}

static void
say_packet(struct speaker *s, const struct packet *p)
{
    uint8_t bytes[4096];
    uint32_t size = encode_packet(bytes, sizeof bytes, 5, p);
    tls_client_write(s->tls, bytes, size);
    send_waiting(s);
}

static void
connect_as(struct speaker *s, const char *id)
{
    struct packet p = {.type = PACKET_CONNECT, .connect = {.version = 5, .clean_start = true, .client_id = bytes_from(id)}};
    say_packet(s, &p);
}

/* The type of the packet that came first of all that has come; 0: none. */
static uint8_t
heard(struct speaker *s)
{
    uint8_t bytes[4096];
    take_arrived(s);
    uint32_t size = tls_client_read(s->tls, bytes, sizeof bytes);
    return size > 0 ? bytes[0] >> 4 : 0;
}

static const struct tls_client_options any = {.version = 0}, old = {.version = 12};

static void
clients_of_all_shards_talk_through_tls(struct world *w)
{
    for (unsigned i = 0; i < 12; i++) {
        char id[8];
        snprintf(id, sizeof id, "c%u", i);
        struct speaker s = speak(w, i % 2 ? &any : &old);
        claim(shake_hands(&s));
        connect_as(&s, id);
        claim_equal(heard(&s), PACKET_CONNACK);
        uint8_t subscribe[] = {0x82, 7, 0, 1, 0, 0, 1, 'a', 0};
        tls_client_write(s.tls, subscribe, sizeof subscribe);
        send_waiting(&s);
        claim_equal(heard(&s), PACKET_SUBACK);
        uint8_t publish[] = {0x30, 5, 0, 1, 'a', 0, 'x'};
        tls_client_write(s.tls, publish, sizeof publish);
        send_waiting(&s);
        claim_equal(heard(&s), PACKET_PUBLISH);
        hush(&s);
    }
}

static void
a_connect_in_one_flight_with_the_end_of_the_handshake_is_heard(struct world *w)
{
    struct speaker s = speak(w, &any);
    tls_client_handshake(s.tls);
    send_waiting(&s);
    take_arrived(&s);
    claim(tls_client_handshake(s.tls));
    connect_as(&s, "eager");
    claim_equal(heard(&s), PACKET_CONNACK);
    hush(&s);
}

static void
mqtt_without_tls_is_closed_and_counted(struct world *w)
{
    struct client *c = meet(w, 5);
    send_connect(c, "plain", (struct hello){0});
    world_settle(w);
    claim(client_ended(c));
    claim_equal(WORLD_COUNT(w, drops[DROP_TLS_HANDSHAKE]), 1);
}

/* Options flapping_refusals 2, flapping_window 10, flapping_ban 60. */
static void
an_address_whose_handshakes_fail_again_and_again_is_banned(struct world *w)
{
    for (int i = 0; i < 2; i++) {
        claim_equal(WORLD_COUNT(w, flapping_bans), 0);
        struct client *c = meet(w, 5);
        come_from(c, "192.0.2.1");
        client_send_bytes(c, "GET / HTTP/1.1\r\n\r\n", 18);
        expect_end(c);
    }
    claim_equal(WORLD_COUNT(w, flapping_bans), 1);
}

static void
a_record_that_does_not_decrypt_ends_the_connection(struct world *w)
{
    struct speaker s = speak(w, &any);
    claim(shake_hands(&s));
    connect_as(&s, "c");
    claim_equal(heard(&s), PACKET_CONNACK);
    const uint8_t forged[] = {0x17, 3, 3, 0, 20, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20};
    client_send_raw(s.c, forged, sizeof forged);
    take_arrived(&s);
    claim(sim_finished(w->sim, s.c->connection));
    claim_equal(WORLD_COUNT(w, drops[DROP_TLS_RECORD]), 1);
    claim_equal(WORLD_COUNT(w, connected), 0);
    hush(&s);
}

static void
who_does_not_finish_the_handshake_is_cut_off(struct world *w)
{
    struct speaker silent = speak(w, &any), half = speak(w, &any);
    tls_client_handshake(half.tls);
    send_waiting(&half);
    world_settle(w);
    world_advance(w, 11000);
    claim(client_ended(silent.c));
    take_arrived(&half);
    claim(sim_finished(w->sim, half.c->connection));
    claim_equal(WORLD_COUNT(w, drops[DROP_CONNECT_TIMEOUT]), 2);
    hush(&silent);
    hush(&half);
}

/* ------------------------------------------------------------------------------------------------- while a step runs elsewhere */

static struct speaker
begin_step(struct world *w)
{
    sim_hold_work(w->sim, true, MANY);
    struct speaker s = speak(w, &any);
    tls_client_handshake(s.tls);
    send_waiting(&s);
    world_settle(w);
    return s;
}

static void
a_connection_that_breaks_meanwhile_is_forgotten(struct world *w)
{
    struct speaker s = begin_step(w);
    vanish(s.c); /* where connections may move the broker does not receive now, and notices afterwards */
    world_settle(w);
    sim_hold_work(w->sim, false, 0);
    world_settle(w);
    claim_equal(sim_broker_sockets(w->sim), 0);
    hush(&s);
}

static void
a_deadline_that_passes_meanwhile_ends_the_connection(struct world *w)
{
    struct speaker s = begin_step(w);
    world_advance(w, 11000);
    claim_equal(WORLD_COUNT(w, drops[DROP_CONNECT_TIMEOUT]), 0); /* we were late, not the peer */
    claim_equal(WORLD_COUNT(w, drops[DROP_WORK_LATE]), 1);
    sim_hold_work(w->sim, false, 0);
    world_settle(w);
    claim_equal(sim_broker_sockets(w->sim), 0);
    hush(&s);
}

static void
what_arrives_meanwhile_is_looked_at_afterwards(struct world *w)
{
    struct speaker s = begin_step(w);
    const uint8_t garbage[] = "this is not a record";
    client_send_raw(s.c, garbage, sizeof garbage);
    world_settle(w);
    claim_equal(WORLD_COUNT(w, drops[DROP_TLS_HANDSHAKE]), 0);
    sim_hold_work(w->sim, false, 0);
    world_settle(w);
    claim_equal(WORLD_COUNT(w, drops[DROP_TLS_HANDSHAKE]), 1);
    hush(&s);
}

static void
what_arrives_meanwhile_is_charged(struct world *w)
{
    struct speaker s = begin_step(w);
    uint64_t before = (uint64_t)world_charged_bytes(w);
    static const uint8_t garbage[40000];
    client_send_raw(s.c, garbage, sizeof garbage);
    world_settle(w);
    /* Where connections may move the broker does not receive now. */
    claim(w->broker->shard_count > 1 || (uint64_t)world_charged_bytes(w) >= before + sizeof garbage);
    sim_hold_work(w->sim, false, 0);
    vanish(s.c);
    world_settle(w);
    claim((uint64_t)world_charged_bytes(w) <= before);
    hush(&s);
}

static void
a_stop_meanwhile_leaves_nothing(struct world *w)
{
    struct speaker s = begin_step(w);
    broker_stop(w->broker);
    pass_seconds(w, 60);
    claim_equal(sim_broker_sockets(w->sim), 0);
    hush(&s);
}

static void
when_too_many_wait_others_are_refused_and_counted(struct world *w)
{
    sim_hold_work(w->sim, true, 1);
    struct speaker crowd[8];
    for (unsigned i = 0; i < 8; i++) {
        crowd[i] = speak(w, &any);
        tls_client_handshake(crowd[i].tls);
        send_waiting(&crowd[i]);
        world_settle(w);
    }
    uint64_t refused = WORLD_COUNT(w, drops[DROP_WORK_FULL]);
    claim(refused >= 5 && refused < 8);
    claim_equal(sim_broker_sockets(w->sim), 8 - refused);
    sim_hold_work(w->sim, false, 0);
    for (unsigned i = 0; i < 8; i++) {
        hush(&crowd[i]);
    }
}

/* Each asks for an answer, and none is read. */
static void
a_flood_of_key_updates_does_not_fill_memory(struct world *w)
{
    static const struct tls_client_options new = {.version = 13};
    struct speaker s = speak(w, &new);
    claim(shake_hands(&s));
    connect_as(&s, "c");
    claim_equal(heard(&s), PACKET_CONNACK);
    sim_set_stuck(w->sim, s.c->connection, true);
    for (unsigned i = 0; i < 60000 && !sim_finished(w->sim, s.c->connection); i++) {
        tls_client_update_keys(s.tls);
        send_waiting(&s);
        if (i % 1000 == 0) {
            world_settle(w);
        }
    }
    world_settle(w);
    claim_equal(WORLD_COUNT(w, connected), 0);
    hush(&s);
}

static const struct dialogue dialogues[] = {
    TELL_WITH(clients_of_all_shards_talk_through_tls, options),
    TELL_WITH(a_connect_in_one_flight_with_the_end_of_the_handshake_is_heard, options),
    TELL_WITH(mqtt_without_tls_is_closed_and_counted, options),
    TELL_WITH(an_address_whose_handshakes_fail_again_and_again_is_banned, watched),
    TELL_WITH(a_record_that_does_not_decrypt_ends_the_connection, options),
    TELL_WITH(who_does_not_finish_the_handshake_is_cut_off, options),
    TELL_WITH(a_connection_that_breaks_meanwhile_is_forgotten, options),
    TELL_WITH(a_deadline_that_passes_meanwhile_ends_the_connection, options),
    TELL_WITH(what_arrives_meanwhile_is_looked_at_afterwards, options),
    TELL_WITH(what_arrives_meanwhile_is_charged, options),
    TELL_WITH(a_stop_meanwhile_leaves_nothing, options),
    TELL_WITH(when_too_many_wait_others_are_refused_and_counted, options),
    TELL_WITH(a_flood_of_key_updates_does_not_fill_memory, options),
};

int
main(int argc, char **argv)
{
    struct pki *pki = pki_open();
    pki_issue(pki, &(struct pki_wish){.file = "server", .common_name = "broker.example"});
    snprintf(options, sizeof options, "certfile %s\nkeyfile %s\n", pki_path(pki, "server.pem"), pki_path(pki, "server.key"));
    snprintf(watched, sizeof watched, "%sflapping_refusals 2\nflapping_window 10\nflapping_ban 60\n", options);
    int failed = dialogue_main(dialogues, sizeof dialogues / sizeof dialogues[0], argc, argv);
    pki_close(&pki);
    return failed;
}
