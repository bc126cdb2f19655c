/* JSON Web Tokens as passwords: who comes in with one, what happens while it is verified, and when he has to go. */
#include "test/dialogue/dialogue.h"
#include "test/engine/jwt_samples.h"
#include "test/support/users.h"

#include "engine/identity/principal.h"
#include "engine/session/session.h"

#define MANY 1000u
#define SECRET "0123456789abcdef0123456789abcdef"

static EVP_PKEY *rsa, *ec;
static char *key_file, *secret_file, *other_secret_file;
static char options[400], strict[500], claims[500], with_users[600], matching[500];

static uint64_t
wall_s(const struct world *w)
{
    return io_wall_ms(w->broker->shards[0]->io) / 1000;
}

static char *last_tokens[8]; /* what the next functions return */

static char *
token_of(const char *header, const struct sample_signer *signer, const char *user, uint64_t expiry_s)
{
    static unsigned turn;
    char payload[256];
    snprintf(payload, sizeof payload, "{\"sub\":\"%s\",\"exp\":%llu,\"tenant\":\"acme\"}", user, (unsigned long long)expiry_s);
    char **place = &last_tokens[turn++ % 8];
    free(*place);
    *place = sample_token(header, payload, signer);
    return *place;
}

/* Static memory for eight of them. */
static char *
by_secret(const char *user, uint64_t expiry_s)
{
    struct sample_signer signer = {.secret = SECRET, .secret_size = sizeof SECRET - 1};
    return token_of("{\"alg\":\"HS256\"}", &signer, user, expiry_s);
}

static char *
by_rsa(const char *user, uint64_t expiry_s)
{
    struct sample_signer signer = {.pair = rsa};
    return token_of("{\"alg\":\"RS256\"}", &signer, user, expiry_s);
}

static char *
by_ec(const char *user, uint64_t expiry_s)
{
    struct sample_signer signer = {.pair = ec};
    return token_of("{\"alg\":\"ES256\"}", &signer, user, expiry_s);
}

static const struct principal *
principal_of(const struct world *w, const char *id)
{
    uint32_t size = (uint32_t)strlen(id);
    struct shard *shard = w->broker->shards[broker_shard_of(w->broker, id, size)];
    struct session *session = session_table_find(&shard->session_table, broker_hash(w->broker, id, size), bytes_of(id, size));
    return session != NULL ? session_get_extra(session)->principal : NULL;
}

/* ------------------------------------------------------------------------------------------------------------------ right and wrong */

static void
a_good_token_is_let_in_as_the_user_that_it_names(struct world *w)
{
    for (uint8_t version = 3; version <= 5; version++) {
        ping(join(w, version, "h", .user_name = "whoever", .password = by_secret("hugo", wall_s(w) + 60)));
        ping(join(w, version, "r", .user_name = "whoever", .password = by_rsa("rosa", wall_s(w) + 60)));
        ping(join(w, version, "e", .user_name = "whoever", .password = by_ec("emma", wall_s(w) + 60)));
        claim_text(principal_of(w, "h")->user, "hugo");
        claim_text(principal_of(w, "r")->user, "rosa");
        claim_text(principal_of(w, "e")->user, "emma");
    }
    ping(join(w, 5, "n", .password = by_secret("nina", wall_s(w) + 60))); /* MQTT5 allows a password alone */
    claim_text(principal_of(w, "n")->user, "nina");
}

