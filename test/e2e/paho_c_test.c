/*
 * paho_c_test: Eclipse Paho C's synchronous client (MQTTClient, libpaho-mqtt3c) against a running broker, versions 3.1, 3.1.1 and 5.
 *
 * A client that nobody here wrote. paho_c_test.py starts the broker, builds this when nobody else did, and runs it:
 *
 *     cc -o paho_c_test paho_c_test.c -lpaho-mqtt3c && ./paho_c_test PORT
 *
 * Prints a line per claim. Exit code 0: all held; 1: one did not; 2: wrong arguments. Statement numbers are MQTT 5.0's.
 */
#include <MQTTClient.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WAIT_MS 8000
#define QUIET_MS 200

static char address[64];
static const char *claim;
static int failures;

#define CHECK(condition)                                                                                   \
    do {                                                                                                   \
        if (!(condition)) {                                                                                \
            printf("FAILED  %s: %s (line %d)\n", claim, #condition, __LINE__);                             \
            failures++;                                                                                    \
            return;                                                                                        \
        }                                                                                                  \
    } while (0)

struct client {
    MQTTClient handle;
    int version;
    bool session_present;
};

struct options {
    bool keep_session;
    const char *will_topic;
    int receive_maximum;
};

static const int versions[] = {MQTTVERSION_3_1, MQTTVERSION_3_1_1, MQTTVERSION_5};
#define VERSION_COUNT (sizeof versions / sizeof versions[0])

static const char *
new_name(void)
{
    static char name[24];
    static unsigned number;
    snprintf(name, sizeof name, "pahoc%dn%u", (int)getpid(), ++number);
    return name;
}

static bool
connect_client(struct client *c, int version, const char *name, const struct options *wanted)
{
    MQTTClient_createOptions create = MQTTClient_createOptions_initializer;
    create.MQTTVersion = version;
    if (MQTTClient_createWithOptions(&c->handle, address, name, MQTTCLIENT_PERSISTENCE_NONE, NULL, &create) != MQTTCLIENT_SUCCESS) {
        return false;
    }
    c->version = version;

    MQTTClient_willOptions will = MQTTClient_willOptions_initializer;
    if (wanted->will_topic != NULL) {
        will.topicName = wanted->will_topic;
        will.message = "gone";
        will.qos = 1;
    }
    if (version == MQTTVERSION_5) {
        MQTTClient_connectOptions connect = MQTTClient_connectOptions_initializer5;
        connect.will = wanted->will_topic != NULL ? &will : NULL;
        connect.cleanstart = !wanted->keep_session;
        MQTTProperties properties = MQTTProperties_initializer;
        MQTTProperty expiry = {.identifier = MQTTPROPERTY_CODE_SESSION_EXPIRY_INTERVAL, .value.integer4 = 60};
        MQTTProperty maximum = {.identifier = MQTTPROPERTY_CODE_RECEIVE_MAXIMUM, .value.integer2 = (unsigned short)wanted->receive_maximum};
        if (wanted->keep_session) {
            MQTTProperties_add(&properties, &expiry);
        }
        if (wanted->receive_maximum != 0) {
            MQTTProperties_add(&properties, &maximum);
        }
        MQTTResponse response = MQTTClient_connect5(c->handle, &connect, &properties, NULL);
        bool connected = response.reasonCode == MQTTREASONCODE_SUCCESS;
        MQTTResponse_free(response);
        MQTTProperties_free(&properties);
        c->session_present = connect.returned.sessionPresent != 0;
        return connected;
    }
    MQTTClient_connectOptions connect = MQTTClient_connectOptions_initializer;
    connect.MQTTVersion = version;
    connect.cleansession = !wanted->keep_session;
    connect.will = wanted->will_topic != NULL ? &will : NULL;
    bool connected = MQTTClient_connect(c->handle, &connect) == MQTTCLIENT_SUCCESS;
    c->session_present = connect.returned.sessionPresent != 0;
    return connected;
}

static bool
open_client(struct client *c, int version)
{
    return connect_client(c, version, new_name(), &(struct options){0});
}

static void
close_client(struct client *c)
{
    if (c->version == MQTTVERSION_5) {
        MQTTClient_disconnect5(c->handle, 1000, MQTTREASONCODE_SUCCESS, NULL);
    } else {
        MQTTClient_disconnect(c->handle, 1000);
    }
    MQTTClient_destroy(&c->handle);
}

/* The granted QoS, or a failure code. */
static int
subscribe(struct client *c, const char *filter, int qos)
{
    if (c->version != MQTTVERSION_5) {
        return MQTTClient_subscribe(c->handle, filter, qos) == MQTTCLIENT_SUCCESS ? qos : -1;
    }
    MQTTResponse response = MQTTClient_subscribe5(c->handle, filter, qos, NULL, NULL);
    int code = response.reasonCode;
    MQTTResponse_free(response);
    return code;
}

/* Publishes and waits for the end of the handshake. */
static bool
publish(struct client *c, const char *topic, const void *payload, size_t size, int qos, bool retained, MQTTProperties *properties)
{
    MQTTClient_message message = MQTTClient_message_initializer;
    message.payload = (void *)(uintptr_t)payload;
    message.payloadlen = (int)size;
    message.qos = qos;
    message.retained = retained;
    MQTTClient_deliveryToken token;
    if (c->version == MQTTVERSION_5) {
        if (properties != NULL) {
            message.properties = *properties;
        }
        MQTTResponse response = MQTTClient_publishMessage5(c->handle, topic, &message, &token);
        bool sent = response.reasonCode == MQTTREASONCODE_SUCCESS;
        MQTTResponse_free(response);
        if (!sent) {
            return false;
        }
    } else if (MQTTClient_publishMessage(c->handle, topic, &message, &token) != MQTTCLIENT_SUCCESS) {
        return false;
    }
    return qos == 0 || MQTTClient_waitForCompletion(c->handle, token, WAIT_MS) == MQTTCLIENT_SUCCESS;
}

static bool
publish_text(struct client *c, const char *topic, const char *text, int qos, bool retained)
{
    return publish(c, topic, text, strlen(text), qos, retained, NULL);
}

/* The next message, or NULL; now the caller's, with its topic. */
static MQTTClient_message *
next_message(struct client *c, char **topic, unsigned long wait_ms)
{
    MQTTClient_message *message = NULL;
    int topic_size = 0;
    *topic = NULL;
    int code = MQTTClient_receive(c->handle, topic, &topic_size, &message, wait_ms);
    return code == MQTTCLIENT_SUCCESS || code == MQTTCLIENT_TOPICNAME_TRUNCATED ? message : NULL;
}

static void
free_message(MQTTClient_message *message, char *topic)
{
    MQTTClient_freeMessage(&message);
    MQTTClient_free(topic);
}

static bool
next_is(struct client *c, const char *topic, const char *text, int qos, bool retained)
{
    char *got_topic;
    MQTTClient_message *m = next_message(c, &got_topic, WAIT_MS);
    if (m == NULL) {
        return false;
    }
    bool same = strcmp(topic, got_topic) == 0 && (size_t)m->payloadlen == strlen(text) && memcmp(m->payload, text, strlen(text)) == 0 && m->qos == qos &&
                (m->retained != 0) == retained;
    if (!same) {
        printf("        got %s '%.*s' qos %d retained %d; expected %s '%s' qos %d retained %d\n", got_topic, m->payloadlen < 40 ? m->payloadlen : 40, (char *)m->payload,
               m->qos, m->retained, topic, text, qos, retained);
    }
    free_message(m, got_topic);
    return same;
}

static bool
nothing_comes(struct client *c)
{
    char *topic;
    MQTTClient_message *m = next_message(c, &topic, QUIET_MS);
    if (m != NULL) {
        free_message(m, topic);
    }
    return m == NULL;
}

/* ------------------------------------------------------------------------------------------------------------ claims */

/* [MQTT-3.8.4-8] */
static void
every_version_reaches_every_version_at_every_qos(void)
{
    for (size_t from = 0; from < VERSION_COUNT; from++) {
        for (size_t to = 0; to < VERSION_COUNT; to++) {
            struct client a, b;
            CHECK(open_client(&a, versions[from]));
            CHECK(open_client(&b, versions[to]));
            for (int granted = 0; granted <= 2; granted++) {
                char topic[64];
                snprintf(topic, sizeof topic, "pahoc/matrix/%zu/%zu/%d", from, to, granted);
                CHECK(subscribe(&b, topic, granted) == granted);
                for (int qos = granted == 2 ? 0 : 2; qos <= 2; qos++) {
                    CHECK(publish_text(&a, topic, "payload", qos, false));
                    CHECK(next_is(&b, topic, "payload", qos < granted ? qos : granted, false));
                }
            }
            close_client(&a);
            close_client(&b);
        }
    }
}

static void
one_megabyte_arrives_whole(void)
{
    enum { SIZE = 1000000 };
    static char payload[SIZE];
    for (int i = 0; i < SIZE; i++) {
        payload[i] = (char)(i * 31 % 251);
    }
    for (size_t v = 0; v < VERSION_COUNT; v++) {
        struct client c;
        CHECK(open_client(&c, versions[v]));
        CHECK(subscribe(&c, "pahoc/large", 2) == 2);
        for (int qos = 0; qos <= 2; qos++) {
            CHECK(publish(&c, "pahoc/large", payload, SIZE, qos, false, NULL));
            char *topic;
            MQTTClient_message *m = next_message(&c, &topic, WAIT_MS);
            CHECK(m != NULL);
            CHECK(m->payloadlen == SIZE && memcmp(m->payload, payload, SIZE) == 0);
            free_message(m, topic);
        }
        close_client(&c);
    }
}

/* [MQTT-3.3.1-5], [MQTT-3.3.1-6], [MQTT-3.3.1-8] */
static void
retained_message_is_kept_and_cleared(void)
{
    for (size_t v = 0; v < VERSION_COUNT; v++) {
        struct client a, b, c;
        char topic[64], filter[64];
        snprintf(topic, sizeof topic, "pahoc/retained/%zu/x", v);
        snprintf(filter, sizeof filter, "pahoc/retained/%zu/#", v);
        CHECK(open_client(&a, versions[v]));
        CHECK(publish_text(&a, topic, "old", 1, true));
        CHECK(publish_text(&a, topic, "kept", 1, true));
        CHECK(open_client(&b, versions[v]));
        CHECK(subscribe(&b, filter, 1) == 1);
        CHECK(next_is(&b, topic, "kept", 1, true));
        CHECK(publish_text(&a, topic, "", 1, true));
        CHECK(next_is(&b, topic, "", 1, false));
        CHECK(open_client(&c, versions[v]));
        CHECK(subscribe(&c, filter, 1) == 1);
        CHECK(nothing_comes(&c));
        close_client(&a);
        close_client(&b);
        close_client(&c);
    }
}

/* [MQTT-3.1.2-5], [MQTT-3.2.2-2] */
static void
session_keeps_messages_for_an_absent_client(void)
{
    for (size_t v = 0; v < VERSION_COUNT; v++) {
        struct client a, b;
        struct options kept = {.keep_session = true};
        char topic[64], name[32];
        snprintf(topic, sizeof topic, "pahoc/session/%zu", v);
        snprintf(name, sizeof name, "%s", new_name());
        CHECK(connect_client(&a, versions[v], name, &kept));
        CHECK(subscribe(&a, topic, 1) == 1);
        close_client(&a);
        CHECK(open_client(&b, versions[v]));
        for (int n = 0; n < 10; n++) {
            char text[8];
            snprintf(text, sizeof text, "%d", n);
            CHECK(publish_text(&b, topic, text, 2, false));
        }
        CHECK(connect_client(&a, versions[v], name, &kept));
        CHECK(versions[v] != MQTTVERSION_3_1_1 || a.session_present); /* 3.1 has no such flag, and Paho C 1.3.12 does not hand it on for 5 */
        for (int n = 0; n < 10; n++) {
            char text[8];
            snprintf(text, sizeof text, "%d", n);
            CHECK(next_is(&a, topic, text, 1, false));
        }
        close_client(&a);
        close_client(&b);
    }
}

/* 3.14.2.1: DISCONNECT with 0x04 asks for the will; [MQTT-3.1.2-10]: with 0x00 there is none */
static void
disconnect_decides_about_the_will(void)
{
    struct client watcher, dying;
    struct options will = {.will_topic = "pahoc/will"};
    CHECK(open_client(&watcher, MQTTVERSION_5));
    CHECK(subscribe(&watcher, "pahoc/will", 1) == 1);
    CHECK(connect_client(&dying, MQTTVERSION_5, new_name(), &will));
    MQTTClient_disconnect5(dying.handle, 0, MQTTREASONCODE_SUCCESS, NULL);
    MQTTClient_destroy(&dying.handle);
    CHECK(nothing_comes(&watcher));
    CHECK(connect_client(&dying, MQTTVERSION_5, new_name(), &will));
    MQTTClient_disconnect5(dying.handle, 0, MQTTREASONCODE_DISCONNECT_WITH_WILL_MESSAGE, NULL);
    MQTTClient_destroy(&dying.handle);
    CHECK(next_is(&watcher, "pahoc/will", "gone", 1, false));
    close_client(&watcher);
}

/* [MQTT-3.3.2-4], [-15], [-16], [-18], [-20] */
static void
properties_are_carried_in_order(void)
{
    struct client a, b;
    CHECK(open_client(&a, MQTTVERSION_5));
    CHECK(open_client(&b, MQTTVERSION_5));
    CHECK(subscribe(&b, "pahoc/properties", 2) == 2);
    MQTTProperties sent = MQTTProperties_initializer;
    MQTTProperty list[] = {
        {.identifier = MQTTPROPERTY_CODE_PAYLOAD_FORMAT_INDICATOR, .value.byte = 1},
        {.identifier = MQTTPROPERTY_CODE_CONTENT_TYPE, .value.data = {4, (char[]){"text"}}},
        {.identifier = MQTTPROPERTY_CODE_RESPONSE_TOPIC, .value.data = {6, (char[]){"answer"}}},
        {.identifier = MQTTPROPERTY_CODE_CORRELATION_DATA, .value.data = {3, (char[]){"\0\1\377"}}},
        {.identifier = MQTTPROPERTY_CODE_USER_PROPERTY, .value = {.data = {1, (char[]){"z"}}, .value = {1, (char[]){"1"}}}},
        {.identifier = MQTTPROPERTY_CODE_USER_PROPERTY, .value = {.data = {1, (char[]){"a"}}, .value = {1, (char[]){"2"}}}},
        {.identifier = MQTTPROPERTY_CODE_USER_PROPERTY, .value = {.data = {1, (char[]){"z"}}, .value = {1, (char[]){"1"}}}},
    };
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        MQTTProperties_add(&sent, &list[i]);
    }
    CHECK(publish(&a, "pahoc/properties", "x", 1, 2, false, &sent));
    char *topic;
    MQTTClient_message *m = next_message(&b, &topic, WAIT_MS);
    CHECK(m != NULL);
    CHECK(MQTTProperties_getNumericValue(&m->properties, MQTTPROPERTY_CODE_PAYLOAD_FORMAT_INDICATOR) == 1);
    for (size_t i = 1; i < 4; i++) {
        MQTTProperty *got = MQTTProperties_getProperty(&m->properties, list[i].identifier);
        CHECK(got != NULL && got->value.data.len == list[i].value.data.len);
        CHECK(memcmp(got->value.data.data, list[i].value.data.data, (size_t)list[i].value.data.len) == 0);
    }
    CHECK(MQTTProperties_propertyCount(&m->properties, MQTTPROPERTY_CODE_USER_PROPERTY) == 3);
    for (int i = 0; i < 3; i++) {
        MQTTProperty *got = MQTTProperties_getPropertyAt(&m->properties, MQTTPROPERTY_CODE_USER_PROPERTY, i);
        CHECK(got != NULL && got->value.data.data[0] == list[4 + i].value.data.data[0] && got->value.value.data[0] == list[4 + i].value.value.data[0]);
    }
    free_message(m, topic);
    MQTTProperties_free(&sent);
    close_client(&a);
    close_client(&b);
}

