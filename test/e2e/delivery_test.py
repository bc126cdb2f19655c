#!/usr/bin/python3
"""What one client publishes, another gets: QoS, filters, retained messages, properties, aliases, flow control, shared subscriptions, limits.

Bare sockets, so that packets show exactly. Numbers are MQTT 5.0's unless a docstring says MQTT3 (3.1.1). Clients have fresh random-like
identifiers, so with two shards about half of all pairs cross shards.
"""
import collections
import select
import time
import unittest

import broker
from broker import differs_on_mosquitto, only_tidewire
from wire import *
from wire import WireCase, packet, publish_bytes, subscribe_bytes

ALL_VERSIONS = (3, 4, 5)
NO_LOCAL, RETAIN_AS_PUBLISHED, RETAIN_NEW_ONLY, RETAIN_NEVER = 0x04, 0x08, 0x10, 0x20
EVERY_PROPERTY = [(PAYLOAD_FORMAT, 1), (MESSAGE_EXPIRY, 1000), (CONTENT_TYPE, 'text/plain; ü'), (RESPONSE_TOPIC, 'answers/here'),
                  (CORRELATION_DATA, b'\0\x01\xff\xfe'), (USER_PROPERTY, ('b', '2')), (USER_PROPERTY, ('a', '1')), (USER_PROPERTY, ('b', '2')), (USER_PROPERTY, ('', ''))]


