#include "engine/access/acl.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define ACL_TEXT(text) read_text(text, sizeof(text) - 1)

static struct acl *
read_text(const char *text, size_t size)
{
    char error[300] = "";
    struct acl *acl = acl_parse(text, size, "acl", error, sizeof error);
    if (acl == NULL) {
        fail_msg("%s", error);
    }
    acl_check(acl);
    return acl;
}

static struct bytes
text_of(const char *text)
{
    return bytes_of(text, text ? (uint32_t)strlen(text) : 0);
}

/* `user` NULL: anonymous. */
static struct acl_subject
subject_of(const char *client_id, const char *user)
{
    return (struct acl_subject){.client_id = text_of(client_id), .user = text_of(user), .named = user != NULL};
}

static bool
asks(const struct acl *acl, const struct acl_subject *subject, enum acl_access access, const char *name)
{
    struct acl_topic topic;
    acl_cut_topic(text_of(name), &topic);
    struct acl_rights rights = acl_find_rights(acl, subject);
    return acl_allows(acl, &rights, subject, access, &topic);
}

static bool
may(const struct acl *acl, const char *client_id, const char *user, enum acl_access access, const char *name)
{
    struct acl_subject subject = subject_of(client_id, user);
    return asks(acl, &subject, access, name);
}

static bool
may_subscribe(const struct acl *acl, const char *client_id, const char *user, const char *filter)
{
    struct acl_subject subject = subject_of(client_id, user);
    struct acl_rights rights = acl_find_rights(acl, &subject);
    return acl_may_subscribe(acl, &rights, &subject, text_of(filter));
}

#define R ACL_READ
#define W ACL_WRITE

/* ------------------------------------------------------------------------------------------------------------------- meaning */

static void
an_empty_file_grants_nothing(void **state)
{
    (void)state;
    struct acl *acl = ACL_TEXT("");
    assert_false(may(acl, "c", NULL, R, "a"));
    assert_false(may(acl, "c", "u", W, "a"));
    assert_false(may_subscribe(acl, "c", "u", "#"));
    acl_free(&acl);
    assert_null(acl);
}

static void
rules_before_a_user_are_for_anonymous_clients_only(void **state)
{
    (void)state;
    struct acl *acl = ACL_TEXT("topic read news/#\nuser ann\ntopic house/+\n");
    assert_true(may(acl, "c", NULL, R, "news/a/b"));
    assert_true(may(acl, "c", NULL, R, "news"));
    assert_false(may(acl, "c", NULL, W, "news/a"));
    assert_false(may(acl, "c", "ann", R, "news/a"));
    assert_false(may(acl, "c", "bob", R, "news/a"));
    assert_true(may(acl, "c", "ann", R, "house/door"));
    assert_true(may(acl, "c", "ann", W, "house/door"));
    assert_false(may(acl, "c", "ann", W, "house/door/bell"));
    assert_false(may(acl, "c", "bob", W, "house/door"));
    assert_false(may(acl, "c", "", R, "news/a")); /* an empty user name is a name */
    acl_free(&acl);
}

static void
access_is_what_the_line_says(void **state)
{
    (void)state;
    struct acl *acl = ACL_TEXT("topic read r\ntopic write w\ntopic readwrite b\ntopic both\ntopic read x\ntopic write x\n");
    const char *names[] = {"r", "w", "b", "both", "x"};
    const bool reads[] = {true, false, true, true, true}, writes[] = {false, true, true, true, true};
    for (int i = 0; i < 5; i++) {
        assert_int_equal(may(acl, "c", NULL, R, names[i]), reads[i]);
        assert_int_equal(may(acl, "c", NULL, W, names[i]), writes[i]);
    }
    acl_free(&acl);
}

static void
denials_come_first_wherever_they_stand(void **state)
{
    (void)state;
    struct acl *acl = ACL_TEXT("user ann\ntopic a/#\ntopic deny a/secret/#\npattern p/#\npattern deny p/%c/x\nuser bob\ntopic p/bob/x\n");
    assert_true(may(acl, "c", "ann", R, "a/b"));
    assert_false(may(acl, "c", "ann", R, "a/secret"));
    assert_false(may(acl, "c", "ann", W, "a/secret/b"));
    assert_true(may(acl, "c", "ann", R, "p/bob/x"));
    assert_false(may(acl, "bob", "ann", R, "p/bob/x"));
    assert_true(may(acl, "bob", "bob", R, "p/bob/x")); /* a client's own list is before the patterns */
    acl_free(&acl);
}