/* [MQTT-3.8.3-3], [MQTT-3.3.1-13], [MQTT-3.3.1-11] */
static void
subscribe_options_are_kept(void)
{
    struct client a, b;
    CHECK(open_client(&a, MQTTVERSION_5));
    CHECK(open_client(&b, MQTTVERSION_5));
    CHECK(publish_text(&a, "pahoc/options", "kept", 1, true));
    MQTTSubscribe_options options = MQTTSubscribe_options_initializer;
    options.noLocal = 1;
    options.retainAsPublished = 1;
    options.retainHandling = 2;
    MQTTResponse response = MQTTClient_subscribe5(b.handle, "pahoc/options", 1, &options, NULL);
    CHECK(response.reasonCode == MQTTREASONCODE_GRANTED_QOS_1);
    MQTTResponse_free(response);
    CHECK(publish_text(&b, "pahoc/options", "own", 1, false));
    CHECK(publish_text(&a, "pahoc/options", "new", 1, true));
    CHECK(next_is(&b, "pahoc/options", "new", 1, true));
    CHECK(publish_text(&a, "pahoc/options", "", 1, true));
    close_client(&a);
    close_client(&b);
}

/* [MQTT-3.11.3-1] */
static void
unsubscribe_says_what_existed(void)
{
    struct client c;
    CHECK(open_client(&c, MQTTVERSION_5));
    CHECK(subscribe(&c, "pahoc/unsubscribe", 0) == 0);
    for (int round = 0; round < 2; round++) {
        MQTTResponse response = MQTTClient_unsubscribe5(c.handle, "pahoc/unsubscribe", NULL);
        int expected = round == 0 ? MQTTREASONCODE_SUCCESS : MQTTREASONCODE_NO_SUBSCRIPTION_FOUND;
        CHECK((int)response.reasonCode == expected);
        MQTTResponse_free(response);
    }
    close_client(&c);
}