class Qos(WireCase):
    def test_qos_is_the_lesser_of_published_and_granted(self):
        """[MQTT-3.8.4-8], [MQTT-3.3.1-3] (DUP), [MQTT-3.3.1-12] (RETAIN), MQTT3 [MQTT-3.8.4-6]: every version to every version, every QoS."""
        for from_version in ALL_VERSIONS:
            for to_version in ALL_VERSIONS:
                sender, receiver = self.connected(from_version), self.connected(to_version)
                for granted in (0, 1, 2):
                    topic = self.topic(from_version, to_version, granted)
                    receiver.subscribe((topic, granted))
                    for qos in (0, 1, 2):
                        with self.subTest(sender=from_version, receiver=to_version, granted=granted, published=qos):
                            sender.publish(topic, f'payload {qos}', qos)
                            receiver.expect_publish(topic, f'payload {qos}', qos=min(qos, granted), dup=False, retain=False)
                receiver.close()
                sender.close()

    def test_payloads_of_every_size_arrive_whole(self):
        """[MQTT-3.3.4-1]; sizes around each length of Remaining Length, and 1 MB"""
        sender, receiver = self.connected(4), self.connected(5)
        receiver.subscribe((self.topic(), 2))
        for size in (0, 1, 90, 127, 128, 129, 16300, 16384, 65535, 65536, 300_000, 1_000_000):
            payload = bytes(n * 7 % 251 for n in range(min(size, 5000))) * (size // 5000 + 1)
            payload = payload[:size]
            for qos in (0, 1, 2):
                with self.subTest(size=size, qos=qos):
                    sender.publish(self.topic(), payload, qos)
                    got = receiver.expect_publish(self.topic(), qos=qos)
                    self.assertTrue(got.payload == payload, f'{len(got.payload)} bytes differ from {size}')

    def test_large_packet_in_small_pieces_arrives_whole(self):
        sender, receiver = self.connected(), self.connected()
        receiver.subscribe(self.topic())
        octets = publish_bytes(5, self.topic(), bytes(range(256)) * 40)
        for at in range(0, len(octets), 97):
            sender.send(octets[at:at + 97])
        self.assertEqual(receiver.expect_publish(self.topic()).payload, bytes(range(256)) * 40)

    def test_order_is_kept_per_publisher_and_qos(self):
        """[MQTT-4.6.0-5], [MQTT-4.6.0-6]: pipelined, to four receivers that are spread over the shards"""
        sender, receivers = self.connected(), [self.connected() for _ in range(4)]
        for qos in (0, 1, 2):
            topic = self.topic(qos)
            for receiver in receivers:
                receiver.subscribe((topic, qos))
            for start in range(0, 500, 10):  # 10 in flight: within any Receive Maximum here
                sender.send(b''.join(publish_bytes(5, topic, str(n), qos, packet_id=n + 1 if qos else 0) for n in range(start, start + 10)))
                for n in range(start, start + 10) if qos else ():
                    sender.expect(PUBACK if qos == 1 else PUBREC, packet_id=n + 1)
                    if qos == 2:
                        sender.acknowledge(PUBREL, n + 1)
                for n in range(start, start + 10) if qos == 2 else ():
                    sender.expect(PUBCOMP, packet_id=n + 1)
                for receiver in receivers:
                    got = []
                    while len(got) < 10:
                        packet_ = receiver.receive()
                        if packet_.kind == PUBLISH:
                            got.append(int(packet_.payload))
                            if qos:
                                receiver.acknowledge(PUBACK if qos == 1 else PUBREC, packet_.packet_id)
                        elif packet_.kind == PUBREL:
                            receiver.acknowledge(PUBCOMP, packet_.packet_id)
                    self.assertEqual(got, list(range(start, start + 10)))
            for receiver in receivers:
                receiver.close()
            receivers = [self.connected() for _ in range(4)]

    def test_qos_2_sent_twice_is_delivered_once(self):
        """[MQTT-4.3.3-10], MQTT3 4.3.3: until PUBREL the same identifier is the same message; after PUBCOMP it is a new one."""
        for version in ALL_VERSIONS:
            with self.subTest(version=version):
                topic = self.topic(version)
                sender, receiver = self.connected(version), self.connected(version)
                receiver.subscribe((topic, 2))
                sender.send(publish_bytes(version, topic, 'one', 2, packet_id=9))
                sender.expect(PUBREC, packet_id=9)
                sender.send(publish_bytes(version, topic, 'one', 2, dup=True, packet_id=9))
                sender.expect(PUBREC, packet_id=9)
                sender.acknowledge(PUBREL, 9)
                sender.expect(PUBCOMP, packet_id=9)
                sender.send(publish_bytes(version, topic, 'two', 2, packet_id=9))
                sender.expect(PUBREC, packet_id=9)
                sender.acknowledge(PUBREL, 9)
                sender.expect(PUBCOMP, packet_id=9)
                receiver.expect_publish(topic, 'one')
                receiver.expect_publish(topic, 'two')

    def test_repeated_pubrel_is_answered_again(self):
        """[MQTT-4.3.3-11]: PUBCOMP for each PUBREL; of an unknown identifier with 0x92 or success."""
        sender = self.connected()
        packet_id = sender.publish(self.topic(), 'x', 2)
        sender.acknowledge(PUBREL, packet_id)
        self.assertIn(sender.expect(PUBCOMP, packet_id=packet_id).reason, (0x00, 0x92))

    def test_dup_is_not_passed_on(self):
        """[MQTT-3.3.1-3]"""
        sender, receiver = self.connected(), self.connected()
        receiver.subscribe((self.topic(), 1))
        sender.send(publish_bytes(5, self.topic(), 'x', 1, dup=True, packet_id=3))
        sender.expect(PUBACK, packet_id=3)
        receiver.expect_publish(self.topic(), 'x', dup=False)

    def test_pubrec_with_an_error_ends_that_delivery_only(self):
        """[MQTT-4.3.3-4]: PUBREL follows only a PUBREC below 0x80"""
        sender, receiver = self.connected(), self.connected(properties=[(RECEIVE_MAXIMUM, 1)])
        receiver.subscribe((self.topic(), 2))
        for n in range(3):
            sender.publish(self.topic(), str(n), 2)
        first = receiver.expect(PUBLISH, payload='0')
        receiver.acknowledge(PUBREC, first.packet_id, 0x97)
        receiver.expect_publish(self.topic(), '1')
        receiver.expect_publish(self.topic(), '2')

    def test_suback_answers_each_filter_in_order(self):
        """[MQTT-3.8.4-5], [MQTT-3.8.4-6], [MQTT-3.9.3-1]"""
        for version in ALL_VERSIONS:
            c = self.connected(version)
            self.assertEqual(c.subscribe((self.topic('a'), 2), (self.topic('b'), 0), (self.topic('c/#'), 1), (self.topic('a'), 1)).reasons, [2, 0, 1, 1])

    def test_unsuback_says_what_existed(self):
        """[MQTT-3.10.4-1], [MQTT-3.11.3-1], [MQTT-3.11.3-2]: in order, 0x00 or 0x11; filters are compared character by character"""
        c, sender = self.connected(), self.connected()
        c.subscribe(self.topic('a'), self.topic('+'))
        self.assertEqual(c.unsubscribe(self.topic('none'), self.topic('a'), self.topic('#'), self.topic('a')).reasons, [0x11, 0x00, 0x11, 0x11])
        sender.publish(self.topic('a'), 'x')
        c.expect_publish(self.topic('a'), 'x')
        self.assertEqual(c.unsubscribe(self.topic('+')).reasons, [0x00])
        sender.publish(self.topic('a'), 'x')
        c.ping()
        c.expect_nothing()

    def test_v3_unsuback_has_no_payload(self):
        """MQTT3 3.11.3, [MQTT-3.10.4-5]: UNSUBACK even if nothing existed"""
        for version in (3, 4):
            self.assertEqual(self.connected(version).unsubscribe(self.topic('none')).reasons, [])


class Filters(WireCase):
    def test_wildcards_match_as_specified(self):
        """[MQTT-4.7.1-1], [MQTT-4.7.1-2], [MQTT-4.7.2-1], [MQTT-4.7.3-4] and the examples of 4.7"""
        root = 'wildcards'
        yes = [('{}/#', '{}'), ('{}/#', '{}/a'), ('{}/#', '{}/a/b/c'), ('{}/+', '{}/a'), ('{}/+', '{}/'), ('{}/+/+', '{}//'), ('{}/+/c', '{}/b/c'),
               ('{}/+/#', '{}/a'), ('+/+/q', '{}/q/q'), ('{}//b', '{}//b'), ('{}/+/b', '{}//b'), ('{}/ü', '{}/ü'), ('{}/a b', '{}/a b'), ('{}/$x', '{}/$x'),
               ('{}/+', '{}/$x'), ('{}/' + 'l/' * 60 + '#', '{}/' + 'l/' * 60 + 'm'), ('+/r/#', '{}/r'), ('$own/{}/#', '$own/{}/a')]
        no = [('{}/+', '{}'), ('{}/+', '{}/a/b'), ('{}/a', '{}/A'), ('{}/a', '{}/a/'), ('{}/a', '/{}/a'), ('+/{}/#', '$own/{}/a'), ('#', '$own/{}/a'), ('{}/+/c', '{}/b/d'),
              ('{}', '{}/'), ('{}/+/', '{}/a'), ('{}/a/+', '{}/a')]
        sender = self.connected(4)
        for expected, table in ((True, yes), (False, no)):
            for number, (topic_filter, topic) in enumerate(table):
                with self.subTest(topic_filter=topic_filter[:30], topic=topic[:30], matches=expected):
                    unique = f'{root}{expected}{number}'
                    topic_filter, topic = topic_filter.replace('{}', unique), topic.replace('{}', unique)
                    receiver = self.connected(5)
                    receiver.subscribe((topic_filter, RETAIN_NEVER), f'{unique}-end')
                    sender.publish(topic, 'x')
                    sender.publish(f'{unique}-end', 'end')
                    if expected:
                        receiver.expect_publish(topic, 'x')
                    receiver.expect_publish(f'{unique}-end', 'end')
                    receiver.close()

    def test_overlapping_subscriptions_report_all_identifiers(self):
        """[MQTT-3.3.4-2], [MQTT-3.3.4-3], [MQTT-3.3.4-4], [MQTT-3.3.4-5]: one copy with all identifiers, or one copy for each"""
        sender, receiver = self.connected(), self.connected()
        receiver.subscribe((self.topic('a/b'), 0), properties=[(SUBSCRIPTION_ID, 1)])
        receiver.subscribe((self.topic('a/#'), 1), properties=[(SUBSCRIPTION_ID, 268_435_455)])
        receiver.subscribe((self.topic('+/b'), 2), properties=[(SUBSCRIPTION_ID, 300)])
        receiver.subscribe((self.topic('#'), 0))
        receiver.subscribe((self.topic('z/#'), 2), properties=[(SUBSCRIPTION_ID, 7)])
        sender.publish(self.topic('a/b'), 'x', 2)
        sender.publish(self.topic('a/end'), 'end', 2)
        copies, identifiers = [], []
        while True:
            got = receiver.expect_publish()
            if got.payload == b'end':
                break
            copies.append(got.qos)
            identifiers += got.all(SUBSCRIPTION_ID)
        self.assertEqual(sorted(identifiers), [1, 300, 268_435_455])
        self.assertEqual(max(copies), 2, 'the highest QoS of the matching subscriptions')
        self.assertIn(len(copies), (1, 4))

    @differs_on_mosquitto('2.0.11 sends version 3 one copy, of any matching QoS')
    def test_overlapping_subscriptions_keep_the_highest_qos(self):
        """[MQTT-3.3.4-2], MQTT3 [MQTT-3.3.5-1]"""
        for version in ALL_VERSIONS:
            for qualities in ((0, 2), (2, 0), (1, 0)):
                sender, receiver = self.connected(version), self.connected(version)
                topic = self.topic(version, *qualities)
                receiver.subscribe((topic + '/#', qualities[0]), (topic + '/+', qualities[1]))
                sender.publish(topic + '/x', 'x', 2)
                got = [receiver.expect_publish(topic + '/x', 'x').qos]
                try:
                    got.append(receiver.expect_publish(topic + '/x', 'x', timeout_s=0.1).qos)
                except Silence:
                    pass
                self.assertEqual(max(got), max(qualities))

    @differs_on_mosquitto('2.0.11 keeps the old Retain As Published')
    def test_same_filter_again_replaces_the_subscription(self):
        """[MQTT-3.8.4-3]: QoS, options and identifier are the new ones, and there is one copy"""
        sender, receiver = self.connected(), self.connected()
        receiver.subscribe((self.topic(), 2), properties=[(SUBSCRIPTION_ID, 1)])
        receiver.subscribe((self.topic(), 1 | RETAIN_AS_PUBLISHED), properties=[(SUBSCRIPTION_ID, 2)])
        sender.publish(self.topic(), 'one', 2, retain=True)
        sender.publish(self.topic(), 'two', 2)
        got = receiver.expect_publish(self.topic(), 'one', qos=1, retain=True)
        self.assertEqual(got.all(SUBSCRIPTION_ID), [2])
        receiver.expect_publish(self.topic(), 'two', qos=1)
        receiver.subscribe((self.topic('other'), 0))
        receiver.subscribe((self.topic(), 0 | RETAIN_NEVER))
        sender.publish(self.topic(), 'three', 2)
        self.assertEqual(receiver.expect_publish(self.topic(), 'three', qos=0).all(SUBSCRIPTION_ID), [])

    def test_no_local_hides_only_ones_own_messages(self):
        """[MQTT-3.8.3-3]"""
        for qos in (0, 1, 2):
            c, other = self.connected(), self.connected()
            c.subscribe((self.topic(qos), qos | NO_LOCAL), (self.topic(qos, 'end'), qos))
            c.publish(self.topic(qos), 'own', qos)
            other.publish(self.topic(qos), 'of another', qos)
            c.expect_publish(self.topic(qos), 'of another')
            c.publish(self.topic(qos, 'end'), 'own, but without No Local', qos)
            c.expect_publish(self.topic(qos, 'end'), 'own, but without No Local')

    def test_no_local_does_not_hide_an_overlapping_subscription(self):
        """[MQTT-3.8.3-3] is about one subscription, not about the client"""
        c = self.connected()
        c.subscribe((self.topic('#'), NO_LOCAL), properties=[(SUBSCRIPTION_ID, 1)])
        c.subscribe((self.topic('+'), 0), properties=[(SUBSCRIPTION_ID, 2)])
        c.publish(self.topic('a'), 'x')
        self.assertEqual(c.expect_publish(self.topic('a'), 'x').all(SUBSCRIPTION_ID), [2])

    def test_unsubscribing_one_filter_leaves_the_others(self):
        """[MQTT-3.10.4-2], [MQTT-3.10.4-3]"""
        sender, c = self.connected(), self.connected()
        filters = [self.topic(f'{level}/#') for level in range(50)]
        c.subscribe(*filters)
        c.unsubscribe(*filters[::2])
        for level in range(50):
            sender.publish(self.topic(level, 'x'), str(level))
        for level in range(1, 50, 2):
            c.expect_publish(self.topic(level, 'x'), str(level))
        c.expect_nothing(0.1)


class Retained(WireCase):
    def retained(self, topic_filter, version=5, options=0):
        """What a new subscription gets at once, as {topic: payload}."""
        c = self.connected(version)
        c.subscribe((topic_filter, options))
        got = {}
        try:
            while True:
                message = c.expect_publish(timeout_s=QUIET_S)
                self.assertTrue(message.retain, message)
                self.assertNotIn(message.topic, got, 'twice')
                got[message.topic] = message.payload.decode()
        except Silence:
            pass
        c.close()
        return got

    def test_last_retained_message_is_kept_for_new_subscribers(self):
        """[MQTT-3.3.1-5], [MQTT-3.3.1-8], [MQTT-3.3.1-9], MQTT3 [MQTT-3.3.1-5], [-6], [-8]: from and to every version"""
        for from_version in ALL_VERSIONS:
            topic = self.topic(from_version)
            sender = self.connected(from_version)
            sender.publish(topic, 'old', 1, retain=True)
            sender.publish(topic, 'kept', 1, retain=True)
            sender.publish(topic, 'not retained', 1)
            for to_version in ALL_VERSIONS:
                self.assertEqual(self.retained(topic, to_version), {topic: 'kept'})

    def test_empty_payload_clears_and_is_itself_delivered(self):
        """[MQTT-3.3.1-6], [MQTT-3.3.1-7], MQTT3 [MQTT-3.3.1-10], [MQTT-3.3.1-11]"""
        for version in ALL_VERSIONS:
            topic = self.topic(version)
            sender, present = self.connected(version), self.connected(version)
            sender.publish(topic, 'kept', 1, retain=True)
            present.subscribe(topic)
            present.expect_publish(topic, 'kept', retain=True)
            sender.publish(topic, '', 1, retain=True)
            present.expect_publish(topic, '', retain=False)
            self.assertEqual(self.retained(topic, version), {})

    def test_retained_qos_is_the_lesser(self):
        """[MQTT-3.3.1-5] (with its QoS), [MQTT-3.8.4-8]"""
        sender = self.connected()
        for published in (0, 1, 2):
            sender.publish(self.topic(published), 'x', published, retain=True)
            for granted in (0, 1, 2):
                c = self.connected()
                c.subscribe((self.topic(published), granted))
                c.expect_publish(self.topic(published), 'x', qos=min(published, granted), retain=True)

    def test_wildcards_find_retained_messages(self):
        """[MQTT-3.3.1-9] with 4.7"""
        sender = self.connected()
        topics = [self.topic(*levels) for levels in (('a',), ('a', 'b'), ('a', 'b', 'c'), ('d', 'b'), ('a', ''), ('', 'b'), ('$x',))]
        for topic in topics:
            sender.publish(topic, topic, 1, retain=True)
        root = self.topic()
        for topic_filter, expected in ((root + '/#', topics), (root + '/+', [topics[0], topics[6]]), (root + '/+/b', [topics[1], topics[3], topics[5]]),
                                       (root + '/a/#', [topics[0], topics[1], topics[2], topics[4]]), (root + '/a/+', [topics[1], topics[4]]),
                                       ('+/a/b/+', [topics[2]]), (root + '/a/b', [topics[1]]), (root + '/none/#', []), ('+/+/+/+/+', [])):
            with self.subTest(topic_filter=topic_filter):
                self.assertEqual(self.retained(topic_filter), {topic: topic for topic in expected})

    def test_wildcard_first_does_not_find_dollar_topics(self):
        """[MQTT-4.7.2-1]"""
        sender = self.connected()
        sender.publish('$own/' + self.topic(), 'x', 1, retain=True)
        for topic_filter in ('#', '+/' + self.topic(), '+/#'):
            self.assertEqual({t for t in self.retained(topic_filter) if t.startswith('$')}, set())

    def test_retain_handling(self):
        """[MQTT-3.3.1-9] (0: always), [MQTT-3.3.1-10] (1: new subscriptions), [MQTT-3.3.1-11] (2: never), [MQTT-3.8.4-4] (0: again)"""
        sender, c = self.connected(), self.connected()
        sender.publish(self.topic(), 'kept', 1, retain=True)
        c.subscribe((self.topic(), 0))
        c.expect_publish(self.topic(), 'kept', retain=True)
        c.subscribe((self.topic(), 0))
        c.expect_publish(self.topic(), 'kept', retain=True)
        c.subscribe((self.topic(), RETAIN_NEW_ONLY))
        c.subscribe((self.topic(), RETAIN_NEVER))
        c.expect_nothing()
        c.unsubscribe(self.topic())
        c.subscribe((self.topic(), RETAIN_NEVER))
        c.expect_nothing()
        c.unsubscribe(self.topic())
        c.subscribe((self.topic(), RETAIN_NEW_ONLY))
        c.expect_publish(self.topic(), 'kept', retain=True)

    def test_v3_resubscribing_sends_retained_messages_again(self):
        """MQTT3 [MQTT-3.8.4-3]"""
        for version in (3, 4):
            sender, c = self.connected(version), self.connected(version)
            sender.publish(self.topic(version), 'kept', 1, retain=True)
            for _ in range(2):
                c.subscribe(self.topic(version))
                c.expect_publish(self.topic(version), 'kept', retain=True)

    def test_retain_as_published(self):
        """[MQTT-3.3.1-12], [MQTT-3.3.1-13]"""
        sender, keeps, drops = self.connected(), self.connected(), self.connected()
        keeps.subscribe((self.topic(), RETAIN_AS_PUBLISHED))
        drops.subscribe(self.topic())
        for retain in (True, False):
            sender.publish(self.topic(), str(retain), 1, retain=retain)
            keeps.expect_publish(self.topic(), str(retain), retain=retain)
            drops.expect_publish(self.topic(), str(retain), retain=False)

    def test_retained_message_keeps_its_properties_and_subscription_identifier_is_added(self):
        """[MQTT-3.3.2-4], [-15], [-16], [-18], [-20], [MQTT-3.3.4-3]"""
        sender, c = self.connected(), self.connected()
        sender.publish(self.topic(), 'kept', 1, retain=True, properties=EVERY_PROPERTY)
        c.subscribe((self.topic('#'), 0), properties=[(SUBSCRIPTION_ID, 5)])
        got = c.expect_publish(self.topic(), 'kept', retain=True)
        self.assertEqual(got.all(SUBSCRIPTION_ID), [5])
        self.assertEqual(sorted(p for p in map(repr, got.properties) if p not in (repr((SUBSCRIPTION_ID, 5)),) and '(2, ' not in p),
                         sorted(repr(p) for p in EVERY_PROPERTY if p[0] != MESSAGE_EXPIRY))

    def test_message_expiry_counts_down_and_ends_retained_messages(self):
        """[MQTT-3.3.2-5], [MQTT-3.3.2-6]"""
        sender = self.connected()
        sender.publish(self.topic('short'), 'x', 1, retain=True, properties=[(MESSAGE_EXPIRY, 1)])
        sender.publish(self.topic('long'), 'x', 1, retain=True, properties=[(MESSAGE_EXPIRY, 100)])
        sender.publish(self.topic('never'), 'x', 1, retain=True)
        c = self.connected()
        c.subscribe(self.topic('#'))
        got = {p.topic: p for p in (c.expect_publish(timeout_s=1) for _ in range(3))}
        self.assertIn(got[self.topic('long')].get(MESSAGE_EXPIRY), (99, 100))
        time.sleep(2.2)
        c = self.connected()
        c.subscribe(self.topic('#'))
        got = {p.topic: p for p in (c.expect_publish(timeout_s=1) for _ in range(2))}
        c.expect_nothing()
        self.assertEqual(set(got), {self.topic('long'), self.topic('never')})
        self.assertIn(got[self.topic('long')].get(MESSAGE_EXPIRY), (96, 97, 98))
        self.assertIsNone(got[self.topic('never')].get(MESSAGE_EXPIRY))

    def test_many_retained_messages_come_completely_under_flow_control(self):
        """[MQTT-3.3.4-9]: 1000 of them to a client that takes 10 at a time, while another publishes to it"""
        sender, c = self.connected(4), self.connected(properties=[(RECEIVE_MAXIMUM, 10)])
        for start in range(0, 1000, 10):
            sender.send(b''.join(publish_bytes(4, self.topic(n % 7, n), str(n), 1, True, packet_id=n + 1) for n in range(start, start + 10)))
            for n in range(start, start + 10):
                sender.expect(PUBACK, packet_id=n + 1)
        c.subscribe((self.topic('#'), 1))
        sender.publish(self.topic('fresh'), 'fresh', 1)
        got = collections.Counter(c.expect_publish().payload for _ in range(1001))
        self.assertEqual(got, collections.Counter([b'fresh'] + [str(n).encode() for n in range(1000)]))


class Properties(WireCase):
    def carried(self, got):
        return [p for p in got.properties if p[0] not in (TOPIC_ALIAS, SUBSCRIPTION_ID)]

    def test_every_property_is_carried_unaltered_and_in_order(self):
        """[MQTT-3.3.2-4], [MQTT-3.3.2-15], [MQTT-3.3.2-16], [MQTT-3.3.2-17], [MQTT-3.3.2-18], [MQTT-3.3.2-20]"""
        sender, receiver = self.connected(), self.connected()
        receiver.subscribe((self.topic(), 2))
        for qos in (0, 1, 2):
            sender.publish(self.topic(), b'x', qos, properties=EVERY_PROPERTY)
            got = self.carried(receiver.expect_publish(self.topic()))
            self.assertEqual([p for p in got if p[0] == USER_PROPERTY], [p for p in EVERY_PROPERTY if p[0] == USER_PROPERTY])
            self.assertEqual(sorted(map(repr, (p for p in got if p[0] != MESSAGE_EXPIRY))), sorted(map(repr, (p for p in EVERY_PROPERTY if p[0] != MESSAGE_EXPIRY))))
            self.assertIn(dict(p for p in got if p[0] == MESSAGE_EXPIRY)[MESSAGE_EXPIRY], (999, 1000))

    def test_versions_mix(self):
        """4.: properties end at a version 3 receiver, and a version 3 sender has none"""
        new, old, receiver_new, receiver_old = self.connected(5), self.connected(4), self.connected(5), self.connected(3)
        for receiver in (receiver_new, receiver_old):
            receiver.subscribe((self.topic(), 1))
        new.publish(self.topic(), 'new', 1, properties=EVERY_PROPERTY)
        old.publish(self.topic(), 'old', 1)
        receiver_old.expect_publish(self.topic(), 'new')
        receiver_old.expect_publish(self.topic(), 'old')
        self.assertEqual(len(self.carried(receiver_new.expect_publish(self.topic(), 'new'))), len(EVERY_PROPERTY))
        self.assertEqual(self.carried(receiver_new.expect_publish(self.topic(), 'old')), [])

    def test_payload_that_belies_its_format_is_carried_or_refused(self):
        """3.3.2.3.2: a receiver MAY check that the payload is UTF-8, and answer 0x99"""
        sender, receiver = self.connected(), self.connected()
        receiver.subscribe((self.topic(), 1))
        sender.send(publish_bytes(5, self.topic(), b'\xff\xfe', 1, packet_id=1, properties=[(PAYLOAD_FORMAT, 1)]))
        got = sender.receive()
        self.assertIn((got.kind, got.reason), ((PUBACK, 0), (PUBACK, 0x99), (DISCONNECT, 0x99)))
        if got.reason == 0:
            self.assertEqual(receiver.expect_publish(self.topic(), b'\xff\xfe').get(PAYLOAD_FORMAT), 1)

    def test_response_information_only_when_asked_for(self):
        """[MQTT-3.1.2-28]"""
        for properties in ((), [(REQUEST_RESPONSE, 0)]):
            self.assertIsNone(self.client().connect(self.new_id(), properties=properties).get(RESPONSE_INFO))

    def test_problem_information_can_be_declined(self):
        """[MQTT-3.1.2-29]: no Reason String or User Property in packets other than PUBLISH, CONNACK and DISCONNECT"""
        c = self.connected(properties=[(REQUEST_PROBLEM, 0)])
        c.send(subscribe_bytes(5, 1, [(self.topic(), 0), ('a#b', 0)]))
        try:
            got = c.receive()
        except Closed:
            return
        if got.kind == SUBACK:
            self.assertEqual((got.get(REASON_STRING), got.get(USER_PROPERTY)), (None, None))


class Aliases(WireCase):
    options = ('max_topic_alias 3',)

    def test_client_may_use_as_many_aliases_as_connack_says(self):
        """[MQTT-3.3.2-11], 3.2.2.3.8: set, used, changed; and never passed on as they are, [MQTT-3.3.2-7]"""
        sender, receiver = self.client(), self.connected(4)
        self.assertEqual(sender.connect(self.new_id()).get(TOPIC_ALIAS_MAXIMUM), 3)
        receiver.subscribe(self.topic('#'))
        a, b = self.topic('a'), self.topic('b')
        for topic, alias, expected in ((a, 1, a), ('', 1, a), (b, 3, b), ('', 3, b), ('', 1, a), (b, 1, b), ('', 1, b), (b, None, b), ('', 3, b)):
            sender.publish(topic, 'x', 0, properties=[] if alias is None else [(TOPIC_ALIAS, alias)])
            receiver.expect_publish(expected, 'x')
        for qos in (1, 2):
            sender.publish('', 'x', qos, properties=[(TOPIC_ALIAS, 1)])
            receiver.expect_publish(b, 'x')

    def test_aliases_end_with_the_connection(self):
        """3.3.2.3.4, [MQTT-3.3.2-7]: also when the session goes on"""
        name = self.new_id()
        first = self.connected(client_id=name, properties=[(SESSION_EXPIRY, 60)])
        first.publish(self.topic(), 'x', 1, properties=[(TOPIC_ALIAS, 1)])
        first.vanish()
        second = self.connected(client_id=name, clean=False)
        second.send(publish_bytes(5, '', 'x', properties=[(TOPIC_ALIAS, 1)]))
        second.expect_closed(reason=(0x94, 0x82))

    def resolve(self, aliases, got, maximum):
        alias = got.get(TOPIC_ALIAS)
        if alias is None:
            assert got.topic, 'neither topic nor alias'
            return got.topic
        assert 1 <= alias <= maximum, f'alias {alias} beyond {maximum}. [MQTT-3.1.2-26]'
        if got.topic:
            aliases[alias] = got.topic
        return aliases[alias]

    def test_aliases_towards_a_client_resolve(self):
        """[MQTT-3.1.2-26], [MQTT-3.3.2-10], [MQTT-3.3.2-12]: three aliases, five topics, at every QoS"""
        sender, receiver = self.connected(4), self.connected(properties=[(TOPIC_ALIAS_MAXIMUM, 3)])
        receiver.subscribe((self.topic('#'), 2))
        aliases = {}
        for n in range(60):
            topic = self.topic(n * n % 5)
            sender.publish(topic, str(n), n % 3)
            self.assertEqual(self.resolve(aliases, receiver.expect_publish(None, str(n)), 3), topic)

    @only_tidewire('2.0.11 never uses aliases towards clients')
    def test_aliases_are_used_towards_a_client_that_takes_them(self):
        """Ours: a repeated topic is not sent in full for ever"""
        sender, receiver = self.connected(4), self.connected(properties=[(TOPIC_ALIAS_MAXIMUM, 3)])
        receiver.subscribe(self.topic('#'))
        for _ in range(20):
            sender.publish(self.topic('repeated'), 'x', 1)
        got = [receiver.expect_publish() for _ in range(20)]
        self.assertEqual(got[-1].topic, '')
        self.assertIsNotNone(got[-1].get(TOPIC_ALIAS))

    def test_no_alias_towards_a_client_that_takes_none(self):
        """[MQTT-3.1.2-27]"""
        sender, receivers = self.connected(4), [self.connected(), self.connected(properties=[(TOPIC_ALIAS_MAXIMUM, 0)])]
        for receiver in receivers:
            receiver.subscribe(self.topic('#'))
        for _ in range(20):
            sender.publish(self.topic('repeated'), 'x', 1)
        for receiver in receivers:
            for _ in range(20):
                self.assertIsNone(receiver.expect_publish(self.topic('repeated'), 'x').get(TOPIC_ALIAS))


class FlowControl(WireCase):
    options = ('receive_maximum 5', 'max_inflight_messages 20')

    @differs_on_mosquitto('2.0.11 lets one too many out after an acknowledgement')
    def test_client_never_has_more_in_flight_than_its_receive_maximum(self):
        """[MQTT-3.3.4-9], [MQTT-4.9.0-1], [MQTT-4.9.0-2]: one acknowledgement lets one more out, in order"""
        sender, receiver = self.connected(), self.connected(properties=[(RECEIVE_MAXIMUM, 3)])
        receiver.subscribe((self.topic(), 1))
        for n in range(10):
            sender.publish(self.topic(), str(n), 1)
        waiting = [receiver.expect(PUBLISH, payload=str(n)) for n in range(3)]
        receiver.expect_nothing()
        for n in range(3, 10):
            receiver.acknowledge(PUBACK, waiting.pop(0).packet_id)
            waiting.append(receiver.expect(PUBLISH, payload=str(n)))
            self.assertEqual(len({p.packet_id for p in waiting}), 3)
            receiver.expect_nothing(0.05)

    @differs_on_mosquitto('2.0.11 lets one too many out')
    def test_qos_2_message_holds_the_quota_until_pubcomp(self):
        """[MQTT-4.9.0-2], 4.9"""
        sender, receiver = self.connected(), self.connected(properties=[(RECEIVE_MAXIMUM, 3)])
        receiver.subscribe((self.topic(), 2))
        for n in range(10):
            sender.publish(self.topic(), str(n), 2)
        waiting = [receiver.expect(PUBLISH, payload=str(n)) for n in range(3)]
        receiver.expect_nothing()
        for n in range(3, 10):
            oldest = waiting.pop(0).packet_id
            receiver.acknowledge(PUBREC, oldest)
            receiver.expect(PUBREL, packet_id=oldest)
            receiver.expect_nothing(0.05)
            receiver.acknowledge(PUBCOMP, oldest)
            waiting.append(receiver.expect(PUBLISH, payload=str(n)))
            self.assertEqual(len({p.packet_id for p in waiting}), 3)

    def test_flow_control_does_not_hold_back_other_packets(self):
        """[MQTT-3.3.4-10], [MQTT-4.9.0-3]: QoS 0, SUBACK, PINGRESP and PUBACK pass"""
        sender, receiver = self.connected(), self.connected(properties=[(RECEIVE_MAXIMUM, 1)])
        receiver.subscribe((self.topic('#'), 1))
        sender.publish(self.topic(1), 'takes the quota', 1)
        sender.publish(self.topic(1), 'waits', 1)
        sender.publish(self.topic(0), 'passes')
        first = receiver.expect(PUBLISH, payload='takes the quota')
        receiver.expect(PUBLISH, payload='passes')
        receiver.ping()
        receiver.subscribe(self.topic('other'))
        receiver.publish(self.topic('nobody')[1:], 'x', 1)
        receiver.acknowledge(PUBACK, first.packet_id)
        receiver.expect_publish(self.topic(1), 'waits')

    @differs_on_mosquitto('2.0.11 answers PUBREC 0x97 and goes on')
    def test_client_that_exceeds_our_receive_maximum_is_disconnected(self):
        """[MQTT-3.3.4-7], 3.3.4: exactly the announced number is fine, one more is 0x93"""
        c = self.client()
        maximum = c.connect(self.new_id()).get(RECEIVE_MAXIMUM, 65535)
        if not broker.ON_MOSQUITTO:
            self.assertEqual(maximum, 5)
        for n in range(1, maximum + 1):
            c.send(publish_bytes(5, self.topic(), 'x', 2, packet_id=n))
            c.expect(PUBREC, packet_id=n)
        c.ping()
        c.send(publish_bytes(5, self.topic(), 'x', 2, packet_id=maximum + 1))
        c.expect_closed(reason=0x93)

    def test_pipelined_qos_1_within_receive_maximum_is_served_for_ever(self):
        """4.9: PUBACK gives the quota back"""
        c = self.connected()
        for _ in range(50):
            c.send(b''.join(publish_bytes(5, self.topic(), 'x', 1, packet_id=n) for n in range(1, 6)))
            for n in range(1, 6):
                c.expect(PUBACK, packet_id=n)

    def test_old_versions_know_no_receive_maximum(self):
        """MQTT3 has no such limit: 30 QoS 2 messages may be in flight"""
        for version in (3, 4):
            c = self.connected(version)
            for n in range(1, 31):
                c.send(publish_bytes(version, self.topic(), 'x', 2, packet_id=n))
            for n in range(1, 31):
                c.expect(PUBREC, packet_id=n)

    def test_inflight_limit_holds_for_old_versions(self):
        """max_inflight_messages 20; MQTT3 4.6, non-normative: an in-flight window keeps the order"""
        sender, receiver = self.connected(), self.connected(4)
        receiver.subscribe((self.topic(), 1))
        for n in range(30):
            sender.publish(self.topic(), str(n), 1)
        waiting = [receiver.expect(PUBLISH, payload=str(n)) for n in range(20)]
        receiver.expect_nothing(0.1)
        receiver.acknowledge(PUBACK, waiting[0].packet_id)
        receiver.expect(PUBLISH, payload='20')


class Limits(WireCase):
    options = ('max_packet_size 2000', 'max_keepalive 30', 'max_qos 1', 'retain_available false', 'max_subscriptions 10')

    def test_connack_announces_the_limits(self):
        """[MQTT-3.2.2-9], 3.2.2.3.5, 3.2.2.3.6"""
        got = self.client().connect(self.new_id())
        self.assertEqual((got.get(MAXIMUM_PACKET_SIZE), got.get(MAXIMUM_QOS), got.get(RETAIN_AVAILABLE)), (2000, 1, 0))

    def test_server_keep_alive_is_announced_when_the_client_wants_more(self):
        """[MQTT-3.2.2-21], [MQTT-3.2.2-22], max_keepalive 30"""
        self.assertEqual(self.client().connect(self.new_id(), keep_alive=60).get(SERVER_KEEP_ALIVE), 30)
        self.assertEqual(self.client().connect(self.new_id(), keep_alive=0).get(SERVER_KEEP_ALIVE), 30)
        self.assertIn(self.client().connect(self.new_id(), keep_alive=10).get(SERVER_KEEP_ALIVE), (None, 10))

    def test_qos_above_the_maximum_is_refused(self):
        """[MQTT-3.2.2-11], 3.2.2.3.4: 0x9B"""
        c = self.connected()
        c.send(publish_bytes(5, self.topic(), 'x', 2, packet_id=1))
        c.expect_closed(reason=0x9B)

    def test_subscription_above_the_maximum_qos_is_granted_less(self):
        """[MQTT-3.2.2-10]: SUBSCRIBE with QoS 2 is accepted"""
        c = self.connected()
        c.send(subscribe_bytes(5, 1, [(self.topic(), 2)]))
        self.assertIn(c.expect(SUBACK).reasons, ([0], [1], [2]))
        self.connected().publish(self.topic(), 'x', 1)
        c.expect_publish(self.topic(), 'x', qos=1)

    def test_retained_message_is_refused_where_not_available(self):
        """[MQTT-3.2.2-14] (3.2.2.3.5): 0x9A"""
        c = self.connected()
        c.send(publish_bytes(5, self.topic(), 'x', 0, True))
        c.expect_closed(reason=0x9A)

    def test_will_beyond_the_limits_is_refused_at_connect(self):
        """[MQTT-3.2.2-12] (0x9B), [MQTT-3.2.2-13] (0x9A)"""
        c = self.client()
        c.connect(self.new_id(), expect=0x9B, will={'topic': self.topic(), 'qos': 2})
        c.expect_closed()
        c = self.client()
        c.connect(self.new_id(), expect=0x9A, will={'topic': self.topic(), 'retain': True})
        c.expect_closed()

    @differs_on_mosquitto('2.0.11 measures Remaining Length only')
    def test_packet_of_the_maximum_size_passes_and_one_byte_more_does_not(self):
        """3.2.2.3.6: 0x95"""
        receiver = self.connected(4, keep_alive=30)
        receiver.subscribe(self.topic())
        overhead = len(publish_bytes(5, self.topic(), bytes(1500))) - 1500
        c = self.connected()
        c.publish(self.topic(), bytes(2000 - overhead))
        self.assertEqual(len(receiver.expect_publish(self.topic()).payload), 2000 - overhead)
        c.send(publish_bytes(5, self.topic(), bytes(2001 - overhead)))
        c.expect_closed(reason=0x95)

    @only_tidewire('2.0.11 has no max_subscriptions')
    def test_subscriptions_beyond_the_limit_are_refused(self):
        """0x97 Quota exceeded (3.9.3) in version 5, 0x80 in 3.1.1; unsubscribing makes room; replacing needs none"""
        for version, refusal in ((5, 0x97), (4, 0x80)):
            c = self.connected(version, keep_alive=30)
            c.subscribe(*[self.topic(n) for n in range(12)], expect=[0] * 10 + [refusal] * 2)
            c.subscribe(self.topic(3))
            c.unsubscribe(self.topic(3))
            c.subscribe(self.topic(11))

    @differs_on_mosquitto('in 2.0.11 a message that is too large holds up those behind it')
    def test_client_that_takes_small_packets_gets_no_larger_ones(self):
        """[MQTT-3.1.2-24], [MQTT-3.1.2-25]: the large ones are as good as delivered, others still come, and they hold no quota"""
        sender, receiver = self.connected(4, keep_alive=30), self.connected(properties=[(MAXIMUM_PACKET_SIZE, 120), (RECEIVE_MAXIMUM, 2)])
        receiver.subscribe((self.topic(), 1))
        for n in range(5):
            for size in (100, 200):
                for qos in (0, 1):
                    sender.publish(self.topic(), bytes([n]) * (size - len(self.topic()) - 10), qos)
            for _ in range(2):
                got = receiver.expect_publish(self.topic())
                self.assertLessEqual(got.size, 120)
                self.assertEqual(got.payload[:1], bytes([n]))


class Shared(WireCase):
    def share(self, group, members, topic, qos=0, version=5):
        out = [self.connected(version) for _ in range(members)]
        for c in out:
            c.subscribe((f'$share/{group}/{topic}', qos))
        return out

    def drain(self, clients, total, acknowledge=True):
        """Messages of each client until `total` came; then nothing more may come."""
        got = [[] for _ in clients]
        deadline = time.monotonic() + WAIT_S * 2
        while sum(map(len, got)) < total and time.monotonic() < deadline:
            for c, messages in zip(clients, got):
                try:
                    while True:
                        messages.append((c.expect_publish if acknowledge else c.receive)(timeout_s=0.01))
                except Silence:
                    pass
        for c in clients:
            c.expect_nothing(0.05)
        return [[int(m.payload) for m in messages] for messages in got]

    def test_each_message_goes_to_exactly_one_member(self):
        """4.8.2, [MQTT-4.8.2-4]: eight members on both shards, four senders, every QoS; nobody gets less than a quarter of the fair part"""
        for qos in (0, 1, 2):
            topic = self.topic(qos)
            members, senders = self.share('g', 8, topic, qos), [self.connected() for _ in range(4)]
            for n in range(400):
                senders[n % 4].publish(topic, str(n), qos)
            got = self.drain(members, 400)
            self.assertEqual(sorted(n for part in got for n in part), list(range(400)))
            self.assertGreaterEqual(min(map(len, got)), 12, f'unfair: {[len(part) for part in got]}')
            self.assertLessEqual(max(map(len, got)), 200, f'unfair: {[len(part) for part in got]}')
            for part in got:
                for sender in range(4):
                    mine = [n for n in part if n % 4 == sender]
                    self.assertEqual(mine, sorted(mine), 'the order of one publisher, as far as one member sees it')
            for c in members + senders:
                c.close()

    def test_groups_and_ordinary_subscriptions_each_get_a_copy(self):
        """4.8.2: a message goes to one member of each group and to every non-shared subscription"""
        a, b, plain, sender = self.share('a', 3, self.topic('#')), self.share('b', 3, self.topic('+')), self.connected(), self.connected()
        plain.subscribe(self.topic('x'))
        for n in range(30):
            sender.publish(self.topic('x'), str(n))
        for clients in (a, b, [plain]):
            self.assertEqual(sorted(n for part in self.drain(clients, 30) for n in part), list(range(30)))

    def test_member_with_both_kinds_gets_both(self):
        """4.8.2: shared and non-shared subscriptions of one session are different subscriptions"""
        c, sender = self.connected(), self.connected()
        c.subscribe((f'$share/g/{self.topic()}', 0), properties=[(SUBSCRIPTION_ID, 1)])
        c.subscribe((self.topic(), 0), properties=[(SUBSCRIPTION_ID, 2)])
        sender.publish(self.topic(), 'x')
        got = c.expect_publish().all(SUBSCRIPTION_ID) + c.expect_publish().all(SUBSCRIPTION_ID)
        self.assertEqual(sorted(got), [1, 2])

    def test_members_keep_their_own_qos(self):
        """[MQTT-4.8.2-3]: min(published, granted) for the member that gets it"""
        zero, one, sender = self.connected(), self.connected(), self.connected()
        zero.subscribe((f'$share/g/{self.topic()}', 0))
        one.subscribe((f'$share/g/{self.topic()}', 1))
        for n in range(20):
            sender.publish(self.topic(), str(n), 2)
        seen = 0
        for c, qos in ((zero, 0), (one, 1)):
            try:
                while True:
                    c.expect_publish(timeout_s=QUIET_S, qos=qos)
                    seen += 1
            except Silence:
                pass
        self.assertEqual(seen, 20)

    def test_leaving_members_leave_everything_to_the_rest(self):
        """[MQTT-3.10.4-5]-like: by UNSUBSCRIBE, DISCONNECT and a lost connection"""
        members, sender = self.share('g', 4, self.topic(), 1), self.connected()
        self.assertEqual(members[0].unsubscribe(f'$share/g/{self.topic()}').reasons, [0])
        members[1].disconnect()
        members[2].vanish()
        eventually_gone = time.monotonic() + 0.3
        while time.monotonic() < eventually_gone:
            time.sleep(0.05)
        for n in range(20):
            sender.publish(self.topic(), str(n), 1)
        self.assertEqual(self.drain([members[3]], 20), [list(range(20))])

    @differs_on_mosquitto('2.0.11 loses what a leaving member had not acknowledged')
    def test_unacknowledged_messages_of_an_ended_session_go_to_another_member(self):
        """[MQTT-4.8.2-5] asks for it at QoS 1 when the client's session ends: it SHOULD (ours: does) go to another member"""
        leaver, stayer, sender = self.connected(), self.connected(), self.connected()
        leaver.subscribe((f'$share/g/{self.topic()}', 1))
        for n in range(5):
            sender.publish(self.topic(), str(n), 1)
        for _ in range(5):
            leaver.expect(PUBLISH)
        stayer.subscribe((f'$share/g/{self.topic()}', 1))
        leaver.vanish()
        self.assertEqual(sorted(int(stayer.expect_publish(timeout_s=2).payload) for _ in range(5)), list(range(5)))

    @differs_on_mosquitto('2.0.11 sends them')
    def test_shared_subscription_gets_no_retained_messages(self):
        """4.8.2: retained messages are not sent when a shared subscription is made"""
        sender = self.connected()
        sender.publish(self.topic(), 'kept', 1, retain=True)
        c = self.share('g', 1, self.topic())[0]
        c.expect_nothing()
        sender.publish(self.topic(), 'new', 1)
        c.expect_publish(self.topic(), 'new')

    def test_sessions_without_connection_queue_their_share(self):
        """4.8.2, 4.4: with nobody connected a persistent member's share waits"""
        name = self.new_id()
        c, sender = self.connected(client_id=name, properties=[(SESSION_EXPIRY, 60)]), self.connected()
        c.subscribe((f'$share/g/{self.topic()}', 1))
        c.disconnect()
        for n in range(5):
            sender.publish(self.topic(), str(n), 1)
        back = self.connected(client_id=name, clean=False, properties=[(SESSION_EXPIRY, 60)])
        for n in range(5):
            back.expect_publish(self.topic(), str(n))


class Crowd(WireCase):
    def test_two_hundred_clients_lose_and_double_nothing(self):
        """200 clients at once, of all versions: each sends 5 messages to the next one, 2 to all (QoS 1), and 1 to a shared group of all; every copy is counted."""
        size = 200
        clients = [self.connected(ALL_VERSIONS[n % 3]) for n in range(size)]
        for n, c in enumerate(clients):
            c.subscribe((self.topic('one', n), n % 3), (self.topic('all'), 1), (f'$share/crowd/{self.topic("some")}', 0))
        got = [collections.Counter() for _ in clients]
        numbers = {c.socket: n for n, c in enumerate(clients)}

        def read_ready(wait_s):
            """Acknowledges and counts what lies in the sockets; False when nothing did."""
            ready, _, _ = select.select([c.socket for c in clients], [], [], wait_s)
            for n in [numbers[s] for s in ready]:
                try:
                    while True:
                        p = clients[n].receive(0.001)
                        if p.kind == PUBLISH:
                            got[n][p.topic, p.payload] += 1
                            if p.qos:
                                clients[n].acknowledge(PUBACK if p.qos == 1 else PUBREC, p.packet_id)
                        elif p.kind == PUBREL:
                            clients[n].acknowledge(PUBCOMP, p.packet_id)
                except Silence:
                    pass
            return bool(ready)
        for n, c in enumerate(clients):
            octets = b''.join(publish_bytes(c.version, self.topic('one', (n + 1) % size), f'{n}.{k}', 1, packet_id=k + 1) for k in range(5))
            octets += b''.join(publish_bytes(c.version, self.topic('all'), f'{n}.{k}', 1, packet_id=k + 6) for k in range(2))
            c.send(octets + publish_bytes(c.version, self.topic('some'), f'{n}', 1, packet_id=8))
            if n % 10 == 9:
                read_ready(0)
        expected = 5 + 2 * size
        shared = f'{self.topic("some")}'

        def missing():
            return [n for n in range(size) if sum(v for (t, _), v in got[n].items() if t != shared) < expected] or \
                ([0] if sum(v for g in got for (t, _), v in g.items() if t == shared) < size else [])
        deadline = time.monotonic() + 30 * broker.PATIENCE
        while missing() and time.monotonic() < deadline:
            read_ready(0.1)
        while read_ready(0.2):  # what would come twice
            pass
        everyone = collections.Counter({(self.topic('all'), f'{n}.{k}'.encode()): 1 for n in range(size) for k in range(2)})
        shares = collections.Counter()
        for n in range(size):
            mine = collections.Counter({key: v for key, v in got[n].items() if key[0] != shared})
            shares.update({key[1]: v for key, v in got[n].items() if key[0] == shared})
            before = (n - 1) % size
            self.assertEqual(mine, everyone + collections.Counter({(self.topic('one', n), f'{before}.{k}'.encode()): 1 for k in range(5)}))
        self.assertEqual(shares, collections.Counter({str(n).encode(): 1 for n in range(size)}))


if __name__ == '__main__':
    broker.main()
