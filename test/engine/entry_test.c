#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "engine/durable/entry.h"
#include "test/codec/wire.h"
#include "test/support/entry_copy.h"

#define TEXT(literal) bytes_of(literal, sizeof(literal) - 1)
#define SAMPLES_MAX 32
#define SAMPLE_BYTES 1024

static struct sample {
    uint8_t type;
    struct bytes content;
    uint8_t bytes[SAMPLE_BYTES];
} samples[SAMPLES_MAX];
static unsigned sample_count;

static const struct entry_body bare_body = {.topic = {(const uint8_t *)"t", 1}};
static const struct entry_body full_body = {
    .number = 0x0102030405060708, .publisher = 2, .stamp = 3, .expiry_ms = UINT64_MAX, .qos = 2, .retain = true,
    .topic = {(const uint8_t *)"a/topic", 7}, .properties = {(const uint8_t *)"\x01\x01", 2}, .payload = {(const uint8_t *)"payload", 7},
};
static const struct entry_delivery bare_delivery = {.identity = 7, .number = 9};
static const struct entry_delivery full_delivery = {
    .identity = UINT64_MAX, .number = 10, .body = 11, .share_hash = 12, .packet_id = 13, .qos = 2, .state = ENTRY_DELIVERY_RELEASED, .retain = true,
    .identifier_count = 2, .identifiers = {(const uint8_t *)"\0\0\0\1\0\0\0\2", 8},
};
static const struct entry_token token = {.identity = 1, .count = 2, .hash = 3, .packet_id = 4};

static struct writer
begin_sample(uint8_t type)
{
    assert_true(sample_count < SAMPLES_MAX);
    samples[sample_count].type = type;
    return writer_of(samples[sample_count].bytes, SAMPLE_BYTES);
}

static void
end_sample(struct writer w)
{
    struct sample *s = &samples[sample_count++];
    assert_false(w.failed);
    s->content = bytes_of(s->bytes, (uint32_t)(w.at - s->bytes));
}

static void
sample_sessions(void)
{
    struct writer w = begin_sample(ENTRY_SESSION);
    entry_put_session(&w, &(struct entry_session){0});
    end_sample(w);
    w = begin_sample(ENTRY_SESSION);
    entry_put_session(&w, &(struct entry_session){1, 2, 3, 4, 5, 6, 7, TEXT("client"), TEXT("principal")});
    end_sample(w);
    for (unsigned i = 0; i < 2; i++) {
        w = begin_sample(i == 0 ? ENTRY_SESSION_END : ENTRY_WILL_DROPPED);
        entry_put_identity(&w, 0x1122334455667788);
        end_sample(w);
    }
    w = begin_sample(ENTRY_ABSENT);
    entry_put_absent(&w, &(struct entry_absent){1, 2, 3});
    end_sample(w);
    w = begin_sample(ENTRY_SUBSCRIPTION);
    entry_put_subscription(&w, &(struct entry_subscription){1, 268435455, 2, true, true, TEXT("$share/g/#")});
    end_sample(w);
    w = begin_sample(ENTRY_UNSUBSCRIBED);
    entry_put_subscription(&w, &(struct entry_subscription){.identity = 1, .text = TEXT("#")});
    end_sample(w);
    w = begin_sample(ENTRY_RECEIVED);
    entry_put_received(&w, &(struct entry_received){1, 2, 3});
    end_sample(w);
    w = begin_sample(ENTRY_COMPLETED);
    entry_put_received(&w, &(struct entry_received){.identity = 1, .packet_id = 65535});
    end_sample(w);
}

static void
sample_messages(void)
{
    struct writer w = begin_sample(ENTRY_MESSAGE);
    entry_put_message(&w, &(struct entry_message){.body = bare_body});
    end_sample(w);
    w = begin_sample(ENTRY_MESSAGE);
    entry_put_message(&w, &(struct entry_message){.body = full_body, .token = token, .keep_retained = true, .received = true, .token_partial = true, .delivery_count = 2});
    entry_put_delivery(&w, &full_delivery);
    entry_put_delivery(&w, &bare_delivery);
    end_sample(w);
    w = begin_sample(ENTRY_DELIVERIES);
    entry_put_deliveries(&w, 0);
    end_sample(w);
    w = begin_sample(ENTRY_DELIVERIES);
    entry_put_deliveries(&w, 2);
    entry_put_delivery(&w, &bare_delivery);
    entry_put_delivery(&w, &full_delivery);
    end_sample(w);
    for (uint8_t type = ENTRY_SENT; type <= ENTRY_DONE; type++) {
        w = begin_sample(type);
        entry_put_mark_head(&w, 1, 2);
        entry_put_mark(&w, 3, 4);
        entry_put_mark(&w, 5, 0);
        end_sample(w);
    }
}

