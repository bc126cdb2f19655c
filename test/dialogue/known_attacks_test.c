/*
 * What broke other brokers, one dialogue for each kind of input that did, while a pair of clients goes on talking: nobody but the attacker notices.
 *
 * Those that belong to a part of the protocol are told where that part is:
 *
 *   CVE-2019-11779, -2021-33175, -2021-33176, -2021-22116   filters and topics of thousands of levels
 *                      subscribe: a_filter_of_65000_slashes_does_no_harm; publish: a_topic_of_65000_slashes_does_no_harm; limits: a_topic_has_so_many_levels_and_no_more
 *   CVE-2018-12543     topics below $ that are not $SYS           publish: dollar_topics_that_are_not_sys_do_no_harm
 *   CVE-2021-34432     a topic of length 0                        publish: an_empty_topic_is_refused
 *   CVE-2021-28166     packets that only servers send             publish: packets_of_a_server_are_refused
 *   CVE-2023-28366     QoS 2 identifiers that are never finished  limits: repeated_qos_2_identifiers_do_not_leak
 *   CVE-2021-41039     user properties by the thousand            limits: thousands_of_user_properties_are_refused
 *   CVE-2019-11778     a will delayed beyond its session          will: a_will_is_published_when_the_session_ends_before_its_delay
 *   CVE-2025-59946, -2026-22040   takeover, subscriptions and publishes at once    connect: a_takeover_amid_requests_does_no_harm, of_many_takeovers_at_once_one_remains
 *   CVE-2020-13849     a keep-alive that holds a place for ever   connect: server_keep_alive_is_told_and_applied, a_connection_without_connect_is_closed_in_time
 *   CVE-2017-7650      wildcards as client identifier or user name    acl: hostile_names_match_no_pattern
 *   CVE-2018-12546, -2021-34434   rights that were taken back     acl: a_reload_counts_at_once, retained_messages_are_given_to_those_who_may_read,
 *                      absent_sessions_get_what_they_may_read_and_no_more
 *   CVE-2017-7652      a reload without descriptors               test/e2e/abuse_test.py
 */
#include "test/dialogue/dialogue.h"

#include <unistd.h>

struct pair {
    struct client *listener, *speaker;
};

/* The listener hears everything that an attack brings about. */
static struct pair
start_pair(struct world *w)
{
    struct pair pair = {join(w, 5, "listener"), join(w, 4, "speaker")};
    subscribe(pair.listener, "#", .qos = 1);
    return pair;
}

/* They have noticed nothing. */
#define claim_unharmed(pair) (HERE, claim_unharmed_(pair))
static void
claim_unharmed_(struct pair pair)
{
    expect_quiet_(pair.listener);
    publish(pair.speaker, "still/here", "x", .qos = 1);
    take(pair.listener, "still/here", "x", 1);
}

#define ATTACK(version, bytes) attack(w, version, bytes, sizeof bytes - 1, __LINE__)
#define ATTACK_FIRST(version, bytes, size) attack_first(w, version, bytes, size, __LINE__)

static void
listen_to_the_end(struct client *c)
{
    struct packet ignored;
    while (listen_for(c, &ignored)) {
    }
}

/* The broker has hung up, and counted one more. */
static void
claim_refused(struct client *c, uint64_t refused, int line)
{
    listen_to_the_end(c);
    HERE;
    here_line = line;
    if (!client_ended(c)) {
        complain("the connection is still open");
    }
    claim_equal_("drops", WORLD_COUNT(c->world, drops[DROP_BAD_INPUT]), refused + 1);
}

/* The bytes are the first that come on a connection: it ends, and that is counted. */
static void
attack_first(struct world *w, uint8_t version, const void *bytes, uint32_t size, int line)
{
    uint64_t refused = WORLD_COUNT(w, drops[DROP_BAD_INPUT]);
    struct client *c = meet(w, version);
    client_send_bytes(c, bytes, size);
    claim_refused(c, refused, line);
}

