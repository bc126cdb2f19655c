/* Who may come in with a password, what happens while it is hashed, and who has to go after a reload. */
#include "test/dialogue/dialogue.h"
#include "test/support/users.h"

#include <unistd.h>

#define MANY 1000u

static char options[128], uncached[256], short_lived[256], named[256], prefixed[256], equal[256], equal_or_nameless[300];

static void
usual_users(void)
{
    users_clear();
    users_add("ann", PASSWORD_PBKDF2, "secret");
    users_add("bob", PASSWORD_SHA512, "other");
    users_add("eve", PASSWORD_SCRAM, "pencil");
}

/* What a client of each version understands: the older ones know 'server unavailable' only. */
static uint8_t
code(uint8_t version, uint8_t reason)
{
    return version < 5 && reason == REASON_SERVER_BUSY ? REASON_SERVER_UNAVAILABLE : reason;
}

/* ------------------------------------------------------------------------------------------------------------------ right and wrong */

static void
a_right_password_is_let_in_and_no_other(struct world *w)
{
    usual_users();
    users_reload(w, NULL);
    for (uint8_t version = 3; version <= 5; version++) {
        uint8_t wrong = code(version, REASON_BAD_USER_NAME_OR_PASSWORD);
        ping(join(w, version, "a", .user_name = "ann", .password = "secret"));
        ping(join(w, version, "b", .user_name = "bob", .password = "other"));
        ping(join(w, version, "e", .user_name = "eve", .password = "pencil"));
        expect_connack(knock(w, version, "x", .user_name = "ann", .password = "other"), wrong);
        expect_connack(knock(w, version, "x", .user_name = "ann", .password = ""), wrong);
        expect_connack(knock(w, version, "x", .user_name = "ann"), wrong);
        expect_connack(knock(w, version, "x", .user_name = "nobody", .password = "secret"), wrong);
        expect_connack(knock(w, version, "x", .user_name = "Ann", .password = "secret"), wrong);
        struct client *c = knock(w, version, "x", .user_name = "bob", .password = "secret");
        expect_connack(c, wrong);
        expect_end(c);
    }
    claim_equal(WORLD_COUNT(w, drops[DROP_LOGIN_REFUSED]), 3 * 6);
    claim_equal(WORLD_COUNT(w, drops[DROP_BAD_INPUT]), 0);
    claim_equal(WORLD_COUNT(w, connects), 3 * 3);
}

/* Mosquitto: a listener lets nobody in without a name unless told to. */
static void
without_a_name_nobody_is_let_in(struct world *w)
{
    for (uint8_t version = 3; version <= 5; version++) {
        struct client *c = knock(w, version, "x");
        expect_connack(c, code(version, REASON_NOT_AUTHORIZED));
        expect_end(c);
    }
    expect_connack(knock(w, 5, "x", .password = "secret"), REASON_NOT_AUTHORIZED); /* MQTT5 allows a password alone */
    expect_connack(knock(w, 5, "x", .user_name = "", .password = "secret"), REASON_BAD_USER_NAME_OR_PASSWORD);
}

static void
where_it_is_allowed_the_nameless_come_in_and_names_are_still_checked(struct world *w)
{
    char text[300];
    snprintf(text, sizeof text, "password_file %s\n", users_path());
    usual_users();
    claim_text(bytes_from(users_reload(w, text)), "");
    join(w, 5, "x");
    join(w, 4, "a", .user_name = "ann", .password = "secret");
    expect_connack(knock(w, 5, "y", .user_name = "nobody", .password = "x"), REASON_BAD_USER_NAME_OR_PASSWORD);
    claim_text(bytes_from(users_reload(w, "")), "");
    join(w, 5, "y", .user_name = "nobody", .password = "x"); /* nobody asks for a proof, as in Mosquitto */
}

/* A will is for those who were let in. */
static void
a_refused_client_leaves_nothing_behind(struct world *w)
{
    usual_users();
    users_reload(w, NULL);
    struct client *s = join(w, 5, "s", .user_name = "ann", .password = "secret");
    subscribe(s, "#");
    expect_connack(knock(w, 5, "x", .user_name = "ann", .password = "no", .will_topic = "will", .will_payload = "w", .resume = true, .expiry_s = 100),
                   REASON_BAD_USER_NAME_OR_PASSWORD);
    expect_quiet(s);
    claim_equal(WORLD_COUNT(w, sessions), 1);
}

/* ------------------------------------------------------------------------------------------------------------------ while it is hashed */

