#!/usr/bin/python3
"""Nothing acknowledged is lost when the broker is killed: publishers and subscribers with sessions, SIGKILL at random moments, a new start on the same journal, every message accounted for.

    /usr/bin/python3 test/e2e/crash_test.py --kills 500 --seed 1       the long run: minutes
    /usr/bin/python3 test/e2e/crash_test.py                            a short one, as among the other tests

Each start takes one of the three modes of persistence_sync (a killed process loses nothing in any of them) and now and then another number of shards; some kills come while the broker
starts, and some ends are SIGTERM. Every few kills everything has to arrive. crash_account.py says what is owed, crash_client.py how the clients behave. A seed repeats the choices, not
the moments: those are the machine's.
"""
import argparse
import random
import shutil
import signal
import subprocess
import sys
import time
import unittest

import broker
from broker import Broker, PATIENCE
from crash_account import Account, Lost
from crash_client import Crowd, Publisher, Subscriber
from wire import PINGRESP, PUBLISH, Client

PUBLISHERS = 5
CYCLES_PER_SETTLEMENT = 8
LOAD_S = 0.15              # at most, before a kill
SETTLE_S = 20 * PATIENCE
QUIET_S = 0.05
STOP_PART = 0.12           # of the ends: SIGTERM
EARLY_PART = 0.1           # of the starts: killed before they are done
SYNC_MODES = ('always', 'interval 100', 'none')
SHARDS = (1, 2, 3, 4)


class DurableBroker(Broker):
    """Keeps its directory, and so its journal, from one process to the next."""

    def __init__(self):
        super().__init__()
        self.shards = 2

    def choose(self, rng):
        if rng.random() < 0.2:
            self.shards = rng.choice(SHARDS)
        self.mode = rng.choice(SYNC_MODES)
        self.options = ['persistence true', f'persistence_location {self.directory}/', f'persistence_sync {self.mode}', 'persistence_segment_size 1048576',
                        f'shards {self.shards}', 'max_queued_messages 0', 'max_queued_bytes 0', 'log_type error', 'log_type warning', 'log_type notice', 'connection_messages false', 'sys_interval 0']

    def kill_now(self):
        self.process.kill()
        self.process.wait()
        self.check_stderr()

    def stop_now(self):
        self.signal(signal.SIGTERM)
        try:
            code = self.wait()
        except subprocess.TimeoutExpired:
            raise Lost('SIGTERM did not end the broker')
        if code != 0:
            raise Lost(f'the broker ended with {code} after SIGTERM')
        self.check_stderr()

    def start_and_kill(self, seconds):
        self.write_config()
        self.spawn(['-c', str(self.config_path)])
        time.sleep(seconds)
        self.kill_now()


class Visitor:
    """A session that comes and goes. `there`: what CONNACK said last, or None while a CONNECT was not answered."""

    def __init__(self):
        self.there = False

    def visit(self, port, rng):
        stays = rng.random() < 0.5
        expected, self.there = self.there, None
        c = Client(port, 4)
        got = c.connect('visitor', clean=not stays)
        if stays and expected is not None and got.session_present != expected:
            raise Lost(f'a session that was {"kept" if expected else "ended"} is {"there" if got.session_present else "not there"}')
        c.vanish()
        self.there = stays


