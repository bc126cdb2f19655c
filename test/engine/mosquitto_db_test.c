#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "engine/import/mosquitto_db.h"
#include "test/codec/wire.h"

/* Written by Mosquitto itself: 1.6.4, Debian's 2.0.11, and 2.1.2. All three were told the same: see found_in_the_files(). */
#define FILES CORPUS "/mosquitto_db/"
#define FILE_SIZE_MAX 8192u

static uint8_t file[FILE_SIZE_MAX];
static uint32_t file_size;

static struct bytes
load(const char *path)
{
    FILE *stream = fopen(path, "rb");
    assert_non_null(stream);
    file_size = (uint32_t)fread(file, 1, sizeof file, stream);
    assert_true(file_size > 0 && file_size < sizeof file);
    fclose(stream);
    return bytes_of(file, file_size);
}

static bool
is(struct bytes b, const char *text)
{
    return bytes_equal(b, bytes_of(text, (uint32_t)strlen(text)));
}

/* What one file holds, counted, and the id of the message with this topic. */
struct found {
    unsigned messages, owed, clients, subscriptions, retained, retained_known;
    unsigned states[MOSQUITTO_DB_COMPLETED + 1];
    uint64_t ids[64];
    char topics[64][32];
};

static const char *
topic_of(const struct found *found, uint64_t id)
{
    for (unsigned i = 0; i < found->messages; i++) {
        if (found->ids[i] == id) {
            return found->topics[i];
        }
    }
    fail_msg("an id that no message has");
    return NULL;
}

static void
look_at_message(struct found *found, const struct mosquitto_db_message *m)
{
    snprintf(found->topics[found->messages], sizeof found->topics[0], "%.*s", (int)m->topic.size, (const char *)m->topic.data);
    found->ids[found->messages++] = m->id;
    if (is(m->topic, "a/1")) {
        assert_true(is(m->payload, "hello") && is(m->publisher, "pub") && m->user.size == 0);
        assert_true(m->qos == 1 && m->retain && m->expires_s == 0);
        assert_true(is(m->properties.content_type, "text/plain"));
        assert_int_equal(m->properties.user_count, 1);
    } else if (is(m->topic, "a/2")) {
        assert_true(m->qos == 2 && !m->retain && m->expires_s > 1795000000);
    } else if (is(m->topic, "b/x/c")) {
        assert_true(is(m->publisher, "five") && is(m->user, "ann") && m->packet_id == 41);
    } else if (is(m->topic, "retained/x")) {
        assert_true(bytes_equal(m->payload, bytes_of("\0\1\2", 3)) && m->qos == 0 && m->retain);
    }
}

static void
look_at_owed(struct found *found, const struct mosquitto_db_owed *o)
{
    const char *topic = topic_of(found, o->message);
    found->owed++;
    found->states[o->state]++;
    if (is(o->client_id, "five") && o->state == MOSQUITTO_DB_RECEIVED) {
        assert_string_equal(topic, "b/x/c");
        assert_true(o->qos == 2 && o->packet_id == 41 && o->retain);
    } else if (is(o->client_id, "five")) {
        assert_int_equal(o->properties.subscription_id_count, 1);
        assert_int_equal(o->properties.subscription_id, 77);
        assert_int_equal(o->retain, strcmp(topic, "a/1") == 0); /* it subscribed with Retain As Published */
        assert_true(o->state != MOSQUITTO_DB_RELEASED || (strcmp(topic, "a/2") == 0 && o->packet_id == 2));
    } else {
        assert_true(is(o->client_id, "old-client") && o->properties.subscription_id_count == 0);
        assert_true(o->qos == 1 || strcmp(topic, "a/zero") == 0);
    }
}

static void
look_at_client(struct found *found, const struct mosquitto_db_client *c, uint32_t version)
{
    found->clients++;
    if (is(c->client_id, "five")) {
        assert_true(c->expiry_s == 100000 && c->expires_s > 1795000000);
        assert_true(is(c->user, version >= 6 ? "ann" : ""));
    } else {
        assert_true(is(c->client_id, "old-client") || is(c->client_id, "forever"));
        assert_true(c->expiry_s == MOSQUITTO_DB_NEVER);
    }
}

