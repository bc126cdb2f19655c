#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "engine/durable/entry.h"
#include "engine/durable/principal_entry.h"
#include "engine/import/import.h"
#include "test/codec/wire.h"

/* Files that Mosquitto wrote: mosquitto_db_test.c says what it was told. */
#define FILES CORPUS "/mosquitto_db/"
#define FILE_SIZE_MAX 8192u
/* When they were made, and long after what is in them expires. */
#define THEN_MS UINT64_C(1795651500000)
#define LATER_MS (THEN_MS + UINT64_C(10000000000))
#define THINGS_MAX 64u

struct owed {
    char client[32], topic[32];
    struct entry_delivery is;
    uint32_t identifier;
};

/* What the records make of a journal, put together in the most obvious way. */
struct model {
    struct entry_session sessions[THINGS_MAX];
    char names[THINGS_MAX][32], users[THINGS_MAX][32];
    char body_topics[THINGS_MAX][32];      /* by number */
    struct owed owed[THINGS_MAX];
    char retained[THINGS_MAX][32];
    struct entry_received received[THINGS_MAX];
    unsigned session_count, owed_count, retained_count, received_count, subscription_count, removed_count;
    const struct config *config;
};

static uint8_t file[FILE_SIZE_MAX];

static void
copy(char out[32], struct bytes text)
{
    assert_true(text.size < 32);
    memcpy(out, text.data, text.size);
    out[text.size] = '\0';
}

static const char *
name_of(const struct model *m, uint64_t identity)
{
    for (unsigned i = 0; i < m->session_count; i++) {
        if (m->sessions[i].identity == identity) {
            return m->names[i];
        }
    }
    fail_msg("an identity without a session before it");
    return NULL;
}

static void
apply_session(struct model *m, struct bytes content)
{
    struct entry_session *e = &m->sessions[m->session_count];
    struct principal_entry principal = {0};
    assert_true(entry_read_session(content, e));
    copy(m->names[m->session_count], e->client_id);
    if (e->principal.size > 0) {
        assert_true(principal_entry_read(e->principal, m->config->listeners, m->config->listener_count, &principal));
        copy(m->users[m->session_count], principal.principal.user);
    }
    m->session_count++;
}

static void
apply_delivery(struct model *m, const struct entry_delivery *d, uint64_t body)
{
    struct owed *o = &m->owed[m->owed_count++];
    o->is = *d;
    copy(o->client, bytes_of(name_of(m, d->identity), (uint32_t)strlen(name_of(m, d->identity))));
    if (d->state != ENTRY_DELIVERY_RELEASED) {
        assert_true(body != 0 && m->body_topics[body][0] != '\0'); /* it was written before */
        strcpy(o->topic, m->body_topics[body]);
    }
    if (d->identifier_count > 0) {
        struct reader r = reader_of(d->identifiers);
        o->identifier = reader_u32(&r);
    }
}

static void
apply_message(struct model *m, struct bytes content)
{
    struct entry_message e;
    struct entry_delivery d;
    assert_true(entry_read_message(content, &e));
    assert_true(e.body.number < THINGS_MAX && (e.keep_retained || e.delivery_count > 0)); /* else nobody would keep it */
    copy(m->body_topics[e.body.number], e.body.topic);
    while (entry_next_delivery(&e.deliveries, &d)) {
        apply_delivery(m, &d, e.body.number);
    }
    if (e.keep_retained) {
        copy(m->retained[m->retained_count++], e.body.topic);
    }
}

static void
apply_deliveries(struct model *m, struct bytes content)
{
    struct entry_delivery d;
    struct bytes deliveries;
    uint32_t count;
    assert_true(entry_read_deliveries(content, &count, &deliveries));
    while (entry_next_delivery(&deliveries, &d)) {
        apply_delivery(m, &d, d.body);
    }
}