/* The same after a good CONNECT. */
static void
attack(struct world *w, uint8_t version, const void *bytes, uint32_t size, int line)
{
    uint64_t refused = WORLD_COUNT(w, drops[DROP_BAD_INPUT]);
    struct client *c = join(w, version, "attacker");
    client_send_bytes(c, bytes, size);
    claim_refused(c, refused, line);
}

/* CVE-2026-21888: the length of the properties is one byte longer than a Variable Byte Integer may be. MQTT5 1.5.5. */
static void
lengths_of_five_bytes_are_refused_wherever_they_stand(struct world *w)
{
    struct pair pair = start_pair(w);
    static const char connect[] = "\x10\x14\x00\x04MQTT\x05\x02\x00\x00\x80\x80\x80\x80\x01\x00\x01" "a\x00\x00";
    static const char will[] = "\x10\x19\x00\x04MQTT\x05\x06\x00\x00\x00\x00\x01" "a\x80\x80\x80\x80\x01\x00\x01w\x00\x01x";
    ATTACK_FIRST(5, connect, sizeof connect - 1);
    ATTACK_FIRST(5, will, sizeof will - 1);
    ATTACK_FIRST(5, "\x10\x80\x80\x80\x80\x01", 6);
    ATTACK(5, "\x30\x0a\x00\x01t\x80\x80\x80\x80\x01xx");         /* PUBLISH */
    ATTACK(5, "\x82\x0c\x00\x01\x80\x80\x80\x80\x01\x00\x01t\x00\x00"); /* SUBSCRIBE */
    ATTACK(5, "\x82\x0d\x00\x01\x06\x0b\x80\x80\x80\x80\x01\x00\x01t\x00"); /* its Subscription Identifier */
    ATTACK(5, "\xe0\x07\x00\x80\x80\x80\x80\x01\x00");             /* DISCONNECT */
    claim_unharmed(pair);
}

/* nanomq 2268, 2270 and CVE-2017-7655 their like: a packet that is whole, and ends before its last field does. */
static void
packets_that_end_before_their_last_field_are_refused(struct world *w)
{
    struct pair pair = start_pair(w);
    ATTACK(4, "\x82\x05\x00\x01\x00\x01t");     /* SUBSCRIBE without options */
    ATTACK(4, "\x82\x08\x00\x01\x00\x01t\x00\x00\x01"); /* the second filter is cut */
    ATTACK(4, "\x82\x02\x00\x01");              /* no filter at all */
    ATTACK(4, "\xa2\x03\x00\x01\x00");          /* UNSUBSCRIBE, half a length */
    ATTACK(4, "\x32\x03\x00\x01t");             /* PUBLISH, QoS 1, no identifier */
    ATTACK(4, "\x34\x04\x00\x01t\x00");         /* half of one */
    ATTACK(4, "\x30\x02\x00\x05");              /* a topic longer than the packet */
    ATTACK(4, "\x40\x01\x00");                  /* PUBACK, half an identifier */
    ATTACK(5, "\x30\x04\x00\x01t\x05");         /* properties longer than the packet */
    ATTACK(5, "\x82\x06\x00\x01\x00\x00\x01t"); /* SUBSCRIBE without options */
    claim_unharmed(pair);
}

/* Every prefix of a good CONNECT as a whole packet of its own (nanomq 1181, 1153, 1155). */
static void
a_connect_cut_anywhere_is_refused(struct world *w)
{
    static const char whole[] = "\x10\x22\x00\x04MQTT\x05\xc6\x00\x3c\x00\x00\x01" "a\x05\x18\x00\x00\x00\x01\x00\x01w\x00\x02xx\x00\x01u\x00\x02pw";
    struct pair pair = start_pair(w);
    uint8_t cut[sizeof whole];
    claim_equal(whole[1], sizeof whole - 3);
    for (uint32_t size = 2; size < sizeof whole - 1; size++) {
        memcpy(cut, whole, size);
        cut[1] = (uint8_t)(size - 2);
        ATTACK_FIRST(5, cut, size);
    }
    claim_equal(WORLD_COUNT(w, sessions), 2);
    claim_unharmed(pair);
}