static void
look_at_subscription(struct found *found, const struct mosquitto_db_subscription *s)
{
    found->subscriptions++;
    if (is(s->client_id, "five") && is(s->filter, "a/#")) {
        assert_true(s->qos == 2 && s->no_local && s->retain_as_published && s->identifier == 77);
    } else {
        assert_true(!s->no_local && !s->retain_as_published && s->identifier == 0);
    }
}

static void
look_at(struct found *found, const struct mosquitto_db_record *r, uint32_t version)
{
    switch (r->kind) {
    case MOSQUITTO_DB_MESSAGE: look_at_message(found, &r->message); break;
    case MOSQUITTO_DB_OWED: look_at_owed(found, &r->owed); break;
    case MOSQUITTO_DB_CLIENT: look_at_client(found, &r->client, version); break;
    case MOSQUITTO_DB_SUBSCRIPTION: look_at_subscription(found, &r->subscription); break;
    default:
        found->retained++;
        found->retained_known += strcmp(topic_of(found, r->retained), "a/1") == 0 || strcmp(topic_of(found, r->retained), "retained/x") == 0;
    }
}

static void
found_in(const char *path, uint32_t version, struct found *found)
{
    struct mosquitto_db db;
    struct mosquitto_db_record record;
    enum mosquitto_db_answer answer;
    *found = (struct found){0};
    struct bytes all = load(path);
    assert_true(mosquitto_db_open(&db, all.data, all.size));
    assert_int_equal(db.version, version);
    while ((answer = mosquitto_db_next(&db, &record)) == MOSQUITTO_DB_GIVES_RECORD) {
        look_at(found, &record, version);
    }
    assert_int_equal(answer, MOSQUITTO_DB_ENDS);
    assert_int_equal(db.skipped, 0);
}

CLAIM(files_of_three_versions_hold_what_mosquitto_was_told)
{
    static const struct {
        const char *path;
        uint32_t version;
    } files[] = {{FILES "version-5", 5}, {FILES "debian-2.0.11", 6}, {FILES "version-2.1", 6}};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        struct found found;
        found_in(files[i].path, files[i].version, &found);
        assert_int_equal(found.messages, 10);
        assert_int_equal(found.clients, 3);
        assert_int_equal(found.subscriptions, 5);
        assert_int_equal(found.retained, 2);
        assert_int_equal(found.retained_known, 2);
        assert_int_equal(found.owed, 16);
        assert_int_equal(found.states[MOSQUITTO_DB_RECEIVED], 1);
        assert_int_equal(found.states[MOSQUITTO_DB_RELEASED], 1);
        assert_int_equal(found.states[MOSQUITTO_DB_SENT], 4);
        assert_int_equal(found.states[MOSQUITTO_DB_QUEUED], 10);
    }
}

/* Reads to the end or to the damage, against the unreadable page. */
static enum mosquitto_db_answer
read_all(struct bytes bytes, char error[160])
{
    struct mosquitto_db db;
    struct mosquitto_db_record record;
    enum mosquitto_db_answer answer = MOSQUITTO_DB_IS_DAMAGED;
    if (mosquitto_db_open(&db, bytes.data, bytes.size)) {
        while ((answer = mosquitto_db_next(&db, &record)) == MOSQUITTO_DB_GIVES_RECORD) {
        }
        assert_true((answer == MOSQUITTO_DB_ENDS) == (db.error[0] == '\0'));
    } else {
        assert_true(db.error[0] != '\0');
    }
    memcpy(error, db.error, sizeof db.error);
    return answer;
}

CLAIM(a_file_that_was_cut_off_is_damaged_unless_it_ends_between_chunks)
{
    char error[160];
    unsigned whole = 0;
    load(FILES "debian-2.0.11");
    for (uint32_t size = 0; size < file_size; size++) {
        enum mosquitto_db_answer answer = read_all(guarded(bytes_of(file, size)), error);
        whole += answer == MOSQUITTO_DB_ENDS;
        assert_true(answer == MOSQUITTO_DB_ENDS || size < 23 || strstr(error, "ends too early") != NULL);
    }
    assert_int_equal(whole, 1 + 10 + 3 + 16 + 5 + 2); /* settings and records: after the head and all of these but the last */
}

CLAIM(any_byte_may_be_another_one)
{
    char error[160];
    load(FILES "debian-2.0.11");
    for (uint32_t at = 0; at < file_size; at++) {
        uint8_t was = file[at];
        for (unsigned other = 1; other < 256; other += 18) {
            file[at] = (uint8_t)(was ^ other);
            read_all(guarded(bytes_of(file, file_size)), error);
        }
        file[at] = was;
    }
}

