#include "test/support/world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void
a_message_reaches_its_subscriber(void **state)
{
    (void)state;
    for (unsigned shards = 1; shards <= 3; shards++) {
        struct world *w = world_open(7, shards, NULL);
        struct client *s = client_open(w, 5), *p = client_open(w, 4);
        struct packet connect = {.type = PACKET_CONNECT, .connect = {.version = 5, .clean_start = true, .client_id = bytes_of("sub", 3)}};
        client_send(s, &connect);
        connect.connect.version = 4;
        connect.connect.client_id = bytes_of("publisher", 9);
        client_send(p, &connect);
        world_settle(w);
        struct packet got;
        assert_true(client_receive(s, &got));
        assert_int_equal(got.type, PACKET_CONNACK);
        assert_true(client_receive(p, &got));
        uint8_t entry[64];
        struct packet subscribe = {.type = PACKET_SUBSCRIBE, .subscribe = {.packet_id = 1, .count = 1}};
        subscribe.subscribe.entries = bytes_of(entry, encode_subscribe_entry(entry, sizeof entry, bytes_of("a/#", 3), (struct subscription_options){.qos = 2}));
        client_send(s, &subscribe);
        world_settle(w);
        assert_true(client_receive(s, &got));
        assert_int_equal(got.type, PACKET_SUBACK);
        struct packet publish = {.type = PACKET_PUBLISH, .publish = {.topic = bytes_of("a/b", 3), .payload = bytes_of("hello", 5), .qos = 2, .packet_id = 9}};
        client_send(p, &publish);
        world_settle(w);
        assert_true(client_receive(s, &got));
        assert_int_equal(got.type, PACKET_PUBLISH);
        assert_int_equal(got.publish.qos, 2);
        assert_true(client_receive(p, &got));
        assert_int_equal(got.type, PACKET_PUBREC);
        client_close(&s);
        client_close(&p);
        world_close(&w);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_message_reaches_its_subscriber)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
