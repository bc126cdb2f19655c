#!/usr/bin/python3
"""Bad input, impatience and rudeness over real TCP: each is answered as the specification says, and nobody else notices.

Numbers are MQTT 5.0's unless a docstring says MQTT3 (3.1.1).
"""
import random
import re
import socket
import time
import unittest

import broker
from broker import differs_on_mosquitto, eventually, only_tidewire
from wire import *
from wire import WireCase, connect_bytes, data, packet, properties_bytes, publish_bytes, subscribe_bytes, unsubscribe_bytes, varint

ALL_VERSIONS = (3, 4, 5)
MALFORMED, PROTOCOL_ERROR = 0x81, 0x82


def read_to_end(s, timeout_s=None):
    """Everything until the other side closes; socket.timeout if it does not."""
    s.settimeout(WAIT_S if timeout_s is None else timeout_s)
    out = b''
    while True:
        try:
            octets = s.recv(65536)
        except (ConnectionResetError, BrokenPipeError):
            return out
        if not octets:
            return out
        out += octets


class ProtocolCase(WireCase):
    options = ('connect_timeout 2', 'max_packet_size 300000', 'max_topic_alias 5')

    def setUp(self):
        super().setUp()
        self.witness = self.connected(client_id=self.new_id('witness'))
        self.witness.subscribe(self.topic('witness'))

    def tearDown(self):
        """Whatever a test does to the broker, a client that keeps to the rules stays connected and is served."""
        self.witness.publish(self.topic('witness'), 'still here')
        self.witness.expect_publish(self.topic('witness'), 'still here')
        self.witness.close()
        super().tearDown()

    def raw(self):
        s = socket.create_connection(('127.0.0.1', self.port), timeout=WAIT_S)
        self.addCleanup(s.close)
        return s


class BeforeConnect(ProtocolCase):
    def test_first_packet_other_than_connect_closes(self):
        """[MQTT-3.1.0-1], MQTT3 [MQTT-3.1.0-1]"""
        for octets in (b'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n', b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03' + bytes(64), bytes(64), b'\xff' * 64,
                       publish_bytes(4, 'a', 'b'), subscribe_bytes(4, 1, [('#', 0)]), packet(PINGREQ, 0, b''), packet(DISCONNECT, 0, b''),
                       packet(CONNACK, 0, b'\0\0'), packet(AUTH, 0, b'')):
            with self.subTest(octets=octets[:12]):
                s = self.raw()
                s.sendall(octets)
                self.assertEqual(read_to_end(s), b'')

    def test_random_bytes_never_hurt(self):
        """4.13: whatever is not a packet ends the connection at most. 200 connections of seeded noise."""
        rng = random.Random(20)
        for _ in range(200):
            s = self.raw()
            noise = bytearray(rng.randbytes(rng.randint(1, 300)))
            if rng.random() < .5:
                noise[0] = 0x10
            try:
                s.sendall(noise)
            except (ConnectionResetError, BrokenPipeError):
                pass
            s.close()

    def test_mutated_connect_never_hurts(self):
        """Each byte of a full v5 CONNECT changed: accepted, refused or awaited, never a fault."""
        rng = random.Random(21)
        whole = connect_bytes(5, 'mutant', properties=[(SESSION_EXPIRY, 0), (USER_PROPERTY, ('a', 'b'))], user='u', password='p',
                              will={'topic': 'mutant/will', 'payload': b'x', 'properties': [(WILL_DELAY, 1), (CONTENT_TYPE, 't')]})
        for at in range(len(whole)):
            s = self.raw()
            s.sendall(whole[:at] + bytes([whole[at] ^ (1 << rng.randrange(8))]) + whole[at + 1:])
            s.close()

    def test_remaining_length_of_five_bytes_closes(self):
        """1.5.5, 2.1.4: a Variable Byte Integer has at most four bytes; the fifth must not be waited for."""
        s = self.raw()
        s.sendall(b'\x10\x80\x80\x80\x80\x01')
        self.assertLessEqual(len(read_to_end(s, 1.5 * broker.PATIENCE)), 8)

    @only_tidewire('2.0.11 has no max_connect_packet_size')
    def test_huge_connect_closes_at_its_header(self):
        """max_connect_packet_size (16384): a header that announces more ends the connection before its body came."""
        s = self.raw()
        s.sendall(b'\x10' + varint(100_000_000))
        started = time.monotonic()
        read_to_end(s)
        self.assertLess(time.monotonic() - started, 1.5 * broker.PATIENCE, 'waited for connect_timeout instead')

    def test_connect_in_single_bytes_is_accepted(self):
        s = self.client()
        for octet in connect_bytes(5, self.new_id()):
            s.send(bytes([octet]))
            time.sleep(0.002)
        s.expect(CONNACK, reason=0)
        s.ping()

    def test_packets_behind_connect_in_one_segment_are_served(self):
        """3.1.4: clients may send before CONNACK."""
        for version in ALL_VERSIONS:
            with self.subTest(version=version):
                c = self.client(version)
                topic = self.topic(version)
                c.send(connect_bytes(version, self.new_id()) + subscribe_bytes(version, 7, [(topic, 0)]) + publish_bytes(version, topic, 'early') + packet(PINGREQ, 0, b''))
                c.expect(CONNACK, reason=0)
                c.expect_answer(SUBACK, 7)
                c.expect_answer(PINGRESP)
                c.expect_publish(topic, 'early')

    def test_every_prefix_of_connect_then_close_is_harmless(self):
        whole = connect_bytes(5, 'prefix', will={'topic': self.topic('will'), 'payload': b'never'})
        self.witness.subscribe(self.topic('will'))
        for end in range(len(whole)):
            s = self.raw()
            s.sendall(whole[:end])
            s.close()
        self.witness.expect_nothing()

    @only_tidewire('2.0.11 has no connect_timeout')
    def test_connect_that_never_completes_is_closed(self):
        """connect_timeout 2: silence, half a CONNECT, and one that trickles are closed after it, not before. 3.1.4 asks for a reasonable time."""
        whole = connect_bytes(5, 'patience' * 2)
        silent, half, trickle = self.raw(), self.raw(), self.raw()
        half.sendall(whole[:10])
        started = time.monotonic()
        trickle.settimeout(0.3)
        sent = 0
        while time.monotonic() - started < 2 + 2 * broker.PATIENCE:
            try:
                trickle.sendall(whole[sent:sent + 1])
                sent += 1
                if not trickle.recv(100):
                    break
            except socket.timeout:
                pass
            except OSError:
                break
        trickled_for = time.monotonic() - started
        self.assertLess(sent, len(whole), 'the test is too slow for its claim')
        self.assertGreater(trickled_for, 1.5)
        self.assertLess(trickled_for, 2 + 2 * broker.PATIENCE)
        for s in (silent, half):
            self.assertEqual(read_to_end(s, 2 * broker.PATIENCE), b'')

    @only_tidewire('2.0.11 has no connect_timeout')
    def test_completed_connect_outlives_connect_timeout(self):
        c = self.connected(keep_alive=0)
        time.sleep(2.5)
        c.ping()


