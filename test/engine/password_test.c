#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "engine/identity/password.h"
#include "test/codec/wire.h"

/* All of "secret", made by other programs: Python's hashlib; the last but one is of argon2's reference implementation, of "password". */
#define SHA512 "$6$AAECAwQFBgcICQoL$JqsxEv/ucyxjA5DKsQ+Y8CDWaQDNQI9FpAkmfwAqWfwZLk/JEGgM0EpylrJHAZKKyFQjJeZ3nFaHjPzOzPPmPw=="
#define PBKDF2 "$7$101$AAECAwQFBgcICQoL$Xr99N9ym9ys8TWxis5ajETJq6EVYzmc6nb8t3pUYnPBbCAbICS4xejTltonXWCtJNBvA+By+TXUqU6qCblO00w=="
#define ARGON2 "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"
#define SCRAM "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="

static const struct {
    const char *text, *secret;
    enum password_kind kind;
} known[] = {
    {SHA512, "secret", PASSWORD_SHA512}, {PBKDF2, "secret", PASSWORD_PBKDF2}, {ARGON2, "password", PASSWORD_ARGON2ID}, {SCRAM, "pencil", PASSWORD_SCRAM}};

static struct bytes
text_of(const char *text)
{
    return bytes_of(text, (uint32_t)strlen(text));
}

static struct password
parsed(const char *text)
{
    struct password password;
    assert_null(password_parse(guarded(text_of(text)), &password));
    return password;
}

static const char *
complaint(const char *text)
{
    struct password password;
    return password_parse(guarded(text_of(text)), &password);
}

CLAIM(passwords_that_others_stored_are_verified)
{
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        struct password password = parsed(known[i].text);
        assert_int_equal(password.kind, known[i].kind);
        assert_true(password_verify(&password, text_of(known[i].secret)));
        assert_false(password_verify(&password, text_of("Secret")));
        assert_false(password_verify(&password, text_of("")));
        assert_false(password_verify(&password, bytes_of(NULL, 0)));
        assert_false(password_verify(&password, bytes_of("secret\0", 7)));
    }
}

CLAIM(what_is_read_is_written_the_same)
{
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        struct password password = parsed(known[i].text);
        char text[PASSWORD_TEXT_MAX];
        password_write(&password, text);
        assert_string_equal(text, known[i].text);
    }
}

CLAIM(what_is_made_is_verified_and_read_again)
{
    for (unsigned kind = 0; kind < PASSWORD_KINDS; kind++) {
        struct password password, other, again;
        char text[PASSWORD_TEXT_MAX];
        assert_true(password_make(&password, kind, 2, text_of("l\xc3\xb6we")));
        assert_true(password_make(&other, kind, 2, text_of("l\xc3\xb6we")));
        assert_memory_not_equal(password.salt, other.salt, password.salt_size);
        password_write(&password, text);
        assert_null(password_parse(text_of(text), &again));
        assert_memory_equal(&password, &again, sizeof password);
        assert_true(password_verify(&again, text_of("l\xc3\xb6we")));
        assert_false(password_verify(&again, text_of("lowe")));
    }
}

CLAIM(an_empty_password_is_a_password)
{
    struct password password;
    for (unsigned kind = 0; kind < PASSWORD_KINDS; kind++) {
        assert_true(password_make(&password, kind, 1, bytes_of(NULL, 0)));
        assert_true(password_verify(&password, bytes_of(NULL, 0)));
        assert_false(password_verify(&password, bytes_of("\0", 1)));
    }
}

/* The whole text counts: no prefix of it is taken for a password, except where Base64 without padding has a shorter one. */
CLAIM(no_prefix_is_a_password_that_lets_in)
{
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        for (uint32_t size = 0; size < strlen(known[i].text); size++) {
            struct password password;
            if (password_parse(guarded(bytes_of(known[i].text, size)), &password) == NULL) {
                assert_int_equal(password.kind, PASSWORD_ARGON2ID);
                assert_false(password_verify(&password, text_of(known[i].secret)));
            }
        }
    }
}

CLAIM(no_changed_byte_lets_in)
{
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        for (size_t at = 0; at < strlen(known[i].text); at++) {
            char text[PASSWORD_TEXT_MAX];
            struct password password;
            strcpy(text, known[i].text);
            text[at] = text[at] == '1' ? '2' : '1';
            bool server_key = known[i].kind == PASSWORD_SCRAM && at > strlen(known[i].text) - 46; /* not for plain passwords */
            if (!server_key && password_parse(text_of(text), &password) == NULL && password.iterations < 10000) {
                assert_false(password_verify(&password, text_of(known[i].secret)));
            }
        }
    }
}

CLAIM(malformed_texts_are_refused_with_a_reason)
{
    static const char *const wrong[] = {
        "", "$", "$6", "$6$", "$6$$", "$6$AAEC$", "$6$$JqsxEv", "$5$AAEC$AAEC", "$8$AAEC$AAEC", "$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEg",
        "$argon2id$v=16$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        "$argon2id$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        "$argon2id$v=19$m=256,t=2,p=1$c29t$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        "$7$0$AAECAwQFBgcICQoL$Xr99", "$7$-1$AAECAwQFBgcICQoL$Xr99", "$7$ 1$AAECAwQFBgcICQoL$Xr99", "$7$AAECAwQFBgcICQoL$Xr99",
        SHA512 "$", SHA512 "=", SHA512 " ", " " SHA512, PBKDF2 ":x", SCRAM "=", SCRAM ":", "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm",
        "SCRAM-SHA-1$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_non_null(complaint(wrong[i]));
    }
}

CLAIM(a_plain_password_is_refused_with_what_to_do)
{
    assert_non_null(strstr(complaint("secret"), "tidewire-passwd -U"));
}

/* A slip of the finger must not stall logins for hours. */
CLAIM(costs_out_of_bounds_are_refused)
{
    static const char *const wrong[] = {
        "$7$10000001$AAECAwQFBgcICQoL$Xr99N9ym9ys8TWxis5ajETJq6EVYzmc6nb8t3pUYnPBbCAbICS4xejTltonXWCtJNBvA+By+TXUqU6qCblO00w==",
        "$7$99999999999$AAECAwQFBgcICQoL$Xr99N9ym9ys8TWxis5ajETJq6EVYzmc6nb8t3pUYnPBbCAbICS4xejTltonXWCtJNBvA+By+TXUqU6qCblO00w==",
        "$argon2id$v=19$m=1048577,t=1,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        "$argon2id$v=19$m=1048576,t=5,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        "$argon2id$v=19$m=256,t=2,p=65$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        "$argon2id$v=19$m=7,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        "SCRAM-SHA-256$10000001:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_non_null(complaint(wrong[i]));
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(passwords_that_others_stored_are_verified),
        cmocka_unit_test(what_is_read_is_written_the_same),
        cmocka_unit_test(what_is_made_is_verified_and_read_again),
        cmocka_unit_test(an_empty_password_is_a_password),
        cmocka_unit_test(no_prefix_is_a_password_that_lets_in),
        cmocka_unit_test(no_changed_byte_lets_in),
        cmocka_unit_test(malformed_texts_are_refused_with_a_reason),
        cmocka_unit_test(a_plain_password_is_refused_with_what_to_do),
        cmocka_unit_test(costs_out_of_bounds_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
