#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "engine/identity/scram.h"
#include "test/codec/wire.h"
#include "test/support/scram_client.h"

/* RFC 7677 section 3. */
#define STORED "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
#define FIRST "n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
#define OWN_NONCE "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define CHALLENGE "r=rOprNGfwEbeRWgbNEkqO" OWN_NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
#define WITHOUT_PROOF "c=biws,r=rOprNGfwEbeRWgbNEkqO" OWN_NONCE
#define PROOF "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
#define FINAL WITHOUT_PROOF ",p=" PROOF
#define SIGNATURE "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="

static const char *why;

static struct bytes
text_of(const char *text)
{
    return bytes_of(text, (uint32_t)strlen(text));
}

static struct password
stored(void)
{
    struct password password;
    assert_null(password_parse(text_of(STORED), &password));
    return password;
}

static enum scram_answer
start(struct scram *scram, const char *message)
{
    why = NULL;
    enum scram_answer answer = scram_start(scram, guarded(text_of(message)), &why);
    assert_true((answer == SCRAM_CONTINUE) == (why == NULL));
    assert_int_equal(scram->state, answer == SCRAM_CONTINUE ? SCRAM_NAMED : SCRAM_OVER);
    return answer;
}

static void
challenge(struct scram *scram)
{
    struct password password = stored();
    assert_int_equal(start(scram, FIRST), SCRAM_CONTINUE);
    struct bytes text = scram_challenge(scram, &password, OWN_NONCE);
    assert_true(bytes_equal(text, text_of(CHALLENGE)));
}

static enum scram_answer
finish_bytes(struct scram *scram, struct bytes message)
{
    char out[SCRAM_SERVER_FINAL_MAX];
    why = NULL;
    enum scram_answer answer = scram_finish(scram, guarded(message), out, &why);
    assert_true((answer == SCRAM_CONTINUE) == (why == NULL));
    assert_int_equal(scram->state, answer == SCRAM_CONTINUE ? SCRAM_PROVED : SCRAM_OVER);
    if (answer == SCRAM_CONTINUE) {
        assert_string_equal(out, SIGNATURE);
    }
    return answer;
}

static enum scram_answer
finish(struct scram *scram, const char *message)
{
    return finish_bytes(scram, text_of(message));
}

CLAIM(the_exchange_of_rfc_7677_succeeds)
{
    struct scram scram;
    challenge(&scram);
    assert_true(bytes_equal(scram_user(&scram), text_of("user")));
    assert_int_equal(finish(&scram, FINAL), SCRAM_CONTINUE);
}

CLAIM(names_are_unescaped)
{
    struct scram scram;
    assert_int_equal(start(&scram, "n,,n=a=2Cb=3Dc,r=x"), SCRAM_CONTINUE);
    assert_true(bytes_equal(scram_user(&scram), text_of("a,b=c")));
    assert_int_equal(start(&scram, "y,,n=zo\xc3\xab,r=x"), SCRAM_CONTINUE);
    assert_int_equal(start(&scram, "n,a=user,n=user,r=x"), SCRAM_CONTINUE);
    assert_int_equal(start(&scram, "n,a=u=2C,n=u=2C,r=x"), SCRAM_CONTINUE);
    assert_int_equal(start(&scram, "n,,n=user,r=x,future=1,z=2"), SCRAM_MALFORMED);
    assert_int_equal(start(&scram, "n,,n=user,r=x,f=1,z=2"), SCRAM_CONTINUE);
}

CLAIM(malformed_first_messages_are_told_from_refused_ones)
{
    static const char *const malformed[] = {
        "", "n", "n,", "n,,", ",,", "n,,n=user", "n,,r=x,n=user", "n,,n=,r=x", "n,,n=user,r=", "n,,n=user,r=x,", "n,,n=us=er,r=x", "n,,n=us=2c,r=x",
        "n,,n=user=,r=x", "n,,n=user=2,r=x", "n,,n=\xff,r=x", "n,,n=user,r=a b", "n,,n=user,r=\x7f", "n,b=x,n=user,r=x", "n,a=,n=user,r=x", "x,,n=user,r=x",
        "N,,n=user,r=x", "n,,n=user,r=x,,", "n,,n=user,r=x,=",
    };
    struct scram scram;
    for (size_t i = 0; i < sizeof malformed / sizeof malformed[0]; i++) {
        assert_int_equal(start(&scram, malformed[i]), SCRAM_MALFORMED);
    }
    assert_int_equal(start(&scram, "p=tls-unique,,n=user,r=x"), SCRAM_REFUSED);
    assert_int_equal(start(&scram, "n,a=admin,n=user,r=x"), SCRAM_REFUSED);
    assert_int_equal(start(&scram, "n,,m=ext,n=user,r=x"), SCRAM_REFUSED);
}

CLAIM(every_prefix_of_the_first_message_is_answered)
{
    struct scram scram;
    for (uint32_t size = 0; size <= strlen(FIRST) - 20; size++) { /* beyond, a shorter nonce is a nonce */
        assert_int_equal(scram_start(&scram, guarded(bytes_of(FIRST, size)), &why), SCRAM_MALFORMED);
    }
}