static void
others_go_on_while_a_password_is_hashed(struct world *w)
{
    usual_users();
    users_reload(w, NULL);
    struct client *s = join(w, 5, "s", .user_name = "bob", .password = "other");
    subscribe(s, "t");
    sim_hold_work(w->sim, true, MANY);
    struct client *c = knock(w, 5, "c", .user_name = "ann", .password = "secret");
    expect_quiet(c);
    publish(s, "t", "meanwhile");
    take(s, "t", "meanwhile", 0);
    expect_quiet(c);
    sim_hold_work(w->sim, false, 0);
    expect_connack(c, REASON_SUCCESS);
    ping(c);
}

static void
what_comes_after_connect_waits_for_the_answer(struct world *w)
{
    usual_users();
    users_reload(w, NULL);
    sim_hold_work(w->sim, true, MANY);
    struct client *c = knock(w, 5, "c", .user_name = "ann", .password = "secret");
    ask(c, "t");
    say(c, "t", "early");
    struct client *wrong = knock(w, 5, "d", .user_name = "ann", .password = "wrong");
    say(wrong, "t", "never");
    settle(c);
    say(c, "t", "late");
    expect_quiet(c);
    sim_hold_work(w->sim, false, 0);
    expect_connack(c, REASON_SUCCESS);
    expect(c, PACKET_SUBACK);
    take(c, "t", "early", 0);
    take(c, "t", "late", 0);
    expect_connack(wrong, REASON_BAD_USER_NAME_OR_PASSWORD);
    expect_end(wrong);
    expect_quiet(c);
}

static void
who_leaves_while_waiting_is_forgotten(struct world *w)
{
    usual_users();
    users_reload(w, NULL);
    sim_hold_work(w->sim, true, MANY);
    for (unsigned i = 0; i < 20; i++) {
        vanish(knock(w, 5, id_at(w, i % w->broker->shard_count, i), .user_name = "ann", .password = "secret"));
    }
    sim_hold_work(w->sim, false, 0);
    world_settle(w);
    pass_seconds(w, 60);
    claim_equal(WORLD_COUNT(w, sockets), 0);
    claim_equal(WORLD_COUNT(w, sessions), 0);
    join(w, 5, "c", .user_name = "ann", .password = "secret");
}

/* connect_timeout counts the hashing too: a login that takes for ever holds no connection for ever. But the client did nothing wrong. */
static void
a_login_that_takes_too_long_is_told_that_the_server_is_busy(struct world *w)
{
    usual_users();
    users_reload(w, NULL);
    sim_hold_work(w->sim, true, MANY);
    for (uint8_t version = 3; version <= 5; version++) {
        struct client *c = knock(w, version, "c", .user_name = "ann", .password = "secret");
        pass_seconds(w, 9);
        expect_quiet(c);
        pass_seconds(w, 2);
        expect_connack(c, code(version, REASON_SERVER_BUSY));
        expect_end(c);
    }
    claim_equal(WORLD_COUNT(w, drops[DROP_CONNECT_TIMEOUT]), 0);
    claim_equal(WORLD_COUNT(w, drops[DROP_WORK_LATE]), 3);
    sim_hold_work(w->sim, false, 0);
    join(w, 5, "c", .user_name = "ann", .password = "secret");
}

static void
a_session_is_taken_over_when_the_password_was_right_and_not_before(struct world *w)
{
    usual_users();
    users_reload(w, NULL);
    struct client *old = join(w, 5, "c", .user_name = "ann", .password = "secret");
    sim_hold_work(w->sim, true, MANY);
    struct client *thief = knock(w, 5, "c", .user_name = "ann", .password = "wrong");
    struct client *new = knock(w, 5, "c", .user_name = "eve", .password = "pencil");
    settle(old);
    ping(old);
    sim_hold_work(w->sim, false, 0);
    expect_connack(thief, REASON_BAD_USER_NAME_OR_PASSWORD);
    expect_connack(new, REASON_SUCCESS);
    expect_disconnect(old, REASON_SESSION_TAKEN_OVER);
    ping(new);
}

static void
more_logins_than_can_wait_are_told_that_the_server_is_busy(struct world *w)
{
    usual_users();
    users_reload(w, NULL);
    sim_hold_work(w->sim, true, 1);
    struct client *first = knock(w, 5, id_at(w, 0, 0), .user_name = "ann", .password = "secret");
    settle(first);
    for (uint8_t version = 3; version <= 5; version++) {
        struct client *c = knock(w, version, id_at(w, 0, version), .user_name = "ann", .password = "secret");
        expect_connack(c, code(version, REASON_SERVER_BUSY));
        expect_end(c);
    }
    claim_equal(WORLD_COUNT(w, drops[DROP_WORK_FULL]), 3);
    sim_hold_work(w->sim, false, 0);
    expect_connack(first, REASON_SUCCESS);
}