static void
own_denials_are_before_patterns_that_grant(void **state)
{
    (void)state;
    struct acl *acl = ACL_TEXT("user ann\ntopic deny a/b\npattern a/#\n");
    assert_false(may(acl, "c", "ann", R, "a/b"));
    assert_true(may(acl, "c", "ann", R, "a/c"));
    assert_true(may(acl, "c", "bob", R, "a/b"));
    acl_free(&acl);
}

static void
patterns_stand_for_identifier_and_user(void **state)
{
    (void)state;
    struct acl *acl = ACL_TEXT("pattern readwrite devices/%c/#\npattern read users/%u\npattern write %u/%c/%c\npattern dev-%c/%u%c/x\n");
    assert_true(may(acl, "d1", NULL, W, "devices/d1/state"));
    assert_true(may(acl, "d1", "u", R, "devices/d1"));
    assert_false(may(acl, "d1", "u", R, "devices/d2"));
    assert_false(may(acl, "d1", "u", R, "devices/d11"));
    assert_true(may(acl, "d1", "u", R, "users/u"));
    assert_false(may(acl, "d1", NULL, R, "users/u"));
    assert_false(may(acl, "d1", NULL, R, "users/"));
    assert_true(may(acl, "d1", "u", W, "u/d1/d1"));
    assert_false(may(acl, "d1", "u", W, "u/d1/d2"));
    assert_true(may(acl, "d1", "u", W, "dev-d1/ud1/x"));
    assert_false(may(acl, "d1", "u", W, "dev-d1/u/x"));
    assert_false(may(acl, "d1", "u", W, "dev-/u/x"));
    acl_free(&acl);
}

static void
topic_lines_have_no_variables(void **state)
{
    (void)state;
    struct acl *acl = ACL_TEXT("topic devices/%c\n");
    assert_false(may(acl, "d1", NULL, R, "devices/d1"));
    assert_true(may(acl, "d1", NULL, R, "devices/%c"));
    acl_free(&acl);
}

/* CVE-2017-7650 and its kin: nobody widens a pattern by a name. */
static void
hostile_names_never_match_patterns(void **state)
{
    (void)state;
    struct acl *acl = ACL_TEXT("pattern a/%c\npattern b/%u/#\npattern open/#\npattern dev-%c\nuser +\ntopic own\n");
    static const char *const hostile[] = {"+", "#", "x+", "#x", "a/#"};
    for (unsigned i = 0; i < sizeof hostile / sizeof hostile[0]; i++) {
        assert_false(may(acl, hostile[i], "u", R, "a/x"));
        assert_false(may(acl, hostile[i], "u", R, "open/x")); /* as Mosquitto: nothing from any pattern */
        assert_false(may(acl, "c", hostile[i], R, "b/x"));
        assert_false(may(acl, "c", hostile[i], R, "open/x"));
        assert_false(may_subscribe(acl, hostile[i], "u", "#"));
    }
    assert_true(may(acl, "c", "+", R, "own"));
    assert_false(may(acl, "x/y", "u", R, "a/x/y"));
    assert_false(may(acl, "x/y", "u", R, "a/x"));
    assert_true(may(acl, "x/y", "u", R, "open/x"));
    assert_false(may(acl, "/", "u", R, "a//"));
    assert_false(may(acl, "", "u", R, "a/"));
    assert_false(may(acl, "", "u", R, "dev-"));
    assert_false(may(acl, "c", "", R, "b/"));
    assert_false(may(acl, "x\ny", "u", R, "a/x\ny"));
    assert_false(may(acl, "x\xc2\x85", "u", R, "a/x\xc2\x85"));
    assert_true(may(acl, "x\xc3\xa4", "u", R, "a/x\xc3\xa4"));
    acl_free(&acl);
}

static void
wildcards_and_variables_leave_dollar_topics_alone(void **state)
{
    (void)state;
    struct acl *acl = ACL_TEXT("topic #\ntopic +/x\npattern %c/y\npattern $%c/z\npattern read $SYS/#\nuser s\ntopic read $SYS/broker/+\n");
    assert_false(may(acl, "$SYS", NULL, R, "$Q/x"));
    assert_false(may(acl, "$Q", "u", W, "$Q/y"));
    assert_true(may(acl, "Q", "u", W, "$Q/z"));
    assert_true(may(acl, "Q", "u", W, "Q/y"));
    assert_true(may(acl, "c", "u", R, "$SYS/broker/uptime"));
    assert_false(may(acl, "c", "u", W, "$SYS/broker/uptime"));
    assert_true(may(acl, "c", "s", R, "$SYS/broker/uptime"));
    assert_true(may(acl, "c", NULL, R, "a/$b"));
    acl_free(&acl);
}

