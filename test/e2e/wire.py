"""wire: an MQTT client on a bare socket, for what well-behaved libraries cannot do or do not show.

Written from the specifications alone and sharing no code with the broker. Versions: 3 (MQTT 3.1), 4 (3.1.1), 5. It answers nothing by
itself: acknowledging is up to the test. Properties are lists of (identifier, value) pairs, in order, because order is part of the contract.
"""
import collections
import socket
import struct
import time

from broker import BrokerCase, PATIENCE

WAIT_S = 5 * PATIENCE
QUIET_S = 0.3  # how long 'nothing arrives' is watched where no later message can serve as the proof

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT, AUTH = range(1, 16)
NAMES = {value: name for name, value in globals().items() if name.isupper() and isinstance(value, int)}

# MQTT5 2.2.2.2, table 2-4
PAYLOAD_FORMAT, MESSAGE_EXPIRY, CONTENT_TYPE, RESPONSE_TOPIC, CORRELATION_DATA = 0x01, 0x02, 0x03, 0x08, 0x09
SUBSCRIPTION_ID, SESSION_EXPIRY, ASSIGNED_CLIENT_ID, SERVER_KEEP_ALIVE = 0x0B, 0x11, 0x12, 0x13
AUTH_METHOD, AUTH_DATA, REQUEST_PROBLEM, WILL_DELAY, REQUEST_RESPONSE, RESPONSE_INFO = 0x15, 0x16, 0x17, 0x18, 0x19, 0x1A
SERVER_REFERENCE, REASON_STRING, RECEIVE_MAXIMUM, TOPIC_ALIAS_MAXIMUM, TOPIC_ALIAS = 0x1C, 0x1F, 0x21, 0x22, 0x23
MAXIMUM_QOS, RETAIN_AVAILABLE, USER_PROPERTY, MAXIMUM_PACKET_SIZE = 0x24, 0x25, 0x26, 0x27
WILDCARD_AVAILABLE, SUBSCRIPTION_ID_AVAILABLE, SHARED_AVAILABLE = 0x28, 0x29, 0x2A

_KINDS = {
    0x01: 'u8', 0x02: 'u32', 0x03: 'text', 0x08: 'text', 0x09: 'bytes', 0x0B: 'varint', 0x11: 'u32', 0x12: 'text', 0x13: 'u16', 0x15: 'text',
    0x16: 'bytes', 0x17: 'u8', 0x18: 'u32', 0x19: 'u8', 0x1A: 'text', 0x1C: 'text', 0x1F: 'text', 0x21: 'u16', 0x22: 'u16', 0x23: 'u16',
    0x24: 'u8', 0x25: 'u8', 0x26: 'pair', 0x27: 'u32', 0x28: 'u8', 0x29: 'u8', 0x2A: 'u8',
}


class Closed(AssertionError):
    """The broker closed the connection."""


class Silence(AssertionError):
    """Nothing came in time."""


# ------------------------------------------------------------------------------------------------------------- writing

def varint(n):
    out = bytearray()
    while True:
        n, digit = n >> 7, n & 0x7F
        out.append(digit | (0x80 if n else 0))
        if not n:
            return bytes(out)


def data(value):
    value = value.encode() if isinstance(value, str) else bytes(value)
    return struct.pack('>H', len(value)) + value


def properties_bytes(properties):
    out = b''
    for identifier, value in properties:
        kind = _KINDS[identifier]
        out += bytes([identifier])
        if kind == 'u8':
            out += bytes([value])
        elif kind == 'u16':
            out += struct.pack('>H', value)
        elif kind == 'u32':
            out += struct.pack('>I', value)
        elif kind == 'varint':
            out += varint(value)
        elif kind == 'pair':
            out += data(value[0]) + data(value[1])
        else:
            out += data(value)
    return varint(len(out)) + out


def packet(kind, flags, body):
    return bytes([kind << 4 | flags]) + varint(len(body)) + body