class Run:
    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.broker = DurableBroker()
        self.account = Account()
        self.crowd = Crowd(self.rng)
        self.visitor = Visitor()
        self.kills = self.stops = self.early = 0
        self.lives = []  # of the broker: what it was told, and how it ended
        self.publishers = [self.make_publisher(n) for n in range(1, PUBLISHERS + 1)]
        self.subscribers = self.make_subscribers()

    def make_publisher(self, number):
        topics = [(f'{word}/{number}/{n}', False) for word in ('plain', 'shared', 'changing') for n in range(3)]
        topics += [(f'{word}/{number}/{n}', True) for word in ('kept', 'cleared') for n in range(4)]
        return Publisher(self.crowd, self.account, number, 4 if number % 2 else 5, topics, window=(4, 10, 20)[number % 3])

    def make_subscribers(self):
        subscription = self.account.subscription

        def one(name, version, filters, changing=None, **more):
            lasting = [subscription(name, topic_filter, qos) for topic_filter, qos in filters]
            return Subscriber(self.crowd, self.account, name, version, lasting, subscription(name, changing, 2) if changing else None, **more)
        group = subscription('group', 'shared/#', 1)
        members = [Subscriber(self.crowd, self.account, f'member{n}', 5, [group], lazy=0.3) for n in range(2)]
        return members + [
            one('all', 4, [('plain/#', 2), ('kept/#', 2)]),
            one('modern', 5, [('plain/#', 2), ('shared/#', 2)], 'changing/#', lazy=0.7, window=7),
            one('once', 4, [('plain/#', 1)], 'changing/+/1', lazy=0.9),
            one('some', 5, [('plain/1/#', 2), ('plain/+/2', 1), ('kept/2/+', 1)], lazy=0.5),
        ]

    # ---- the broker's life

    def start(self):
        self.broker.choose(self.rng)
        if self.broker.port and self.rng.random() < EARLY_PART:
            self.lives.append(f'{self.broker.shards} shards, {self.broker.mode}, killed early')
            self.broker.start_and_kill(self.rng.random() * 0.08)
            self.early += 1
        self.broker.start()
        self.account.life += 1
        self.lives.append(f'life {self.account.life}: {self.broker.shards} shards, {self.broker.mode}')

    def end(self):
        if self.rng.random() < STOP_PART:
            self.broker.stop_now()
            self.stops += 1
            self.lives[-1] += ', stopped'
        else:
            self.broker.kill_now()
            self.kills += 1
        self.crowd.run(1)  # what it had sent is read
        self.crowd.drop_all()

    # ---- what happens between start and end

    def begin(self):
        """Subscriptions first: then every message is owed from the beginning."""
        self.start()
        self.connect(self.subscribers)
        if not self.crowd.run_until(lambda: all(s.is_subscribed() for s in self.subscribers), SETTLE_S):
            raise Lost('not all subscriptions were acknowledged')

    def connect(self, clients):
        for client in self.rng.sample(clients, len(clients)):
            if client not in self.crowd.connected:
                self.crowd.connect(client, self.broker.port)

    def cycle(self):
        away = self.rng.sample(self.subscribers, self.rng.randrange(3))
        self.connect(self.publishers + [s for s in self.subscribers if s not in away])
        self.crowd.run(self.rng.random() ** 2 * LOAD_S)
        self.end()
        self.start()
        self.check_retained()
        self.visitor.visit(self.broker.port, self.rng)

    def check_retained(self):
        c = Client(self.broker.port, 5)
        c.connect('')
        expected = self.account.retained_for_certain()
        found = {}
        c.subscribe(('kept/#', 1), ('cleared/#', 1))
        c.ping()
        deadline = time.monotonic() + 5 * PATIENCE
        while time.monotonic() < deadline:
            try:
                got = c.receive(0.005 if expected <= found.keys() else 0.3)
            except AssertionError:  # silence
                if expected <= found.keys():
                    break
                continue
            if got.kind == PUBLISH:
                assert got.retain, f'{got}'
                found[got.topic] = got.payload
        c.close()
        self.account.check_retained(found)

    def settle(self):
        """Everything has to arrive: all are connected, nothing new is published."""
        self.crowd.prompt = True
        self.connect(self.publishers + self.subscribers)
        arrived = self.crowd.run_until(lambda: not self.account.missing() and not any(p.under_way for p in self.publishers), SETTLE_S)
        self.crowd.run_until(lambda: time.monotonic() - self.crowd.last_input > QUIET_S, SETTLE_S)
        self.check_connected()
        if not arrived:
            raise Lost(self.describe_missing())
        self.check_retained()
        self.lives.append('settled')
        self.account.settle({p.number: p.next_number for p in self.publishers})
        self.crowd.prompt = False

    def check_connected(self):
        gone = [c.client_id for c in self.publishers + self.subscribers if c not in self.crowd.connected]
        if gone:
            raise Lost(f'the broker closed the connections of {gone}')

    def describe_missing(self):
        missing = self.account.missing()
        lines = [f'{m}: {"acknowledged" if m.acknowledged else "not acknowledged"}, owed to {sorted(m.owed)}' for m in missing[:10]]
        return '\n'.join([f'{len(missing)} messages are missing; the first of them'] + lines)

    def go(self, kills):
        self.begin()
        while self.kills < kills:
            self.cycle()
            if (self.kills + self.stops) % CYCLES_PER_SETTLEMENT == 0 or self.kills == kills:
                self.settle()
        self.broker.stop_now()

    def finish(self):
        self.crowd.drop_all()
        self.broker.kill()

    def describe(self):
        a = self.account
        return (f'{self.kills} kills, {self.early} more during the start, {self.stops} orderly ends; {a.acknowledged} messages acknowledged, {a.delivered} deliveries, '
                f'{a.again} QoS 1 deliveries again')


def run(kills, seed):
    """None, or what went wrong."""
    r = Run(seed)
    began = time.monotonic()
    try:
        r.go(kills)
    except AssertionError as error:
        return f'seed {seed}, after {r.describe()}:\n{error}\nthe last lives of the broker: {"; ".join(r.lives[-10:])}\n{r.broker.stderr_tail()}'
    finally:
        r.finish()
    print(f'seed {seed}: {r.describe()}; nothing lost, {time.monotonic() - began:.0f} s', flush=True)
    return None


class Crash(unittest.TestCase):
    def test_nothing_acknowledged_is_lost_when_the_broker_is_killed(self):
        self.assertIsNone(wrong := run(kills=10, seed=random.randrange(1 << 32)), wrong)


if __name__ == '__main__':
    if '--kills' in sys.argv:
        parser = argparse.ArgumentParser()
        parser.add_argument('--kills', type=int, required=True)
        parser.add_argument('--seed', type=int, default=1)
        options = parser.parse_args()
        sys.exit(run(options.kills, options.seed))
    broker.main()