static void
a_bad_token_is_refused_in_every_version(struct world *w)
{
    struct sample_signer nobody = {0}, stranger = {.secret = "ffffffffffffffffffffffffffffffff", .secret_size = 32};
    for (uint8_t version = 3; version <= 5; version++) {
        const char *const bad[] = {
            token_of("{\"alg\":\"none\"}", &nobody, "hugo", wall_s(w) + 60),
            token_of("{\"alg\":\"HS256\"}", &nobody, "hugo", wall_s(w) + 60),
            token_of("{\"alg\":\"HS256\"}", &stranger, "hugo", wall_s(w) + 60),
            token_of("{\"alg\":\"RS256\"}", &stranger, "hugo", wall_s(w) + 60),
            by_secret("hugo", wall_s(w) - 60),
            by_rsa("hugo", wall_s(w) - 60),
            by_ec("", wall_s(w) + 60),
        };
        for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
            struct client *c = knock(w, version, "x", .user_name = "hugo", .password = bad[i]);
            expect_connack(c, REASON_BAD_USER_NAME_OR_PASSWORD);
            expect_end(c);
        }
    }
    claim_equal(WORLD_COUNT(w, drops[DROP_TOKEN_REFUSED]), 3 * 7);
    claim_equal(WORLD_COUNT(w, sessions), 0);
}

static void
who_brings_no_token_is_judged_as_without_them(struct world *w)
{
    expect_connack(knock(w, 5, "x", .user_name = "hugo", .password = "secret"), REASON_NOT_AUTHORIZED);
    expect_connack(knock(w, 5, "x", .user_name = "hugo", .password = "not.a.token"), REASON_NOT_AUTHORIZED);
    expect_connack(knock(w, 5, "x"), REASON_NOT_AUTHORIZED);
    claim_equal(WORLD_COUNT(w, drops[DROP_TOKEN_REFUSED]), 0);
}

/* Who is let in without a name is not let in with one that no token says; nor may he stay who came while names needed no proof. */
static void
where_there_are_keys_a_name_without_a_token_is_refused(struct world *w)
{
    char text[300];
    claim_text(bytes_from(users_reload(w, "allow_anonymous true\n")), "");
    struct client *unproved = join(w, 5, "u", .user_name = "admin"), *nameless = join(w, 5, "n");
    snprintf(text, sizeof text, "allow_anonymous true\njwt_secret_file %s\n", secret_file);
    claim_text(bytes_from(users_reload(w, text)), "");
    expect_disconnect(unproved, REASON_NOT_AUTHORIZED);
    ping(nameless);
    expect_connack(knock(w, 5, "x", .user_name = "admin"), REASON_BAD_USER_NAME_OR_PASSWORD);
    expect_connack(knock(w, 4, "x", .user_name = "admin", .password = "any"), REASON_BAD_USER_NAME_OR_PASSWORD);
    join(w, 5, "y");
    join(w, 5, "h", .user_name = "hugo", .password = by_secret("hugo", wall_s(w) + 60));
}

/* First the token, if it is one: its verdict is the last word. Other passwords are the file's. */
static void
a_token_comes_before_the_password_file(struct world *w)
{
    users_clear();
    users_add("ann", PASSWORD_PBKDF2, "secret");
    users_add("bob", PASSWORD_PBKDF2, "www.example.com");
    users_reload(w, NULL);
    join(w, 5, "a", .user_name = "ann", .password = "secret");
    join(w, 5, "b", .user_name = "bob", .password = "www.example.com");
    join(w, 5, "t", .user_name = "ann", .password = by_rsa("rosa", wall_s(w) + 60));
    claim_text(principal_of(w, "t")->user, "rosa");
    expect_connack(knock(w, 5, "x", .user_name = "ann", .password = by_rsa("rosa", wall_s(w) - 60)), REASON_BAD_USER_NAME_OR_PASSWORD);
    expect_connack(knock(w, 5, "x", .user_name = "ann", .password = "other"), REASON_BAD_USER_NAME_OR_PASSWORD);
    claim_equal(WORLD_COUNT(w, drops[DROP_TOKEN_REFUSED]), 1);
}

static void
the_user_name_may_have_to_be_the_tokens(struct world *w)
{
    join(w, 5, "h", .user_name = "hugo", .password = by_secret("hugo", wall_s(w) + 60));
    expect_connack(knock(w, 5, "x", .user_name = "otto", .password = by_secret("hugo", wall_s(w) + 60)), REASON_BAD_USER_NAME_OR_PASSWORD);
    expect_connack(knock(w, 5, "x", .password = by_ec("hugo", wall_s(w) + 60)), REASON_BAD_USER_NAME_OR_PASSWORD);
}