static void
sample_others(void)
{
    struct writer w = begin_sample(ENTRY_RETAIN_REMOVED);
    entry_put_retain_removed(&w, &(struct entry_retain_removed){1, TEXT("topic")});
    end_sample(w);
    w = begin_sample(ENTRY_WILL);
    entry_put_will(&w, &(struct entry_will){.identity = 1, .body = bare_body});
    end_sample(w);
    w = begin_sample(ENTRY_WILL);
    entry_put_will(&w, &(struct entry_will){1, 2, 3, true, full_body});
    end_sample(w);
    w = begin_sample(ENTRY_PAGE);
    entry_put_page(&w, &(struct entry_page){.identity = 1});
    end_sample(w);
    w = begin_sample(ENTRY_PAGE);
    entry_put_page(&w, &(struct entry_page){.identity = 1, .first = 2, .last = 3, .count = 2, .cost = 4});
    entry_put_delivery(&w, &bare_delivery);
    entry_put_body(&w, &full_body);
    entry_put_delivery(&w, &full_delivery);
    entry_put_body(&w, &bare_body);
    end_sample(w);
    w = begin_sample(ENTRY_TOKEN);
    entry_put_token(&w, &(struct entry_token){.identity = 1, .count = 2, .hash = 3, .packet_id = 4}, 0);
    end_sample(w);
    w = begin_sample(ENTRY_TOKEN);
    entry_put_token(&w, &(struct entry_token){.identity = 1, .count = 2, .hash = 3, .packet_id = 4}, 2);
    writer_u64(&w, 5);
    writer_u64(&w, 6);
    end_sample(w);
}

static int
make_samples(void **state)
{
    (void)state;
    sample_sessions();
    sample_messages();
    sample_others();
    return 0;
}

CLAIM(every_kind_has_a_sample)
{
    for (uint8_t type = ENTRY_SESSION; type <= ENTRY_TOKEN; type++) {
        unsigned i = 0;
        while (i < sample_count && samples[i].type != type) {
            i++;
        }
        assert_true(i < sample_count);
    }
}

CLAIM(what_is_read_is_written_as_it_was)
{
    uint8_t copy[SAMPLE_BYTES];
    uint32_t size;
    for (unsigned i = 0; i < sample_count; i++) {
        assert_true(entry_copy(samples[i].type, guarded(samples[i].content), copy, &size));
        assert_true(bytes_equal(bytes_of(copy, size), samples[i].content));
    }
}

CLAIM(a_proper_prefix_is_no_entry)
{
    uint8_t copy[SAMPLE_BYTES];
    uint32_t copy_size;
    for (unsigned i = 0; i < sample_count; i++) {
        for (uint32_t size = 0; size < samples[i].content.size; size++) {
            assert_false(entry_copy(samples[i].type, guarded(bytes_of(samples[i].bytes, size)), copy, &copy_size));
        }
    }
}

CLAIM(bytes_of_a_later_version_are_ignored)
{
    uint8_t copy[SAMPLE_BYTES];
    uint32_t size;
    for (unsigned i = 0; i < sample_count; i++) {
        memset(samples[i].bytes + samples[i].content.size, 0xff, 3);
        assert_true(entry_copy(samples[i].type, guarded(bytes_of(samples[i].bytes, samples[i].content.size + 3)), copy, &size));
        assert_true(bytes_equal(bytes_of(copy, size), samples[i].content));
    }
}

/* What is an entry after all has one form: who writes it again in place may count on its size. */
static void
look_at(uint8_t type, struct bytes content)
{
    uint8_t copy[SAMPLE_BYTES];
    uint32_t size;
    if (entry_copy(type, guarded(content), copy, &size)) {
        assert_true(bytes_equal(bytes_of(copy, size), bytes_of(content.data, size)));
    }
}

CLAIM(a_byte_changed_is_answered)
{
    uint8_t changed[SAMPLE_BYTES];
    for (unsigned i = 0; i < sample_count; i++) {
        memcpy(changed, samples[i].bytes, samples[i].content.size);
        for (uint32_t at = 0; at < samples[i].content.size; at++) {
            for (unsigned value = 0; value < 256; value++) {
                changed[at] = (uint8_t)value;
                look_at(samples[i].type, bytes_of(changed, samples[i].content.size));
            }
            changed[at] = samples[i].bytes[at];
        }
    }
}

CLAIM(garbage_is_answered)
{
    uint8_t garbage[200];
    uint32_t size;
    srand(1);
    for (unsigned round = 0; round < 20000; round++) {
        size = (uint32_t)rand() % sizeof garbage;
        for (uint32_t i = 0; i < size; i++) {
            garbage[i] = rand() % 3 > 0 ? (uint8_t)(rand() % 4) : (uint8_t)rand();
        }
        look_at((uint8_t)(rand() % (ENTRY_TOKEN + 2)), bytes_of(garbage, size));
    }
}