class Connect(ProtocolCase):
    def refused(self, octets):
        s = self.raw()
        s.sendall(octets)
        return read_to_end(s)

    def test_unknown_protocol_name_is_refused(self):
        """[MQTT-3.1.2-1], MQTT3 [MQTT-3.1.2-1]"""
        for name, level in (('MQTX', 4), ('MQTT', 3), ('MQIsdp', 5), ('', 4), ('mqtt', 5)):
            with self.subTest(name=name, level=level):
                answer = self.refused(connect_bytes(5 if level == 5 else 4, 'x', name=name, level=level))
                self.assertTrue(answer == b'' or answer[0] == 0x20 and answer[3] in (0x01, 0x81, 0x82, 0x84), answer.hex())

    def test_unknown_protocol_level_is_refused(self):
        """[MQTT-3.1.2-2] (0x84), MQTT3 [MQTT-3.1.2-2] (0x01)"""
        for level in (0, 1, 2, 6, 127, 255):
            with self.subTest(level=level):
                answer = self.refused(connect_bytes(4, 'x', level=level))
                self.assertTrue(answer == b'' or answer[0] == 0x20 and answer[3] in (0x01, 0x84), answer.hex())

    def test_reserved_connect_flag_is_refused(self):
        """[MQTT-3.1.2-3], MQTT3 [MQTT-3.1.2-3]"""
        for version in (4, 5):
            answer = self.refused(connect_bytes(version, 'x', reserved=1))
            self.assertTrue(answer == b'' or version == 5 and answer[3] in (MALFORMED, PROTOCOL_ERROR), answer.hex())

    def test_will_qos_3_is_refused(self):
        """[MQTT-3.1.2-12], MQTT3 [MQTT-3.1.2-14]"""
        for version in ALL_VERSIONS:
            answer = self.refused(connect_bytes(version, 'x', will={'topic': 'w', 'qos': 3}))
            self.assertTrue(answer == b'' or version == 5 and answer[3] in (MALFORMED, PROTOCOL_ERROR), answer.hex())

    def test_will_flags_without_will_are_refused(self):
        """[MQTT-3.1.2-11], [MQTT-3.1.2-13]"""
        for flags in (0x08, 0x10, 0x20):
            with self.subTest(flags=flags):
                answer = self.refused(connect_bytes(5, 'x', reserved=flags))
                self.assertTrue(answer == b'' or answer[3] in (MALFORMED, PROTOCOL_ERROR), answer.hex())

    def test_will_topic_with_wildcard_is_refused(self):
        """3.1.3.3 (a Topic Name), [MQTT-4.7.1-1]"""
        for topic in ('a/#', '+/a', ''):
            with self.subTest(topic=topic):
                answer = self.refused(connect_bytes(5, 'x', will={'topic': topic}))
                self.assertTrue(answer == b'' or answer[3] >= 0x80, answer.hex())

    def test_v311_password_without_user_name_is_refused(self):
        """MQTT3 [MQTT-3.1.2-22]"""
        answer = self.refused(connect_bytes(4, 'x', password='secret'))
        self.assertTrue(answer == b'' or answer[3] in (4, 5), answer.hex())

    def test_v5_password_without_user_name_is_allowed(self):
        """3.1.2.9, non-normative: version 5 allows it."""
        self.client(5).connect(self.new_id(), password='secret')

    def test_bytes_after_the_payload_are_refused(self):
        octets = bytearray(connect_bytes(5, 'x')) + b'zz'
        octets[1] += 2
        self.assertIn(self.refused(bytes(octets))[3:4], (b'', b'\x81', b'\x82'))

    def test_client_identifier_with_nul_or_bad_utf8_is_refused(self):
        """[MQTT-1.5.4-1], [MQTT-1.5.4-2], [MQTT-3.1.3-4]"""
        for client_id in (b'a\0b', b'\xff\xfe', b'\xed\xa0\x80', b'\xc0\x80', b'\xf5\x80\x80\x80'):
            with self.subTest(client_id=client_id):
                answer = self.refused(connect_bytes(5, client_id))
                self.assertTrue(answer == b'' or answer[3] in (0x81, 0x82, 0x85), answer.hex())

    def test_v31_empty_client_identifier_is_refused(self):
        """MQTT 3.1: 1 to 23 characters; return code 2"""
        self.assertEqual(self.refused(connect_bytes(3, '')), b'\x20\x02\x00\x02')

    def test_v311_empty_client_identifier_needs_clean_session(self):
        """MQTT3 [MQTT-3.1.3-6], [MQTT-3.1.3-7], [MQTT-3.1.3-8]"""
        self.assertEqual(self.refused(connect_bytes(4, '', clean=False)), b'\x20\x02\x00\x02')
        self.client(4).connect('', clean=True)

    def test_v5_empty_client_identifier_is_assigned_a_unique_one(self):
        """[MQTT-3.1.3-6], [MQTT-3.1.3-7], [MQTT-3.2.2-16]"""
        clients = [self.client() for _ in range(10)]
        assigned = [c.connect('').get(ASSIGNED_CLIENT_ID) for c in clients]
        self.assertTrue(all(assigned), assigned)
        self.assertEqual(len(set(assigned)), 10)
        for c in clients:
            c.ping()

    def test_assigned_client_identifier_names_the_session(self):
        """[MQTT-3.2.2-16]: the client that uses it later gets that session back."""
        first = self.client()
        name = first.connect('', properties=[(SESSION_EXPIRY, 60)]).get(ASSIGNED_CLIENT_ID)
        first.vanish()
        self.assertTrue(self.client().connect(name, clean=False).session_present)

    def test_given_client_identifier_is_not_assigned(self):
        """3.2.2.3.7"""
        self.assertIsNone(self.client().connect(self.new_id()).get(ASSIGNED_CLIENT_ID))

    def test_long_and_odd_client_identifiers_work(self):
        """[MQTT-3.1.3-5] lets the server take more than 23 bytes and other characters."""
        for client_id in ('x' * 1000, 'grüße/你好', '#', '+', '%c', '$SYS'):
            with self.subTest(client_id=client_id[:10]):
                c = self.connected(client_id=client_id)
                c.ping()

    def test_auth_method_is_refused(self):
        """[MQTT-4.12.0-1]: no method is supported, so CONNACK 0x8C and the end."""
        c = self.client()
        c.connect(self.new_id(), expect=0x8C, properties=[(AUTH_METHOD, 'SCRAM-SHA-1'), (AUTH_DATA, b'n,,n=user')])
        c.expect_closed()

    def test_refused_connack_says_no_session_and_closes(self):
        """[MQTT-3.2.2-6], [MQTT-3.2.2-7]"""
        c = self.client()
        self.assertFalse(c.connect(self.new_id(), expect=0x8C, properties=[(AUTH_METHOD, 'x')]).session_present)
        c.expect_closed()

    def test_zero_receive_maximum_and_packet_size_are_errors(self):
        """3.1.2.11.3, 3.1.2.11.4"""
        for wrong in ((RECEIVE_MAXIMUM, 0), (MAXIMUM_PACKET_SIZE, 0), (REQUEST_PROBLEM, 2), (REQUEST_RESPONSE, 2)):
            with self.subTest(wrong=wrong):
                answer = self.refused(connect_bytes(5, self.new_id(), properties=[wrong]))
                self.assertTrue(answer == b'' or answer[3] in (MALFORMED, PROTOCOL_ERROR), answer.hex())

    def test_repeated_connect_property_is_an_error(self):
        """3.1.2.11.2 and the like: including it more than once is a Protocol Error."""
        for twice in ((SESSION_EXPIRY, 1), (RECEIVE_MAXIMUM, 5), (TOPIC_ALIAS_MAXIMUM, 5)):
            with self.subTest(twice=twice):
                answer = self.refused(connect_bytes(5, self.new_id(), properties=[twice, twice]))
                self.assertTrue(answer == b'' or answer[3] in (MALFORMED, PROTOCOL_ERROR), answer.hex())

    @differs_on_mosquitto('2.0.11 closes without DISCONNECT')
    def test_second_connect_closes(self):
        """[MQTT-3.1.0-2], MQTT3 [MQTT-3.1.0-2]"""
        for version in ALL_VERSIONS:
            with self.subTest(version=version):
                c = self.connected(version)
                c.send(connect_bytes(version, self.new_id()))
                c.expect_closed(reason=PROTOCOL_ERROR if version == 5 else None)

    @differs_on_mosquitto('2.0.11 closes without DISCONNECT')
    def test_takeover_ends_the_older_connection(self):
        """[MQTT-3.1.4-3] (0x8E), MQTT3 [MQTT-3.1.4-2]: for every pair of versions."""
        for old in ALL_VERSIONS:
            for new in ALL_VERSIONS:
                with self.subTest(old=old, new=new):
                    name = self.new_id()
                    first = self.connected(old, name)
                    second = self.connected(new, name)
                    first.expect_closed(reason=0x8E if old == 5 else None)
                    second.ping()

    @differs_on_mosquitto('2.0.11 closes without DISCONNECT')
    def test_takeover_storm_leaves_one_connection(self):
        """[MQTT-3.1.4-3]: 50 clients of one name, on all shards' sockets: the last one stays."""
        name = self.new_id()
        clients = [self.connected(client_id=name) for _ in range(50)]
        for c in clients[:-1]:
            c.expect_closed(reason=0x8E)
        clients[-1].ping()

    def test_takeover_keeps_the_session(self):
        """[MQTT-3.1.2-5]: subscriptions go over, and no message is lost or doubled while connections change."""
        name, topic = self.new_id(), self.topic()
        taker = self.connected(client_id=name, properties=[(SESSION_EXPIRY, 60)])
        taker.subscribe((topic, 1))
        sender = self.connected()
        got = []
        for n in range(20):
            sender.publish(topic, str(n), qos=1)
            if n % 4 == 3:
                newer = self.client()
                self.assertTrue(newer.connect(name, clean=False, properties=[(SESSION_EXPIRY, 60)]).session_present)
                taker = newer
                while len(got) <= n:
                    got.append(int(taker.expect_publish(topic).payload))
        self.assertEqual(got, list(range(20)))