static void
claims_that_are_asked_for_go_with_the_session(struct world *w)
{
    join(w, 5, "h", .password = by_secret("hugo", wall_s(w) + 60));
    join(w, 5, "r", .password = by_rsa("rosa", wall_s(w) + 60));
    for (unsigned i = 0; i < 2; i++) {
        const struct principal *principal = principal_of(w, i == 0 ? "h" : "r");
        claim_equal(principal->claim_count, 1);
        claim_text(principal->claims[0].name, "tenant");
        claim_text(principal->claims[0].value, "acme");
    }
}

/* ------------------------------------------------------------------------------------------------------------------------- the end */

/* MQTT5 4.13: 0xA0, Maximum connect time, is the code whose words say what has happened. The leeway counts too. */
static void
who_came_in_with_a_token_has_to_go_when_it_expires(struct world *w)
{
    struct client *five = join(w, 5, "five", .password = by_secret("hugo", wall_s(w) + 30), .expiry_s = 1000);
    struct client *four = join(w, 4, "four", .user_name = "u", .password = by_rsa("rosa", wall_s(w) + 30));
    struct client *silent = join(w, 5, "silent", .password = by_ec("emma", wall_s(w) + 30), .keep_alive_s = 0);
    pass_seconds(w, 39);
    ping(five);
    ping(four);
    expect_quiet(silent);
    pass_seconds(w, 2);
    expect_disconnect(five, REASON_MAXIMUM_CONNECT_TIME);
    expect_end(four);
    expect_disconnect(silent, REASON_MAXIMUM_CONNECT_TIME);
    claim_equal(WORLD_COUNT(w, drops[DROP_LOGIN_EXPIRED]), 3);
    claim_equal(WORLD_COUNT(w, sessions), 1); /* it may come back for its messages */
    rejoin(w, 5, "five", .password = by_secret("hugo", wall_s(w) + 30), .expiry_s = 1000);
}

static void
keep_alive_counts_beside_the_expiry(struct world *w)
{
    struct client *quiet = join(w, 5, "q", .password = by_secret("hugo", wall_s(w) + 3000), .keep_alive_s = 10);
    struct client *lively = join(w, 5, "l", .password = by_secret("hugo", wall_s(w) + 100), .keep_alive_s = 10);
    pass_seconds(w, 14);
    ping(lively);
    pass_seconds(w, 2);
    expect_disconnect(quiet, REASON_KEEP_ALIVE_TIMEOUT);
    for (unsigned i = 0; i < 9; i++) {
        ping(lively);
        pass_seconds(w, 10);
    }
    expect_disconnect(lively, REASON_MAXIMUM_CONNECT_TIME);
    claim_equal(WORLD_COUNT(w, drops[DROP_KEEP_ALIVE]), 1);
}

static void
a_new_token_on_a_new_connection_counts_anew(struct world *w)
{
    struct client *first = join(w, 5, "c", .password = by_secret("hugo", wall_s(w) + 30));
    pass_seconds(w, 20);
    struct client *second = join(w, 5, "c", .password = by_secret("hugo", wall_s(w) + 300));
    expect_disconnect(first, REASON_SESSION_TAKEN_OVER);
    pass_seconds(w, 200);
    ping(second);
}

/* --------------------------------------------------------------------------------------------------------- while it is verified */

