#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "engine/durable/principal_entry.h"
#include "test/codec/wire.h"

#define TEXT(literal) bytes_of(literal, sizeof(literal) - 1)
#define TEXT_INSIDE(literal) {(const uint8_t *)(literal), sizeof(literal) - 1}

static char host[] = "127.0.0.1", path[] = "/run/tidewire.sock", interface[] = "eth0";
static const struct config_listener listeners[] = {
    {.host = host, .port = 1883},
    {.port = 1884},
    {.unix_path = path},
    {.interface = interface, .port = 1884},
};
#define LISTENER_COUNT (sizeof listeners / sizeof listeners[0])

static const struct principal_claim claims[] = {{TEXT_INSIDE("sub"), TEXT_INSIDE("me")}, {TEXT_INSIDE("tenant"), TEXT_INSIDE("")}};
static const struct principal anybody = {0};
static const struct principal somebody = {
    .user = TEXT_INSIDE("user"), .way = PRINCIPAL_BY_TOKEN, .claims = claims, .claim_count = 2, .listener = 2, .superuser = true,
    .credential = 0x1122334455667788, .expires_wall_ms = 1234567890123,
};

static uint8_t room[1024];

static struct bytes
write_it(const struct principal *principal)
{
    struct writer w = writer_of(room, sizeof room);
    principal_entry_put(&w, principal, &listeners[principal->listener]);
    assert_false(w.failed);
    assert_int_equal(w.at - room, principal_entry_size(principal, &listeners[principal->listener]));
    return bytes_of(room, (uint32_t)(w.at - room));
}

static void
assert_same(const struct principal *a, const struct principal *b)
{
    assert_true(bytes_equal(a->user, b->user));
    assert_int_equal(a->way, b->way);
    assert_int_equal(a->listener, b->listener);
    assert_int_equal(a->superuser, b->superuser);
    assert_int_equal(a->credential, b->credential);
    assert_int_equal(a->expires_wall_ms, b->expires_wall_ms);
    assert_int_equal(a->claim_count, b->claim_count);
    for (uint32_t i = 0; i < a->claim_count; i++) {
        assert_true(bytes_equal(a->claims[i].name, b->claims[i].name));
        assert_true(bytes_equal(a->claims[i].value, b->claims[i].value));
    }
}

CLAIM(whoever_it_is_is_read_as_written)
{
    struct principal_entry read;
    assert_true(principal_entry_read(guarded(write_it(&anybody)), listeners, LISTENER_COUNT, &read));
    assert_same(&read.principal, &anybody);
    assert_true(principal_entry_read(guarded(write_it(&somebody)), listeners, LISTENER_COUNT, &read));
    assert_same(&read.principal, &somebody);
}

CLAIM(a_listener_is_found_where_it_is_now)
{
    struct principal_entry read;
    struct config_listener moved[LISTENER_COUNT];
    for (unsigned i = 0; i < LISTENER_COUNT; i++) {
        moved[LISTENER_COUNT - 1 - i] = listeners[i];
    }
    for (unsigned i = 0; i < LISTENER_COUNT; i++) {
        struct principal principal = somebody;
        principal.listener = (uint8_t)i;
        assert_true(principal_entry_read(write_it(&principal), moved, LISTENER_COUNT, &read));
        assert_int_equal(read.principal.listener, LISTENER_COUNT - 1 - i);
    }
}

CLAIM(without_its_listener_it_belongs_to_the_first)
{
    struct principal_entry read;
    assert_true(principal_entry_read(write_it(&somebody), listeners, 2, &read));
    assert_int_equal(read.principal.listener, 0);
}

CLAIM(a_proper_prefix_is_none)
{
    struct principal_entry read;
    struct bytes whole = write_it(&somebody);
    for (uint32_t size = 0; size < whole.size; size++) {
        assert_false(principal_entry_read(guarded(bytes_of(room, size)), listeners, LISTENER_COUNT, &read));
    }
}

CLAIM(a_byte_changed_is_answered)
{
    struct principal_entry read;
    struct bytes whole = write_it(&somebody);
    for (uint32_t at = 0; at < whole.size; at++) {
        uint8_t was = room[at];
        for (unsigned value = 0; value < 256; value++) {
            room[at] = (uint8_t)value;
            if (principal_entry_read(guarded(whole), listeners, LISTENER_COUNT, &read)) {
                assert_true(read.principal.listener < LISTENER_COUNT && read.principal.claim_count <= PRINCIPAL_ENTRY_CLAIMS_MAX);
            }
        }
        room[at] = was;
    }
}

CLAIM(more_claims_than_there_is_room_for_are_none)
{
    struct principal_claim many[PRINCIPAL_ENTRY_CLAIMS_MAX + 1] = {{{0}, {0}}};
    struct principal principal = {.claims = many, .claim_count = PRINCIPAL_ENTRY_CLAIMS_MAX};
    struct principal_entry read;
    assert_true(principal_entry_read(write_it(&principal), listeners, LISTENER_COUNT, &read));
    principal.claim_count++;
    assert_false(principal_entry_read(write_it(&principal), listeners, LISTENER_COUNT, &read));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whoever_it_is_is_read_as_written),
        cmocka_unit_test(a_listener_is_found_where_it_is_now),
        cmocka_unit_test(without_its_listener_it_belongs_to_the_first),
        cmocka_unit_test(a_proper_prefix_is_none),
        cmocka_unit_test(a_byte_changed_is_answered),
        cmocka_unit_test(more_claims_than_there_is_room_for_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