CLAIM(what_is_none_of_these_files_is_refused_by_name)
{
    char error[160];
    assert_int_equal(read_all(wire("'something else that is longer than a head'"), error), MOSQUITTO_DB_IS_DAMAGED);
    assert_string_equal(error, "this is not a database of Mosquitto");
    assert_int_equal(read_all(wire("00b500'mosquitto db' 00000000 00000004"), error), MOSQUITTO_DB_IS_DAMAGED);
    assert_non_null(strstr(error, "format version 4 is not known"));
    assert_int_equal(read_all(wire("00b500'mosquitto db' 00000000 00000006 00000001 00000010 0000000000000000 01 04 000000000000"), error), MOSQUITTO_DB_IS_DAMAGED);
    assert_string_equal(error, "damaged at byte 23: identifiers of 4 bytes, not 8");
}

CLAIM(chunks_of_later_kinds_are_passed_over_and_counted)
{
    struct mosquitto_db db;
    struct mosquitto_db_record record;
    struct bytes bytes = wire("00b500'mosquitto db' 00000000 00000006 00000009 00000002 0102 00000004 00000008 0500000000000000");
    assert_true(mosquitto_db_open(&db, bytes.data, bytes.size));
    assert_int_equal(mosquitto_db_next(&db, &record), MOSQUITTO_DB_GIVES_RECORD);
    assert_int_equal(record.kind, MOSQUITTO_DB_RETAINED);
    assert_int_equal(record.retained, 5);
    assert_int_equal(db.skipped, 1);
    assert_int_equal(mosquitto_db_next(&db, &record), MOSQUITTO_DB_ENDS);
}

/* One chunk of version 6, and what is said of it. */
CLAIM(what_mqtt_does_not_allow_is_not_shown)
{
    static const struct {
        const char *chunk, *error;
    } chunks[] = {
        {"00000005 00000011 00000000 0001 0002 01 00 0000 'c' 'a#' 0000", "topic filter"},
        {"00000005 0000000f 00000000 0001 0002 03 00 0000 'c' 'a/'", "QoS 3"},
        {"00000005 0000000e 00000000 0000 0002 00 00 0000 'a/'", "valid identifier"},
        {"00000006 00000019 0000000000000000 00000000 0000 0001 0000 0000 00000000 ff", "valid identifier"},
        {"00000002 00000022 0000000000000000 0000000000000000 00000000 0000 0000 0000 0002 0000 00 00 'a+'", "topic"},
        {"00000002 00000021 0000000000000000 0000000000000000 00000000 0000 0000 0000 0001 0000 03 00 'a'", "QoS 3"},
        {"00000002 00000024 0000000000000000 0000000000000000 00000000 0000 0000 0000 0001 0000 00 00 'a' 022301", "properties"},
        {"00000003 00000011 0000000000000000 0001 0001 01 63 00 01 'c'", "state that is not known"},
        {"00000003 00000011 0000000000000000 0001 0001 01 03 00 02 'c'", "state that is not known"},
        {"00000003 00000011 0000000000000000 0000 0001 01 03 00 01 'c'", "without a packet identifier"},
        {"00000004 00000007 00000000000000", "ends too early"},
        {"00000000 00000000", "ends too early"},
    };
    for (size_t i = 0; i < sizeof chunks / sizeof chunks[0]; i++) {
        char text[400], error[160];
        snprintf(text, sizeof text, "00b500'mosquitto db' 00000000 00000006 %s", chunks[i].chunk);
        assert_int_equal(read_all(wire(text), error), MOSQUITTO_DB_IS_DAMAGED);
        if (strstr(error, chunks[i].error) == NULL) {
            fail_msg("%s: %s", chunks[i].chunk, error);
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_of_three_versions_hold_what_mosquitto_was_told),
        cmocka_unit_test(a_file_that_was_cut_off_is_damaged_unless_it_ends_between_chunks),
        cmocka_unit_test(any_byte_may_be_another_one),
        cmocka_unit_test(what_is_none_of_these_files_is_refused_by_name),
        cmocka_unit_test(chunks_of_later_kinds_are_passed_over_and_counted),
        cmocka_unit_test(what_mqtt_does_not_allow_is_not_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