static void
a_stop_while_passwords_are_hashed_is_clean(struct world *w)
{
    usual_users();
    users_reload(w, NULL);
    sim_hold_work(w->sim, true, MANY);
    for (unsigned i = 0; i < 10; i++) {
        settle(knock(w, 5, id_at(w, i % w->broker->shard_count, i), .user_name = "ann", .password = "secret"));
    }
}

/* ---------------------------------------------------------------------------------------------------------------------- remembered */

static void
a_password_that_was_right_is_not_hashed_again(struct world *w)
{
    usual_users();
    users_reload(w, NULL);
    bye(join(w, 5, "c", .user_name = "ann", .password = "secret"), 0);
    sim_hold_work(w->sim, true, 0);
    bye(join(w, 5, "c", .user_name = "ann", .password = "secret"), 0);
    expect_connack(knock(w, 5, "c", .user_name = "ann", .password = "Secret"), REASON_SERVER_BUSY);
    expect_connack(knock(w, 5, "c", .user_name = "bob", .password = "secret"), REASON_SERVER_BUSY);
    pass_seconds(w, 86000);
    bye(join(w, 5, "c", .user_name = "ann", .password = "secret"), 0);
    pass_seconds(w, 86500);
    expect_connack(knock(w, 5, "c", .user_name = "ann", .password = "secret"), REASON_SERVER_BUSY);
}

static void
a_wrong_password_is_never_remembered(struct world *w)
{
    usual_users();
    users_reload(w, NULL);
    for (unsigned i = 0; i < 3; i++) {
        expect_connack(knock(w, 5, "c", .user_name = "ann", .password = "wrong"), REASON_BAD_USER_NAME_OR_PASSWORD);
    }
    sim_hold_work(w->sim, true, 0);
    expect_connack(knock(w, 5, "c", .user_name = "ann", .password = "wrong"), REASON_SERVER_BUSY);
}

static void
remembering_can_be_switched_off(struct world *w)
{
    usual_users();
    users_reload(w, NULL);
    bye(join(w, 5, "c", .user_name = "ann", .password = "secret"), 0);
    sim_hold_work(w->sim, true, 0);
    expect_connack(knock(w, 5, "c", .user_name = "ann", .password = "secret"), REASON_SERVER_BUSY);
}

static void
remembering_ends_when_the_option_says(struct world *w)
{
    usual_users();
    users_reload(w, NULL);
    bye(join(w, 5, "c", .user_name = "ann", .password = "secret"), 0);
    sim_hold_work(w->sim, true, 0);
    pass_seconds(w, 4);
    bye(join(w, 5, "c", .user_name = "ann", .password = "secret"), 0);
    pass_seconds(w, 7);
    expect_connack(knock(w, 5, "c", .user_name = "ann", .password = "secret"), REASON_SERVER_BUSY);
}

static void
a_changed_password_is_not_the_remembered_one(struct world *w)
{
    usual_users();
    users_reload(w, NULL);
    bye(join(w, 5, "c", .user_name = "ann", .password = "secret"), 0);
    users_clear();
    users_add("ann", PASSWORD_PBKDF2, "new");
    users_reload(w, NULL);
    expect_connack(knock(w, 5, "c", .user_name = "ann", .password = "secret"), REASON_BAD_USER_NAME_OR_PASSWORD);
    bye(join(w, 5, "c", .user_name = "ann", .password = "new"), 0);
}

/* ------------------------------------------------------------------------------------------------------------------------- reloads */

static void
after_a_reload_those_whose_user_is_gone_or_changed_have_to_go(struct world *w)
{
    usual_users();
    users_reload(w, NULL);
    struct client *ann = join(w, 5, "a", .user_name = "ann", .password = "secret"), *eve = join(w, 5, "e", .user_name = "eve", .password = "pencil"),
                  *bob = join(w, 5, "b", .user_name = "bob", .password = "other"), *old = join(w, 4, "o", .user_name = "ann", .password = "secret");
    char text[4096] = "";
    FILE *file = fopen(users_path(), "r");
    for (char line[512]; fgets(line, sizeof line, file);) {
        strcat(text, strncmp(line, "bob", 3) == 0 ? line : "");
    }
    fclose(file);
    users_clear();
    users_add_text(text);
    users_add("ann", PASSWORD_PBKDF2, "another");
    claim_text(bytes_from(users_reload(w, NULL)), "");
    expect_disconnect(ann, REASON_NOT_AUTHORIZED);
    expect_disconnect(eve, REASON_NOT_AUTHORIZED);
    expect_end(old);
    ping(bob);
    claim_equal(WORLD_COUNT(w, drops[DROP_LOGIN_REFUSED]), 3);
    claim_text(bytes_from(users_reload(w, NULL)), "");
    ping(bob);
}

