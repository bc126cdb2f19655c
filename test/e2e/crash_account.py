"""crash_account: what a broker that crashes owes to whom, and what it has done about it.

A message counts as acknowledged when its publisher has PUBACK or PUBREC. Then it must reach every subscriber whose subscription was acknowledged before the message was sent: at least
once, and exactly once where both sides have QoS 2. A retained message that was acknowledged is its topic's until one that was sent later takes its place.

    message.owed    subscribers that have to get it           message.maybe   those whose subscription was being made or ended
    account.floor   for each publisher: everything before it was delivered to all; QoS 2 messages from there may not come again
"""
import functools
import struct

HEAD = struct.Struct('>HI')  # publisher, number


class Lost(AssertionError):
    """The broker broke its word."""


@functools.lru_cache(maxsize=None)
def matches(topic_filter, topic):
    wanted, levels = topic_filter.split('/'), topic.split('/')
    for at, level in enumerate(wanted):
        if level == '#':
            return True
        if at >= len(levels) or level not in ('+', levels[at]):
            return False
    return len(wanted) == len(levels)


class Message:
    __slots__ = ('publisher', 'number', 'topic', 'qos', 'retain', 'payload', 'acknowledged', 'owed', 'maybe', 'life')

    def __init__(self, publisher, number, topic, qos, retain, payload):
        self.publisher, self.number, self.topic, self.qos, self.retain, self.payload = publisher, number, topic, qos, retain, payload
        self.acknowledged = False
        self.owed, self.maybe = set(), set()

    def __repr__(self):
        return f'message {self.number} of publisher {self.publisher} ({self.topic}, QoS {self.qos}{", retained" if self.retain else ""})'


class Subscription:
    """What one subscriber, or the members of a group together, get of one filter. `state`: 'on' and 'off' are acknowledged, anything else is on its way."""

    def __init__(self, name, topic_filter, qos):
        self.name, self.filter, self.qos, self.state = name, topic_filter, qos, 'off'


class RetainedTopic:
    """The number that must be there lies between these two. `values`: of the numbers sent since, whether there is a message (True) or it was deleted."""

    def __init__(self):
        self.acknowledged = 0
        self.values = {0: False}

    def sent(self, number, there):
        self.values[number] = there

    def got_acknowledged(self, number):
        self.acknowledged = max(self.acknowledged, number)
        self.values = {n: there for n, there in self.values.items() if n >= self.acknowledged}

    def allowed(self):
        return {n if there else None for n, there in self.values.items()}


class Account:
    def __init__(self):
        self.subscriptions = []
        self.open = {}        # (publisher, number) -> message that is not acknowledged, or not delivered to all
        self.life = 0         # of the broker
        self.seen = {}        # subscriber -> {(publisher, number) delivered since the last settlement: in which lives it was sent first, and delivered}
        self.floor = {}       # publisher -> number
        self.newest = {}      # (subscriber, publisher, topic, qos) -> number of the newest first delivery
        self.retained = {}    # topic -> RetainedTopic
        self.acknowledged = self.delivered = self.again = 0

    def subscription(self, name, topic_filter, qos):
        s = Subscription(name, topic_filter, qos)
        self.subscriptions.append(s)
        self.seen.setdefault(name, {})
        return s

    # ---- publishers

    def sent(self, m):
        for s in self.subscriptions:
            if matches(s.filter, m.topic):
                (m.owed if s.state == 'on' else m.maybe if s.state != 'off' else set()).add(s.name)
        self.open[m.publisher, m.number] = m
        m.life = self.life
        if m.retain:
            self.retained.setdefault(m.topic, RetainedTopic()).sent(m.number, bool(m.payload))

    def got_acknowledged(self, m):
        if not m.acknowledged:
            m.acknowledged = True
            self.acknowledged += 1
            if m.retain:
                self.retained[m.topic].got_acknowledged(m.number)
            self.close_if_done(m)

    def close_if_done(self, m):
        if m.acknowledged and not m.owed and not m.maybe:
            del self.open[m.publisher, m.number]

    # ---- subscribers

    def begins(self, s):
        """SUBSCRIBE is on its way: what the broker has not acknowledged yet may be routed after it."""
        s.state = 'starting'
        for key, m in self.open.items():
            if not m.acknowledged and matches(s.filter, m.topic) and s.name not in m.owed and key not in self.seen[s.name]:
                m.maybe.add(s.name)

    def ends(self, s):
        """UNSUBSCRIBE is on its way: what is open may still come."""
        s.state = 'ending'
        for m in self.open.values():
            if s.name in m.owed and matches(s.filter, m.topic):
                m.owed.discard(s.name)
                m.maybe.add(s.name)

    def got(self, name, packet):
        """`packet`: a PUBLISH that the subscriber does not know as one that it has already."""
        if len(packet.payload) < HEAD.size:
            raise Lost(f'{name} got what nobody sent: {packet}')
        publisher, number = key = HEAD.unpack_from(packet.payload)
        if key in self.seen[name] or number < self.floor.get(publisher, 0):
            return self.got_again(name, packet, key)
        m = self.open.get(key)
        if m is None or m.topic != packet.topic or m.payload != packet.payload or name not in m.owed | m.maybe:
            raise Lost(f'{name} got what it should not: {packet}, {m or "which nobody sent"}')
        if packet.qos != min(m.qos, self.qos_of(name, m.topic)):
            raise Lost(f'{name} got {m} with QoS {packet.qos}')
        self.delivered += 1
        self.seen[name][key] = f'sent in life {m.life}, delivered in life {self.life}'
        self.check_order(name, m)
        m.owed.discard(name)
        m.maybe.discard(name)
        self.close_if_done(m)

    def got_again(self, name, packet, key):
        self.again += 1
        if packet.qos == 2:
            raise Lost(f'{name} got a QoS 2 message twice: {packet}, number {key[1]} of publisher {key[0]}, {self.seen[name].get(key, "before all was settled")}, again in life {self.life}')

    def qos_of(self, name, topic):
        return next(s.qos for s in self.subscriptions if s.name == name and matches(s.filter, topic))

    def check_order(self, name, m):
        place = name, m.publisher, m.topic, m.qos
        if self.newest.get(place, -1) > m.number and not name.startswith('group'):
            raise Lost(f'{name} got {m} after number {self.newest[place]}')
        self.newest[place] = m.number

    # ---- looking

    def check_retained(self, found):
        """`found`: topic -> payload, of all that a new subscriber got."""
        for topic, expected in self.retained.items():
            number = HEAD.unpack_from(found[topic])[1] if topic in found else None
            if number not in expected.allowed():
                raise Lost(f'the retained message of {topic} is number {number}; allowed: {expected.allowed()}, acknowledged last: {expected.acknowledged}')
        unknown = found.keys() - self.retained.keys()
        if unknown:
            raise Lost(f'retained messages that nobody sent: {sorted(unknown)[:5]}')

    def retained_for_certain(self):
        """Topics that have a message whatever was still under way."""
        return {topic for topic, expected in self.retained.items() if None not in expected.allowed()}

    def missing(self):
        return [m for m in self.open.values() if m.owed or not m.acknowledged]

    def settle(self, next_numbers):
        """Nothing is missing: what may still come from now on is what came before, with QoS 1."""
        assert not self.missing()
        self.open.clear()
        for seen in self.seen.values():
            seen.clear()
        self.floor = dict(next_numbers)
