#!/usr/bin/python3
"""Sessions that outlive connections, and wills: what is kept, for how long, and what happens when it ends.

Numbers are MQTT 5.0's unless a docstring says MQTT3 (3.1.1). Waiting is shared: tests about time run several clients side by side.
"""
import time
import unittest

import broker
from broker import differs_on_mosquitto, only_tidewire
from wire import *
from wire import WireCase, connect_bytes, packet, publish_bytes

ALL_VERSIONS = (3, 4, 5)
FOREVER = 0xFFFFFFFF


class SessionCase(WireCase):
    def persistent(self, version, client_id, clean=False, expiry=60, **more):
        """(client, CONNACK) of a client whose session outlives the connection."""
        c = self.client(version)
        properties = list(more.pop('properties', ())) + ([(SESSION_EXPIRY, expiry)] if version == 5 and expiry is not None else [])
        return c, c.connect(client_id, clean=clean, properties=properties, **more)


class Sessions(SessionCase):
    options = ('max_queued_messages 100',)

    def test_session_present_says_whether_there_was_one(self):
        """[MQTT-3.2.2-2], [MQTT-3.2.2-3], [MQTT-3.1.2-4], [MQTT-3.1.2-5], [MQTT-3.1.2-6], MQTT3 [MQTT-3.2.2-1] to [-3], [MQTT-3.1.2-6]"""
        for version in (4, 5):
            name = self.new_id()
            for clean, present in ((False, False), (False, True), (True, False), (False, version == 5), (False, True)):
                c, connack = self.persistent(version, name, clean)
                self.assertEqual(connack.session_present, present, (version, clean))
                c.disconnect()

    def test_offline_messages_come_in_order_at_reconnection(self):
        """[MQTT-3.1.2-5], [MQTT-3.1.2-23], [MQTT-4.6.0-6], MQTT3 [MQTT-3.1.2-4], [MQTT-3.1.2-5]: QoS 1 and 2 of any sender version, after a clean and an unclean end"""
        for version in ALL_VERSIONS:
            for clean_end in (True, False):
                name, topic = self.new_id(), self.topic(version, clean_end)
                c, _ = self.persistent(version, name)
                c.subscribe((topic, 2))
                c.disconnect() if clean_end else c.vanish()
                sender = self.connected(4 if version == 5 else 5)
                for n in range(50):
                    sender.publish(topic, str(n), 1 + n % 2)
                c, _ = self.persistent(version, name)
                for n in range(50):
                    c.expect_publish(topic, str(n), qos=1 + n % 2)
                c.expect_nothing(0.02)

    def test_subscription_survives_with_its_options(self):
        """[MQTT-3.1.2-23], 4.1: filter, QoS, No Local, Retain As Published and the identifier are session state"""
        name = self.new_id()
        c, _ = self.persistent(5, name)
        c.subscribe((self.topic('#'), 1 | 4 | 8), properties=[(SUBSCRIPTION_ID, 99)])
        c.vanish()
        c, _ = self.persistent(5, name)
        c.publish(self.topic('own'), 'hidden by No Local', 1)
        self.connected().publish(self.topic('other'), 'x', 2, retain=True)
        got = c.expect_publish(self.topic('other'), 'x', qos=1, retain=True)
        self.assertEqual(got.all(SUBSCRIPTION_ID), [99])
        c.expect_nothing(0.05)

    def test_retained_messages_are_not_sent_again_at_reconnection(self):
        """3.3.1.3: they are sent when a subscription is made, not when a session is resumed"""
        name = self.new_id()
        self.connected().publish(self.topic(), 'kept', 1, retain=True)
        c, _ = self.persistent(5, name)
        c.subscribe((self.topic(), 1))
        c.expect_publish(self.topic(), 'kept')
        c.disconnect()
        c, _ = self.persistent(5, name)
        c.expect_nothing()

    def test_unacknowledged_messages_are_sent_again_with_dup(self):
        """[MQTT-4.4.0-1], [MQTT-3.3.1-1], MQTT3 [MQTT-4.4.0-1]: same packet identifiers, in the original order, before what came later"""
        for version in ALL_VERSIONS:
            name, topic = self.new_id(), self.topic(version)
            c, _ = self.persistent(version, name)
            c.subscribe((topic, 2))
            sender = self.connected()
            for n in range(4):
                sender.publish(topic, str(n), 1 + n % 2)
            first = [c.expect(PUBLISH, payload=str(n)) for n in range(4)]
            c.vanish()
            sender.publish(topic, 'later', 1)
            c, _ = self.persistent(version, name)
            for p in first:
                c.expect_publish(topic, p.payload, dup=True, packet_id=p.packet_id, qos=p.qos)
            c.expect_publish(topic, 'later')  # with DUP if the broker had not yet seen the first connection end

    def test_nothing_is_sent_again_while_the_connection_lasts(self):
        """[MQTT-4.4.0-1] of version 5: resending is for reconnection only"""
        c, sender = self.connected(), self.connected()
        c.subscribe((self.topic(), 1))
        sender.publish(self.topic(), 'x', 1)
        c.expect(PUBLISH)
        c.expect_nothing(1)

    def test_acknowledged_message_is_not_sent_again(self):
        """4.1, [MQTT-4.3.2-4]"""
        name = self.new_id()
        c, _ = self.persistent(5, name)
        c.subscribe((self.topic(), 1))
        self.connected().publish(self.topic(), 'x', 1)
        c.expect_publish(self.topic(), 'x')
        c.ping()
        c.vanish()
        c, _ = self.persistent(5, name)
        c.expect_nothing()

    def test_pubrel_is_sent_again(self):
        """[MQTT-4.4.0-1], [MQTT-4.3.3-8]: after PUBREC the message itself must not be"""
        for version in ALL_VERSIONS:
            name, topic = self.new_id(), self.topic(version)
            c, _ = self.persistent(version, name)
            c.subscribe((topic, 2))
            self.connected().publish(topic, 'x', 2)
            p = c.expect(PUBLISH)
            c.acknowledge(PUBREC, p.packet_id)
            c.expect(PUBREL, packet_id=p.packet_id)
            c.vanish()
            c, _ = self.persistent(version, name)
            c.expect(PUBREL, packet_id=p.packet_id)
            c.acknowledge(PUBCOMP, p.packet_id)
            c.expect_nothing(0.05)

    def test_qos_2_reception_survives_reconnection(self):
        """4.1 (received QoS 2 not completely acknowledged), [MQTT-4.3.3-10]: the resent PUBLISH is not delivered a second time"""
        for version in ALL_VERSIONS:
            name, topic = self.new_id(), self.topic(version)
            receiver = self.connected()
            receiver.subscribe((topic, 2))
            c, _ = self.persistent(version, name)
            c.send(publish_bytes(version, topic, 'once', 2, packet_id=5))
            c.expect(PUBREC, packet_id=5)
            c.vanish()
            c, _ = self.persistent(version, name)
            c.send(publish_bytes(version, topic, 'once', 2, dup=True, packet_id=5))
            c.expect(PUBREC, packet_id=5)
            c.acknowledge(PUBREL, 5)
            c.expect(PUBCOMP, packet_id=5)
            c.publish(topic, 'end', 2)
            receiver.expect_publish(topic, 'once')
            receiver.expect_publish(topic, 'end')

    def test_clean_start_ends_the_old_session(self):
        """[MQTT-3.1.2-4], MQTT3 [MQTT-3.1.2-6]: subscriptions, queue and inflight messages are gone"""
        for version in ALL_VERSIONS:
            name, topic = self.new_id(), self.topic(version)
            c, _ = self.persistent(version, name)
            c.subscribe((topic, 1))
            c.vanish()
            sender = self.connected()
            sender.publish(topic, 'queued', 1)
            c, connack = self.persistent(version, name, clean=True)
            self.assertFalse(connack.session_present)
            sender.publish(topic, 'no subscription any more', 1)
            c.expect_nothing(0.1)

    def test_v3_clean_session_leaves_nothing(self):
        """MQTT3 [MQTT-3.1.2-6]"""
        name = self.new_id()
        c = self.connected(4, name, clean=True)
        c.subscribe((self.topic(), 1))
        c.disconnect()
        self.assertFalse(self.persistent(4, name)[1].session_present)

    def test_session_ends_as_its_expiry_says(self):
        """[MQTT-3.1.2-23], 3.1.2.11.2, [MQTT-3.14.2-2], 3.14.2.2.2: absent and 0 end with the connection; DISCONNECT can change it; the time counts from the end of the connection"""
        def case(at_connect, at_disconnect):
            name = self.new_id()
            c, _ = self.persistent(5, name, expiry=at_connect)
            return name, c, at_disconnect
        cases = {
            'absent': case(None, None), 'zero': case(0, None), 'a minute': case(60, None), 'one second': case(1, None), 'never': case(FOREVER, None),
            'a minute, zero at DISCONNECT': case(60, 0), 'a minute, one second at DISCONNECT': case(60, 1),
            'one second, a minute at DISCONNECT': case(1, 60), 'a minute, never at DISCONNECT': case(60, FOREVER),
        }
        time.sleep(1.2)  # while connected nothing expires
        for name, c, at_disconnect in cases.values():
            c.disconnect(0, None if at_disconnect is None else [(SESSION_EXPIRY, at_disconnect)])
        time.sleep(7 if broker.ON_MOSQUITTO else 2.2)  # 2.0.11 looks every 5 s
        present = {what for what, (name, _, _) in cases.items() if self.persistent(5, name)[1].session_present}
        self.assertEqual(present, {'a minute', 'never', 'one second, a minute at DISCONNECT', 'a minute, never at DISCONNECT'})

    def test_message_expiry_counts_down_in_the_queue(self):
        """[MQTT-3.3.2-5], [MQTT-3.3.2-6]"""
        name = self.new_id()
        c, _ = self.persistent(5, name)
        c.subscribe((self.topic(), 1))
        c.disconnect()
        sender = self.connected()
        for text, expiry in (('short', 1), ('long', 100), ('never', None)):
            sender.publish(self.topic(), text, 1, properties=[] if expiry is None else [(MESSAGE_EXPIRY, expiry)])
        time.sleep(2.2)
        c, _ = self.persistent(5, name)
        self.assertIn(c.expect_publish(self.topic(), 'long').get(MESSAGE_EXPIRY), (96, 97, 98))
        self.assertIsNone(c.expect_publish(self.topic(), 'never').get(MESSAGE_EXPIRY))
        c.expect_nothing(0.1)

    def test_queue_is_bounded_and_keeps_order(self):
        """max_queued_messages 100: what is dropped is our choice, order and duplicates are not, [MQTT-4.6.0-6]"""
        name = self.new_id()
        c, _ = self.persistent(5, name)
        c.subscribe((self.topic(), 1))
        c.disconnect()
        sender = self.connected()
        for n in range(300):
            sender.publish(self.topic(), str(n), 1)
        c, _ = self.persistent(5, name)
        got = []
        try:
            while True:
                got.append(int(c.expect_publish(self.topic(), timeout_s=QUIET_S).payload))
        except Silence:
            pass
        self.assertEqual(got, sorted(set(got)))
        self.assertTrue(100 <= len(got) <= 200, len(got))

    @differs_on_mosquitto('2.0.11 sends everything again at once')
    def test_inflight_window_of_a_resumed_session_honours_the_new_receive_maximum(self):
        """3.1.2.11.3: Receive Maximum is of the connection; [MQTT-3.3.4-9] holds for what is sent again too"""
        name = self.new_id()
        c, _ = self.persistent(5, name, properties=[(RECEIVE_MAXIMUM, 10)])
        c.subscribe((self.topic(), 1))
        sender = self.connected()
        for n in range(10):
            sender.publish(self.topic(), str(n), 1)
        for n in range(10):
            c.expect(PUBLISH, payload=str(n))
        c.vanish()
        c, _ = self.persistent(5, name, properties=[(RECEIVE_MAXIMUM, 2)])
        waiting = [c.expect(PUBLISH, payload=str(n)) for n in range(2)]
        c.expect_nothing(0.1)
        for n in range(2, 10):
            c.acknowledge(PUBACK, waiting.pop(0).packet_id)
            waiting.append(c.expect(PUBLISH, payload=str(n)))

    def test_one_session_serves_versions_3_and_5(self):
        """Ours: a client that was upgraded finds its session"""
        name = self.new_id()
        c, _ = self.persistent(4, name)
        c.subscribe((self.topic(), 1))
        c.disconnect()
        self.connected().publish(self.topic(), 'x', 1)
        c, connack = self.persistent(5, name)
        self.assertTrue(connack.session_present)
        c.expect_publish(self.topic(), 'x')

    def test_hundred_sessions_resume_at_once(self):
        """[MQTT-3.1.2-5], on all shards, two messages each"""
        names = [self.new_id() for _ in range(100)]
        for name in names:
            c, _ = self.persistent(4, name)
            c.subscribe((self.topic('#'), 1))
            c.vanish()
        sender = self.connected()
        for n in range(2):
            sender.publish(self.topic(n), str(n), 1)
        clients = [self.client(4) for _ in names]
        for c, name in zip(clients, names):
            c.send(connect_bytes(4, name, clean=False))
        for c in clients:
            self.assertTrue(c.expect(CONNACK, reason=0).session_present)
            for n in range(2):
                c.expect_publish(self.topic(n), str(n))


