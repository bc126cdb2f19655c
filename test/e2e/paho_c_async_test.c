/*
 * paho_c_async_test: Eclipse Paho C's asynchronous client (MQTTAsync, libpaho-mqtt3a) against a running broker.
 *
 * Many clients at once with Paho's own threads and pipelining: what the synchronous one does not do.
 *
 *     cc -o paho_c_async_test paho_c_async_test.c -lpaho-mqtt3a -pthread && ./paho_c_async_test PORT
 *
 * Exit codes as paho_c_test's. Statement numbers are MQTT 5.0's.
 */
#include <MQTTAsync.h>

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CLIENTS 24
#define MESSAGES 100 /* each client sends so many to the next one */
#define INFLIGHT 20 /* Paho C does not read the broker's Receive Maximum; no broker here announces less */
#define WAIT_S 20

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

struct client {
    MQTTAsync handle;
    int number, version;
    bool connected, subscribed, failed;
    int sent, expected; /* acknowledged so far; the number that must come next */
    int wrong;          /* messages out of order or twice */
};

static struct client clients[CLIENTS];
static char run_name[32];

static void
note(bool *what)
{
    pthread_mutex_lock(&lock);
    *what = true;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void on_connected(void *context, MQTTAsync_successData *data) { (void)data; note(&((struct client *)context)->connected); }
static void on_connected5(void *context, MQTTAsync_successData5 *data) { (void)data; note(&((struct client *)context)->connected); }
static void on_subscribed(void *context, MQTTAsync_successData *data) { (void)data; note(&((struct client *)context)->subscribed); }
static void on_subscribed5(void *context, MQTTAsync_successData5 *data) { (void)data; note(&((struct client *)context)->subscribed); }
static void on_failed(void *context, MQTTAsync_failureData *data) { (void)data; note(&((struct client *)context)->failed); }
static void on_failed5(void *context, MQTTAsync_failureData5 *data) { (void)data; note(&((struct client *)context)->failed); }

static void
count_sent(struct client *c)
{
    pthread_mutex_lock(&lock);
    c->sent++;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void on_sent(void *context, MQTTAsync_successData *data) { (void)data; count_sent(context); }
static void on_sent5(void *context, MQTTAsync_successData5 *data) { (void)data; count_sent(context); }

static int
on_message(void *context, char *topic, int topic_size, MQTTAsync_message *message)
{
    (void)topic_size;
    struct client *c = context;
    char text[16] = "";
    memcpy(text, message->payload, (size_t)message->payloadlen < sizeof text ? (size_t)message->payloadlen : sizeof text - 1);
    pthread_mutex_lock(&lock);
    if (atoi(text) != c->expected) {
        c->wrong++;
    }
    c->expected++;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    MQTTAsync_freeMessage(&message);
    MQTTAsync_free(topic);
    return 1;
}

static bool is_connected(const struct client *c) { return c->connected; }
static bool is_subscribed(const struct client *c) { return c->subscribed; }
static bool is_complete(const struct client *c) { return c->sent == MESSAGES && c->expected >= MESSAGES; }

static bool
wait_for_all(bool (*condition)(const struct client *), const char *what)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WAIT_S;
    int left = CLIENTS, code = 0;
    pthread_mutex_lock(&lock);
    while (code == 0) {
        left = 0;
        for (int i = 0; i < CLIENTS; i++) {
            left += !condition(&clients[i]);
            if (clients[i].failed) {
                code = -1;
            }
        }
        if (left == 0 || code != 0) {
            break;
        }
        code = pthread_cond_timedwait(&changed, &lock, &until);
    }
    pthread_mutex_unlock(&lock);
    if (left != 0) {
        printf("FAILED  %s: %d of %d clients are not%s\n", what, left, CLIENTS, code == -1 ? " (refused)" : "");
    }
    return left == 0;
}

static bool
begin_connecting(struct client *c, const char *address)
{
    char name[24];
    snprintf(name, sizeof name, "async%dn%d", (int)getpid(), c->number);
    MQTTAsync_createOptions create = c->version == MQTTVERSION_5 ? (MQTTAsync_createOptions)MQTTAsync_createOptions_initializer5 : (MQTTAsync_createOptions)MQTTAsync_createOptions_initializer;
    create.MQTTVersion = c->version;
    create.maxBufferedMessages = MESSAGES * 2;
    if (MQTTAsync_createWithOptions(&c->handle, address, name, MQTTCLIENT_PERSISTENCE_NONE, NULL, &create) != MQTTASYNC_SUCCESS) {
        return false;
    }
    MQTTAsync_setCallbacks(c->handle, c, NULL, on_message, NULL);
    if (c->version == MQTTVERSION_5) {
        MQTTAsync_connectOptions connect = MQTTAsync_connectOptions_initializer5;
        connect.onSuccess5 = on_connected5;
        connect.onFailure5 = on_failed5;
        connect.context = c;
        connect.cleanstart = 1;
        connect.maxInflight = INFLIGHT;
        return MQTTAsync_connect(c->handle, &connect) == MQTTASYNC_SUCCESS;
    }
    MQTTAsync_connectOptions connect = MQTTAsync_connectOptions_initializer;
    connect.MQTTVersion = c->version;
    connect.onSuccess = on_connected;
    connect.onFailure = on_failed;
    connect.context = c;
    connect.maxInflight = INFLIGHT;
    return MQTTAsync_connect(c->handle, &connect) == MQTTASYNC_SUCCESS;
}

static MQTTAsync_responseOptions
response_of(struct client *c, MQTTAsync_onSuccess *success, MQTTAsync_onSuccess5 *success5)
{
    MQTTAsync_responseOptions response = MQTTAsync_responseOptions_initializer;
    response.context = c;
    if (c->version == MQTTVERSION_5) {
        response.onSuccess5 = success5;
        response.onFailure5 = on_failed5;
    } else {
        response.onSuccess = success;
        response.onFailure = on_failed;
    }
    return response;
}

static bool
begin_subscribing(struct client *c, int qos)
{
    char topic[64];
    snprintf(topic, sizeof topic, "%s/%d/%d", run_name, qos, c->number);
    MQTTAsync_responseOptions response = response_of(c, on_subscribed, on_subscribed5);
    return MQTTAsync_subscribe(c->handle, topic, qos, &response) == MQTTASYNC_SUCCESS;
}

static bool
begin_sending(struct client *c, int n, int qos)
{
    char topic[64], text[16];
    snprintf(topic, sizeof topic, "%s/%d/%d", run_name, qos, (c->number + 1) % CLIENTS);
    snprintf(text, sizeof text, "%d", n);
    MQTTAsync_responseOptions response = response_of(c, on_sent, on_sent5);
    return MQTTAsync_send(c->handle, topic, (int)strlen(text), text, qos, 0, &response) == MQTTASYNC_SUCCESS;
}

/* [MQTT-4.6.0-6], [MQTT-4.3.2-1], [MQTT-4.3.3-1]: pipelined in a ring of clients, every message once and in order */
static bool
ring_loses_nothing(int qos)
{
    for (int i = 0; i < CLIENTS; i++) {
        clients[i].subscribed = false;
        clients[i].sent = clients[i].expected = clients[i].wrong = 0;
        if (!begin_subscribing(&clients[i], qos)) {
            printf("FAILED  subscribe of client %d\n", i);
            return false;
        }
    }
    if (!wait_for_all(is_subscribed, "subscribed")) {
        return false;
    }
    for (int n = 0; n < MESSAGES; n++) {
        for (int i = 0; i < CLIENTS; i++) {
            if (!begin_sending(&clients[i], n, qos)) {
                printf("FAILED  send of client %d\n", i);
                return false;
            }
        }
    }
    if (!wait_for_all(is_complete, "complete")) {
        return false;
    }
    usleep(100000); /* what would come twice */
    int wrong = 0;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < CLIENTS; i++) {
        wrong += clients[i].wrong + abs(clients[i].expected - MESSAGES);
    }
    pthread_mutex_unlock(&lock);
    if (wrong != 0) {
        printf("FAILED  ring_loses_nothing, QoS %d: %d messages out of order or twice\n", qos, wrong);
    } else {
        printf("ok      ring_loses_nothing, QoS %d\n", qos);
    }
    return wrong == 0;
}