def connect_bytes(version, client_id, clean=True, keep_alive=60, properties=(), will=None, user=None, password=None, name=None, level=None, reserved=0):
    """`will` is a dict of topic, payload, qos, retain, properties."""
    flags = (2 if clean else 0) | reserved
    payload = data(client_id)
    if will:
        flags |= 4 | will.get('qos', 0) << 3 | (0x20 if will.get('retain') else 0)
        if version == 5:
            payload += properties_bytes(will.get('properties', ()))
        payload += data(will['topic']) + data(will.get('payload', b''))
    if user is not None:
        flags |= 0x80
        payload += data(user)
    if password is not None:
        flags |= 0x40
        payload += data(password)
    name = name if name is not None else ('MQIsdp' if version == 3 else 'MQTT')
    head = data(name) + bytes([version if level is None else level, flags]) + struct.pack('>H', keep_alive)
    if version == 5:
        head += properties_bytes(properties)
    return packet(CONNECT, 0, head + payload)


def publish_bytes(version, topic, payload=b'', qos=0, retain=False, dup=False, packet_id=0, properties=()):
    payload = payload.encode() if isinstance(payload, str) else payload
    body = data(topic) + (struct.pack('>H', packet_id) if qos else b'')
    if version == 5:
        body += properties_bytes(properties)
    return packet(PUBLISH, (8 if dup else 0) | qos << 1 | (1 if retain else 0), body + payload)


def subscribe_bytes(version, packet_id, filters, properties=(), flags=2):
    body = struct.pack('>H', packet_id) + (properties_bytes(properties) if version == 5 else b'')
    for topic_filter, options in filters:
        body += data(topic_filter) + bytes([options])
    return packet(SUBSCRIBE, flags, body)


def unsubscribe_bytes(version, packet_id, filters, flags=2):
    body = struct.pack('>H', packet_id) + (properties_bytes(()) if version == 5 else b'')
    return packet(UNSUBSCRIBE, flags, body + b''.join(map(data, filters)))


# ------------------------------------------------------------------------------------------------------------- reading

class Reader:
    def __init__(self, octets):
        self.octets, self.at = octets, 0

    def take(self, n):
        assert self.at + n <= len(self.octets), f'packet from the broker ends early: {self.octets.hex()}'
        self.at += n
        return self.octets[self.at - n:self.at]

    def u8(self):
        return self.take(1)[0]

    def u16(self):
        return struct.unpack('>H', self.take(2))[0]

    def u32(self):
        return struct.unpack('>I', self.take(4))[0]

    def varint(self):
        n = shift = 0
        while True:
            digit = self.u8()
            n |= (digit & 0x7F) << shift
            shift += 7
            if not digit & 0x80:
                return n
            assert shift < 28, 'the broker sent a variable integer of more than 4 bytes'

    def bytes(self):
        return self.take(self.u16())

    def text(self):
        return self.bytes().decode()

    def pair(self):
        return self.text(), self.text()

    def left(self):
        return len(self.octets) - self.at

    def rest(self):
        return self.take(self.left())

    def properties(self):
        out, end = [], self.varint()
        end += self.at
        while self.at < end:
            identifier = self.u8()
            out.append((identifier, getattr(self, _KINDS[identifier])()))
        assert self.at == end, 'a property of the broker crosses the end of its properties'
        return out


class Packet:
    """A packet from the broker, decoded: what its kind has of packet_id, reason(s), properties, topic, payload, qos, retain, dup, session_present."""

    def __init__(self, kind, flags, body, version, size):
        self.kind, self.flags, self.version, self.size = kind, flags, version, size
        self.properties, self.reason = [], 0
        r = Reader(body)
        five = version == 5
        if kind == PUBLISH:
            self.dup, self.qos, self.retain = bool(flags & 8), flags >> 1 & 3, bool(flags & 1)
            self.topic = r.text()
            self.packet_id = r.u16() if self.qos else 0
            self.properties = r.properties() if five else []
            self.payload = r.rest()
            return
        assert flags == (2 if kind == PUBREL else 0), f'the broker set reserved flags: {flags} in {NAMES.get(kind, kind)}'
        if kind == CONNACK:
            acknowledge_flags = r.u8()
            assert acknowledge_flags & 0xFE == 0, 'reserved bits in Connect Acknowledge Flags. MQTT5 [MQTT-3.2.2-1]'
            self.session_present = bool(acknowledge_flags)
            self.reason = r.u8()
            self.properties = r.properties() if five else []
        elif kind in (PUBACK, PUBREC, PUBREL, PUBCOMP):
            self.packet_id = r.u16()
            if five and r.left():
                self.reason = r.u8()
                self.properties = r.properties() if r.left() else []
        elif kind == SUBACK or kind == UNSUBACK:
            self.packet_id = r.u16()
            self.properties = r.properties() if five else []
            self.reasons = list(r.rest())
        elif kind in (DISCONNECT, AUTH):
            assert five, 'a version 3 broker has no DISCONNECT or AUTH'
            if r.left():
                self.reason = r.u8()
                self.properties = r.properties() if r.left() else []
        elif kind != PINGRESP:
            raise AssertionError(f'the broker sent what only clients send: {NAMES.get(kind, kind)}')
        assert r.left() == 0, f'{NAMES[kind]} of the broker has {r.left()} bytes too many'

    def get(self, identifier, default=None):
        found = self.all(identifier)
        return found[0] if found else default

    def all(self, identifier):
        return [value for key, value in self.properties if key == identifier]

    def __repr__(self):
        fields = {k: v for k, v in vars(self).items() if k not in ('kind', 'version', 'flags')}
        if len(fields.get('payload', b'')) > 40:
            fields['payload'] = f'{len(self.payload)} bytes'
        return f'{NAMES[self.kind]} {fields}'


