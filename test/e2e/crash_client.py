"""crash_client: MQTT clients that live through crashes of their broker, and keep their own half of a session as MQTT wants it.

A publisher sends again, in order and as duplicates, what was not acknowledged when its connection was lost; a subscriber remembers the packet identifiers of QoS 2 messages until they
are released. Both hold the broker to it that a session which was acknowledged is there. One thread serves them all (struct Crowd).
"""
import collections
import os
import selectors
import socket
import struct
import time

from crash_account import HEAD, Lost, Message
from wire import (CONNACK, DISCONNECT, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, RECEIVE_MAXIMUM, SESSION_EXPIRY, SUBACK, UNSUBACK, WAIT_S, Packet, connect_bytes,
                  packet as packet_bytes, publish_bytes, subscribe_bytes, unsubscribe_bytes)

EXPIRY_S = 3600
NOT_FOUND = 0x92         # of PUBREL and PUBCOMP: no error while a session is taken up again (MQTT5 2.4)
NO_SUBSCRIBERS = 0x10
SHUTTING_DOWN = 0x8B


class Crowd:
    def __init__(self, rng):
        self.rng = rng
        self.selector = selectors.DefaultSelector()
        self.connected = []
        self.prompt = False  # nobody is lazy, nothing new is asked for
        self.last_input = 0.0

    def connect(self, client, port):
        """False if there is no broker (any more)."""
        try:
            client.open(port)
        except OSError:
            return False
        self.selector.register(client.socket, selectors.EVENT_READ, client)
        self.connected.append(client)
        return True

    def drop(self, client):
        self.selector.unregister(client.socket)
        self.connected.remove(client)
        client.close()

    def drop_all(self):
        for client in list(self.connected):
            self.drop(client)

    def turn(self, timeout_s=0.01):
        for key, _ in self.selector.select(timeout_s):
            self.last_input = time.monotonic()
            if not key.data.read():
                self.drop(key.data)
        for client in list(self.connected):
            client.work()
            if not client.write():
                self.drop(client)

    def run(self, seconds):
        end = time.monotonic() + seconds
        while self.connected and time.monotonic() < end:
            self.turn(min(0.01, max(0, end - time.monotonic())))

    def run_until(self, condition, seconds):
        end = time.monotonic() + seconds
        while not condition():
            if not self.connected or time.monotonic() > end:
                return False
            self.turn()
        return True