CLAIM(long_names_and_nonces_are_refused)
{
    char text[2000], name[1200];
    struct scram scram;
    memset(name, 'u', sizeof name);
    for (unsigned size = 250; size < 260; size++) {
        sprintf(text, "n,,n=%.*s,r=x", (int)size, name);
        assert_int_equal(start(&scram, text), size <= SCRAM_USER_MAX ? SCRAM_CONTINUE : SCRAM_MALFORMED);
    }
    for (unsigned size = SCRAM_NONCE_CLIENT_MAX - 2; size < SCRAM_NONCE_CLIENT_MAX + 3; size++) {
        sprintf(text, "n,,n=user,r=%.*s", (int)size, name);
        assert_int_equal(start(&scram, text), size <= SCRAM_NONCE_CLIENT_MAX ? SCRAM_CONTINUE : SCRAM_MALFORMED);
    }
    sprintf(text, "n,a=%.1100s,n=user,r=x", name);
    assert_int_equal(start(&scram, text), SCRAM_MALFORMED);
    sprintf(text, "n,,n=user,r=x,e=%.1100s", name);
    assert_int_equal(start(&scram, text), SCRAM_MALFORMED);
}

CLAIM(a_wrong_proof_is_refused_and_everything_wiped)
{
    static const struct scram nothing;
    struct scram scram;
    challenge(&scram);
    assert_int_equal(finish(&scram, WITHOUT_PROOF ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVA="), SCRAM_REFUSED);
    assert_memory_equal(&scram.password, &nothing.password, sizeof scram.password); /* M3 */
    assert_memory_equal(scram.nonce, nothing.nonce, sizeof scram.nonce);
}

CLAIM(malformed_last_messages_are_refused)
{
    static const char *const wrong[] = {
        "", "c=biws", WITHOUT_PROOF, WITHOUT_PROOF ",", WITHOUT_PROOF ",p=", WITHOUT_PROOF ",p=AAAA", WITHOUT_PROOF ",p=" PROOF "AAAA", FINAL ",", FINAL ",e=1",
        "c=eSws,r=rOprNGfwEbeRWgbNEkqO" OWN_NONCE ",p=" PROOF,                 /* another flag than it began with */
        "c=biw=,r=rOprNGfwEbeRWgbNEkqO" OWN_NONCE ",p=" PROOF,
        "c=biws,r=rOprNGfwEbeRWgbNEkqO,p=" PROOF,                              /* only its own nonce */
        "c=biws,r=rOprNGfwEbeRWgbNEkqO" OWN_NONCE "x,p=" PROOF,
        "c=biws,r=" OWN_NONCE ",p=" PROOF, "r=rOprNGfwEbeRWgbNEkqO" OWN_NONCE ",c=biws,p=" PROOF, WITHOUT_PROOF ",=,p=" PROOF,
    };
    struct scram scram;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        challenge(&scram);
        assert_int_equal(finish(&scram, wrong[i]), SCRAM_MALFORMED);
    }
}

CLAIM(no_changed_byte_of_the_last_message_succeeds)
{
    for (size_t at = 0; at < strlen(FINAL); at++) {
        struct scram scram;
        char text[] = FINAL;
        challenge(&scram);
        text[at] ^= 1;
        assert_int_not_equal(finish(&scram, text), SCRAM_CONTINUE);
    }
}

CLAIM(an_overlong_last_message_is_refused)
{
    char text[SCRAM_CLIENT_FINAL_MAX + 200];
    struct scram scram;
    int at = sprintf(text, "%s", WITHOUT_PROOF ",e=");
    memset(text + at, 'x', SCRAM_CLIENT_FINAL_MAX);
    sprintf(text + at + SCRAM_CLIENT_FINAL_MAX - 100, "%s", ",p=" PROOF);
    challenge(&scram);
    assert_int_equal(finish(&scram, text), SCRAM_MALFORMED);
}

/* A message of an earlier exchange has the earlier nonce. */
CLAIM(a_replayed_proof_is_refused)
{
    struct scram scram;
    struct password password = stored();
    assert_int_equal(start(&scram, FIRST), SCRAM_CONTINUE);
    scram_challenge(&scram, &password, "another");
    assert_int_equal(finish(&scram, FINAL), SCRAM_MALFORMED);
}

/* Our own client, for the tests that are not the RFC's vector. */
CLAIM(a_client_that_knows_the_password_gets_in_whatever_its_header)
{
    static const char *const headers[] = {"n,,", "y,,", "n,a=us=2Cer,"};
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        struct password password;
        struct scram scram;
        struct scram_client client;
        char out[SCRAM_SERVER_FINAL_MAX];
        assert_true(password_make(&password, PASSWORD_SCRAM, 5, text_of("pass")));
        scram_client_start(&client, headers[i], "us=2Cer", "cnonce", "pass");
        assert_int_equal(scram_start(&scram, scram_client_first(&client), &why), SCRAM_CONTINUE);
        scram_client_answer(&client, scram_challenge(&scram, &password, "snonce"));
        assert_int_equal(scram_finish(&scram, scram_client_final(&client), out, &why), SCRAM_CONTINUE);
        assert_true(scram_client_accepts(&client, text_of(out)));
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_exchange_of_rfc_7677_succeeds),
        cmocka_unit_test(names_are_unescaped),
        cmocka_unit_test(malformed_first_messages_are_told_from_refused_ones),
        cmocka_unit_test(every_prefix_of_the_first_message_is_answered),
        cmocka_unit_test(long_names_and_nonces_are_refused),
        cmocka_unit_test(a_wrong_proof_is_refused_and_everything_wiped),
        cmocka_unit_test(malformed_last_messages_are_refused),
        cmocka_unit_test(no_changed_byte_of_the_last_message_succeeds),
        cmocka_unit_test(an_overlong_last_message_is_refused),
        cmocka_unit_test(a_replayed_proof_is_refused),
        cmocka_unit_test(a_client_that_knows_the_password_gets_in_whatever_its_header),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
