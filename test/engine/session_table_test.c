#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/session/session.h"
#include "engine/session/session_table.h"

#include <stdio.h>
#include <string.h>

enum { SESSIONS = 3000 };

static struct session sessions[SESSIONS];
static uint8_t names[SESSIONS][16];
static uint64_t hashes[SESSIONS];
static bool in[SESSIONS]; /* the slow twin */

static uint64_t seed = 88172645463325252u;

static uint32_t
random_below(uint32_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 20) % n;
}

/* Client identifiers "client-N", with hashes of which only the bits in `mask` differ; the table knows the lower half of them. */
static void
cast(uint64_t mask)
{
    for (uint32_t i = 0; i < SESSIONS; i++) {
        int size = snprintf((char *)names[i], sizeof names[i], "client-%u", i);
        hashes[i] = ((i + 1) * 0x9e3779b97f4a7c15u >> 7) & mask;
        sessions[i] = (struct session){.client_id_size = (uint16_t)size, .client_hash = (uint32_t)hashes[i]};
        memcpy(sessions[i].client_id.bytes, names[i], (size_t)size);
        in[i] = false;
    }
}

static struct session *
find(const struct session_table *table, uint32_t i)
{
    return session_table_find(table, hashes[i], session_client_id(&sessions[i]));
}

static struct session *
first(const struct session_table *table)
{
    uint32_t bucket = 0;
    return session_table_first(table, &bucket);
}

static void
check(const struct session_table *table)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < SESSIONS; i++) {
        assert_ptr_equal(find(table, i), in[i] ? &sessions[i] : NULL);
        count += in[i];
    }
    assert_int_equal(table->count, count);
    assert_int_equal(table->bucket_count & (table->bucket_count - 1), 0);
    assert_int_equal(first(table) == NULL, count == 0);
}

static void
an_empty_table_finds_nobody(void **state)
{
    (void)state;
    cast(UINT64_MAX);
    struct session_table table = {0};
    assert_null(find(&table, 0));
    assert_null(first(&table));
    assert_true(session_table_add(&table, &sessions[0]));
    session_table_remove(&table, &sessions[0]);
    assert_null(find(&table, 0));
    assert_null(first(&table));
    session_table_fini(&table);
    assert_null(table.buckets);
}

static void
equal_hashes_are_told_apart_by_the_identifier(void **state)
{
    (void)state;
    cast(0);
    struct session_table table = {0};
    for (uint32_t i = 0; i < 200; i++) {
        assert_true(session_table_add(&table, &sessions[i]));
        in[i] = true;
    }
    check(&table);
    assert_null(session_table_find(&table, 0, bytes_of("client-", 7)));
    assert_null(session_table_find(&table, 0, bytes_of("", 0)));
    session_table_fini(&table);
}

static void
equal_identifiers_are_the_same_from_any_buffer(void **state)
{
    (void)state;
    cast(UINT64_MAX);
    struct session_table table = {0};
    assert_true(session_table_add(&table, &sessions[12]));
    char copy[] = "client-12";
    assert_ptr_equal(session_table_find(&table, hashes[12], bytes_of(copy, 9)), &sessions[12]);
    assert_null(session_table_find(&table, hashes[12], bytes_of(copy, 8)));
    session_table_fini(&table);
}

static void
the_table_doubles_and_loses_nobody(void **state)
{
    (void)state;
    cast(UINT64_MAX);
    struct session_table table = {0};
    for (uint32_t i = 0; i < SESSIONS; i++) {
        assert_true(session_table_add(&table, &sessions[i]));
        in[i] = true;
        assert_true(table.count <= table.bucket_count);
        if (i % 63 == 0) {
            check(&table);
        }
    }
    check(&table);
    session_table_fini(&table);
}

static void
one_walk_over_the_buckets_empties_a_table(void **state)
{
    (void)state;
    cast(UINT64_MAX);
    struct session_table table = {0};
    for (uint32_t i = 0; i < SESSIONS; i++) {
        assert_true(session_table_add(&table, &sessions[i]));
    }
    uint32_t gone = 0, bucket = 0;
    for (struct session *s; (s = session_table_first(&table, &bucket)) != NULL; gone++) {
        assert_false(in[s - sessions]);
        in[s - sessions] = true;
        session_table_remove(&table, s);
    }
    assert_int_equal(gone, SESSIONS);
    assert_int_equal(table.count, 0);
    session_table_fini(&table);
}

static void
agree_for(uint64_t mask, uint32_t used)
{
    cast(mask);
    struct session_table table = {0};
    for (uint32_t step = 0; step < 30000; step++) {
        uint32_t i = random_below(used);
        assert_ptr_equal(find(&table, i), in[i] ? &sessions[i] : NULL);
        if (in[i]) {
            session_table_remove(&table, &sessions[i]);
        } else {
            assert_true(session_table_add(&table, &sessions[i]));
        }
        in[i] = !in[i];
        if (step % 3000 == 0) {
            check(&table);
        }
    }
    check(&table);
    session_table_fini(&table);
}

/* Also with hashes that differ in few bits, or only in those that the table does not keep. */
static void
it_agrees_with_a_slow_twin(void **state)
{
    (void)state;
    agree_for(UINT64_MAX, SESSIONS);
    agree_for(0xff, SESSIONS);
    agree_for(UINT64_C(0xffffffff00000000), 300);
    agree_for(0xf0000000, 300);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_table_finds_nobody),
        cmocka_unit_test(equal_hashes_are_told_apart_by_the_identifier),
        cmocka_unit_test(equal_identifiers_are_the_same_from_any_buffer),
        cmocka_unit_test(the_table_doubles_and_loses_nobody),
        cmocka_unit_test(one_walk_over_the_buckets_empties_a_table),
        cmocka_unit_test(it_agrees_with_a_slow_twin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