class Client:
    """`known`: the broker has acknowledged the session, so it has to be there."""

    def __init__(self, crowd, client_id, version, window=0):
        self.crowd, self.client_id, self.version, self.window = crowd, client_id, version, window
        self.socket, self.known, self.up = None, False, False

    def open(self, port):
        self.socket = socket.create_connection(('127.0.0.1', port), timeout=WAIT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.up = False
        self.input, self.output = bytearray(), bytearray()
        properties = [(SESSION_EXPIRY, EXPIRY_S)] + ([(RECEIVE_MAXIMUM, self.window)] if self.window else [])
        self.output += connect_bytes(self.version, self.client_id, clean=False, properties=properties)

    def close(self):
        self.socket.close()
        self.up = False

    def read(self):
        """False: the connection is over."""
        try:
            octets = self.socket.recv(1 << 18)
        except BlockingIOError:
            return True
        except OSError:
            return False
        self.input += octets
        self.take_packets()
        return bool(octets)

    def write(self):
        try:
            if self.output:
                del self.output[:self.socket.send(self.output)]
        except BlockingIOError:
            pass
        except OSError:
            return False
        return True

    def take_packets(self):
        at = 0
        while True:
            end, body = self.find_packet(at)
            if not end:
                break
            first = self.input[at]
            got = Packet(first >> 4, first & 15, bytes(self.input[body:end]), self.version, end - at)
            at = end
            self.take(got)
        del self.input[:at]

    def find_packet(self, at):
        """(end, begin of the body), or (0, 0) if it is not all there."""
        length = shift = 0
        for body in range(at + 1, min(at + 5, len(self.input))):
            length |= (self.input[body] & 0x7F) << shift
            shift += 7
            if not self.input[body] & 0x80:
                end = body + 1 + length
                return (end, body + 1) if end <= len(self.input) else (0, 0)
        return 0, 0

    def take(self, got):
        if got.kind == CONNACK:
            self.take_connack(got)
        elif got.kind == DISCONNECT:
            if got.reason != SHUTTING_DOWN:
                raise Lost(f'{self.client_id} was disconnected: {got}')
        else:
            self.take_more(got)

    def take_connack(self, got):
        if got.reason:
            raise Lost(f'{self.client_id} was refused: {got}')
        if self.known and not got.session_present:
            raise Lost(f'the session of {self.client_id} is gone')
        self.known = self.up = True
        self.resume(got.session_present)

    def answer(self, kind, packet_id):
        self.output += packet_bytes(kind, 2 if kind == PUBREL else 0, struct.pack('>H', packet_id))

    def work(self):
        """Once a turn."""


class Publisher(Client):
    """`places`: pairs of a topic and whether what goes there is retained. Messages have QoS 1 or 2."""

    def __init__(self, crowd, account, number, version, places, window):
        super().__init__(crowd, f'publisher{number}', version)
        self.account, self.number, self.places, self.flow = account, number, places, window
        self.next_number = 1
        self.next_id = 0
        self.under_way = {}  # packet identifier -> message, in the order in which they were sent
        self.released = set()

    def resume(self, session_present):
        """What is under way goes out again, in its order. MQTT5 [MQTT-4.4.0-1], [MQTT-4.6.0-1]."""
        for packet_id, m in self.under_way.items():
            if packet_id in self.released:
                self.answer(PUBREL, packet_id)
            else:
                self.output += publish_bytes(self.version, m.topic, m.payload, m.qos, m.retain, True, packet_id)

    def work(self):
        while self.up and not self.crowd.prompt and len(self.under_way) < self.flow and len(self.output) < 65536:
            self.publish()

    def publish(self):
        rng = self.crowd.rng
        topic, retain = rng.choice(self.places)
        size = rng.choice((0, 20, 100, 1000)) if rng.random() < 0.98 else 50000
        payload = HEAD.pack(self.number, self.next_number) + os.urandom(1) * size
        if topic.startswith('cleared/') and rng.random() < 0.4:
            payload = b''
        m = Message(self.number, self.next_number, topic, self.choose_qos(topic, retain), retain, payload)
        self.next_number += 1
        self.account.sent(m)
        packet_id = self.new_packet_id()
        self.under_way[packet_id] = m
        self.output += publish_bytes(self.version, topic, payload, m.qos, retain, False, packet_id)

    def choose_qos(self, topic, retain):
        """One for each retained topic: a QoS 1 message that is sent again takes the place of a QoS 2 message behind it, which is not routed again."""
        return 1 + ord(topic[-1]) % 2 if retain else self.crowd.rng.choice((1, 2))

    def new_packet_id(self):
        """From few, so that they are used again soon."""
        while True:
            self.next_id = self.next_id % (2 * self.flow) + 1
            if self.next_id not in self.under_way:
                return self.next_id

    def take_more(self, got):
        m = self.under_way.get(got.packet_id)
        if m is None or got.reason not in (0, NO_SUBSCRIBERS) and not (got.kind == PUBCOMP and got.reason == NOT_FOUND):
            raise Lost(f'{self.client_id} got {got} for {m or "nothing"}')
        if got.kind == PUBACK and m.qos == 1:
            self.account.got_acknowledged(m)
            del self.under_way[got.packet_id]
        elif got.kind == PUBREC and m.qos == 2:
            self.account.got_acknowledged(m)
            self.released.add(got.packet_id)
            self.answer(PUBREL, got.packet_id)
        elif got.kind == PUBCOMP and got.packet_id in self.released:
            self.released.discard(got.packet_id)
            del self.under_way[got.packet_id]
        else:
            raise Lost(f'{self.client_id} got {got} for {m}')


class Subscriber(Client):
    """`lasting`: subscriptions that are made once. `changing`: one that comes and goes, or None. `lazy`: how often an answer waits for a later turn."""

    def __init__(self, crowd, account, client_id, version, lasting, changing=None, lazy=0.0, window=0):
        super().__init__(crowd, client_id, version, window)
        self.account, self.lasting, self.changing, self.lazy = account, lasting, changing, lazy
        self.made = set()      # of the lasting ones
        self.received = {}     # packet identifier of a QoS 2 message that is not released -> its payload
        self.late = collections.deque() # answers that wait; in order, MQTT5 [MQTT-4.6.0-2]
        self.asked = {}        # packet identifier -> (subscription, 'on' or 'off')
        self.next_id = 0

    def resume(self, session_present):
        self.late.clear()
        self.asked.clear()
        if not session_present:
            self.received.clear()
        for s in self.lasting:
            if s not in self.made:
                self.ask(s, 'on')
        if self.changing and self.changing.state not in ('on', 'off'):
            self.ask(self.changing, 'on' if self.changing.state == 'starting' else 'off')

    def filter_of(self, s):
        return f'$share/{s.name}/{s.filter}' if s.name.startswith('group') else s.filter

    def ask(self, s, state):
        self.next_id = self.next_id % 65535 + 1
        self.asked[self.next_id] = s, state
        if state == 'on':
            self.account.begins(s)
            self.output += subscribe_bytes(self.version, self.next_id, [(self.filter_of(s), s.qos)])
        else:
            self.account.ends(s)
            self.output += unsubscribe_bytes(self.version, self.next_id, [self.filter_of(s)])

    def work(self):
        if not self.up:
            return
        while self.late and (self.crowd.prompt or self.crowd.rng.random() >= self.lazy):
            self.answer(*self.late.popleft())
        if self.changing and not self.asked and not self.crowd.prompt and self.crowd.rng.random() < 0.02:
            self.ask(self.changing, 'off' if self.changing.state == 'on' else 'on')

    def is_subscribed(self):
        return self.up and not self.asked

    def take_more(self, got):
        if got.kind == PUBLISH:
            self.take_publish(got)
        elif got.kind == PUBREL:
            self.received.pop(got.packet_id, None)
            self.late.append((PUBCOMP, got.packet_id))
        elif got.kind in (SUBACK, UNSUBACK) and got.packet_id in self.asked:
            self.take_suback(got)
        else:
            raise Lost(f'{self.client_id} got {got}')

    def take_suback(self, got):
        s, state = self.asked.pop(got.packet_id)
        if got.kind == SUBACK and got.reasons != [s.qos] or any(reason >= 0x80 for reason in got.reasons):
            raise Lost(f'{self.client_id} got {got} for {s.filter}')
        s.state = state
        if s in self.lasting:
            self.made.add(s)

    def take_publish(self, got):
        if got.qos == 1:
            self.account.got(self.name_for(got.topic), got)
            self.late.append((PUBACK, got.packet_id))
            return
        if got.packet_id not in self.received:
            self.received[got.packet_id] = got.payload
            self.account.got(self.name_for(got.topic), got)
        elif not got.dup or got.payload != self.received[got.packet_id]:
            raise Lost(f'{self.client_id} got another message with a packet identifier that is in use: {got}')
        self.late.append((PUBREC, got.packet_id))

    def name_for(self, topic):
        return next((s.name for s in self.lasting if s.name.startswith('group') and topic.startswith('shared/')), self.client_id)