static void
a_token_of_a_secret_is_verified_at_once_and_others_beside_the_shard(struct world *w)
{
    sim_hold_work(w->sim, true, MANY);
    ping(join(w, 5, "h", .password = by_secret("hugo", wall_s(w) + 60)));
    struct client *r = knock(w, 5, "r", .password = by_rsa("rosa", wall_s(w) + 60)), *e = knock(w, 5, "e", .password = by_ec("emma", wall_s(w) + 60));
    ask(r, "t");
    say(r, "t", "early");
    expect_quiet(r);
    expect_quiet(e);
    sim_hold_work(w->sim, false, 0);
    expect_connack(r, REASON_SUCCESS);
    expect(r, PACKET_SUBACK);
    take(r, "t", "early", 0);
    expect_connack(e, REASON_SUCCESS);
}

/* It may be found out only when he is read from again. */
static void
who_leaves_while_his_token_is_verified_is_gone_afterwards(struct world *w)
{
    sim_hold_work(w->sim, true, MANY);
    vanish(knock(w, 5, "r", .password = by_rsa("rosa", wall_s(w) + 60)));
    struct client *stays = knock(w, 5, "e", .password = by_ec("emma", wall_s(w) + 60));
    settle(stays);
    sim_hold_work(w->sim, false, 0);
    expect_connack(stays, REASON_SUCCESS);
    claim_equal(WORLD_COUNT(w, connected), 1);
}

static void
a_token_that_takes_too_long_is_given_up(struct world *w)
{
    sim_hold_work(w->sim, true, MANY);
    struct client *c = knock(w, 5, "r", .password = by_rsa("rosa", wall_s(w) + 60));
    pass_seconds(w, 11);
    expect_connack(c, REASON_SERVER_BUSY);
    expect_end(c);
    sim_hold_work(w->sim, false, 0);
    claim_equal(WORLD_COUNT(w, connects), 0);
}

static void
more_tokens_than_can_wait_are_told_that_the_server_is_busy(struct world *w)
{
    sim_hold_work(w->sim, true, 0);
    expect_connack(knock(w, 5, "r", .password = by_rsa("rosa", wall_s(w) + 60)), REASON_SERVER_BUSY);
    expect_connack(knock(w, 4, "r", .user_name = "u", .password = by_rsa("rosa", wall_s(w) + 60)), REASON_SERVER_UNAVAILABLE);
    claim_equal(WORLD_COUNT(w, drops[DROP_WORK_FULL]), 2);
    sim_hold_work(w->sim, false, 0);
    join(w, 5, "r", .password = by_rsa("rosa", wall_s(w) + 60));
}

static void
a_stop_while_tokens_are_verified_is_clean(struct world *w)
{
    sim_hold_work(w->sim, true, MANY);
    settle(knock(w, 5, "r", .password = by_rsa("rosa", wall_s(w) + 60)));
    settle(knock(w, 5, "e", .password = by_ec("emma", wall_s(w) + 60)));
}

/* The keys stay until the work that uses them is done; but a token of a key that is gone lets nobody in. */
static void
a_reload_while_a_token_is_verified_counts(struct world *w)
{
    char text[300];
    sim_hold_work(w->sim, true, MANY);
    struct client *c = knock(w, 5, "r", .password = by_rsa("rosa", wall_s(w) + 60));
    settle(c);
    snprintf(text, sizeof text, "allow_anonymous false\njwt_secret_file %s\n", other_secret_file);
    claim_text(bytes_from(users_reload(w, text)), "");
    claim_text(bytes_from(users_reload(w, text)), "");
    sim_hold_work(w->sim, false, 0);
    expect_connack(c, REASON_BAD_USER_NAME_OR_PASSWORD);
    claim_text(bytes_from(users_reload(w, options)), "");
    sim_hold_work(w->sim, true, MANY);
    struct client *still = knock(w, 5, "r", .password = by_rsa("rosa", wall_s(w) + 60));
    settle(still);
    claim_text(bytes_from(users_reload(w, options)), "");
    sim_hold_work(w->sim, false, 0);
    expect_connack(still, REASON_SUCCESS);
}