/* 4.8.2: each message at exactly one of four members, each member some */
static void
shared_subscription_delivers_once(void)
{
    enum { MEMBERS = 4, MESSAGES = 40 }; /* Paho's synchronous client needs up to 0.1 s for each */
    struct client members[MEMBERS], sender;
    CHECK(open_client(&sender, MQTTVERSION_5));
    for (int i = 0; i < MEMBERS; i++) {
        CHECK(open_client(&members[i], MQTTVERSION_5));
        CHECK(subscribe(&members[i], "$share/g/pahoc/shared", 1) == 1);
    }
    for (int n = 0; n < MESSAGES; n++) {
        char text[8];
        snprintf(text, sizeof text, "%d", n);
        CHECK(publish_text(&sender, "pahoc/shared", text, 1, false));
    }
    bool seen[MESSAGES] = {false};
    int total = 0;
    for (int i = 0; i < MEMBERS; i++) {
        int mine = 0;
        char *topic;
        MQTTClient_message *m;
        while ((m = next_message(&members[i], &topic, QUIET_MS)) != NULL) {
            char text[8] = "";
            memcpy(text, m->payload, (size_t)m->payloadlen < sizeof text ? (size_t)m->payloadlen : sizeof text - 1);
            int n = atoi(text);
            CHECK(n >= 0 && n < MESSAGES && !seen[n]);
            seen[n] = true;
            mine++;
            free_message(m, topic);
        }
        CHECK(mine >= MESSAGES / MEMBERS / 4);
        total += mine;
    }
    CHECK(total == MESSAGES);
    for (int i = 0; i < MEMBERS; i++) {
        close_client(&members[i]);
    }
    close_client(&sender);
}