static void
claims_stand_in_patterns(void **state)
{
    (void)state;
    struct acl *acl = ACL_TEXT("pattern tenants/%{tenant}/%c/#\npattern t-%{tenant}-%{role}\n");
    struct principal_claim claims[] = {{text_of("role"), text_of("admin")}, {text_of("tenant"), text_of("acme")}};
    struct acl_subject s = {.client_id = text_of("d"), .claims = claims, .claim_count = 2};
    assert_true(asks(acl, &s, R, "tenants/acme/d/x"));
    assert_false(asks(acl, &s, R, "tenants/other/d/x"));
    assert_true(asks(acl, &s, R, "t-acme-admin"));
    s.claim_count = 1;
    assert_false(asks(acl, &s, R, "tenants/acme/d/x"));
    assert_false(asks(acl, &s, R, "tenants//d/x"));
    static const char *const hostile[] = {"+", "#", "a/b", "", "x\n"};
    for (unsigned i = 0; i < sizeof hostile / sizeof hostile[0]; i++) {
        claims[0] = (struct principal_claim){text_of("tenant"), text_of(hostile[i])};
        assert_false(asks(acl, &s, R, "tenants/a/d/x"));
        assert_false(asks(acl, &s, R, "tenants/x\n/d/x"));
        assert_false(asks(acl, &s, R, "tenants//d/x"));
    }
    acl_free(&acl);
}

static void
subscribing_needs_something_that_may_be_read(void **state)
{
    (void)state;
    struct acl *acl = ACL_TEXT("topic read a/b/c\ntopic write w/#\ntopic read h/#\ntopic deny h/no/#\npattern read d/%c/+/x\n");
    static const struct {
        const char *filter;
        bool granted;
    } cases[] = {
        {"a/b/c", true},   {"a/b", false},  {"a/b/+", true}, {"a/#", true},    {"#", true},       {"+/b/c", true},  {"w/b/+", false}, {"a/b/c/#", true},  {"a/b/c/d/#", false},
        {"w/#", false},    {"w", false},    {"h", true},     {"h/no", false},  {"h/no/#", false}, {"h/no/+", false}, {"h/+", true},    {"h/+/x", true},    {"d/me/1/x", true},
        {"d/you/1/x", false}, {"d/+/1/x", true}, {"d/+/+/y", false}, {"d/me/#", true}, {"d/you/#", false}, {"$SYS/#", false}, {"+/+/+/+/+", true}, {"+", true}, {"q/#", false},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (may_subscribe(acl, "me", NULL, cases[i].filter) != cases[i].granted) {
            fail_msg("%s: %s", cases[i].filter, cases[i].granted ? "is to be granted" : "is to be refused");
        }
    }
    acl_free(&acl);
}

static void
a_topic_with_too_many_levels_is_nobodys(void **state)
{
    (void)state;
    struct acl *acl = ACL_TEXT("topic #\n");
    char name[TOPIC_LEVELS_MAX + 2];
    memset(name, '/', sizeof name);
    name[TOPIC_LEVELS_MAX - 1] = '\0';
    assert_true(may(acl, "c", NULL, R, name));
    name[TOPIC_LEVELS_MAX - 1] = '/';
    name[TOPIC_LEVELS_MAX] = '\0';
    assert_false(may(acl, "c", NULL, R, name));
    acl_free(&acl);
}

/* ------------------------------------------------------------------------------------------------------------------- grammar */

static void
lines_are_cut_as_mosquitto_does(void **state)
{
    (void)state;
    struct acl *acl = ACL_TEXT("# comment\r\n\n   \t \n  topic   read   with space /x  \r\n"
                               "topic read\n" /* no access: the topic 'read' */
                               "user  ann b \ntopic write\tlast\ntopic readwrite # \nuser ann b\ntopic again");
    assert_true(may(acl, "c", NULL, R, "with space /x"));
    assert_false(may(acl, "c", NULL, W, "with space /x"));
    assert_true(may(acl, "c", NULL, W, "read"));
    assert_true(may(acl, "c", "ann b", W, "write\tlast"));
    assert_true(may(acl, "c", "ann b", R, "again"));
    assert_true(may(acl, "c", "ann b", R, "any/thing"));
    acl_free(&acl);
}

