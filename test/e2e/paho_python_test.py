#!/usr/bin/python3
"""Paho Python 1.6.1 (python3-paho-mqtt) against the broker, versions 3.1, 3.1.1 and 5, each client with its own network thread.

A client that nobody here wrote. Numbers are MQTT 5.0's.
"""
import queue
import threading
import time
import unittest

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

import broker
from broker import BrokerCase, PATIENCE, differs_on_mosquitto, eventually

VERSIONS = {3: paho.MQTTv31, 4: paho.MQTTv311, 5: paho.MQTTv5}
WAIT_S = 8 * PATIENCE


def properties(kind, **values):
    out = Properties(kind)
    for name, value in values.items():
        setattr(out, name, value)
    return out


class Client:
    def __init__(self, case, version=5, client_id=None, clean=True, expiry=None, will=None, keep_alive=60, connect_properties=None, loop=True):
        self.version, self.messages, self.disconnected, self.acknowledged = version, queue.Queue(), queue.Queue(), queue.Queue()
        more = {} if version == 5 else {'clean_session': clean}
        self.paho = paho.Client(client_id=case.new_id('paho') if client_id is None else client_id, protocol=VERSIONS[version], **more)
        self.connack = queue.Queue()
        self.answers = queue.Queue()
        if version == 5:
            self.paho.on_connect = lambda c, u, flags, reason, props: self.connack.put((flags['session present'], reason.value, props))
            self.paho.on_disconnect = lambda c, u, reason, props=None: self.disconnected.put(getattr(reason, 'value', reason))
            self.paho.on_subscribe = lambda c, u, mid, reasons, props: self.answers.put([r.value for r in reasons])
            self.paho.on_unsubscribe = lambda c, u, mid, props, reasons: self.answers.put([r.value for r in (reasons if isinstance(reasons, list) else [reasons])])
        else:
            self.paho.on_connect = lambda c, u, flags, reason: self.connack.put((flags['session present'], reason, None))
            self.paho.on_disconnect = lambda c, u, reason: self.disconnected.put(reason)
            self.paho.on_subscribe = lambda c, u, mid, granted: self.answers.put(list(granted))
            self.paho.on_unsubscribe = lambda c, u, mid: self.answers.put([])
        self.paho.on_message = lambda c, u, message: self.messages.put(message)
        if will:
            self.paho.will_set(**will)
        if version == 5:
            if expiry is not None:
                connect_properties = connect_properties or Properties(PacketTypes.CONNECT)
                connect_properties.SessionExpiryInterval = expiry
            self.paho.connect('127.0.0.1', case.port, keep_alive, clean_start=clean, properties=connect_properties)
        else:
            self.paho.connect('127.0.0.1', case.port, keep_alive)
        self.paho.loop_start()
        case.addCleanup(self.end)
        self.session_present, reason, self.connack_properties = self.connack.get(timeout=WAIT_S)
        assert reason == 0, reason

    def subscribe(self, *arguments, **more):
        self.paho.subscribe(*arguments, **more)
        return self.answers.get(timeout=WAIT_S)

    def unsubscribe(self, topic):
        self.paho.unsubscribe(topic)
        return self.answers.get(timeout=WAIT_S)

    def publish(self, topic, payload=b'', qos=0, retain=False, props=None):
        more = {'properties': props} if self.version == 5 else {}
        info = self.paho.publish(topic, payload, qos, retain, **more)
        info.wait_for_publish(WAIT_S)
        assert info.is_published(), 'not acknowledged in time'

    def next(self, timeout_s=WAIT_S):
        return self.messages.get(timeout=timeout_s)

    def quiet(self, seconds=0.3):
        try:
            message = self.messages.get(timeout=seconds)
        except queue.Empty:
            return
        raise AssertionError(f'unexpected {message.topic} {message.payload[:40]}')

    def end(self):
        self.paho.disconnect()
        self.paho.loop_stop()

    def vanish(self):
        """Ends the connection without DISCONNECT, and does not come back."""
        self.paho.on_disconnect = None
        self.paho._thread_terminate = True
        self.paho._sock.shutdown(2)
        self.paho.loop_stop()
        self.paho._sock_close()


