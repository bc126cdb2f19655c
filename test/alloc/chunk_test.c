#include "alloc/chunk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

static struct budget_account account;
static struct chunk_pool pool;

static int
open_pool(void **state)
{
    (void)state;
    memset(&account, 0, sizeof account);
    chunk_pool_init(&pool, &account);
    return 0;
}

static int
close_pool(void **state)
{
    (void)state;
    chunk_pool_fini(&pool);
    return account.bytes != 0;
}

static void
a_chunk_has_the_room_of_its_class_or_the_exact_size_beyond(void **state)
{
    (void)state;
    const uint32_t header = sizeof(struct chunk);
    const struct {
        uint32_t size, room;
    } rows[] = {
        {0, 512 - header},
        {1, 512 - header},
        {512 - header, 512 - header},
        {513 - header, 4096 - header},
        {4096 - header, 4096 - header},
        {4097 - header, 65536 - header},
        {65536 - header, 65536 - header},
        {65537 - header, 65537 - header},
        {1000000, 1000000},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct chunk *chunk = chunk_take(&pool, rows[i].size);
        assert_int_equal(chunk->room, rows[i].room);
        assert_int_equal(chunk->used, 0);
        assert_null(chunk->next);
        assert_int_equal(account.bytes, rows[i].room + header);
        memset(chunk->bytes, 0xaa, chunk->room);
        chunk->used = chunk->room;
        chunk_give(&pool, &chunk);
        assert_null(chunk);
        assert_int_equal(account.bytes, 0);
    }
}

static void
a_given_chunk_is_taken_again(void **state)
{
    (void)state;
    struct chunk *chunk = chunk_take(&pool, 1000);
    struct chunk *first = chunk;
    chunk->used = 10;
    chunk->next = chunk;
    chunk_give(&pool, &chunk);
    chunk = chunk_take(&pool, 3000);
    assert_ptr_equal(chunk, first);
    assert_int_equal(chunk->used, 0);
    assert_null(chunk->next);
    chunk_give(&pool, &chunk);
}

static void
the_pool_keeps_a_bounded_number(void **state)
{
    (void)state;
    enum { CHUNKS = 2000 };
    static struct chunk *chunks[CHUNKS];
    static const uint32_t sizes[CHUNK_CLASSES] = {100, 4000, 60000};
    for (unsigned class = 0; class < CHUNK_CLASSES; class++) {
        for (int i = 0; i < CHUNKS; i++) {
            chunks[i] = chunk_take(&pool, sizes[class]);
        }
        for (int i = 0; i < CHUNKS; i++) {
            chunk_give(&pool, &chunks[i]);
        }
        assert_in_range(pool.free_count[class], 1, CHUNKS / 2);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_chunk_has_the_room_of_its_class_or_the_exact_size_beyond, open_pool, close_pool),
        cmocka_unit_test_setup_teardown(a_given_chunk_is_taken_again, open_pool, close_pool),
        cmocka_unit_test_setup_teardown(the_pool_keeps_a_bounded_number, open_pool, close_pool),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