static void
a_wrong_line_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *text, *error;
    } cases[] = {
        {"topic", "acl:1: a topic filter is missing"},
        {"\n\npattern  \n", "acl:3: a topic filter is missing"},
        {"topic a/#\ntopic reed a\n", "acl:2: 'reed' is not read, write, readwrite or deny"},
        {"topic read a/#/b\n", "acl:1: 'a/#/b' is not a topic filter"},
        {"topic read a+\n", "acl:1: 'a+' is not a topic filter"},
        {"pattern read %c+\n", "acl:1: '%c+' is not a topic filter"},
        {"topic a/\xff\n", "acl:1: 'a/?' is not a topic filter"},
        {"user\n", "acl:1: a user name is missing"},
        {"user \xff\n", "acl:1: no client can have this user name"},
        {"users x\n", "acl:1: 'users' is not topic, pattern or user"},
        {" # late comment\n", "acl:1: '#' is not topic, pattern or user"},
        {"topic\ta\n", "acl:1: 'topic?a' is not topic, pattern or user"},
        {"pattern read %{/x\n", "acl:1: a claim is written %{name}, in '%{/x'"},
        {"pattern read x%{}y\n", "acl:1: a claim is written %{name}, in 'x%{}y'"},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char error[300] = "";
        struct acl *acl = acl_parse(cases[i].text, strlen(cases[i].text), "acl", error, sizeof error);
        assert_null(acl);
        assert_string_equal(error, cases[i].error);
    }
    char error[300];
    assert_null(acl_parse("topic a\0b\n", 10, "acl", error, sizeof error));
    assert_string_equal(error, "acl:1: a zero byte");
}

static void
a_file_that_cannot_be_read_is_named(void **state)
{
    (void)state;
    char error[300];
    assert_null(acl_read("/nowhere/acl", error, sizeof error));
    assert_string_equal(error, "/nowhere/acl: the access list cannot be read: No such file or directory");
    assert_null(acl_read("/", error, sizeof error));
    assert_string_equal(error, "/: the access list cannot be read: Is a directory");
}

static void
a_file_of_any_size_is_read_whole(void **state)
{
    (void)state;
    char path[] = "/tmp/acl-XXXXXX";
    int fd = mkstemp(path);
    FILE *file = fdopen(fd, "w");
    for (int i = 0; i < 20000; i++) {
        fprintf(file, "user u%d\ntopic read some/longer/topic/than/fits/in/twenty-eight-bytes-%d/x\n", i, i);
    }
    fclose(file);
    char error[300];
    struct acl *acl = acl_read(path, error, sizeof error);
    assert_non_null(acl);
    acl_check(acl);
    unlink(path);
    for (int i = 0; i < 20000; i += 7) {
        char user[32], name[100], other[100];
        snprintf(user, sizeof user, "u%d", i);
        snprintf(name, sizeof name, "some/longer/topic/than/fits/in/twenty-eight-bytes-%d/x", i);
        snprintf(other, sizeof other, "some/longer/topic/than/fits/in/twenty-eight-bytes-%d/x", i + 1);
        assert_true(may(acl, "c", user, R, name));
        assert_false(may(acl, "c", user, R, other));
    }
    acl_free(&acl);
}

/* --------------------------------------------------------------------------------------------------- against a slow obvious twin */

enum { DENY = 4, RULES_MAX = 24, TEXT = 64 };

struct twin_rule {
    int list; /* 0: anonymous, 1 and 2: users, 3: patterns */
    uint8_t rule;
    char filter[TEXT];
};

struct twin {
    struct twin_rule rules[RULES_MAX];
    unsigned count;
    bool denies;
};

static const char *const twin_users[] = {NULL, "a", "u+", "b"};
static const char *const twin_ids[] = {"a", "b", "c", "a/b", "+", "x#", "aa", ""};
static const struct principal_claim twin_claims[] = {{{(const uint8_t *)"t", 1}, {(const uint8_t *)"b", 1}}, {{(const uint8_t *)"bad", 3}, {(const uint8_t *)"a/b", 3}}};

static uint64_t seed = 1;

static unsigned
below(unsigned n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(seed >> 33) % n;
}