class Everyday(BrokerCase):
    def test_every_version_to_every_version_at_every_qos(self):
        """[MQTT-3.8.4-8]"""
        clients = {v: Client(self, v) for v in VERSIONS}
        for to, receiver in clients.items():
            for granted in (0, 1, 2):
                self.assertEqual(receiver.subscribe(self.topic(to, granted, '+'), granted), [granted])
        for sender in clients.values():
            for to, receiver in clients.items():
                for granted in (0, 1, 2):
                    for qos in (0, 1, 2):
                        sender.publish(self.topic(to, granted, 'x'), f'{qos}', qos)
                        got = receiver.next()
                        self.assertEqual((got.topic, got.payload, got.qos, got.retain), (self.topic(to, granted, 'x'), f'{qos}'.encode(), min(qos, granted), 0))
        for client in clients.values():
            client.quiet(0.05)

    def test_one_megabyte_each_way(self):
        payload = bytes(range(256)) * 4096
        for version in VERSIONS:
            a = Client(self, version)
            a.subscribe(self.topic(version), 2)
            for qos in (0, 1, 2):
                a.publish(self.topic(version), payload, qos)
                self.assertTrue(a.next().payload == payload)

    def test_thousand_pipelined_messages_keep_their_order(self):
        """[MQTT-4.6.0-6], and Paho's own in-flight window"""
        for version in VERSIONS:
            sender, receiver = Client(self, version), Client(self, version)
            for qos in (0, 1, 2):
                receiver.subscribe(self.topic(version, qos), qos)
                infos = [sender.paho.publish(self.topic(version, qos), str(n), qos) for n in range(330)]
                for info in infos:
                    info.wait_for_publish(WAIT_S)
                self.assertEqual([int(receiver.next().payload) for _ in range(330)], list(range(330)))

    def test_retained_set_replaced_cleared(self):
        """[MQTT-3.3.1-5], [MQTT-3.3.1-6]"""
        for version in VERSIONS:
            sender, topic = Client(self, version), self.topic(version)
            for payload in ('old', 'kept'):
                sender.publish(topic + '/a', payload, 1, True)
            first = Client(self, version)
            first.subscribe(topic + '/#', 1)
            got = first.next()
            self.assertEqual((got.payload, got.retain), (b'kept', 1))
            sender.publish(topic + '/a', b'', 1, True)
            self.assertEqual(first.next().payload, b'')
            second = Client(self, version)
            second.subscribe(topic + '/#', 1)
            second.quiet(0.1)

    def test_persistent_session_gets_what_it_missed(self):
        """[MQTT-3.1.2-5]"""
        for version in VERSIONS:
            name, topic = self.new_id('p'), self.topic(version)
            first = Client(self, version, name, clean=False, expiry=60)
            self.assertFalse(first.session_present)
            first.subscribe(topic, 2)
            first.end() if version != 4 else first.vanish()
            sender = Client(self, version)
            for n in range(20):
                sender.publish(topic, str(n), 1 + n % 2)
            second = Client(self, version, name, clean=False, expiry=60)
            if version != 3:
                self.assertTrue(second.session_present)
            got = [int(second.next().payload) for _ in range(20)]
            self.assertEqual([n for n in got if n % 2 == 0], list(range(0, 20, 2)))
            self.assertEqual([n for n in got if n % 2 == 1], list(range(1, 20, 2)), 'Paho hands over QoS 2 at PUBREL: order holds per QoS')
            second.quiet(0.05)

    def test_will_of_a_lost_client(self):
        """[MQTT-3.1.2-8]"""
        watcher = Client(self)
        watcher.subscribe(self.topic('#'), 1)
        for version in VERSIONS:
            Client(self, version, will={'topic': self.topic(version), 'payload': 'gone', 'qos': 1, 'retain': True}).vanish()
            got = watcher.next()
            self.assertEqual((got.topic, got.payload), (self.topic(version), b'gone'))
        Client(self, 4, will={'topic': self.topic('never'), 'payload': 'gone'}).end()
        watcher.quiet()

    def test_keep_alive_pings_keep_an_idle_client(self):
        """[MQTT-3.1.2-20], [MQTT-3.12.4-1]"""
        clients = [Client(self, version, keep_alive=1) for version in VERSIONS]
        time.sleep(3.5)
        for client in clients:
            self.assertTrue(client.paho.is_connected())
            self.assertTrue(client.disconnected.empty())

    def test_two_subscribers_in_threads_and_eight_publishers(self):
        """8 threads publish 50 messages each at QoS 2: both receivers get 400, each once"""
        receivers = [Client(self, v) for v in (4, 5)]
        for receiver in receivers:
            receiver.subscribe(self.topic('#'), 2)
        senders = [Client(self, 3 + n % 3) for n in range(8)]
        threads = [threading.Thread(target=lambda n=n: [senders[n].publish(self.topic(n), str(k), 2) for k in range(50)]) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT_S * 2)
        for receiver in receivers:
            got = [receiver.next() for _ in range(400)]
            self.assertEqual(len({(m.topic, m.payload) for m in got}), 400)
            receiver.quiet(0.05)