int
main(int argc, char **argv)
{
    if (argc != 2 || atoi(argv[1]) <= 0) {
        fprintf(stderr, "usage: %s PORT\n", argv[0]);
        return 2;
    }
    char address[64];
    snprintf(address, sizeof address, "tcp://127.0.0.1:%d", atoi(argv[1]));
    snprintf(run_name, sizeof run_name, "pahoasync/%d", (int)getpid());
    setvbuf(stdout, NULL, _IOLBF, 0);
    static const int versions[] = {MQTTVERSION_3_1, MQTTVERSION_3_1_1, MQTTVERSION_5};
    for (int i = 0; i < CLIENTS; i++) {
        clients[i].number = i;
        clients[i].version = versions[i % 3];
        if (!begin_connecting(&clients[i], address)) {
            printf("FAILED  connect of client %d\n", i);
            return 1;
        }
    }
    if (!wait_for_all(is_connected, "connected")) {
        return 1;
    }
    bool held = true;
    for (int qos = 0; qos <= 2 && held; qos++) {
        held = ring_loses_nothing(qos);
    }
    for (int i = 0; i < CLIENTS; i++) {
        MQTTAsync_disconnectOptions options = MQTTAsync_disconnectOptions_initializer;
        MQTTAsync_disconnect(clients[i].handle, &options);
    }
    usleep(100000);
    return held ? 0 : 1;
}