static struct client *
browse(struct world *w, uint8_t version, const char *id)
{
    struct client *c = meet(w, version);
    client_upgrade(c, NULL);
    claim_equal(c->web->status, 101);
    send_connect(c, id, (struct hello){0});
    expect_connack(c, REASON_SUCCESS);
    return c;
}

/* CVE-2026-25627: Remaining Length says 4096, the WebSocket frame has three bytes of it and the next frame begins another packet. */
static void
a_frame_shorter_than_its_packet_is_waited_for_and_never_read_over(struct world *w)
{
    struct pair pair = {browse(w, 5, "listener"), browse(w, 4, "speaker")};
    struct client *c = browse(w, 5, "attacker");
    subscribe(pair.listener, "#", .qos = 1);
    client_send_bytes(c, "\x30\x80\x20\x00\x01t", 6);
    expect_quiet(pair.listener);
    client_send_bytes(c, "\xc0\x00", 2); /* PINGREQ, so it seems: they are the payload's third and fourth byte */
    expect_quiet(c);
    expect_quiet(pair.listener);
    vanish(c);
    claim_unharmed(pair);
}

/* CVE-2023-0809, CVE-2017-7651: what is announced before anybody has said who they are costs nothing. */
static void
large_packets_before_connect_cost_nothing(struct world *w)
{
    struct pair pair = start_pair(w);
    uint64_t before = budget_total(&w->broker->budget);
    for (int i = 0; i < 300; i++) {
        ATTACK_FIRST(4, "\x30\xff\xff\xff\x7f", 5); /* a PUBLISH of 256 MB */
        ATTACK_FIRST(4, "\x10\xff\xff\xff\x7f", 5); /* a CONNECT of that size */
    }
    claim(budget_total(&w->broker->budget) <= before + 65536);
    claim_unharmed(pair);
}

/* CVE-2023-3592: what is refused half way through leaves nothing allocated. */
static void
refused_wills_leave_nothing_behind(struct world *w)
{
    static const char bad[] = "\x10\x18\x00\x04MQTT\x05\x06\x00\x00\x00\x00\x01" "c\x03\x23\x00\x01\x00\x01w\x00\x01x"; /* a Topic Alias in a will */
    struct pair pair = start_pair(w);
    ATTACK_FIRST(5, bad, sizeof bad - 1);
    uint64_t before = budget_total(&w->broker->budget);
    for (int i = 0; i < 500; i++) {
        ATTACK_FIRST(5, bad, sizeof bad - 1);
    }
    claim(budget_total(&w->broker->budget) <= before + 4096);
    claim_equal(WORLD_COUNT(w, sessions), 2);
    claim_unharmed(pair);
}

/* CVE-2017-7653: what is passed on would make subscribers hang up. MQTT3 [MQTT-1.5.3-1], MQTT5 [MQTT-1.5.4-1]. */
static void
bad_utf8_costs_the_publisher_and_not_its_subscribers(struct world *w)
{
    struct pair pair = start_pair(w);
    ATTACK(4, "\x30\x06\x00\x03" "a\xff" "bx");     /* no UTF-8 */
    ATTACK(4, "\x30\x07\x00\x04" "\xed\xa0\x80" "bx"); /* half of a surrogate pair */
    ATTACK(4, "\x30\x06\x00\x03" "a\x00" "bx");     /* U+0000 */
    ATTACK(4, "\x30\x05\x00\x02\xc0\x80x");         /* the same, in two bytes */
    ATTACK(4, "\x82\x07\x00\x01\x00\x02\xc3\x28\x00"); /* in a filter */
    ATTACK(5, "\x30\x0b\x00\x01t\x06\x03\x00\x03" "a\xff" "bx"); /* in a Content Type */
    claim_unharmed(pair);
}