/* [MQTT-3.3.4-9]: Paho answers each message at once; all come, in order */
static void
small_receive_maximum_loses_nothing(void)
{
    struct client a, b;
    struct options small = {.receive_maximum = 1};
    CHECK(open_client(&a, MQTTVERSION_5));
    CHECK(connect_client(&b, MQTTVERSION_5, new_name(), &small));
    CHECK(subscribe(&b, "pahoc/receive", 1) == 1);
    for (int n = 0; n < 15; n++) {
        char text[8];
        snprintf(text, sizeof text, "%d", n);
        CHECK(publish_text(&a, "pahoc/receive", text, 1, false));
    }
    for (int n = 0; n < 15; n++) {
        char text[8];
        snprintf(text, sizeof text, "%d", n);
        CHECK(next_is(&b, "pahoc/receive", text, 1, false));
    }
    close_client(&a);
    close_client(&b);
}

int
main(int argc, char **argv)
{
    if (argc != 2 || atoi(argv[1]) <= 0) {
        fprintf(stderr, "usage: %s PORT\n", argv[0]);
        return 2;
    }
    snprintf(address, sizeof address, "tcp://127.0.0.1:%d", atoi(argv[1]));
    setvbuf(stdout, NULL, _IOLBF, 0);
    static const struct {
        const char *name;
        void (*run)(void);
    } claims[] = {
#define CLAIM(function) {#function, function}
        CLAIM(every_version_reaches_every_version_at_every_qos),
        CLAIM(one_megabyte_arrives_whole),
        CLAIM(retained_message_is_kept_and_cleared),
        CLAIM(session_keeps_messages_for_an_absent_client),
        CLAIM(disconnect_decides_about_the_will),
        CLAIM(properties_are_carried_in_order),
        CLAIM(subscribe_options_are_kept),
        CLAIM(unsubscribe_says_what_existed),
        CLAIM(shared_subscription_delivers_once),
        CLAIM(small_receive_maximum_loses_nothing),
    };
    for (size_t i = 0; i < sizeof claims / sizeof claims[0]; i++) {
        int before = failures;
        claim = claims[i].name;
        claims[i].run();
        if (failures == before) {
            printf("ok      %s\n", claim);
        }
    }
    return failures == 0 ? 0 : 1;
}