static void
after_a_reload_the_nameless_may_have_to_go(struct world *w)
{
    char text[300];
    usual_users();
    claim_text(bytes_from(users_reload(w, "")), "");
    struct client *nameless = join(w, 5, "n"), *unproved = join(w, 5, "u", .user_name = "ann");
    snprintf(text, sizeof text, "password_file %s\n", users_path());
    users_reload(w, text);
    expect_disconnect(unproved, REASON_NOT_AUTHORIZED); /* a name that has to be proved from now on */
    ping(nameless);
    users_reload(w, NULL);
    expect_disconnect(nameless, REASON_NOT_AUTHORIZED);
}

static void
a_reload_of_a_wrong_file_changes_nothing(struct world *w)
{
    usual_users();
    users_reload(w, NULL);
    struct client *ann = join(w, 5, "a", .user_name = "ann", .password = "secret");
    users_add_text("carl\n");
    claim(strstr(users_reload(w, NULL), ":4: not 'user:password'") != NULL);
    ping(ann);
    join(w, 5, "b", .user_name = "bob", .password = "other");
    expect_connack(knock(w, 5, "c", .user_name = "carl", .password = "x"), REASON_BAD_USER_NAME_OR_PASSWORD);
    unlink(users_path());
    claim(strstr(users_reload(w, NULL), "cannot be opened") != NULL);
    join(w, 5, "b", .user_name = "bob", .password = "other");
    usual_users();
}

/* The verdict belongs to the file as it was: with another one the login starts again. */
static void
a_reload_while_a_password_is_hashed_counts(struct world *w)
{
    usual_users();
    users_reload(w, NULL);
    sim_hold_work(w->sim, true, MANY);
    struct client *ann = knock(w, 5, "a", .user_name = "ann", .password = "secret"), *bob = knock(w, 5, "b", .user_name = "bob", .password = "other"),
                  *carl = knock(w, 5, "c", .user_name = "carl", .password = "x"), *eve = knock(w, 5, "e", .user_name = "eve", .password = "pencil");
    settle(ann);
    users_clear();
    users_add("ann", PASSWORD_PBKDF2, "another");
    users_add("bob", PASSWORD_PBKDF2, "other");
    users_add("carl", PASSWORD_PBKDF2, "x");
    users_reload(w, NULL);
    expect_quiet(ann);
    sim_hold_work(w->sim, false, 0);
    expect_connack(ann, REASON_BAD_USER_NAME_OR_PASSWORD);
    expect_connack(bob, REASON_SUCCESS);
    expect_connack(carl, REASON_SUCCESS);
    expect_connack(eve, REASON_BAD_USER_NAME_OR_PASSWORD);
}

/* ---------------------------------------------------------------------------------------------------------------- client identifiers */

static void
the_user_name_can_be_the_client_identifier(struct world *w)
{
    usual_users();
    users_reload(w, NULL);
    struct client *a = join(w, 5, "whatever", .user_name = "ann", .password = "secret", .resume = true, .expiry_s = 100);
    claim(!greeting.connack.session_present);
    ping(a);
    struct client *b = join(w, 4, "else", .user_name = "ann", .password = "secret", .resume = true);
    claim(greeting.connack.session_present);
    expect_disconnect(a, REASON_SESSION_TAKEN_OVER);
    ping(b);
    join(w, 5, "", .user_name = "bob", .password = "other");
    claim_text(greeting.connack.properties.assigned_client_id, "bob"); /* MQTT5 [MQTT-3.2.2-16] */
    join(w, 5, "else", .user_name = "bob", .password = "other");
    claim(!properties_has(&greeting.connack.properties, PROPERTY_ASSIGNED_CLIENT_IDENTIFIER));
    for (uint8_t version = 3; version <= 5; version++) {
        expect_connack(knock(w, version, "ann"), code(version, REASON_NOT_AUTHORIZED));
    }
}

static void
client_identifiers_may_have_to_begin_in_some_way(struct world *w)
{
    usual_users();
    users_reload(w, NULL);
    join(w, 5, "dev-1", .user_name = "ann", .password = "secret");
    join(w, 4, "dev-", .user_name = "ann", .password = "secret");
    static const char *const wrong[] = {"dev", "Dev-1", "xdev-1", ""};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        expect_connack(knock(w, 5, wrong[i], .user_name = "ann", .password = "secret"), REASON_NOT_AUTHORIZED);
        expect_connack(knock(w, 4, wrong[i], .user_name = "ann", .password = "secret"), code(4, REASON_NOT_AUTHORIZED));
    }
}