static void
a_reload_without_keys_sends_their_clients_away_and_one_with_other_keys_does_not(struct world *w)
{
    char text[300];
    struct client *c = join(w, 5, "h", .password = by_secret("hugo", wall_s(w) + 60));
    snprintf(text, sizeof text, "allow_anonymous false\njwt_secret_file %s\n", other_secret_file);
    claim_text(bytes_from(users_reload(w, text)), "");
    ping(c);
    expect_connack(knock(w, 5, "x", .password = by_secret("hugo", wall_s(w) + 60)), REASON_BAD_USER_NAME_OR_PASSWORD);
    claim_text(bytes_from(users_reload(w, "allow_anonymous true\njwt_secret_file /nonexistent/secrets\n")),
               "/nonexistent/secrets: cannot be read: No such file or directory");
    ping(c);
    claim_text(bytes_from(users_reload(w, "allow_anonymous true\n")), "");
    expect_disconnect(c, REASON_NOT_AUTHORIZED);
}

static const struct dialogue dialogues[] = {
    TELL_WITH(a_good_token_is_let_in_as_the_user_that_it_names, options),
    TELL_WITH(a_bad_token_is_refused_in_every_version, options),
    TELL_WITH(who_brings_no_token_is_judged_as_without_them, options),
    TELL_WITH(where_there_are_keys_a_name_without_a_token_is_refused, options),
    TELL_WITH(a_token_comes_before_the_password_file, with_users),
    TELL_WITH(the_user_name_may_have_to_be_the_tokens, matching),
    TELL_WITH(claims_that_are_asked_for_go_with_the_session, claims),
    TELL_WITH(who_came_in_with_a_token_has_to_go_when_it_expires, options),
    TELL_WITH(keep_alive_counts_beside_the_expiry, strict),
    TELL_WITH(a_new_token_on_a_new_connection_counts_anew, options),
    TELL_WITH(a_token_of_a_secret_is_verified_at_once_and_others_beside_the_shard, options),
    TELL_WITH(who_leaves_while_his_token_is_verified_is_gone_afterwards, options),
    TELL_WITH(a_token_that_takes_too_long_is_given_up, options),
    TELL_WITH(more_tokens_than_can_wait_are_told_that_the_server_is_busy, options),
    TELL_WITH(a_stop_while_tokens_are_verified_is_clean, options),
    TELL_WITH(a_reload_while_a_token_is_verified_counts, options),
    TELL_WITH(a_reload_without_keys_sends_their_clients_away_and_one_with_other_keys_does_not, options),
};

int
main(int argc, char **argv)
{
    rsa = EVP_RSA_gen(2048);
    ec = EVP_EC_gen("P-256");
    char *rsa_text = sample_pem_of(rsa), *ec_text = sample_pem_of(ec), pem[4096];
    snprintf(pem, sizeof pem, "%s%s", rsa_text, ec_text);
    key_file = sample_file(pem);
    secret_file = sample_file(SECRET "\n");
    other_secret_file = sample_file("ffffffffffffffffffffffffffffffff\n");
    users_open();
    users_clear();
    snprintf(options, sizeof options, "allow_anonymous false\njwt_key_file %s\njwt_secret_file %s\n", key_file, secret_file);
    snprintf(strict, sizeof strict, "%sjwt_leeway 0\n", options);
    snprintf(claims, sizeof claims, "%sjwt_claims  tenant absent \n", options);
    snprintf(with_users, sizeof with_users, "%spassword_file %s\n", options, users_path());
    snprintf(matching, sizeof matching, "%sjwt_match_username true\n", options);
    int failed = dialogue_main(dialogues, sizeof dialogues / sizeof dialogues[0], argc, argv);
    users_close();
    sample_file_remove(&key_file);
    sample_file_remove(&secret_file);
    sample_file_remove(&other_secret_file);
    for (unsigned i = 0; i < 8; i++) {
        free(last_tokens[i]);
    }
    free(rsa_text);
    free(ec_text);
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(ec);
    return failed;
}
