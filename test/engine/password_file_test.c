#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/identity/password_file.h"
#include "test/codec/wire.h"

#define STORED "$7$101$AAECAwQFBgcICQoL$Xr99N9ym9ys8TWxis5ajETJq6EVYzmc6nb8t3pUYnPBbCAbICS4xejTltonXWCtJNBvA+By+TXUqU6qCblO00w=="
#define OTHER "$6$AAECAwQFBgcICQoL$JqsxEv/ucyxjA5DKsQ+Y8CDWaQDNQI9FpAkmfwAqWfwZLk/JEGgM0EpylrJHAZKKyFQjJeZ3nFaHjPzOzPPmPw=="
#define SCRAM "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="

static char error[256];

static struct bytes
text_of(const char *text)
{
    return bytes_of(text, (uint32_t)strlen(text));
}

static struct password_file *
parse(const char *text)
{
    struct password_file *file = password_file_parse(text, strlen(text), "users", error, sizeof error);
    if (file != NULL) {
        password_file_check(file);
    }
    return file;
}

CLAIM(users_are_found_and_nobody_else)
{
    struct password_file *file = parse("ann:" STORED "\n# a comment\n\n  bob  :\t" OTHER " \r\nzo\xc3\xab:" SCRAM);
    assert_non_null(file);
    assert_int_equal(password_file_count(file), 3);
    assert_int_equal(password_file_find(file, text_of("ann"))->password.kind, PASSWORD_PBKDF2);
    assert_int_equal(password_file_find(file, text_of("bob"))->password.kind, PASSWORD_SHA512);
    assert_int_equal(password_file_find(file, text_of("zo\xc3\xab"))->password.kind, PASSWORD_SCRAM);
    assert_null(password_file_find(file, text_of("Ann")));
    assert_null(password_file_find(file, text_of("an")));
    assert_null(password_file_find(file, text_of("")));
    assert_null(password_file_find(file, bytes_of(NULL, 0)));
    assert_null(password_file_find(file, text_of("# a comment")));
    password_file_free(&file);
    assert_null(file);
}

CLAIM(thousands_of_users_are_found)
{
    enum { USERS = 5000 };
    char *text = malloc(USERS * 200), *at = text;
    for (int i = 0; i < USERS; i++) {
        at += sprintf(at, "user%d:" STORED "\n", i);
    }
    struct password_file *file = parse(text);
    assert_int_equal(password_file_count(file), USERS);
    for (int i = 0; i < USERS + 10; i++) {
        char name[32];
        sprintf(name, "user%d", i);
        assert_int_equal(password_file_find(file, text_of(name)) != NULL, i < USERS);
    }
    password_file_free(&file);
    free(text);
}

CLAIM(an_empty_file_has_no_user)
{
    struct password_file *file = parse("");
    assert_int_equal(password_file_count(file), 0);
    assert_null(password_file_find(file, text_of("ann")));
    assert_false(password_verify(password_file_stand_in(file), bytes_of(NULL, 0)));
    password_file_free(&file);
}