static void
make_filter(char *out, bool variables, bool wildcards)
{
    static const char *const plain[] = {"a", "b", "c", "", "$x", "da"};
    static const char *const variable[] = {"%c", "%u", "d%c", "%u%u", "%{t}", "%{bad}", "$%c", "%{none}"};
    unsigned levels = 1 + below(3);
    out[0] = '\0';
    for (unsigned i = 0; i < levels; i++) {
        unsigned kind = below(10);
        if (i > 0) {
            strcat(out, "/");
        }
        if (wildcards && kind == 0) {
            strcat(out, "#");
            return;
        }
        strcat(out, wildcards && kind < 3 ? "+" : variables && kind < 7 ? variable[below(8)] : plain[below(6)]);
    }
    if (out[0] == '\0') {
        strcpy(out, "a");
    }
}

static void
make_twin(struct twin *twin, char *text, size_t room)
{
    int user = 0; /* of the last line */
    size_t at = 0;
    bool denies = below(2);
    *twin = (struct twin){.count = below(RULES_MAX)};
    for (unsigned i = 0; i < twin->count; i++) {
        static const char *const words[] = {"", "read ", "write ", "readwrite ", "deny "};
        struct twin_rule *r = &twin->rules[i];
        r->list = (int)below(4);
        r->rule = (uint8_t)(1 + below(denies ? 4 : 3));
        twin->denies |= r->rule == DENY;
        make_filter(r->filter, r->list == 3, true);
        if (r->list == 0 && user != 0) {
            r->list = user; /* anonymous rules can only stand at the start */
        }
        if (r->list != 3 && r->list != user) {
            user = r->list;
            at += (size_t)snprintf(text + at, room - at, "user %s\n", twin_users[user]);
        }
        at += (size_t)snprintf(text + at, room - at, "%s %s%s\n", r->list == 3 ? "pattern" : "topic", r->rule == 3 && below(2) ? "" : words[r->rule], r->filter);
    }
    text[at] = '\0';
}

static bool
twin_value(char *out, const struct acl_subject *s, const char *variable)
{
    struct bytes value = bytes_of(NULL, 0);
    if (variable[1] == 'c') {
        value = s->client_id;
    } else if (variable[1] == 'u') {
        value = s->named ? s->user : value;
    } else {
        value = strncmp(variable, "%{t}", 4) == 0 ? twin_claims[0].value : strncmp(variable, "%{bad}", 6) == 0 ? twin_claims[1].value : value;
    }
    if (value.size == 0 || memchr(value.data, '/', value.size) || memchr(value.data, '+', value.size) || memchr(value.data, '#', value.size)) {
        return false;
    }
    strncat(out, (const char *)value.data, value.size);
    return true;
}

static bool
twin_matches(const struct twin_rule *r, const struct acl_subject *s, const char *name)
{
    char filter[TEXT * 4] = "";
    for (const char *at = r->filter; *at; at++) {
        if (r->list != 3 || *at != '%') {
            strncat(filter, at, 1);
            continue;
        }
        if (!twin_value(filter, s, at)) {
            return false;
        }
        at = at[1] == '{' ? strchr(at, '}') : at + 1;
    }
    return (r->filter[0] == '$') == (name[0] == '$') && topic_match(text_of(filter), text_of(name));
}

static bool
twin_has(const struct twin *twin, int list, uint8_t rule, const struct acl_subject *s, const char *name)
{
    for (unsigned i = 0; i < twin->count; i++) {
        const struct twin_rule *r = &twin->rules[i];
        if (r->list == list && (r->rule & rule) && twin_matches(r, s, name)) {
            return true;
        }
    }
    return false;
}

static bool
twin_allows(const struct twin *twin, const struct acl_subject *s, int list, enum acl_access access, const char *name)
{
    bool hostile = memchr(s->client_id.data, '+', s->client_id.size) || memchr(s->client_id.data, '#', s->client_id.size) ||
                   (s->named && memchr(s->user.data, '+', s->user.size));
    if (twin_has(twin, list, DENY, s, name)) {
        return false;
    }
    if (twin_has(twin, list, (uint8_t)access, s, name)) {
        return true;
    }
    return !hostile && !twin_has(twin, 3, DENY, s, name) && twin_has(twin, 3, (uint8_t)access, s, name);
}

enum { NAMES_MAX = 4000, NAME = 16 };
static char names[NAMES_MAX][NAME];
static unsigned name_count;

