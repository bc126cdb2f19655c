/* Enhanced authentication (MQTT5 4.12): SCRAM-SHA-256 at CONNECT and later, and everything that can go wrong in it. */
#include "test/dialogue/dialogue.h"
#include "test/support/scram_client.h"
#include "test/support/users.h"

#define METHOD "SCRAM-SHA-256"

static char options[128], open_to_all[256], equal[256];
static unsigned nonces;

static void
usual_users(void)
{
    users_clear();
    users_add("eve", PASSWORD_SCRAM, "pencil");
    users_add("ann", PASSWORD_PBKDF2, "secret");
    users_add("zoe", PASSWORD_SCRAM, "ink");
}

/* What a device has to say, with a nonce of its own. */
static struct scram_client
device(const char *user, const char *secret)
{
    struct scram_client d;
    char nonce[32];
    snprintf(nonce, sizeof nonce, "nonce%u", ++nonces);
    scram_client_start(&d, "n,,", user, nonce, secret);
    return d;
}

static void
send_auth(struct client *c, uint8_t reason, const char *method, struct bytes data)
{
    struct packet p = {.type = PACKET_AUTH, .disconnect = {.reason = reason}};
    if (method != NULL) {
        p.disconnect.properties.authentication_method = bytes_from(method);
        properties_mark(&p.disconnect.properties, PROPERTY_AUTHENTICATION_METHOD);
    }
    if (data.size > 0) {
        p.disconnect.properties.authentication_data = data;
        properties_mark(&p.disconnect.properties, PROPERTY_AUTHENTICATION_DATA);
    }
    client_send(c, &p);
}

static struct bytes
expect_auth(struct client *c, uint8_t reason)
{
    struct packet p = expect(c, PACKET_AUTH);
    claim_equal(p.disconnect.reason, reason);
    claim_text(p.disconnect.properties.authentication_method, METHOD);
    return p.disconnect.properties.authentication_data;
}

/* CONNECT, and the answer to the challenge on its way. */
static struct client *
begin(struct world *w, const char *id, struct scram_client *d)
{
    char first[sizeof d->first];
    snprintf(first, sizeof first, "%s", d->first);
    struct client *c = knock(w, 5, id, .method = METHOD, .data = first);
    claim(scram_client_answer(d, expect_auth(c, REASON_CONTINUE_AUTHENTICATION)));
    return c;
}

static struct client *
come_in(struct world *w, const char *id, const char *user, const char *secret)
{
    struct scram_client d = device(user, secret);
    struct client *c = begin(w, id, &d);
    send_auth(c, REASON_CONTINUE_AUTHENTICATION, METHOD, scram_client_final(&d));
    greeting = expect_connack(c, REASON_SUCCESS);
    claim_text(greeting.connack.properties.authentication_method, METHOD); /* MQTT5 [MQTT-4.12.0-5] */
    claim(scram_client_accepts(&d, greeting.connack.properties.authentication_data));
    return c;
}

/* ------------------------------------------------------------------------------------------------------------------------ at CONNECT */

static void
who_proves_the_password_is_let_in_and_told_that_we_know_it_too(struct world *w)
{
    ping(come_in(w, "e", "eve", "pencil"));
    ping(come_in(w, "z", "zoe", "ink"));
    claim_equal(WORLD_COUNT(w, connects), 2);
}

static void
a_wrong_password_is_refused(struct world *w)
{
    struct scram_client d = device("eve", "pen");
    struct client *c = begin(w, "e", &d);
    send_auth(c, REASON_CONTINUE_AUTHENTICATION, METHOD, scram_client_final(&d));
    expect_connack(c, REASON_NOT_AUTHORIZED);
    expect_end(c);
    claim_equal(WORLD_COUNT(w, sessions), 0);
}

/* ",s=...,i=..." of a challenge. */
static void
salt_of(struct bytes challenge, char *out, size_t room)
{
    char text[512];
    snprintf(text, sizeof text, "%.*s", (int)challenge.size, (const char *)challenge.data);
    const char *salt = strstr(text, ",s=");
    snprintf(out, room, "%s", salt != NULL ? salt : "none");
}

