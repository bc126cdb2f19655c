/* Bans: who is on the list is not served, is told so, is counted; who is connected is disconnected; flapping clients and addresses get there by themselves, for a time. */
#include "test/dialogue/dialogue.h"

#include "engine/limits/ban_file.h"

#define BAN_FILE "ban_test.bans" /* in the folder where the test runs */

/* The operator writes the file, and the broker notices. */
static void
rewrite(struct world *w, const char *text)
{
    char error[512];
    FILE *file = fopen(BAN_FILE, "w");
    fputs(text, file);
    fclose(file);
    if (broker_reload_bans(w->broker, w->config, error, sizeof error) != 0) {
        complain("%s", error);
    }
}

static void
expect_banned(struct client *c)
{
    expect_connack(c, c->version == MQTT_VERSION_5 ? REASON_BANNED : REASON_NOT_AUTHORIZED);
    expect_end(c);
}

/* MQTT5 3.2.2.2: 0x8A; MQTT3 3.2.2.3: return code 5. */
static void
banned_client_identifier_is_refused(struct world *w)
{
    rewrite(w, "client bad\nclient with blank\n");
    for (uint8_t version = 3; version <= 5; version++) {
        expect_banned(knock(w, version, "bad"));
        expect_banned(knock(w, version, "with blank"));
    }
    ping(join(w, 5, "good"));
    ping(join(w, 5, "badder"));
    claim_equal(WORLD_COUNT(w, drops[DROP_BANNED]), 6);
    rewrite(w, "");
    ping(join(w, 5, "bad"));
}

static void
banned_user_is_refused(struct world *w)
{
    rewrite(w, "user mallory\n");
    expect_banned(knock(w, 5, "a", .user_name = "mallory"));
    expect_banned(knock(w, 4, "a", .user_name = "mallory"));
    ping(join(w, 5, "mallory")); /* as a client identifier it is another thing */
}

/* Before it says anything. */
static void
banned_address_is_turned_away(struct world *w)
{
    rewrite(w, "address 192.0.2.0/24\naddress 2001:db8::/32\naddress 198.51.100.7\n");
    expect_end(knock(w, 5, "a", .from = "192.0.2.77"));
    expect_end(knock(w, 5, "a", .from = "::ffff:192.0.2.77"));
    expect_end(knock(w, 5, "a", .from = "2001:db8:1:2::3"));
    expect_end(knock(w, 5, "a", .from = "198.51.100.7"));
    ping(join(w, 5, "a", .from = "198.51.100.8"));
    ping(join(w, 5, "b", .from = "2001:db9::1"));
    claim_equal(WORLD_COUNT(w, drops[DROP_BANNED]), 4);
}

/* Who has come in but not said who he is. */
static void
a_banned_address_is_refused_although_its_connection_was_there_before(struct world *w)
{
    rewrite(w, "");
    struct client *c = meet(w, 5), *fine = meet(w, 5);
    come_from(c, "192.0.2.1");
    come_from(fine, "192.0.2.2");
    expect_quiet(c);
    expect_quiet(fine);
    rewrite(w, "address 192.0.2.1\n");
    send_connect(c, "c", (struct hello){0});
    expect_banned(c);
    send_connect(fine, "fine", (struct hello){0});
    expect_connack(fine, REASON_SUCCESS);
    claim_equal(WORLD_COUNT(w, drops[DROP_BANNED]), 1);
}

static void
who_is_connected_is_disconnected(struct world *w)
{
    rewrite(w, "");
    struct client *by_id[3], *by_address[3];
    static const char *const ids[] = {"c0", "c1", "c2"}, *const others[] = {"d0", "d1", "d2"};
    for (int i = 0; i < 3; i++) {
        by_id[i] = join(w, 5, ids[i], .from = "192.0.2.1");
        by_address[i] = join(w, i == 2 ? 4 : 5, others[i], .from = "203.0.113.9");
    }
    struct client *fine = join(w, 5, "fine", .from = "192.0.2.1");
    rewrite(w, "client c0\nclient c1\nclient c2\naddress 203.0.113.0/24\n");
    for (int i = 0; i < 3; i++) {
        expect_disconnect(by_id[i], REASON_ADMINISTRATIVE_ACTION);
    }
    expect_disconnect(by_address[0], REASON_ADMINISTRATIVE_ACTION);
    expect_disconnect(by_address[1], REASON_ADMINISTRATIVE_ACTION);
    expect_end(by_address[2]);
    ping(fine);
    claim_equal(WORLD_COUNT(w, drops[DROP_BANNED]), 6);
}

/* The will of who is thrown out is published: the server closed the connection. MQTT5 [MQTT-3.1.2-8]. */
static void
the_will_of_a_banned_client_is_published(struct world *w)
{
    rewrite(w, "");
    struct client *s = join(w, 5, "s"), *c = join(w, 5, "c", .will_topic = "wills", .will_payload = "gone");
    subscribe(s, "wills");
    rewrite(w, "client c\n");
    expect_disconnect(c, REASON_ADMINISTRATIVE_ACTION);
    hear(s, "wills", "gone", 0);
}

static void
a_ban_ends_at_its_time(struct world *w)
{
    uint64_t now_s = io_wall_ms(io_of_shard(w->broker->ios, 0)) / 1000;
    char text[128], until[32];
    ban_time_text((now_s + 60) * 1000, until, sizeof until);
    snprintf(text, sizeof text, "until %s client c\n", until);
    rewrite(w, text);
    expect_banned(knock(w, 5, "c"));
    pass_seconds(w, 61);
    ping(join(w, 5, "c"));
}

