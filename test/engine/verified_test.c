#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "engine/identity/verified.h"
#include "test/codec/wire.h"

static const uint8_t key[VERIFIED_KEY_SIZE] = {1, 2, 3};

static struct verified_tag
tag_of(struct verified *v, const char *user, const char *secret, uint64_t fingerprint)
{
    struct verified_tag tag;
    assert_true(verified_make_tag(v, bytes_of(user, (uint32_t)strlen(user)), bytes_of(secret, (uint32_t)strlen(secret)), fingerprint, &tag));
    return tag;
}

CLAIM(only_what_was_added_is_found)
{
    struct verified *v = verified_open(64, key);
    struct verified_tag ann = tag_of(v, "ann", "secret", 7);
    assert_false(verified_find(v, &ann, 10, 100));
    verified_add(v, &ann, 10);
    assert_true(verified_find(v, &ann, 10, 100));
    static const struct {
        const char *user, *secret;
        uint64_t fingerprint;
    } others[] = {{"ann", "secret", 8}, {"ann", "Secret", 7}, {"anns", "ecret", 7}, {"an", "nsecret", 7}, {"ann", "", 7}, {"", "annsecret", 7}, {"bob", "secret", 7}};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        struct verified_tag other = tag_of(v, others[i].user, others[i].secret, others[i].fingerprint);
        assert_false(verified_find(v, &other, 10, 100));
    }
    verified_close(&v);
    assert_null(v);
}

CLAIM(a_tag_depends_on_the_key)
{
    static const uint8_t other_key[VERIFIED_KEY_SIZE] = {9};
    struct verified *a = verified_open(64, key), *b = verified_open(64, other_key);
    struct verified_tag of_a = tag_of(a, "ann", "secret", 7), of_b = tag_of(b, "ann", "secret", 7);
    assert_memory_not_equal(&of_a, &of_b, sizeof of_a);
    verified_close(&a);
    verified_close(&b);
}

CLAIM(what_was_not_used_for_long_is_forgotten)
{
    struct verified *v = verified_open(64, key);
    struct verified_tag ann = tag_of(v, "ann", "secret", 7);
    verified_add(v, &ann, 10);
    assert_true(verified_find(v, &ann, 110, 100)); /* counts from here again */
    assert_true(verified_find(v, &ann, 210, 100));
    assert_false(verified_find(v, &ann, 311, 100));
    assert_false(verified_find(v, &ann, 311, 100));
    verified_close(&v);
}

CLAIM(it_is_bounded_and_the_newest_stay)
{
    struct verified *v = verified_open(64, key);
    assert_int_equal(verified_entries(v), 64);
    assert_true(verified_bytes(v) < 64 * 24 + 200);
    struct verified_tag tags[1000];
    unsigned found = 0;
    for (unsigned i = 0; i < 1000; i++) {
        char user[16];
        sprintf(user, "user%u", i);
        tags[i] = tag_of(v, user, "x", i);
        verified_add(v, &tags[i], i);
        assert_true(verified_find(v, &tags[i], i, 10000));
    }
    for (unsigned i = 0; i < 1000; i++) {
        found += verified_find(v, &tags[i], 1000, 10000);
    }
    assert_int_equal(found, 64); /* 16 sets of four, all full by now */
    verified_close(&v);
}

CLAIM(adding_twice_takes_one_place)
{
    struct verified *v = verified_open(1, key); /* one set */
    struct verified_tag tags[4];
    for (unsigned i = 0; i < 4; i++) {
        tags[i] = tag_of(v, "u", "p", i);
    }
    for (unsigned i = 0; i < 4; i++) {
        verified_add(v, &tags[i], i);
        verified_add(v, &tags[0], i);
    }
    for (unsigned i = 0; i < 4; i++) {
        assert_true(verified_find(v, &tags[i], 10, 100));
    }
    verified_close(&v);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_was_added_is_found),
        cmocka_unit_test(a_tag_depends_on_the_key),
        cmocka_unit_test(what_was_not_used_for_long_is_forgotten),
        cmocka_unit_test(it_is_bounded_and_the_newest_stay),
        cmocka_unit_test(adding_twice_takes_one_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