/* Neither who exists nor whose password is stored in which form can be seen from the challenge. */
static void
unknown_users_are_challenged_as_all_others(struct world *w)
{
    static const char *const users[] = {"nobody", "ann"};
    for (size_t i = 0; i < 2; i++) {
        char salt[64], again[64];
        struct scram_client d = device(users[i], "secret");
        struct client *c = knock(w, 5, "x", .method = METHOD, .data = d.first);
        struct bytes challenge = expect_auth(c, REASON_CONTINUE_AUTHENTICATION);
        salt_of(challenge, salt, sizeof salt);
        claim(scram_client_answer(&d, challenge));
        send_auth(c, REASON_CONTINUE_AUTHENTICATION, METHOD, scram_client_final(&d));
        expect_connack(c, REASON_NOT_AUTHORIZED);
        d = device(users[i], "secret");
        c = knock(w, 5, "x", .method = METHOD, .data = d.first);
        salt_of(expect_auth(c, REASON_CONTINUE_AUTHENTICATION), again, sizeof again);
        claim(strcmp(salt, again) == 0);
        claim(strlen(salt) == strlen(",s=AAAAAAAAAAAAAAAAAAAAAA==,i=3")); /* 16 bytes, as eve's */
    }
}

static void
a_connect_without_data_is_asked_for_it(struct world *w)
{
    struct scram_client d = device("eve", "pencil");
    struct client *c = knock(w, 5, "e", .method = METHOD);
    claim_equal(expect_auth(c, REASON_CONTINUE_AUTHENTICATION).size, 0);
    send_auth(c, REASON_CONTINUE_AUTHENTICATION, METHOD, scram_client_first(&d));
    claim(scram_client_answer(&d, expect_auth(c, REASON_CONTINUE_AUTHENTICATION)));
    send_auth(c, REASON_CONTINUE_AUTHENTICATION, METHOD, scram_client_final(&d));
    expect_connack(c, REASON_SUCCESS);
    ping(c);
}

static void
all_of_the_connect_counts_in_the_end(struct world *w)
{
    struct client *s = come_in(w, "s", "zoe", "ink");
    subscribe(s, "will");
    struct scram_client d = device("eve", "pencil");
    struct client *c = knock(w, 5, "e", .method = METHOD, .data = d.first, .resume = true, .expiry_s = 50, .will_topic = "will", .will_payload = "gone",
                             .keep_alive_s = 10, .user_name = "eve");
    claim(scram_client_answer(&d, expect_auth(c, REASON_CONTINUE_AUTHENTICATION)));
    send_auth(c, REASON_CONTINUE_AUTHENTICATION, METHOD, scram_client_final(&d));
    say(c, "will", "first"); /* at once behind it */
    expect_connack(c, REASON_SUCCESS);
    take(s, "will", "first", 0);
    vanish(c);
    take(s, "will", "gone", 0);
    c = come_in(w, "e", "eve", "pencil");
    claim(!greeting.connack.session_present); /* Clean Start */
}

/* MQTT5 [MQTT-4.12.0-1]. */
static void
a_method_that_there_is_not_is_refused(struct world *w)
{
    static const char *const methods[] = {"SCRAM-SHA-1", "SCRAM-SHA-256-PLUS", "scram-sha-256", "", "SCRAM-SHA-256 "};
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        struct client *c = knock(w, 5, "x", .method = methods[i], .data = "n,,n=eve,r=x", .user_name = "ann", .password = "secret");
        expect_connack(c, REASON_BAD_AUTHENTICATION_METHOD);
        expect_end(c);
    }
}

static void
without_a_password_file_there_is_no_method(struct world *w)
{
    expect_connack(knock(w, 5, "x", .method = METHOD, .data = "n,,n=eve,r=x"), REASON_BAD_AUTHENTICATION_METHOD);
}

static void
malformed_messages_are_refused(struct world *w)
{
    static const struct {
        const char *data;
        uint8_t reason;
    } wrong[] = {
        {"x", REASON_PROTOCOL_ERROR},
        {"n,,n=eve", REASON_PROTOCOL_ERROR},
        {"p=tls-unique,,n=eve,r=x", REASON_NOT_AUTHORIZED},
        {"n,a=ann,n=eve,r=x", REASON_NOT_AUTHORIZED},
        {"n,,m=1,n=eve,r=x", REASON_NOT_AUTHORIZED},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct client *c = knock(w, 5, "x", .method = METHOD, .data = wrong[i].data);
        expect_connack(c, wrong[i].reason);
        expect_end(c);
    }
}

static void
a_user_name_in_connect_has_to_be_the_one_in_the_exchange(struct world *w)
{
    struct client *c = knock(w, 5, "x", .method = METHOD, .data = "n,,n=eve,r=x", .user_name = "zoe");
    expect_connack(c, REASON_NOT_AUTHORIZED);
    expect_end(c);
}