static void
apply(void *context, uint8_t type, struct bytes content)
{
    struct model *m = context;
    struct entry_subscription subscription;
    struct entry_retain_removed removed;
    switch (type) {
    case ENTRY_SESSION: apply_session(m, content); break;
    case ENTRY_MESSAGE: apply_message(m, content); break;
    case ENTRY_DELIVERIES: apply_deliveries(m, content); break;
    case ENTRY_RECEIVED: assert_true(entry_read_received(content, &m->received[m->received_count++])); break;
    case ENTRY_SUBSCRIPTION:
        assert_true(entry_read_subscription(content, &subscription) && name_of(m, subscription.identity) != NULL);
        m->subscription_count++;
        break;
    case ENTRY_RETAIN_REMOVED:
        assert_true(entry_read_retain_removed(content, &removed));
        m->removed_count++;
        break;
    default: fail_msg("a record of type %u", type);
    }
}

static struct bytes
load(const char *path)
{
    FILE *stream = fopen(path, "rb");
    assert_non_null(stream);
    uint32_t size = (uint32_t)fread(file, 1, sizeof file, stream);
    fclose(stream);
    return bytes_of(file, size);
}

static void
import_bytes(struct bytes bytes, uint64_t now_ms, struct config *config, struct model *m, struct import *import)
{
    char error[200] = "";
    *m = (struct model){.config = config};
    *import = (struct import){.config = config, .now_ms = now_ms, .put = apply, .context = m};
    if (!import_run(import, bytes.data, bytes.size, error, sizeof error)) {
        fail_msg("%s", error);
    }
}

static unsigned
count_owed(const struct model *m, const char *client, int state)
{
    unsigned count = 0;
    for (unsigned i = 0; i < m->owed_count; i++) {
        count += strcmp(m->owed[i].client, client) == 0 && m->owed[i].is.state == state;
    }
    return count;
}

static const struct owed *
find_owed(const struct model *m, const char *client, const char *topic)
{
    for (unsigned i = 0; i < m->owed_count; i++) {
        if (strcmp(m->owed[i].client, client) == 0 && strcmp(m->owed[i].topic, topic) == 0) {
            return &m->owed[i];
        }
    }
    fail_msg("%s is not owed to %s", topic, client);
    return NULL;
}

/* Numbers grow, and identifiers are there where they have to be. */
static void
check_owed(const struct model *m, const char *client)
{
    uint64_t last = 0;
    for (unsigned i = 0; i < m->owed_count; i++) {
        const struct owed *o = &m->owed[i];
        if (strcmp(o->client, client) == 0) {
            assert_true(o->is.number > last && (o->is.state == ENTRY_DELIVERY_QUEUED) == (o->is.packet_id == 0));
            last = o->is.number;
        }
    }
}

CLAIM(what_is_owed_comes_over_in_its_order_and_state)
{
    static const char *const paths[] = {FILES "version-5", FILES "debian-2.0.11", FILES "version-2.1"};
    struct config *config = config_default();
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        struct model m;
        struct import import;
        import_bytes(load(paths[i]), THEN_MS, config, &m, &import);
        assert_int_equal(m.session_count, 3);
        assert_int_equal(m.subscription_count, 5);
        assert_int_equal(count_owed(&m, "old-client", ENTRY_DELIVERY_PUBLISHED), 2);
        assert_int_equal(count_owed(&m, "old-client", ENTRY_DELIVERY_QUEUED), 5 + 1); /* and what was not released */
        assert_int_equal(count_owed(&m, "five", ENTRY_DELIVERY_PUBLISHED), 2);
        assert_int_equal(count_owed(&m, "five", ENTRY_DELIVERY_RELEASED), 1);
        assert_int_equal(count_owed(&m, "five", ENTRY_DELIVERY_QUEUED), 4);
        check_owed(&m, "old-client");
        check_owed(&m, "five");
        const struct owed *o = find_owed(&m, "five", "a/1");
        assert_true(o->is.qos == 1 && o->is.packet_id == 1 && o->is.retain && o->identifier == 77);
        assert_int_equal(import.counts.qos0, 1);
        assert_int_equal(import.counts.unknown + import.counts.too_deep + import.counts.expired_sessions + import.counts.expired_messages, 0);
    }
    config_free(&config);
}