/* A malformed password line that logs everyone in was a vulnerability of other brokers: here one is the end of the file. */
CLAIM(any_wrong_line_refuses_the_file_with_its_number)
{
    static const struct {
        const char *text, *says;
    } wrong[] = {
        {"ann:" STORED "\nbob\n", "users:2: not 'user:password'"},
        {"ann:" STORED "\nbob:\n", "users:2: a user without a password"},
        {"ann:" STORED "\nbob:  \n", "users:2: a user without a password"},
        {"ann:" STORED "\nbob:secret\n", "users:2: a password that is not hashed"},
        {":" STORED, "users:1: a user name that is empty"},
        {"\n\n \t:" STORED, "users:3: a user name that is empty"},
        {"a\001b:" STORED, "users:1: a user name with a control character"},
        {"a\xff:" STORED, "users:1: a user name that is not UTF-8"},
        {"ann:" STORED "\nann:" OTHER, "users:2: user 'ann' is there twice"},
        {"ann:" STORED "\n ann :" STORED, "users:2: user 'ann' is there twice"},
        {"ann:" STORED ":more", "users:1: a hash that is not Base64"},
        {"ann:" STORED " more", "users:1: a hash that is not Base64"},
        {"ann:$6$x", "users:1: no '$' between salt and hash"},
        {"ann:$9$x$y", "users:1: a kind of hash that is not known"},
        {" #ann:" STORED, "users:1: a user name that begins with '#'"},
        {" # not a comment", "users:1: not 'user:password'"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_null(parse(wrong[i].text));
        assert_ptr_equal(strstr(error, wrong[i].says), error);
        assert_null(strchr(error, '\n'));
    }
    assert_null(password_file_parse("ann\0:" STORED, 5 + strlen(STORED), "users", error, sizeof error));
}

CLAIM(messages_hold_no_secret)
{
    assert_null(parse("ann:hunter2\n"));
    assert_null(strstr(error, "hunter2"));
}

CLAIM(a_fingerprint_follows_user_and_password)
{
    struct password_file *a = parse("ann:" STORED "\nbob:" STORED), *b = parse("bob:" OTHER "\n#\nann:  " STORED);
    uint64_t ann = password_file_find(a, text_of("ann"))->fingerprint, bob = password_file_find(a, text_of("bob"))->fingerprint;
    assert_true(ann != bob);
    assert_true(password_file_find(b, text_of("ann"))->fingerprint == ann);
    assert_true(password_file_find(b, text_of("bob"))->fingerprint != bob);
    password_file_free(&a);
    password_file_free(&b);
}

CLAIM(an_unknown_user_costs_what_most_users_cost)
{
    struct password_file *file = parse("a:" OTHER "\nb:" STORED "\nc:" STORED);
    const struct password *stand_in = password_file_stand_in(file);
    assert_int_equal(stand_in->kind, PASSWORD_PBKDF2);
    assert_int_equal(stand_in->iterations, 101);
    assert_false(password_verify(stand_in, text_of("secret")));
    password_file_free(&file);
}

CLAIM(scram_answers_unknown_users_the_same_each_time)
{
    struct password first, again, other;
    struct password_file *file = parse("a:" OTHER "\nb:" SCRAM);
    assert_true(password_file_scram_stand_in(file, text_of("nobody"), &first));
    assert_true(password_file_scram_stand_in(file, text_of("noone"), &other));
    assert_int_equal(first.iterations, 4096);
    assert_memory_not_equal(first.salt, other.salt, first.salt_size);
    password_file_free(&file);
    file = parse("a:" OTHER "\nb:" SCRAM "\nc:" STORED);
    assert_true(password_file_scram_stand_in(file, text_of("nobody"), &again));
    assert_int_equal(first.salt_size, again.salt_size);
    assert_memory_equal(first.salt, again.salt, first.salt_size);
    assert_memory_not_equal(first.hash, again.hash, PASSWORD_KEY_SIZE);
    password_file_free(&file);
}

static void
write_file(const char *path, const char *text, mode_t mode)
{
    FILE *file = fopen(path, "w");
    fputs(text, file);
    fclose(file);
    assert_int_equal(chmod(path, mode), 0);
}

CLAIM(a_file_is_read_and_a_careless_mode_is_told)
{
    char path[] = "/tmp/password_file_test.XXXXXX", warning[256];
    close(mkstemp(path));
    write_file(path, "ann:" STORED "\n", 0600);
    struct password_file *file = password_file_read(path, error, sizeof error, warning, sizeof warning);
    assert_int_equal(password_file_count(file), 1);
    assert_string_equal(warning, "");
    password_file_free(&file);
    write_file(path, "ann:" STORED "\n", 0644);
    file = password_file_read(path, error, sizeof error, warning, sizeof warning);
    assert_non_null(strstr(warning, "everybody"));
    password_file_free(&file);
    write_file(path, "ann:" STORED "\nbob", 0600);
    assert_null(password_file_read(path, error, sizeof error, NULL, 0));
    assert_non_null(strstr(error, ":2: "));
    unlink(path);
}

CLAIM(what_cannot_be_read_is_refused)
{
    assert_null(password_file_read("/nonexistent/users", error, sizeof error, NULL, 0));
    assert_non_null(strstr(error, "/nonexistent/users: the password file cannot be opened: No such file"));
    assert_null(password_file_read("/tmp", error, sizeof error, NULL, 0));
    assert_non_null(strstr(error, "/tmp: "));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(users_are_found_and_nobody_else),
        cmocka_unit_test(thousands_of_users_are_found),
        cmocka_unit_test(an_empty_file_has_no_user),
        cmocka_unit_test(any_wrong_line_refuses_the_file_with_its_number),
        cmocka_unit_test(messages_hold_no_secret),
        cmocka_unit_test(a_fingerprint_follows_user_and_password),
        cmocka_unit_test(an_unknown_user_costs_what_most_users_cost),
        cmocka_unit_test(scram_answers_unknown_users_the_same_each_time),
        cmocka_unit_test(a_file_is_read_and_a_careless_mode_is_told),
        cmocka_unit_test(what_cannot_be_read_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