class AfterConnect(ProtocolCase):
    """A packet that breaks a rule ends the connection, in version 5 with a DISCONNECT that says why (4.13.1, [MQTT-4.13.1-1])."""

    def violations(self, version):
        """(name, bytes, allowed reasons, Mosquitto 2.0.11 deviates)"""
        def publish(topic='t', payload=b'x', **more):
            return publish_bytes(version, topic, payload, **more)

        def subscribe(options=0, topic_filter='f', **more):
            return subscribe_bytes(version, more.pop('packet_id', 1), [(topic_filter, options)], **more)
        none = b'' if version != 5 else b'\0'
        bad = (MALFORMED, PROTOCOL_ERROR)
        yield 'type 0', packet(0, 0, b''), bad, False
        if version != 5:
            yield 'type 15', packet(15, 0, b''), bad, False
        yield 'CONNACK from a client [MQTT5 table 2-1]', packet(CONNACK, 0, b'\0\0' + none), bad, False
        yield 'SUBACK from a client', packet(SUBACK, 0, b'\0\1' + none + b'\0'), bad, True
        yield 'UNSUBACK from a client', packet(UNSUBACK, 0, b'\0\1' + none), bad, True
        yield 'PINGRESP from a client', packet(PINGRESP, 0, b''), bad, True
        yield 'Remaining Length of 5 bytes', b'\x30\x80\x80\x80\x80\x01', bad + (0x95,), False
        yield 'PINGREQ with a body', packet(PINGREQ, 0, b'x'), bad, True
        yield 'PUBLISH QoS 3 [MQTT-3.3.1-4]', packet(PUBLISH, 6, data('t') + b'\0\1' + none), bad, False
        yield 'PUBLISH packet identifier 0 [MQTT-2.2.1-3]', publish(qos=1, packet_id=0), bad, False
        yield 'PUBLISH topic # [MQTT-3.3.2-2]', publish('a/#'), bad + (0x90,), False
        yield 'PUBLISH topic + [MQTT-3.3.2-2]', publish('+/a'), bad + (0x90,), False
        yield 'PUBLISH empty topic [MQTT-4.7.3-1]', publish(''), bad + (0x90,), False
        yield 'PUBLISH topic with NUL [MQTT-4.7.3-2]', publish(b'a\0b'), bad + (0x90,), False
        yield 'PUBLISH topic of bad UTF-8 [MQTT-1.5.4-1]', publish(b'a\xed\xa0\x80'), bad + (0x90,), False
        yield 'PUBLISH topic longer than the packet', packet(PUBLISH, 0, b'\0\x09ab'), bad, False
        yield 'PUBLISH of nothing', packet(PUBLISH, 0, b''), bad, False
        yield 'SUBSCRIBE packet identifier 0 [MQTT-2.2.1-3]', subscribe(packet_id=0), bad, False
        yield 'SUBSCRIBE QoS 3', subscribe(3), bad, False
        yield 'SUBSCRIBE without options', packet(SUBSCRIBE, 2, b'\0\1' + none + data('f')), bad, False
        yield 'UNSUBSCRIBE packet identifier 0 [MQTT-2.2.1-3]', unsubscribe_bytes(version, 0, ['f']), bad, True
        yield 'PUBACK of one byte', packet(PUBACK, 0, b'\1'), bad, False
        yield 'packet beyond Maximum Packet Size [MQTT-3.1.2-24 by analogy, 3.2.2.3.6]', b'\x30' + varint(400_000), bad + (0x95,), False
        if version == 3:
            return  # MQTT 3.1 ignores unused flags, and says nothing of empty lists
        yield 'SUBSCRIBE flags 0 [MQTT-3.8.1-1]', subscribe(flags=0), bad, False
        yield 'UNSUBSCRIBE flags 0 [MQTT-3.10.1-1]', unsubscribe_bytes(version, 1, ['f'], flags=0), bad, False
        yield 'PUBREL flags 0 [MQTT-3.6.1-1]', packet(PUBREL, 0, b'\0\1'), bad, False
        yield 'PINGREQ flags 1 [MQTT-2.1.3-1]', packet(PINGREQ, 1, b''), bad, True
        yield 'DISCONNECT flags 1 [MQTT-3.14.1-1]', packet(DISCONNECT, 1, b''), bad, True
        yield 'PUBLISH DUP with QoS 0 [MQTT-3.3.1-2]', publish(dup=True), bad, True
        yield 'SUBSCRIBE of no filter [MQTT-3.8.3-2]', packet(SUBSCRIBE, 2, b'\0\1' + none), bad, False
        yield 'SUBSCRIBE reserved options [MQTT-3.8.3-5]', subscribe(0x40 if version == 5 else 0x04), bad, False
        yield 'UNSUBSCRIBE of no filter [MQTT-3.10.3-2]', packet(UNSUBSCRIBE, 2, b'\0\1' + none), bad, False
        if version != 5:
            return
        yield 'Topic Alias 0 [MQTT-3.3.2-8]', publish(properties=[(TOPIC_ALIAS, 0)]), bad + (0x94,), False
        yield 'Topic Alias beyond the maximum [MQTT-3.3.2-9]', publish(properties=[(TOPIC_ALIAS, 6)]), (0x94,), False
        yield 'unknown Topic Alias 3.3.2.1', publish('', properties=[(TOPIC_ALIAS, 2)]), (0x94, PROTOCOL_ERROR), False
        yield 'Topic Alias twice', publish(properties=[(TOPIC_ALIAS, 1), (TOPIC_ALIAS, 1)]), bad, False
        yield 'PUBLISH with Subscription Identifier [MQTT-3.3.4-6]', publish(properties=[(SUBSCRIPTION_ID, 1)]), bad, True
        yield 'PUBLISH with a property of CONNECT', publish(properties=[(SESSION_EXPIRY, 1)]), bad, False
        yield 'PUBLISH with an unknown property', packet(PUBLISH, 0, data('t') + b'\2\x7f\0'), bad, False
        yield 'PUBLISH properties beyond the packet', packet(PUBLISH, 0, data('t') + b'\x09\1'), bad, False
        yield 'PUBLISH property cut by the length', packet(PUBLISH, 0, data('t') + b'\3\2\0\0' + b'rest'), bad, False
        yield 'Payload Format Indicator 2 [3.3.2.3.2]', publish(properties=[(PAYLOAD_FORMAT, 2)]), bad + (0x99,), True
        yield 'Response Topic with wildcard [MQTT-3.3.2-14]', publish(properties=[(RESPONSE_TOPIC, 'a/+')]), bad + (0x90,), True
        yield 'Content Type of bad UTF-8 [MQTT-3.3.2-19]', publish(properties=[(CONTENT_TYPE, b'\xff')]), bad, False
        yield 'Retain Handling 3 [3.8.3.1]', subscribe(0x30), bad, False
        yield 'No Local on a Shared Subscription [MQTT-3.8.3-4]', subscribe(4, '$share/g/t'), bad, True
        yield 'Subscription Identifier 0 [3.8.2.1.2]', subscribe(properties=[(SUBSCRIPTION_ID, 0)]), bad, False
        yield 'Subscription Identifier twice', subscribe(properties=[(SUBSCRIPTION_ID, 1), (SUBSCRIPTION_ID, 2)]), bad, True
        yield 'AUTH without a method in CONNECT [4.12]', packet(AUTH, 0, b'\x19' + properties_bytes([(AUTH_METHOD, 'x')])), bad + (0x8C,), False
        yield 'Session Expiry raised from 0 at DISCONNECT [3.14.2.2.2]', packet(DISCONNECT, 0, b'\0' + properties_bytes([(SESSION_EXPIRY, 5)])), bad, False

    def check(self, version, ends):
        skipped = []
        for name, octets, reasons, deviates in self.violations(version):
            with self.subTest(violation=name, version=version):
                if broker.ON_MOSQUITTO and deviates:
                    skipped.append(name)
                    continue
                c = self.connected(version)
                c.send(octets)
                ends(c, reasons)
                c.close()
        return skipped

    def test_v31_violation_closes(self):
        self.check(3, lambda c, _: c.expect_closed())

    def test_v311_violation_closes(self):
        """MQTT3 [MQTT-4.8.0-1]"""
        self.check(4, lambda c, _: c.expect_closed())

    def test_v5_violation_closes(self):
        """[MQTT-4.8.0-1 of MQTT3], 4.13.1; a DISCONNECT, when there is one, carries a fitting code."""
        def ends(c, reasons):
            goodbye = c.expect_closed()
            self.assertTrue(goodbye is None or goodbye.reason in reasons, f'{goodbye} not with one of {[hex(r) for r in reasons]}')
        self.check(5, ends)

    def test_v31_subscribe_and_unsubscribe_with_dup_are_served(self):
        """MQTT 3.1, 3.8 and 3.10: both are sent with QoS 1, and again with DUP set when the answer is late."""
        c = self.connected(3)
        c.send(subscribe_bytes(3, 1, [(self.topic(), 0)], flags=0x0A))
        c.expect_answer(SUBACK, 1)
        c.send(unsubscribe_bytes(3, 2, [self.topic()], flags=0x0A))
        c.expect_answer(UNSUBACK, 2)

    @only_tidewire('2.0.11 sends DISCONNECT for some violations only')
    def test_v5_violation_is_told_why(self):
        """4.13.1: the server SHOULD send DISCONNECT with the reason; Tidewire always does."""
        self.check(5, lambda c, reasons: c.expect_closed(reason=reasons))

    def test_mutated_packets_never_hurt(self):
        """Single-bit mutations of v5 packets after CONNECT, 300 of them, seeded."""
        rng = random.Random(22)
        originals = [publish_bytes(5, self.topic(), 'payload', 1, False, False, 1, [(CONTENT_TYPE, 'x'), (USER_PROPERTY, ('k', 'v'))]),
                     subscribe_bytes(5, 2, [(self.topic('+'), 1), ('$share/g/' + self.topic(), 0)], [(SUBSCRIPTION_ID, 5)]),
                     unsubscribe_bytes(5, 3, [self.topic('+')]), packet(PUBREL, 2, b'\0\1'), packet(DISCONNECT, 0, b'\x04\0')]
        for _ in range(300):
            octets = bytearray(rng.choice(originals))
            octets[rng.randrange(len(octets))] ^= 1 << rng.randrange(8)
            s = self.raw()
            s.sendall(connect_bytes(5, self.new_id('m')) + octets)
            s.close()

    def test_absurd_topics_never_hurt(self):
        """4.7.3 allows 65535 bytes; a server may refuse so many levels ([MQTT-4.7.3-3] bounds the length only). Served, refused or closed."""
        for topic in ('/' * 65535, 'a/' * 32767, '$share/' + '/' * 60000):
            for octets in (publish_bytes(5, topic, 'x', 1, False, False, 1), subscribe_bytes(5, 1, [(topic, 0)]), subscribe_bytes(5, 1, [('+/' * 30000 + '#', 0)])):
                c = self.connected()
                c.send(octets)
                try:
                    self.assertIn(c.receive().kind, (PUBACK, SUBACK, DISCONNECT))
                except Closed:
                    pass
                c.close()

    def test_thousands_of_user_properties_are_cheap(self):
        """3.3.2.3.7 sets no limit. 20 packets with 20000 user properties each end within the ordinary wait."""
        c = self.connected()
        many = [(USER_PROPERTY, ('', ''))] * 20000
        for _ in range(20):
            c.send(publish_bytes(5, self.topic(), b'', properties=many))
        c.send(packet(PINGREQ, 0, b''))
        try:
            got = c.receive()
            self.assertIn((got.kind, got.reason), ((PINGRESP, 0), (DISCONNECT, 0x95), (DISCONNECT, 0x97)), 'a limit is allowed, if it is told')
        except Closed:
            pass

    def test_filters_are_checked(self):
        """[MQTT-4.7.1-1], [MQTT-4.7.1-2], [MQTT-4.7.3-1]: the wrong ones are refused, by SUBACK 0x8F (0x80) or by closing; none becomes a subscription."""
        for version in (4, 5):
            for topic_filter in ('a#', 'a/#/b', '#/', 'a+', 'a/+b', '', '$share/g', '$share//t', '$share/a+/t', '$share/g/'):
                if version == 4 and topic_filter.startswith('$share'):
                    continue
                if broker.ON_MOSQUITTO and topic_filter.startswith('$share'):
                    continue
                with self.subTest(version=version, topic_filter=topic_filter):
                    c = self.connected(version)
                    c.send(subscribe_bytes(version, 1, [(topic_filter, 0)]))
                    try:
                        got = c.receive()
                    except Closed:
                        continue
                    if got.kind == DISCONNECT:
                        self.assertIn(got.reason, (MALFORMED, PROTOCOL_ERROR, 0x8F))
                    else:
                        self.assertEqual((got.kind, got.reasons), (SUBACK, [0x80 if version == 4 else 0x8F]))
                    c.close()

    def test_unsubscribe_of_garbage_is_harmless(self):
        for topic_filter in ('a#', '$share/g', '+' * 1000, '/' * 1000):
            c = self.connected()
            c.send(unsubscribe_bytes(5, 1, [topic_filter]))
            try:
                self.assertIn(c.receive().kind, (UNSUBACK, DISCONNECT))
            except Closed:
                pass

    @differs_on_mosquitto('2.0.11 answers PUBREC of an unknown identifier with success')
    def test_acknowledging_unknown_identifiers_is_survived(self):
        """3.5.2.1, 3.6.2.1: PUBREC and PUBREL of unknown identifiers are answered 0x92 in version 5; PUBACK and PUBCOMP are ignored or end the connection."""
        c = self.connected()
        c.acknowledge(PUBREL, 77)
        got = c.expect(PUBCOMP, packet_id=77)
        self.assertIn(got.reason, (0x92, 0x00))
        c.acknowledge(PUBREC, 78)
        try:
            got = c.receive()
            if got.kind == PUBREL:
                self.assertEqual((got.packet_id, got.reason), (78, 0x92))
        except Closed:
            return

    def test_half_open_connection_is_ended(self):
        """A peer that shuts down its sending side is gone: the server closes too."""
        s = self.raw()
        s.sendall(connect_bytes(5, self.new_id()))
        s.shutdown(socket.SHUT_WR)
        read_to_end(s)

    def test_reset_connection_publishes_the_will(self):
        """[MQTT-3.1.2-8]: a TCP reset is a network failure."""
        watcher = self.connected()
        watcher.subscribe(self.topic())
        c = self.connected(will={'topic': self.topic(), 'payload': b'reset'})
        c.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\1\0\0\0\0\0\0\0')
        c.close()
        watcher.expect_publish(self.topic(), 'reset')