CLAIM(a_message_that_was_not_released_is_passed_on_and_its_identifier_remembered)
{
    struct config *config = config_default();
    struct model m;
    struct import import;
    import_bytes(load(FILES "debian-2.0.11"), THEN_MS, config, &m, &import);
    const struct owed *o = find_owed(&m, "old-client", "b/x/c");
    assert_true(o->is.qos == 2 && o->is.state == ENTRY_DELIVERY_QUEUED && !o->is.retain);
    assert_int_equal(m.received_count, 1);
    assert_string_equal(name_of(&m, m.received[0].identity), "five");
    assert_true(m.received[0].packet_id == 41 && m.received[0].count == 1);
    assert_int_equal(m.retained_count, 3);
    assert_string_equal(m.retained[2], "b/x/c"); /* after all that was retained before */
    config_free(&config);
}

CLAIM(what_has_expired_stays_behind)
{
    struct config *config = config_default();
    struct model m;
    struct import import;
    import_bytes(load(FILES "debian-2.0.11"), LATER_MS, config, &m, &import);
    assert_int_equal(m.session_count, 2); /* `five` had a day */
    assert_int_equal(import.counts.expired_sessions, 1);
    assert_int_equal(import.counts.expired_messages, 1);
    assert_int_equal(count_owed(&m, "old-client", ENTRY_DELIVERY_PUBLISHED), 1);
    assert_int_equal(m.received_count, 0);
    config_free(&config);
}

CLAIM(sessions_end_when_mosquitto_would_have_ended_them_and_no_later_than_the_configuration_says)
{
    struct config *config = config_default();
    struct model m;
    struct import import;
    config->persistent_client_expiration_s = 200000;
    import_bytes(load(FILES "debian-2.0.11"), THEN_MS, config, &m, &import);
    for (unsigned i = 0; i < m.session_count; i++) {
        bool five = strcmp(m.names[i], "five") == 0;
        assert_int_equal(m.sessions[i].expiry_s, five ? 100000 : 200000);
        assert_int_equal(m.sessions[i].absent_since_ms, five ? UINT64_C(1795651329000) : THEN_MS);
    }
    config_free(&config);
}

CLAIM(user_names_count_only_where_nobody_is_anonymous)
{
    struct config *config = config_default();
    struct model m;
    struct import import;
    import_bytes(load(FILES "version-2.1"), THEN_MS, config, &m, &import);
    for (unsigned i = 0; i < m.session_count; i++) {
        assert_string_equal(m.users[i], "");
    }
    for (unsigned i = 0; i < config->listener_count; i++) {
        config->listeners[i].allow_anonymous = false;
    }
    import_bytes(load(FILES "version-2.1"), THEN_MS, config, &m, &import);
    for (unsigned i = 0; i < m.session_count; i++) {
        assert_string_equal(m.users[i], strcmp(m.names[i], "five") == 0 ? "ann" : "");
    }
    config_free(&config);
}

static void
count_record(void *context, uint8_t type, struct bytes content)
{
    (void)type;
    (void)content;
    ++*(unsigned *)context;
}

CLAIM(nothing_is_put_of_a_file_that_is_damaged_anywhere)
{
    struct config *config = config_default();
    struct bytes whole = load(FILES "debian-2.0.11");
    unsigned records = 0;
    char error[200] = "";
    struct import import = {.config = config, .now_ms = THEN_MS, .put = count_record, .context = &records};
    assert_false(import_run(&import, whole.data, whole.size - 1, error, sizeof error));
    assert_non_null(strstr(error, "ends too early"));
    assert_int_equal(records, 0);
    assert_true(import_run(&import, whole.data, whole.size, error, sizeof error));
    assert_int_equal(records, 3 + 5 + 15 + 1 + 1); /* sessions, subscriptions, owed (some with the retained ones in them), received, `retained/x` */
    config_free(&config);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_owed_comes_over_in_its_order_and_state),
        cmocka_unit_test(a_message_that_was_not_released_is_passed_on_and_its_identifier_remembered),
        cmocka_unit_test(what_has_expired_stays_behind),
        cmocka_unit_test(sessions_end_when_mosquitto_would_have_ended_them_and_no_later_than_the_configuration_says),
        cmocka_unit_test(user_names_count_only_where_nobody_is_anonymous),
        cmocka_unit_test(nothing_is_put_of_a_file_that_is_damaged_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