# -------------------------------------------------------------------------------------------------------------- client

class Client:
    def __init__(self, port, version=5, receive_buffer=None, address=None):
        self.version = version
        self.socket = socket.socket()
        if address:  # to come from
            self.socket.bind((address, 0))
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(WAIT_S)
        self.socket.connect(('127.0.0.1', port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = bytearray()
        self.early = collections.deque()  # PUBLISH packets that came while an answer was awaited
        self.next_id = 0
        self.client_id = None

    # ---- bytes

    def send(self, octets):
        self.socket.settimeout(WAIT_S)
        self.socket.sendall(octets)

    def fill(self, deadline):
        left = deadline - time.monotonic()
        if left <= 0:
            raise Silence('nothing from the broker in time')
        self.socket.settimeout(left)
        try:
            octets = self.socket.recv(65536)
        except (TimeoutError, socket.timeout):
            raise Silence('nothing from the broker in time') from None
        except (ConnectionResetError, BrokenPipeError):
            raise Closed('the broker reset the connection') from None
        if not octets:
            raise Closed('the broker closed the connection')
        self.buffer += octets

    def split(self):
        """One whole packet off the buffer, or None."""
        length = shift = 0
        for at in range(1, 5):
            if at >= len(self.buffer):
                return None
            length |= (self.buffer[at] & 0x7F) << shift
            shift += 7
            if not self.buffer[at] & 0x80:
                break
        else:
            raise AssertionError('the broker sent a Remaining Length of more than 4 bytes')
        end = at + 1 + length
        if len(self.buffer) < end:
            return None
        first, body = self.buffer[0], bytes(self.buffer[at + 1:end])
        del self.buffer[:end]
        return Packet(first >> 4, first & 15, body, self.version, end)

    def receive(self, timeout_s=None):
        if self.early:
            return self.early.popleft()
        return self.receive_from_socket(timeout_s)

    def receive_from_socket(self, timeout_s=None):
        deadline = time.monotonic() + (WAIT_S if timeout_s is None else timeout_s)
        while True:
            found = self.split()
            if found:
                return found
            self.fill(deadline)

    # ---- dialogue

    def expect_answer(self, kind, packet_id=None):
        """The answer to a request. Messages may come before it (MQTT5 3.8.4 says so for SUBACK): they are kept for receive(), in order."""
        while True:
            got = self.receive_from_socket()
            if got.kind != PUBLISH:
                break
            self.early.append(got)
        return self.check(got, kind, **({} if packet_id is None else {'packet_id': packet_id}))

    def expect(self, kind, timeout_s=None, **fields):
        return self.check(self.receive(timeout_s), kind, **fields)

    @staticmethod
    def check(got, kind, **fields):
        assert got.kind == kind, f'expected {NAMES[kind]}, got {got}'
        for key, value in fields.items():
            value = value.encode() if key == 'payload' and isinstance(value, str) else value
            assert getattr(got, key) == value, f'expected {key}={value!r}, got {got}'
        return got

    def expect_closed(self, timeout_s=None, reason=None):
        """The connection ends; a DISCONNECT may come first in version 5. Returns it (or None). `reason`: a code or a tuple of codes that it must carry."""
        deadline = time.monotonic() + (WAIT_S if timeout_s is None else timeout_s)
        goodbye = None
        while True:
            try:
                got = self.receive(max(0.01, deadline - time.monotonic()))
            except Closed:
                break
            assert got.kind == DISCONNECT and goodbye is None, f'expected the end of the connection, got {got}'
            goodbye = got
        if reason is not None:
            reason = reason if isinstance(reason, tuple) else (reason,)
            assert goodbye is not None, f'closed without DISCONNECT; expected one with {[hex(r) for r in reason]}'
            assert goodbye.reason in reason, f'expected DISCONNECT with {[hex(r) for r in reason]}, got {hex(goodbye.reason)}'
        return goodbye

    def expect_nothing(self, seconds=QUIET_S):
        try:
            got = self.receive(seconds)
        except Silence:
            return
        raise AssertionError(f'expected nothing, got {got}')

    def connect(self, client_id, expect=0, **more):
        self.client_id = client_id
        self.send(connect_bytes(self.version, client_id, **more))
        got = self.expect(CONNACK)
        if expect is not None:
            assert got.reason == expect, f'expected CONNACK with {expect:#x}, got {got}'
        return got

    def new_packet_id(self):
        self.next_id = self.next_id % 65535 + 1
        return self.next_id

    def subscribe(self, *filters, properties=(), expect=None):
        """Filters are texts (QoS 0) or pairs of filter and options byte. Returns SUBACK."""
        filters = [(f, 0) if isinstance(f, str) else f for f in filters]
        packet_id = self.new_packet_id()
        self.send(subscribe_bytes(self.version, packet_id, filters, properties))
        got = self.expect_answer(SUBACK, packet_id)
        expect = [options & 3 for _, options in filters] if expect is None else expect
        assert got.reasons == expect, f'expected SUBACK {expect}, got {got.reasons}'
        return got

    def unsubscribe(self, *filters):
        packet_id = self.new_packet_id()
        self.send(unsubscribe_bytes(self.version, packet_id, filters))
        return self.expect_answer(UNSUBACK, packet_id)

    def publish(self, topic, payload=b'', qos=0, retain=False, properties=(), expect=(0x00, 0x10)):
        """Publishes and finishes the handshake of its QoS."""
        packet_id = self.new_packet_id() if qos else 0
        self.send(publish_bytes(self.version, topic, payload, qos, retain, False, packet_id, properties))
        if qos == 1:
            got = self.expect_answer(PUBACK, packet_id)
            assert got.reason in expect, f'{got}'
        elif qos == 2:
            got = self.expect_answer(PUBREC, packet_id)
            assert got.reason in expect, f'{got}'
            self.acknowledge(PUBREL, packet_id)
            self.expect_answer(PUBCOMP, packet_id)
        return packet_id

    def acknowledge(self, kind, packet_id, reason=None):
        self.send(packet(kind, 2 if kind == PUBREL else 0, struct.pack('>H', packet_id) + (b'' if reason is None else bytes([reason]))))

    def expect_publish(self, topic=None, payload=None, timeout_s=None, **fields):
        """The next packet is this PUBLISH; its handshake is finished."""
        if topic is not None:
            fields['topic'] = topic
        if payload is not None:
            fields['payload'] = payload
        got = self.expect(PUBLISH, timeout_s, **fields)
        if got.qos == 1:
            self.acknowledge(PUBACK, got.packet_id)
        elif got.qos == 2:
            self.acknowledge(PUBREC, got.packet_id)
            self.expect_answer(PUBREL, got.packet_id)
            self.acknowledge(PUBCOMP, got.packet_id)
        return got

    def ping(self):
        self.send(packet(PINGREQ, 0, b''))
        self.expect_answer(PINGRESP)

    def disconnect(self, reason=None, properties=None):
        body = b'' if reason is None else bytes([reason]) + (b'' if properties is None else properties_bytes(properties))
        self.send(packet(DISCONNECT, 0, body))
        self.expect_closed()
        self.close()

    def vanish(self):
        """Ends the connection without DISCONNECT."""
        self.close()

    def close(self):
        self.socket.close()


class WireCase(BrokerCase):
    """A BrokerCase whose clients are bare sockets, closed at the test's end."""

    def client(self, version=5, receive_buffer=None):
        c = Client(self.port, version, receive_buffer)
        self.addCleanup(c.close)
        return c

    def connected(self, version=5, client_id=None, **more):
        c = self.client(version)
        c.connect(client_id or self.new_id(), **more)
        return c