/* CVE-2024-42645: retained messages in every odd form: empty, expired, with an alias, by a topic that matches itself in many ways. */
static void
odd_retained_messages_are_stored_or_cleared_and_nothing_else(struct world *w)
{
    struct pair pair = {join(w, 5, "listener"), join(w, 4, "speaker")};
    subscribe(pair.listener, "still/#", .qos = 1);
    struct client *c = join(w, 5, "odd", .aliases = 10);
    for (int i = 0; i < 3; i++) {
        publish(c, "r/a", "", .qos = 1, .retain = true); /* there is nothing to clear */
        publish(c, "r/a", "x", .qos = 1, .retain = true, .expiry_s = 1);
        publish(c, "r/a/b", "y", .qos = 2, .retain = true);
        publish(c, "r/a", "", .qos = 0, .retain = true);
    }
    publish(c, "r/a", "late", .qos = 1, .retain = true, .expiry_s = 1);
    pass_seconds(w, 3);
    struct client *s = join(w, 5, "s");
    subscribe(s, "r/+/#", .qos = 1);
    take(s, "r/a/b", "y", 1);
    expect_quiet(s);
    claim_unharmed(pair);
}

/* ------------------------------------------------------------------------------------------------------- files that open everything */

static char file_path[] = "/tmp/tidewire-dialogue-attacks-XXXXXX";
static char with_list[64], with_passwords[64];

static void
write_file(const char *text)
{
    FILE *file = fopen(file_path, "w");
    if (file == NULL || fputs(text, file) < 0 || fclose(file) != 0) {
        complain("the file cannot be written");
    }
}

/* CVE-2018-12550: an access list without a line in it is a list. */
static void
an_empty_access_list_allows_nothing(struct world *w)
{
    struct client *s = join(w, 5, "s"), *p = join(w, 5, "p");
    struct packet got;
    ask(s, "#", .qos = 1);
    got = expect_(s, PACKET_SUBACK);
    claim_equal(got.suback.codes.data[0], REASON_NOT_AUTHORIZED);
    expect_ack(p, PACKET_PUBACK, say(p, "a", "x", .qos = 1), REASON_NOT_AUTHORIZED);
    expect_quiet(s);
}

/* CVE-2018-12551: a line without a hash is no user with an empty password, or with any. */
static void
a_malformed_password_line_lets_nobody_in(struct world *w)
{
    static const char *const wrong[] = {"u\n", "u:\n", "u:$7$\n", "u:x\n", ":\n", "u:$6$AA==\n"};
    char error[300];
    for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        write_file(wrong[i]);
        claim(broker_reload(w->broker, w->config, error, sizeof error) != 0);
        claim(strstr(error, ":1") != NULL || strstr(error, "line 1") != NULL);
        world_settle(w);
        static const char *const passwords[] = {"", "x", "$7$", NULL};
        for (unsigned j = 0; j < 4; j++) {
            struct client *c = knock(w, 5, "c", .user_name = "u", .password = passwords[j]);
            listen_to_the_end(c);
            claim(client_ended(c));
        }
        claim_equal(WORLD_COUNT(w, sessions), 0);
    }
    write_file("");
}

static const struct dialogue dialogues[] = {
    TELL(lengths_of_five_bytes_are_refused_wherever_they_stand),
    TELL(packets_that_end_before_their_last_field_are_refused),
    TELL(a_connect_cut_anywhere_is_refused),
    TELL_WITH(a_frame_shorter_than_its_packet_is_waited_for_and_never_read_over, "protocol websockets\n"),
    TELL(large_packets_before_connect_cost_nothing),
    TELL(refused_wills_leave_nothing_behind),
    TELL(bad_utf8_costs_the_publisher_and_not_its_subscribers),
    TELL(odd_retained_messages_are_stored_or_cleared_and_nothing_else),
    TELL_WITH(an_empty_access_list_allows_nothing, with_list),
    TELL_WITH(a_malformed_password_line_lets_nobody_in, with_passwords),
};

int
main(int argc, char **argv)
{
    close(mkstemp(file_path));
    snprintf(with_list, sizeof with_list, "acl_file %s", file_path);
    snprintf(with_passwords, sizeof with_passwords, "password_file %s", file_path);
    int failed = dialogue_main(dialogues, sizeof dialogues / sizeof *dialogues, argc, argv);
    unlink(file_path);
    return failed;
}