CLAIM(no_such_kind_is_no_entry)
{
    uint8_t copy[SAMPLE_BYTES];
    uint32_t size;
    assert_false(entry_copy(0, samples[0].content, copy, &size));
    assert_false(entry_copy(ENTRY_TOKEN + 1, samples[0].content, copy, &size));
}

CLAIM(a_session_is_as_it_was)
{
    struct entry_session e;
    assert_true(entry_read_session(samples[1].content, &e));
    assert_int_equal(e.identity, 1);
    assert_int_equal(e.absent_since_ms, 2);
    assert_int_equal(e.delivery_number, 3);
    assert_int_equal(e.received_count, 4);
    assert_int_equal(e.expiry_s, 5);
    assert_int_equal(e.window, 6);
    assert_int_equal(e.version, 7);
    assert_true(bytes_equal(e.client_id, TEXT("client")));
    assert_true(bytes_equal(e.principal, TEXT("principal")));
}

CLAIM(a_subscription_is_as_it_was)
{
    uint8_t out[64];
    struct entry_subscription e;
    struct writer w = writer_of(out, sizeof out);
    entry_put_subscription(&w, &(struct entry_subscription){1, 2, 1, true, false, TEXT("a/+")});
    assert_true(entry_read_subscription(bytes_of(out, (uint32_t)(w.at - out)), &e));
    assert_int_equal(e.identity, 1);
    assert_int_equal(e.identifier, 2);
    assert_int_equal(e.qos, 1);
    assert_true(e.no_local);
    assert_false(e.retain_as_published);
    assert_true(bytes_equal(e.text, TEXT("a/+")));
}

static void
assert_body(const struct entry_body *e, const struct entry_body *wanted)
{
    assert_int_equal(e->number, wanted->number);
    assert_int_equal(e->publisher, wanted->publisher);
    assert_int_equal(e->stamp, wanted->stamp);
    assert_int_equal(e->expiry_ms, wanted->expiry_ms);
    assert_int_equal(e->qos, wanted->qos);
    assert_int_equal(e->retain, wanted->retain);
    assert_true(bytes_equal(e->topic, wanted->topic));
    assert_true(bytes_equal(e->properties, wanted->properties));
    assert_true(bytes_equal(e->payload, wanted->payload));
}

static void
assert_delivery(const struct entry_delivery *e, const struct entry_delivery *wanted)
{
    assert_int_equal(e->identity, wanted->identity);
    assert_int_equal(e->number, wanted->number);
    assert_int_equal(e->body, wanted->body);
    assert_int_equal(e->share_hash, wanted->share_hash);
    assert_int_equal(e->packet_id, wanted->packet_id);
    assert_int_equal(e->qos, wanted->qos);
    assert_int_equal(e->state, wanted->state);
    assert_int_equal(e->retain, wanted->retain);
    assert_int_equal(e->cancelled, wanted->cancelled);
    assert_int_equal(e->identifier_count, wanted->identifier_count);
    assert_true(bytes_equal(e->identifiers, wanted->identifiers));
}

static const struct sample *
last_sample_of(uint8_t type)
{
    unsigned i = sample_count;
    while (samples[--i].type != type) {
    }
    return &samples[i];
}

CLAIM(a_message_is_as_it_was)
{
    struct entry_message e;
    struct entry_delivery delivery;
    assert_true(entry_read_message(last_sample_of(ENTRY_MESSAGE)->content, &e));
    assert_body(&e.body, &full_body);
    assert_int_equal(e.token.identity, 1);
    assert_int_equal(e.token.count, 2);
    assert_int_equal(e.token.hash, 3);
    assert_int_equal(e.token.packet_id, 4);
    assert_true(e.keep_retained && e.received && e.token_partial);
    assert_int_equal(e.delivery_count, 2);
    assert_true(entry_next_delivery(&e.deliveries, &delivery));
    assert_delivery(&delivery, &full_delivery);
    assert_true(entry_next_delivery(&e.deliveries, &delivery));
    assert_delivery(&delivery, &bare_delivery);
    assert_false(entry_next_delivery(&e.deliveries, &delivery));
}

CLAIM(a_will_is_as_it_was)
{
    struct entry_will e;
    assert_true(entry_read_will(last_sample_of(ENTRY_WILL)->content, &e));
    assert_int_equal(e.identity, 1);
    assert_int_equal(e.delay_s, 2);
    assert_int_equal(e.expiry_s, 3);
    assert_true(e.has_expiry);
    assert_body(&e.body, &full_body);
}