/* Ten thousand connections on their way to their home shards do not slip through either. */
static void
nobody_slips_through_while_connections_are_looked_at(struct world *w)
{
    rewrite(w, "");
    enum { CLIENTS = 6000 };
    for (int i = 0; i < CLIENTS; i++) {
        char id[16];
        snprintf(id, sizeof id, "c%d", i);
        knock(w, 5, id, .from = i % 2 ? "192.0.2.1" : "198.51.100.1");
    }
    world_settle(w);
    claim_equal(WORLD_COUNT(w, connected), CLIENTS);
    rewrite(w, "address 192.0.2.1\n");
    world_settle(w);
    claim_equal(WORLD_COUNT(w, connected), CLIENTS / 2);
    claim_equal(WORLD_COUNT(w, drops[DROP_BANNED]), CLIENTS / 2);
}

/* Options flapping_connects 5, flapping_window 10, flapping_ban 60: two devices of one name that throw each other out. */
static void
a_flapping_client_is_banned_for_a_time(struct world *w)
{
    struct client *c = NULL, *other = join(w, 5, "other");
    for (int i = 0; i < 4; i++) {
        c = join(w, 5, "c");
    }
    expect_banned(knock(w, 5, "c"));
    expect_disconnect(c, REASON_ADMINISTRATIVE_ACTION);
    expect_banned(knock(w, 5, "c"));
    claim_equal(WORLD_COUNT(w, flapping_bans), 1);
    ping(other);
    pass_seconds(w, 61);
    for (int i = 0; i < 4; i++) {
        pass_seconds(w, 4);
        c = join(w, 5, "c"); /* no more than two in ten seconds */
    }
    ping(c);
}

/* Option flapping_refusals 5: whatever is wrong with what comes from there. */
static void
an_address_that_is_refused_again_and_again_is_banned(struct world *w)
{
    struct client *c = join(w, 5, "good", .from = "192.0.2.1");
    for (int i = 0; i < 2; i++) {
        struct client *bad = meet(w, 5);
        come_from(bad, "192.0.2.1");
        client_send_bytes(bad, "GET / HTTP/1.1\r\n\r\n", 18);
        expect_end(bad);
    }
    for (int i = 0; i < 2; i++) {
        struct client *odd = knock(w, 5, "odd", .method = "unknown", .from = "192.0.2.1");
        expect_connack(odd, REASON_BAD_AUTHENTICATION_METHOD);
    }
    struct client *silent = meet(w, 5);
    come_from(silent, "192.0.2.1");
    pass_seconds(w, 5);
    expect_quiet(silent);
    pass_seconds(w, 6); /* connect_timeout: the fifth */
    expect_end(silent);
    claim_equal(WORLD_COUNT(w, flapping_bans), 1);
    expect_end(knock(w, 5, "more", .from = "192.0.2.1"));
    ping(join(w, 5, "b", .from = "192.0.2.2"));
    ping(c); /* who is in stays: others may live behind the same address */
    pass_seconds(w, 61);
    ping(join(w, 5, "again", .from = "192.0.2.1"));
}

/* What is our fault is not held against the address: no session left. */
static void
refusals_for_want_of_room_ban_nobody(struct world *w)
{
    join(w, 5, "only", .from = "192.0.2.1");
    for (int i = 0; i < 20; i++) {
        expect_connack(knock(w, 5, "more", .from = "192.0.2.1"), REASON_QUOTA_EXCEEDED);
    }
    claim_equal(WORLD_COUNT(w, flapping_bans), 0);
}

#define WITH_FILE "ban_file " BAN_FILE "\n"
#define FLAPPING "flapping_window 20\nflapping_ban 60\n"

static const struct dialogue dialogues[] = {
    TELL_WITH(banned_client_identifier_is_refused, WITH_FILE),
    TELL_WITH(banned_user_is_refused, WITH_FILE),
    TELL_WITH(banned_address_is_turned_away, WITH_FILE),
    TELL_WITH(a_banned_address_is_refused_although_its_connection_was_there_before, WITH_FILE),
    TELL_WITH(who_is_connected_is_disconnected, WITH_FILE),
    TELL_WITH(the_will_of_a_banned_client_is_published, WITH_FILE),
    TELL_WITH(a_ban_ends_at_its_time, WITH_FILE),
    TELL_WITH(nobody_slips_through_while_connections_are_looked_at, WITH_FILE),
    TELL_WITH(a_flapping_client_is_banned_for_a_time, "flapping_connects 5\nflapping_window 10\nflapping_ban 60\n"),
    TELL_WITH(an_address_that_is_refused_again_and_again_is_banned, "flapping_refusals 5\n" FLAPPING),
    TELL_WITH(refusals_for_want_of_room_ban_nobody, "flapping_refusals 5\nglobal_max_clients 1\n" FLAPPING),
};

int
main(int argc, char **argv)
{
    FILE *file = fopen(BAN_FILE, "w"); /* a world that names it does not start without it */
    fclose(file);
    int failed = dialogue_main(dialogues, sizeof dialogues / sizeof *dialogues, argc, argv);
    remove(BAN_FILE);
    return failed;
}