static void
with_an_exchange_the_client_identifier_may_have_to_be_the_user_name_too(struct world *w)
{
    come_in(w, "eve", "eve", "pencil");
    struct scram_client d = device("eve", "pencil");
    struct client *c = begin(w, "other", &d);
    send_auth(c, REASON_CONTINUE_AUTHENTICATION, METHOD, scram_client_final(&d));
    expect_connack(c, REASON_CLIENT_IDENTIFIER_NOT_VALID);
    expect_end(c);
}

/* ----------------------------------------------------------------------------------------------------------------------- out of order */

/* MQTT5 [MQTT-3.1.2-30]. */
static void
before_connack_only_auth_and_disconnect_are_taken(struct world *w)
{
    struct scram_client d = device("eve", "pencil");
    struct client *c = begin(w, "e", &d);
    say(c, "t", "x");
    expect_end(c);
    c = begin(w, "e", &d);
    client_send(c, &(struct packet){.type = PACKET_PINGREQ});
    expect_end(c);
    d = device("eve", "pencil");
    c = begin(w, "e", &d);
    send_connect(c, "e", (struct hello){0});
    expect_end(c);
    d = device("eve", "pencil");
    c = begin(w, "e", &d);
    bye(c, 0);
    claim_equal(WORLD_COUNT(w, connects), 0);
}

static void
auth_packets_before_connack_have_to_go_on(struct world *w)
{
    struct scram_client d = device("eve", "pencil");
    struct client *c = begin(w, "e", &d);
    send_auth(c, REASON_REAUTHENTICATE, METHOD, scram_client_final(&d));
    expect_connack(c, REASON_PROTOCOL_ERROR);
    expect_end(c);
    d = device("eve", "pencil");
    c = begin(w, "e", &d);
    send_auth(c, REASON_CONTINUE_AUTHENTICATION, "SCRAM-SHA-1", scram_client_final(&d));
    expect_connack(c, REASON_PROTOCOL_ERROR);
    d = device("eve", "pencil");
    c = begin(w, "e", &d);
    send_auth(c, REASON_CONTINUE_AUTHENTICATION, METHOD, bytes_of(NULL, 0));
    expect_connack(c, REASON_PROTOCOL_ERROR);
}

static void
a_message_seen_before_proves_nothing(struct world *w)
{
    struct scram_client d = device("eve", "pencil");
    struct client *c = begin(w, "e", &d);
    struct scram_client heard = d;
    send_auth(c, REASON_CONTINUE_AUTHENTICATION, METHOD, scram_client_final(&d));
    expect_connack(c, REASON_SUCCESS);
    c = knock(w, 5, "f", .method = METHOD, .data = heard.first);
    expect_auth(c, REASON_CONTINUE_AUTHENTICATION);
    send_auth(c, REASON_CONTINUE_AUTHENTICATION, METHOD, scram_client_final(&heard));
    expect_connack(c, REASON_PROTOCOL_ERROR); /* not our nonce */
    expect_end(c);
}

static void
an_exchange_that_does_not_end_is_given_up(struct world *w)
{
    struct scram_client d = device("eve", "pencil");
    struct client *c = begin(w, "e", &d);
    pass_seconds(w, 11);
    expect_end(c);
    d = device("eve", "pencil");
    vanish(begin(w, "e", &d));
    pass_seconds(w, 5);
    claim_equal(WORLD_COUNT(w, sockets), 0);
}

static void
a_reload_while_it_is_under_way_counts(struct world *w)
{
    struct scram_client d = device("eve", "pencil"), same = device("zoe", "ink");
    struct client *c = begin(w, "e", &d), *z = begin(w, "z", &same);
    char text[4096] = "";
    FILE *file = fopen(users_path(), "r");
    for (char line[512]; fgets(line, sizeof line, file);) {
        strcat(text, strncmp(line, "eve", 3) == 0 ? "" : line);
    }
    fclose(file);
    users_clear();
    users_add_text(text);
    users_add("eve", PASSWORD_SCRAM, "pencil"); /* the same password with another salt */
    claim_text(bytes_from(users_reload(w, NULL)), "");
    send_auth(c, REASON_CONTINUE_AUTHENTICATION, METHOD, scram_client_final(&d));
    expect_connack(c, REASON_NOT_AUTHORIZED);
    send_auth(z, REASON_CONTINUE_AUTHENTICATION, METHOD, scram_client_final(&same));
    expect_connack(z, REASON_SUCCESS);
}

