#!/usr/bin/python3
"""Limits with real sockets: rates of connects and publishes, connections per address, bans that change while the broker runs."""
import os
import socket
import subprocess
import time
import unittest

import broker
from broker import Broker, eventually
from wire import *
from wire import Client

BANNED, ADMINISTRATIVE_ACTION = 0x8A, 0x98


class LimitsCase(unittest.TestCase):
    def started(self, *options):
        b = Broker(options).start()
        self.addCleanup(b.kill)
        return b

    def client(self, b, version=5, address='127.0.0.1'):
        c = Client(b.port, version, address=address)
        self.addCleanup(c.close)
        return c

    def connected(self, b, client_id, version=5, address='127.0.0.1', **more):
        c = self.client(b, version, address)
        c.connect(client_id, **more)
        return c

    def refused(self, b, address='127.0.0.1'):
        """True if the connection is closed without a word."""
        with socket.create_connection(('127.0.0.1', b.port), source_address=(address, 0), timeout=5) as s:
            try:
                s.sendall(b'\x10\x0d\x00\x04MQTT\x05\x02\x00\x0a\x00\x00\x00')
                return s.recv(100) == b''
            except ConnectionError:
                return True


class Connects(LimitsCase):
    def test_one_address_connects_so_often_and_the_others_do_not_notice(self):
        b = self.started('address_connect_rate 1 5', 'log_type warning')
        for _ in range(20):
            self.refused(b, '127.0.0.9')
        self.assertTrue(self.refused(b, '127.0.0.9'))
        self.connected(b, 'other', address='127.0.0.10').ping()
        self.assertRegex(b.stderr(), r'Connection from 127\.0\.0\.9:\d+ refused: .*address_connect_rate')
        b.stop()

    def test_one_address_has_so_many_connections(self):
        b = self.started('address_max_connections 5')
        held = [self.connected(b, f'c{n}', address='127.0.0.9') for n in range(5)]
        self.assertTrue(self.refused(b, '127.0.0.9'))
        held.pop().disconnect()
        eventually(lambda: not self.refused(b, '127.0.0.9'), what='a place that has become free')
        b.stop()


class Publishes(LimitsCase):
    def test_mosquitto_pub_is_slowed_down_and_nothing_is_lost(self):
        b = self.started('client_publish_rate 50 10')
        s = self.connected(b, 's')
        s.subscribe(('t', 1))
        lines = ''.join(f'{n}\n' for n in range(60))
        began = time.monotonic()
        sender = subprocess.Popen(['mosquitto_pub', '-p', str(b.port), '-t', 't', '-q', '1', '-l', '-k', '5'], stdin=subprocess.PIPE, text=True)
        sender.stdin.write(lines)
        sender.stdin.close()
        for n in range(60):
            s.expect_publish('t', str(n))
        took = time.monotonic() - began
        self.assertEqual(sender.wait(timeout=10), 0)
        self.assertGreater(took, 0.9)
        self.assertLess(took, 3 * broker.PATIENCE)
        b.stop()

    def test_refused_where_it_is_configured(self):
        b = self.started('client_publish_rate 1 3', 'publish_rate_action refuse')
        c = self.connected(b, 'c')
        for n in range(3):
            c.publish('t', 'x', 1)
        c.publish('t', 'x', 1, expect=(0x97,))
        c.publish('t', 'x', 2, expect=(0x97,))
        b.stop()


class Bans(LimitsCase):
    def rewrite(self, text):
        path = self.path + '.new'
        with open(path, 'w') as f:
            f.write(text)
        os.rename(path, self.path)

    def with_bans(self, text, *options):
        self.path = str(broker.BUILD / f'bans-{os.getpid()}')
        broker.BUILD.mkdir(parents=True, exist_ok=True)
        self.rewrite(text)
        self.addCleanup(os.unlink, self.path)
        return self.started(f'ban_file {self.path}', 'log_type all', *options)

    def test_a_change_of_the_file_holds_within_seconds(self):
        b = self.with_bans('client bad\n')
        self.client(b).connect('bad', expect=BANNED)
        self.client(b, 4).connect('bad', expect=5)
        c, fine = self.connected(b, 'later'), self.connected(b, 'fine')
        self.rewrite('client later\naddress 127.0.0.9\n')
        c.expect_closed(timeout_s=5, reason=ADMINISTRATIVE_ACTION)
        fine.ping()
        eventually(lambda: self.refused(b, '127.0.0.9'), what='the ban of an address')
        self.connected(b, 'bad').ping()
        self.rewrite('clint later\n')
        eventually(lambda: "bans not taken over, the old ones stay" in b.stderr(), what='an error in the log')
        self.assertTrue(self.refused(b, '127.0.0.9'))
        b.stop()

    def test_a_wrong_file_at_the_start_is_an_error(self):
        path = str(broker.BUILD / f'bans-wrong-{os.getpid()}')
        broker.BUILD.mkdir(parents=True, exist_ok=True)
        for text in ('address 192.0.2.1/24\n', None):
            if text is not None:
                with open(path, 'w') as f:
                    f.write(text)
            b = Broker([f'ban_file {path}'])
            self.addCleanup(b.kill)
            b.port = broker.free_port()
            b.write_config()
            b.spawn(['-c', str(b.config_path)])
            self.assertNotEqual(b.wait(), 0)
            self.assertIn(path, b.stderr())
            if text is not None:
                os.unlink(path)

    def test_two_clients_of_one_name_are_banned_for_a_time(self):
        b = self.started('flapping_connects 5', 'flapping_window 60', 'flapping_ban 2')
        for _ in range(4):
            self.connected(b, 'twin')
        self.client(b).connect('twin', expect=BANNED)
        self.connected(b, 'single').ping()

        def again():
            try:
                self.connected(b, 'twin').ping()
                return True
            except AssertionError:
                return False
        eventually(again, what='the end of the ban')
        b.stop()


if __name__ == '__main__':
    broker.main()