class KeepAlive(ProtocolCase):
    @only_tidewire('2.0.11 looks every 5 s only, and closes without DISCONNECT')
    def test_silent_client_is_closed_after_one_and_a_half_keep_alives(self):
        """[MQTT-3.1.2-22] (0x8D), MQTT3 [MQTT-3.1.2-24]; all versions side by side"""
        clients = [self.connected(version, keep_alive=1) for version in ALL_VERSIONS]
        started = time.monotonic()
        for c in clients:
            c.expect_closed(timeout_s=4 * broker.PATIENCE + 1, reason=0x8D if c.version == 5 else None)
            self.assertGreater(time.monotonic() - started, 1.2)

    def test_any_packet_keeps_it_alive(self):
        """3.1.2.10: PINGREQ is only for when there is nothing else."""
        talker, pinger, idler = (self.connected(keep_alive=n) for n in (1, 1, 0))
        for _ in range(5):
            time.sleep(0.7)
            talker.publish(self.topic(), 'x')
            pinger.ping()
        for c in (talker, pinger, idler):
            c.ping()

    @only_tidewire('2.0.11 looks every 5 s only')
    def test_what_the_server_sends_does_not_keep_it_alive(self):
        """[MQTT-3.1.2-22] counts what comes from the client."""
        quiet = self.connected(keep_alive=1)
        quiet.subscribe(self.topic())
        sender = self.connected()
        deadline = time.monotonic() + 1 + 4 * broker.PATIENCE
        with self.assertRaises(AssertionError) as caught:
            while time.monotonic() < deadline:
                sender.publish(self.topic(), 'x')
                quiet.expect_publish(self.topic())
                time.sleep(0.1)
        self.assertIn('DISCONNECT', str(caught.exception) + ' DISCONNECT' * isinstance(caught.exception, Closed))