/* ------------------------------------------------------------------------------------------------------------- once more, while connected */

static void
a_client_authenticates_again_while_messages_go_on(struct world *w)
{
    struct client *c = come_in(w, "e", "eve", "pencil");
    subscribe(c, "t");
    for (unsigned i = 0; i < 3; i++) {
        struct scram_client d = device("eve", "pencil");
        send_auth(c, REASON_REAUTHENTICATE, METHOD, scram_client_first(&d));
        claim(scram_client_answer(&d, expect_auth(c, REASON_CONTINUE_AUTHENTICATION)));
        publish(c, "t", "meanwhile", .qos = 1);
        take(c, "t", "meanwhile", 0);
        send_auth(c, REASON_CONTINUE_AUTHENTICATION, METHOD, scram_client_final(&d));
        claim(scram_client_accepts(&d, expect_auth(c, REASON_SUCCESS)));
        ping(c);
    }
}

/* MQTT5 4.12.1: whoever fails is disconnected. */
static void
who_fails_to_authenticate_again_has_to_go(struct world *w)
{
    struct client *c = come_in(w, "e", "eve", "pencil");
    struct scram_client d = device("eve", "wrong");
    send_auth(c, REASON_REAUTHENTICATE, METHOD, scram_client_first(&d));
    claim(scram_client_answer(&d, expect_auth(c, REASON_CONTINUE_AUTHENTICATION)));
    send_auth(c, REASON_CONTINUE_AUTHENTICATION, METHOD, scram_client_final(&d));
    expect_disconnect(c, REASON_NOT_AUTHORIZED);
}

static void
nobody_becomes_somebody_else(struct world *w)
{
    struct client *c = come_in(w, "e", "eve", "pencil");
    struct scram_client d = device("zoe", "ink");
    send_auth(c, REASON_REAUTHENTICATE, METHOD, scram_client_first(&d));
    expect_disconnect(c, REASON_NOT_AUTHORIZED);
}

static void
a_wrong_order_while_connected_ends_the_connection(struct world *w)
{
    struct scram_client d = device("eve", "pencil");
    struct client *c = come_in(w, "e", "eve", "pencil");
    send_auth(c, REASON_CONTINUE_AUTHENTICATION, METHOD, scram_client_first(&d));
    expect_disconnect(c, REASON_PROTOCOL_ERROR);
    c = come_in(w, "e", "eve", "pencil");
    send_auth(c, REASON_REAUTHENTICATE, METHOD, scram_client_first(&d));
    expect_auth(c, REASON_CONTINUE_AUTHENTICATION);
    send_auth(c, REASON_REAUTHENTICATE, METHOD, scram_client_first(&d));
    expect_disconnect(c, REASON_PROTOCOL_ERROR);
    c = come_in(w, "e", "eve", "pencil");
    send_auth(c, REASON_REAUTHENTICATE, "PLAIN", scram_client_first(&d)); /* [MQTT-4.12.1-1] */
    expect_disconnect(c, REASON_PROTOCOL_ERROR);
    c = come_in(w, "e", "eve", "pencil");
    send_auth(c, REASON_REAUTHENTICATE, METHOD, bytes_of(NULL, 0));
    expect_disconnect(c, REASON_PROTOCOL_ERROR);
}

/* MQTT5 [MQTT-4.12.0-6] [MQTT-4.12.0-7]. */
static void
who_came_in_by_password_alone_may_not_send_auth(struct world *w)
{
    struct scram_client d = device("eve", "pencil");
    struct client *c = join(w, 5, "e", .user_name = "eve", .password = "pencil");
    claim(!properties_has(&greeting.connack.properties, PROPERTY_AUTHENTICATION_METHOD));
    send_auth(c, REASON_REAUTHENTICATE, METHOD, scram_client_first(&d));
    expect_disconnect(c, REASON_PROTOCOL_ERROR);
}

/* A new password and a reload disconnect; one who authenticates again with the new line is not asked for the old one. */
static void
the_reload_after_a_second_authentication_looks_at_the_line_of_that_one(struct world *w)
{
    struct client *c = come_in(w, "e", "eve", "pencil");
    struct scram_client d = device("eve", "pencil");
    send_auth(c, REASON_REAUTHENTICATE, METHOD, scram_client_first(&d));
    claim(scram_client_answer(&d, expect_auth(c, REASON_CONTINUE_AUTHENTICATION)));
    send_auth(c, REASON_CONTINUE_AUTHENTICATION, METHOD, scram_client_final(&d));
    expect_auth(c, REASON_SUCCESS);
    users_reload(w, NULL);
    ping(c);
    users_clear();
    users_add("eve", PASSWORD_SCRAM, "pencil");
    users_reload(w, NULL);
    expect_disconnect(c, REASON_NOT_AUTHORIZED);
}