static void
client_identifiers_may_have_to_be_the_user_name(struct world *w)
{
    usual_users();
    users_reload(w, NULL);
    join(w, 5, "ann", .user_name = "ann", .password = "secret");
    join(w, 4, "bob", .user_name = "bob", .password = "other");
    for (uint8_t version = 3; version <= 5; version++) {
        expect_connack(knock(w, version, "bob", .user_name = "ann", .password = "secret"), code(version, REASON_CLIENT_IDENTIFIER_NOT_VALID));
        expect_connack(knock(w, version, "ann2", .user_name = "ann", .password = "secret"), code(version, REASON_CLIENT_IDENTIFIER_NOT_VALID));
        expect_connack(knock(w, version, "bob", .user_name = "ann", .password = "wrong"), code(version, REASON_BAD_USER_NAME_OR_PASSWORD));
    }
    expect_connack(knock(w, 5, "", .user_name = "ann", .password = "secret"), REASON_CLIENT_IDENTIFIER_NOT_VALID);
}

/* Who has no name cannot have an identifier that is it. */
static void
the_nameless_have_no_client_identifier_that_is_their_name(struct world *w)
{
    expect_connack(knock(w, 5, ""), REASON_CLIENT_IDENTIFIER_NOT_VALID);
    expect_connack(knock(w, 4, "x"), REASON_CLIENT_IDENTIFIER_NOT_VALID);
    join(w, 5, "ann", .user_name = "ann", .password = "secret");
}

static const struct dialogue dialogues[] = {
    TELL_WITH(a_right_password_is_let_in_and_no_other, options),
    TELL_WITH(without_a_name_nobody_is_let_in, options),
    TELL_WITH(where_it_is_allowed_the_nameless_come_in_and_names_are_still_checked, options),
    TELL_WITH(a_refused_client_leaves_nothing_behind, options),
    TELL_WITH(others_go_on_while_a_password_is_hashed, options),
    TELL_WITH(what_comes_after_connect_waits_for_the_answer, options),
    TELL_WITH(who_leaves_while_waiting_is_forgotten, options),
    TELL_WITH(a_login_that_takes_too_long_is_told_that_the_server_is_busy, options),
    TELL_WITH(a_session_is_taken_over_when_the_password_was_right_and_not_before, options),
    TELL_WITH(more_logins_than_can_wait_are_told_that_the_server_is_busy, options),
    TELL_WITH(a_stop_while_passwords_are_hashed_is_clean, options),
    TELL_WITH(a_password_that_was_right_is_not_hashed_again, options),
    TELL_WITH(a_wrong_password_is_never_remembered, options),
    TELL_WITH(remembering_can_be_switched_off, uncached),
    TELL_WITH(remembering_ends_when_the_option_says, short_lived),
    TELL_WITH(a_changed_password_is_not_the_remembered_one, options),
    TELL_WITH(after_a_reload_those_whose_user_is_gone_or_changed_have_to_go, options),
    TELL_WITH(after_a_reload_the_nameless_may_have_to_go, options),
    TELL_WITH(a_reload_of_a_wrong_file_changes_nothing, options),
    TELL_WITH(a_reload_while_a_password_is_hashed_counts, options),
    TELL_WITH(the_user_name_can_be_the_client_identifier, named),
    TELL_WITH(client_identifiers_may_have_to_begin_in_some_way, prefixed),
    TELL_WITH(client_identifiers_may_have_to_be_the_user_name, equal),
    TELL_WITH(the_nameless_have_no_client_identifier_that_is_their_name, equal_or_nameless),
};

int
main(int argc, char **argv)
{
    users_open();
    usual_users();
    snprintf(options, sizeof options, "allow_anonymous false\npassword_file %s\n", users_path());
    snprintf(uncached, sizeof uncached, "%slogin_cache_entries 0\n", options);
    snprintf(short_lived, sizeof short_lived, "%slogin_cache_seconds 5\n", options);
    snprintf(named, sizeof named, "%suse_username_as_clientid true\n", options);
    snprintf(prefixed, sizeof prefixed, "%sclientid_prefixes dev-\n", options);
    snprintf(equal, sizeof equal, "%sclientid_is_username true\n", options);
    snprintf(equal_or_nameless, sizeof equal_or_nameless, "%sallow_anonymous true\n", equal);
    int failed = dialogue_main(dialogues, sizeof dialogues / sizeof *dialogues, argc, argv);
    users_close();
    return failed;
}