class SlowReader(WireCase):
    """One client that does not read costs only itself."""

    options = ('max_output_bytes 1048576', 'max_queued_messages 100')
    ROUNDS, SIZE = 700, 65536

    def resident_kib(self):
        with open(f'/proc/{self.broker.process.pid}/status') as status:
            return int(re.search(r'VmRSS:\s+(\d+)', status.read()).group(1))

    def sanitized(self):
        with open(broker.BINARY, 'rb') as f:
            return re.search(rb'__(asan|tsan)_init', f.read()) is not None

    @only_tidewire('2.0.11 drops PINGRESP along with the messages')
    def test_slow_reader_loses_only_its_own_messages(self):
        """45 MB of QoS 0 to a client that does not read: the others get all of it in order, memory stays bounded, and the slow one, when it reads again,
        gets a part in order over a connection that still works (or finds itself disconnected). 4.6, [MQTT-4.6.0-6]; QoS 0 may be dropped, 4.3.1."""
        slow, healthy, sender = self.client(receive_buffer=16384), self.connected(), self.connected()
        slow.connect(self.new_id('slow'), keep_alive=0)
        slow.subscribe(self.topic())
        healthy.subscribe(self.topic())
        before = self.resident_kib()
        for n in range(self.ROUNDS):
            sender.publish(self.topic(), n.to_bytes(4, 'big') + bytes(self.SIZE - 4))
            got = healthy.expect_publish(self.topic())
            self.assertEqual((int.from_bytes(got.payload[:4], 'big'), len(got.payload)), (n, self.SIZE))
        grown = self.resident_kib() - before
        if not broker.ON_MOSQUITTO and not self.sanitized():
            self.assertLess(grown, 24 * 1024, 'max_output_bytes is 1 MiB, the messages were 45 MB')
        sender.publish(self.topic('ping'), 'sent after the flood')
        numbers = []
        slow.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        try:
            slow.ping()
            while slow.early:
                numbers.append(int.from_bytes(slow.receive().payload[:4], 'big'))
        except Closed:
            return
        self.assertEqual(numbers, sorted(set(numbers)))
        self.assertLess(len(numbers), self.ROUNDS, 'the test is too weak for its claim: nothing had to be dropped')
        sender.publish(self.topic(), b'\xff\xff\xff\xff')
        self.assertEqual(slow.expect_publish(self.topic()).payload, b'\xff\xff\xff\xff')

    def test_slow_reader_of_qos_1_gets_its_queue_in_order(self):
        """[MQTT-4.6.0-6]: what max_queued_messages let in comes in order, with no gap before the first loss."""
        slow, sender = self.client(receive_buffer=16384), self.connected()
        slow.connect(self.new_id('slow'), keep_alive=0, properties=[(RECEIVE_MAXIMUM, 5)])
        slow.subscribe((self.topic(), 1))
        for n in range(300):
            sender.publish(self.topic(), n.to_bytes(4, 'big') + bytes(20000), qos=1)
        numbers = []
        try:
            while True:
                numbers.append(int.from_bytes(slow.expect_publish(self.topic(), timeout_s=1).payload[:4], 'big'))
        except Silence:
            pass
        self.assertEqual(numbers[:50], list(range(50)))
        self.assertEqual(numbers, sorted(set(numbers)))


if __name__ == '__main__':
    broker.main()