static void
all_users(struct world *w, void (*dialogue)(struct world *))
{
    usual_users();
    claim_text(bytes_from(users_reload(w, NULL)), "");
    dialogue(w);
}

#define WITH_USERS(name)              \
    static void name##_(struct world *w) \
    {                                 \
        all_users(w, name);           \
    }

WITH_USERS(who_proves_the_password_is_let_in_and_told_that_we_know_it_too)
WITH_USERS(a_wrong_password_is_refused)
WITH_USERS(unknown_users_are_challenged_as_all_others)
WITH_USERS(a_connect_without_data_is_asked_for_it)
WITH_USERS(all_of_the_connect_counts_in_the_end)
WITH_USERS(a_method_that_there_is_not_is_refused)
WITH_USERS(malformed_messages_are_refused)
WITH_USERS(a_user_name_in_connect_has_to_be_the_one_in_the_exchange)
WITH_USERS(with_an_exchange_the_client_identifier_may_have_to_be_the_user_name_too)
WITH_USERS(before_connack_only_auth_and_disconnect_are_taken)
WITH_USERS(auth_packets_before_connack_have_to_go_on)
WITH_USERS(a_message_seen_before_proves_nothing)
WITH_USERS(an_exchange_that_does_not_end_is_given_up)
WITH_USERS(a_reload_while_it_is_under_way_counts)
WITH_USERS(a_client_authenticates_again_while_messages_go_on)
WITH_USERS(who_fails_to_authenticate_again_has_to_go)
WITH_USERS(nobody_becomes_somebody_else)
WITH_USERS(a_wrong_order_while_connected_ends_the_connection)
WITH_USERS(who_came_in_by_password_alone_may_not_send_auth)
WITH_USERS(the_reload_after_a_second_authentication_looks_at_the_line_of_that_one)

#define TELL_OF(name, with) {#name, name##_, with, 0}

static const struct dialogue dialogues[] = {
    TELL_OF(who_proves_the_password_is_let_in_and_told_that_we_know_it_too, options),
    TELL_OF(a_wrong_password_is_refused, options),
    TELL_OF(unknown_users_are_challenged_as_all_others, options),
    TELL_OF(a_connect_without_data_is_asked_for_it, options),
    TELL_OF(all_of_the_connect_counts_in_the_end, options),
    TELL_OF(a_method_that_there_is_not_is_refused, options),
    TELL_WITH(without_a_password_file_there_is_no_method, open_to_all),
    TELL_OF(malformed_messages_are_refused, options),
    TELL_OF(a_user_name_in_connect_has_to_be_the_one_in_the_exchange, options),
    TELL_OF(with_an_exchange_the_client_identifier_may_have_to_be_the_user_name_too, equal),
    TELL_OF(before_connack_only_auth_and_disconnect_are_taken, options),
    TELL_OF(auth_packets_before_connack_have_to_go_on, options),
    TELL_OF(a_message_seen_before_proves_nothing, options),
    TELL_OF(an_exchange_that_does_not_end_is_given_up, options),
    TELL_OF(a_reload_while_it_is_under_way_counts, options),
    TELL_OF(a_client_authenticates_again_while_messages_go_on, options),
    TELL_OF(who_fails_to_authenticate_again_has_to_go, options),
    TELL_OF(nobody_becomes_somebody_else, options),
    TELL_OF(a_wrong_order_while_connected_ends_the_connection, options),
    TELL_OF(who_came_in_by_password_alone_may_not_send_auth, options),
    TELL_OF(the_reload_after_a_second_authentication_looks_at_the_line_of_that_one, options),
};

int
main(int argc, char **argv)
{
    users_open();
    usual_users();
    snprintf(options, sizeof options, "allow_anonymous false\npassword_file %s\n", users_path());
    snprintf(equal, sizeof equal, "%sclientid_is_username true\n", options);
    int failed = dialogue_main(dialogues, sizeof dialogues / sizeof *dialogues, argc, argv);
    users_close();
    return failed;
}