CLAIM(a_page_is_as_it_was)
{
    struct entry_page e;
    struct entry_delivery delivery;
    struct entry_body body;
    assert_true(entry_read_page(last_sample_of(ENTRY_PAGE)->content, &e));
    assert_int_equal(e.identity, 1);
    assert_int_equal(e.first, 2);
    assert_int_equal(e.last, 3);
    assert_int_equal(e.count, 2);
    assert_int_equal(e.cost, 4);
    assert_true(entry_next_item(&e.items, &delivery, &body));
    assert_delivery(&delivery, &bare_delivery);
    assert_body(&body, &full_body);
    assert_true(entry_next_item(&e.items, &delivery, &body));
    assert_delivery(&delivery, &full_delivery);
    assert_body(&body, &bare_body);
    assert_false(entry_next_item(&e.items, &delivery, &body));
}

CLAIM(the_smallest_message_costs_what_the_header_says)
{
    /* number, flags of message and body, topic with its length, two empty lengths, one count; a delivery: session, number, flags */
    assert_int_equal(entry_message_size(&(struct entry_message){.body = bare_body, .delivery_count = 1}), 8 + 2 + 3 + 2 + 1);
    assert_int_equal(entry_delivery_size(&bare_delivery), 18);
}

/* One record with `count` deliveries, numbers from 100 on. */
static uint32_t
write_many(uint8_t type, uint32_t count, uint8_t *out, uint32_t room)
{
    struct writer w = writer_of(out, room);
    if (type == ENTRY_MESSAGE) {
        entry_put_message(&w, &(struct entry_message){.body = full_body, .token = token, .delivery_count = count});
    } else {
        entry_put_deliveries(&w, count);
    }
    for (uint32_t i = 0; i < count; i++) {
        struct entry_delivery delivery = i % 2 == 0 ? bare_delivery : full_delivery;
        delivery.number = 100 + i;
        entry_put_delivery(&w, &delivery);
    }
    assert_false(w.failed);
    return (uint32_t)(w.at - out);
}

static void
cancel_all(uint8_t type)
{
    uint8_t content[4096];
    uint32_t size = write_many(type, 10, content, sizeof content);
    for (uint32_t i = 0; i < 10; i++) {
        const struct entry_delivery *like = i % 2 == 0 ? &bare_delivery : &full_delivery;
        assert_int_equal(entry_cancel_delivery(type, content, size, like->identity + 1, 100 + i), -1);
        assert_int_equal(entry_cancel_delivery(type, content, size, like->identity, 100 + i), 9 - i);
        assert_int_equal(entry_cancel_delivery(type, content, size, like->identity, 100 + i), -1);
    }
    struct entry_message message;
    struct entry_delivery delivery;
    struct bytes deliveries;
    uint32_t count, seen = 0;
    assert_true(type == ENTRY_MESSAGE ? entry_read_message(bytes_of(content, size), &message) : entry_read_deliveries(bytes_of(content, size), &count, &deliveries));
    deliveries = type == ENTRY_MESSAGE ? message.deliveries : deliveries;
    for (; entry_next_delivery(&deliveries, &delivery); seen++) {
        assert_true(delivery.cancelled);
    }
    assert_int_equal(seen, 10);
}

CLAIM(deliveries_are_cancelled_one_by_one)
{
    cancel_all(ENTRY_MESSAGE);
    cancel_all(ENTRY_DELIVERIES);
}

CLAIM(nothing_is_looked_for_among_very_many)
{
    static uint8_t content[64 * 1024];
    uint32_t size = write_many(ENTRY_MESSAGE, ENTRY_CANCEL_MAX, content, sizeof content);
    assert_int_equal(entry_cancel_delivery(ENTRY_MESSAGE, content, size, bare_delivery.identity, 100), ENTRY_CANCEL_MAX - 1);
    size = write_many(ENTRY_MESSAGE, ENTRY_CANCEL_MAX + 1, content, sizeof content);
    assert_int_equal(entry_cancel_delivery(ENTRY_MESSAGE, content, size, bare_delivery.identity, 100), -1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_has_a_sample),
        cmocka_unit_test(what_is_read_is_written_as_it_was),
        cmocka_unit_test(a_proper_prefix_is_no_entry),
        cmocka_unit_test(bytes_of_a_later_version_are_ignored),
        cmocka_unit_test(a_byte_changed_is_answered),
        cmocka_unit_test(garbage_is_answered),
        cmocka_unit_test(no_such_kind_is_no_entry),
        cmocka_unit_test(a_session_is_as_it_was),
        cmocka_unit_test(a_subscription_is_as_it_was),
        cmocka_unit_test(a_message_is_as_it_was),
        cmocka_unit_test(a_will_is_as_it_was),
        cmocka_unit_test(a_page_is_as_it_was),
        cmocka_unit_test(the_smallest_message_costs_what_the_header_says),
        cmocka_unit_test(deliveries_are_cancelled_one_by_one),
        cmocka_unit_test(nothing_is_looked_for_among_very_many),
    };
    return cmocka_run_group_tests(tests, make_samples, NULL);
}