class Five(BrokerCase):
    def test_message_properties(self):
        """[MQTT-3.3.2-4] to [MQTT-3.3.2-20]"""
        sender, receiver = Client(self), Client(self)
        receiver.subscribe(self.topic(), 1)
        sender.publish(self.topic(), 'ü'.encode(), 1, props=properties(PacketTypes.PUBLISH, PayloadFormatIndicator=1, MessageExpiryInterval=100, ContentType='text/plain',
                       ResponseTopic='r', CorrelationData=b'\0\xff', UserProperty=[('b', '2'), ('a', '1'), ('b', '2')]))
        got = receiver.next().properties
        self.assertEqual((got.PayloadFormatIndicator, got.ContentType, got.ResponseTopic, got.CorrelationData, got.UserProperty),
                         (1, 'text/plain', 'r', b'\0\xff', [('b', '2'), ('a', '1'), ('b', '2')]))
        self.assertIn(got.MessageExpiryInterval, (99, 100))

    def test_subscription_identifiers_of_overlapping_filters(self):
        """[MQTT-3.3.4-4]: Paho shows those of one message as a list"""
        receiver, sender = Client(self), Client(self)
        receiver.subscribe(self.topic('a'), 0, properties=properties(PacketTypes.SUBSCRIBE, SubscriptionIdentifier=1))
        receiver.subscribe(self.topic('+'), 0, properties=properties(PacketTypes.SUBSCRIBE, SubscriptionIdentifier=2))
        sender.publish(self.topic('a'), 'x')
        seen = []
        while len(seen) < 2:
            seen += receiver.next().properties.SubscriptionIdentifier
        self.assertEqual(sorted(seen), [1, 2])

    def test_subscribe_options(self):
        """[MQTT-3.8.3-3] No Local, [MQTT-3.3.1-13] Retain As Published, [MQTT-3.3.1-11] Retain Handling"""
        c, other = Client(self), Client(self)
        other.publish(self.topic(), 'kept', 1, True)
        c.subscribe(self.topic(), options=SubscribeOptions(qos=1, noLocal=True, retainAsPublished=True, retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND))
        c.publish(self.topic(), 'own', 1)
        other.publish(self.topic(), 'new', 1, True)
        got = c.next()
        self.assertEqual((got.payload, got.retain), (b'new', 1))
        c.quiet(0.1)

    def test_unsubscribe_reason_codes(self):
        """[MQTT-3.11.3-1]"""
        c = Client(self)
        c.subscribe(self.topic('a'))
        self.assertEqual(c.unsubscribe([self.topic('a'), self.topic('b')]), [0x00, 0x11])

    def test_assigned_client_identifier(self):
        """[MQTT-3.2.2-16]"""
        c = Client(self, client_id='')
        self.assertTrue(c.connack_properties.AssignedClientIdentifier)

    @differs_on_mosquitto('2.0.11 closes without DISCONNECT')
    def test_takeover_is_told(self):
        """[MQTT-3.1.4-3]"""
        name = self.new_id()
        first = Client(self, client_id=name)
        first.paho.reconnect_delay_set(30, 60)
        Client(self, client_id=name)
        self.assertEqual(first.disconnected.get(timeout=WAIT_S), 0x8E)
        first.paho._thread_terminate = True

    def test_request_and_response(self):
        """4.10"""
        server, asker = Client(self), Client(self)
        server.subscribe(self.topic('request'), 1)
        asker.subscribe(self.topic('answer'), 1)
        asker.publish(self.topic('request'), '6*7', 1, props=properties(PacketTypes.PUBLISH, ResponseTopic=self.topic('answer'), CorrelationData=b'\0nr\xff'))
        request = server.next()
        server.publish(request.properties.ResponseTopic, '42', 1, props=properties(PacketTypes.PUBLISH, CorrelationData=request.properties.CorrelationData))
        answer = asker.next()
        self.assertEqual((answer.payload, answer.properties.CorrelationData), (b'42', b'\0nr\xff'))

    def test_shared_subscription_of_threads(self):
        """4.8.2: QoS 1, four members, 200 messages, each once and everybody some"""
        members, sender = [Client(self) for _ in range(4)], Client(self)
        for member in members:
            member.subscribe(f'$share/g/{self.topic()}', 1)
        for n in range(200):
            sender.publish(self.topic(), str(n), 1)
        eventually(lambda: sum(m.messages.qsize() for m in members) >= 200)
        time.sleep(0.1)
        got = [[int(m.next().payload) for _ in range(m.messages.qsize())] for m in members]
        self.assertEqual(sorted(n for part in got for n in part), list(range(200)))
        self.assertGreaterEqual(min(map(len, got)), 20, [len(part) for part in got])

    def test_aliases_of_a_publisher(self):
        """[MQTT-3.3.2-11]"""
        sender, receiver = Client(self), Client(self)
        receiver.subscribe(self.topic('#'), 1)
        alias = properties(PacketTypes.PUBLISH, TopicAlias=1)
        sender.publish(self.topic('a'), '1', 1, props=alias)
        sender.publish('', '2', 1, props=alias)
        self.assertEqual([receiver.next().topic for _ in range(2)], [self.topic('a')] * 2)

    def test_delayed_will_is_cancelled_by_return(self):
        """[MQTT-3.1.3-9]"""
        watcher, name = Client(self), self.new_id()
        watcher.subscribe(self.topic(), 1)
        will = {'topic': self.topic(), 'payload': 'gone', 'properties': properties(PacketTypes.WILLMESSAGE, WillDelayInterval=1)}
        Client(self, client_id=name, clean=False, expiry=60, will=will).vanish()
        back = Client(self, client_id=name, clean=False, expiry=60)
        self.assertTrue(back.session_present)
        watcher.quiet(1.8)


if __name__ == '__main__':
    broker.main()