class Wills(SessionCase):
    def setUp(self):
        super().setUp()
        self.watcher = self.connected()
        self.watcher.subscribe((self.topic('#'), 2 | 8))

    def will(self, *levels, **more):
        return {'topic': self.topic(*levels), 'payload': b'will', **more}

    def test_lost_connection_publishes_the_will(self):
        """[MQTT-3.1.2-8], [MQTT-3.1.2-9], [MQTT-3.1.2-14], [MQTT-3.1.2-15], MQTT3 [MQTT-3.1.2-8]: with its QoS and retain flag, of every version"""
        for version in ALL_VERSIONS:
            for qos in (0, 1, 2):
                for retain in (False, True):
                    c = self.connected(version, will=self.will(version, qos, retain, qos=qos, retain=retain))
                    c.vanish()
                    self.watcher.expect_publish(self.topic(version, qos, retain), 'will', qos=qos, retain=retain)
                    later = self.connected()
                    later.subscribe(self.topic(version, qos, retain))
                    if retain:
                        later.expect_publish(payload='will', retain=True)
                    else:
                        later.ping()
                        later.expect_nothing(0.02)
                    later.close()

    def test_disconnect_removes_the_will(self):
        """[MQTT-3.1.2-10], [MQTT-3.14.4-3], MQTT3 [MQTT-3.14.4-3]"""
        for version in ALL_VERSIONS:
            self.connected(version, will=self.will(version)).disconnect()
        self.watcher.expect_nothing()

    @differs_on_mosquitto('2.0.11 publishes it for 0x04 only')
    def test_disconnect_with_another_reason_publishes_the_will(self):
        """3.14.2.1: 0x04 Disconnect with Will Message, and each error; [MQTT-3.14.4-3] is about 0x00 only"""
        for reason in (0x04, 0x80, 0x93):
            self.connected(will=self.will(reason)).disconnect(reason)
            self.watcher.expect_publish(self.topic(reason), 'will')

    def test_protocol_violation_publishes_the_will(self):
        """3.1.2.5: closed by the server because of a protocol error"""
        for version in ALL_VERSIONS:
            c = self.connected(version, will=self.will(version))
            c.send(packet(PUBLISH, 6, b'\0\1a\0\1\0'))
            c.expect_closed()
            self.watcher.expect_publish(self.topic(version), 'will')

    def test_keep_alive_expiry_publishes_the_will(self):
        """[MQTT-3.1.2-8], [MQTT-3.1.2-22], 3.1.2.5"""
        clients = [self.connected(version, keep_alive=1, will=self.will('x')) for version in ALL_VERSIONS]
        for _ in clients:
            self.watcher.expect_publish(self.topic('x'), 'will', timeout_s=9 if broker.ON_MOSQUITTO else 3.5 * broker.PATIENCE)

    @differs_on_mosquitto('2.0.11 drops it')
    def test_takeover_publishes_the_will(self):
        """[MQTT-3.1.4-3] and its note, 3.1.2.5: the older connection was not closed by DISCONNECT, and there is no Will Delay"""
        for version in (4, 5):
            for clean in (True, False):
                name = self.new_id()
                c, _ = self.persistent(version, name, will=self.will(version, clean))
                self.persistent(version, name, clean=clean)
                self.watcher.expect_publish(self.topic(version, clean), 'will')

    def test_refused_connect_publishes_no_will(self):
        """[MQTT-3.1.4-6]"""
        c = self.client()
        c.connect(self.new_id(), expect=0x8C, will=self.will(), properties=[(AUTH_METHOD, 'x')])
        c.expect_closed()
        self.watcher.expect_nothing()

    def test_will_is_published_once(self):
        """[MQTT-3.1.2-10]"""
        name = self.new_id()
        c, _ = self.persistent(5, name, will=self.will())
        c.vanish()
        self.watcher.expect_publish(self.topic(), 'will')
        c, _ = self.persistent(5, name)
        c.vanish()
        self.watcher.expect_nothing()

    def test_will_carries_its_properties(self):
        """3.1.3.2, [MQTT-3.1.3-10] (order of User Properties); Will Delay itself is not part of the message"""
        properties = [(PAYLOAD_FORMAT, 1), (MESSAGE_EXPIRY, 100), (CONTENT_TYPE, 't'), (RESPONSE_TOPIC, 'r'), (CORRELATION_DATA, b'\0\xff'),
                      (USER_PROPERTY, ('z', '1')), (USER_PROPERTY, ('a', '2')), (USER_PROPERTY, ('z', '1'))]
        self.connected(will=self.will(properties=[(WILL_DELAY, 0)] + properties)).vanish()
        got = self.watcher.expect_publish(self.topic(), 'will')
        self.assertEqual(sorted(map(repr, (p for p in got.properties if p[0] != MESSAGE_EXPIRY))), sorted(map(repr, (p for p in properties if p[0] != MESSAGE_EXPIRY))))
        self.assertEqual(got.all(USER_PROPERTY), [('z', '1'), ('a', '2'), ('z', '1')])
        self.assertIn(got.get(MESSAGE_EXPIRY), (99, 100))

    @differs_on_mosquitto('2.0.11 does not publish at the session end that comes with the connection')
    def test_will_delay(self):
        """[MQTT-3.1.2-8], [MQTT-3.1.3-9], 3.1.3.2.2: after the delay or with the session's end, whichever is first; a resumed session cancels it;
        a clean start ends the session and so publishes it"""
        def lost(what, delay, expiry):
            name = self.new_id()
            c, _ = self.persistent(5, name, expiry=expiry, will=self.will(what, properties=[(WILL_DELAY, delay)]))
            return name, c
        clients = {what: lost(what, delay, expiry) for what, delay, expiry in (
            ('delayed', 2, 60), ('resumed', 2, 60), ('cleaned', 60, 60), ('no session', 60, 0), ('session ends first', 60, 2), ('long', 60, 60), ('clean goodbye', 1, 60))}
        for what, (_, c) in clients.items():
            c.disconnect() if what == 'clean goodbye' else c.vanish()
        self.watcher.expect_publish(self.topic('no session'), 'will')
        back, connack = self.persistent(5, clients['resumed'][0])
        self.assertTrue(connack.session_present)
        self.persistent(5, clients['cleaned'][0], clean=True)
        self.watcher.expect_publish(self.topic('cleaned'), 'will')
        self.watcher.expect_nothing(0.3)
        got = {self.watcher.expect_publish(payload='will', timeout_s=8 if broker.ON_MOSQUITTO else 3.5 * broker.PATIENCE).topic for _ in range(2)}
        self.assertEqual(got, {self.topic('delayed'), self.topic('session ends first')})
        self.watcher.expect_nothing(0.5)

    def test_takeover_of_a_session_cancels_a_delayed_will(self):
        """[MQTT-3.1.3-9]"""
        name = self.new_id()
        self.persistent(5, name, will=self.will(properties=[(WILL_DELAY, 1)]))
        c, _ = self.persistent(5, name)
        self.watcher.expect_nothing(2)

    def test_session_taken_over_without_connection_uses_the_new_will(self):
        """[MQTT-3.1.2-7]: the will is of the connection"""
        name = self.new_id()
        c, _ = self.persistent(5, name, will=self.will('old', properties=[(WILL_DELAY, 30)]))
        c.vanish()
        c, _ = self.persistent(5, name, will=self.will('new'))
        c.vanish()
        self.watcher.expect_publish(self.topic('new'), 'will')
        self.watcher.expect_nothing(0.1)

    def test_will_reaches_a_persistent_session_later(self):
        """[MQTT-3.1.2-8] with 4.4: a will is a message like any other"""
        name = self.new_id()
        c, _ = self.persistent(4, name)
        c.subscribe((self.topic(), 1))
        c.disconnect()
        self.connected(will=self.will(qos=1)).vanish()
        self.watcher.expect_publish(self.topic(), 'will')
        c, _ = self.persistent(4, name)
        c.expect_publish(self.topic(), 'will', qos=1)

    def test_fifty_wills_at_once(self):
        clients = [self.connected(will=self.will(n, qos=1)) for n in range(50)]
        for c in clients:
            c.vanish()
        self.assertEqual({self.watcher.expect_publish(payload='will').topic for _ in range(50)}, {self.topic(n) for n in range(50)})


if __name__ == '__main__':
    broker.main()