/* All topics of up to three levels that the rules can tell apart, and some that they do not know. */
static void
make_names(const char *prefix, unsigned depth)
{
    static const char *const levels[] = {"a", "b", "c", "", "da", "db", "dc", "aa", "cc", "daa", "$x", "$a", "$b", "$c", "$aa"};
    for (unsigned i = 0; i < 15; i++) {
        char *name = names[name_count];
        int size = snprintf(name, NAME, "%s%s%s", prefix, depth ? "/" : "", levels[i]);
        assert_true(size < NAME);
        name_count += size > 0;
        assert_true(name_count < NAMES_MAX);
        if (depth < 2) {
            make_names(size > 0 ? name : "", depth + 1);
        }
    }
}

static void
check_against_twin(const struct acl *acl, const struct twin *twin, const char *text, int list, const char *client_id)
{
    struct acl_subject s = subject_of(client_id, list == 3 ? "c" : twin_users[list]);
    s.claims = twin_claims;
    s.claim_count = 2;
    struct acl_rights rights = acl_find_rights(acl, &s);
    for (unsigned i = 0; i < 60; i++) {
        const char *name = names[below(name_count)];
        enum acl_access access = below(2) ? ACL_READ : ACL_WRITE;
        struct acl_topic topic;
        acl_cut_topic(text_of(name), &topic);
        if (acl_allows(acl, &rights, &s, access, &topic) != twin_allows(twin, &s, list == 3 ? 4 : list, access, name)) {
            fail_msg("client '%s' user %s, access %d of '%s', seed %llu:\n%s", client_id, list == 3 ? "c" : twin_users[list], access, name, (unsigned long long)seed, text);
        }
    }
}

static void
check_filter_against_twin(const struct acl *acl, const struct twin *twin, const char *text, int list, const char *client_id)
{
    struct acl_subject s = subject_of(client_id, list == 3 ? "c" : twin_users[list]);
    s.claims = twin_claims;
    s.claim_count = 2;
    struct acl_rights rights = acl_find_rights(acl, &s);
    char filter[TEXT];
    make_filter(filter, false, true);
    bool any = false;
    for (unsigned i = 0; i < name_count && !any; i++) {
        any = topic_match(text_of(filter), text_of(names[i])) && twin_allows(twin, &s, list == 3 ? 4 : list, ACL_READ, names[i]);
    }
    bool granted = acl_may_subscribe(acl, &rights, &s, text_of(filter));
    if (any ? !granted : granted && !twin->denies) {
        fail_msg("client '%s' user %s, filter '%s' is %s:\n%s", client_id, list == 3 ? "c" : twin_users[list], filter, granted ? "granted" : "refused", text);
    }
}

static void
answers_are_those_of_the_slow_twin(void **state)
{
    (void)state;
    name_count = 0;
    make_names("", 0);
    for (unsigned round = 0; round < 3000; round++) {
        struct twin twin;
        char text[RULES_MAX * (TEXT + 32)];
        make_twin(&twin, text, sizeof text);
        struct acl *acl = read_text(text, strlen(text));
        for (int list = 0; list < 4; list++) {
            check_against_twin(acl, &twin, text, list, twin_ids[below(8)]);
            if (round % 8 == 0) {
                check_filter_against_twin(acl, &twin, text, list, twin_ids[below(8)]);
            }
        }
        acl_free(&acl);
    }
}

int
main(void)
{
    levels_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_file_grants_nothing),
        cmocka_unit_test(rules_before_a_user_are_for_anonymous_clients_only),
        cmocka_unit_test(access_is_what_the_line_says),
        cmocka_unit_test(denials_come_first_wherever_they_stand),
        cmocka_unit_test(own_denials_are_before_patterns_that_grant),
        cmocka_unit_test(patterns_stand_for_identifier_and_user),
        cmocka_unit_test(topic_lines_have_no_variables),
        cmocka_unit_test(hostile_names_never_match_patterns),
        cmocka_unit_test(wildcards_and_variables_leave_dollar_topics_alone),
        cmocka_unit_test(claims_stand_in_patterns),
        cmocka_unit_test(subscribing_needs_something_that_may_be_read),
        cmocka_unit_test(a_topic_with_too_many_levels_is_nobodys),
        cmocka_unit_test(lines_are_cut_as_mosquitto_does),
        cmocka_unit_test(a_wrong_line_is_named),
        cmocka_unit_test(a_file_that_cannot_be_read_is_named),
        cmocka_unit_test(a_file_of_any_size_is_read_whole),
        cmocka_unit_test(answers_are_those_of_the_slow_twin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
