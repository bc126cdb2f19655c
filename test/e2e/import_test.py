#!/usr/bin/python3
"""Moving from Mosquitto: its database, written by Debian's mosquitto for clients of both versions, becomes a journal, and the clients go on with Tidewire as if nothing had happened."""
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

import broker
from broker import BINARY, Broker, die_with_parent, eventually, free_port, only_tidewire
from wire import *
from wire import Client, publish_bytes

IMPORT = pathlib.Path(BINARY).parent / 'tidewire-import'
MOSQUITTO = shutil.which('mosquitto') or '/usr/sbin/mosquitto'


class Mosquitto:
    """With persistence, in a directory; stopped, it has written its database there."""

    def __init__(self, directory):
        self.port = free_port()
        conf = directory / 'mosquitto.conf'
        conf.write_text(f'listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence true\npersistence_location {directory}/\nset_tcp_nodelay true\n'
                        f'max_inflight_messages 3\nmax_queued_messages 0\n' + ('user root\n' if os.geteuid() == 0 else ''))
        self.process = subprocess.Popen([MOSQUITTO, '-c', str(conf)], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=die_with_parent)
        eventually(self.accepts, what='Mosquitto')

    def accepts(self):
        with socket.socket() as s:
            return s.connect_ex(('127.0.0.1', self.port)) == 0

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(10)


@only_tidewire('it is about Tidewire')
class Import(unittest.TestCase):
    def setUp(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix='tidewire-import-'))
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)
        self.broker = Broker(['persistence true', f'persistence_location {self.directory}', 'persistence_segment_size 1048576', 'max_inflight_messages 100', 'shards 4'])
        self.addCleanup(self.broker.kill)

    def connected(self, port, version, client_id, **more):
        c = Client(port, version)
        self.addCleanup(c.close)
        c.session_present = c.connect(client_id, **more).session_present
        return c

    def run_import(self, *arguments):
        if self.broker.port is None:
            self.broker.port = free_port()
        self.broker.write_config()
        return subprocess.run([IMPORT, '-c', self.broker.config_path, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=20)

    def fill_mosquitto(self):
        m = Mosquitto(self.directory)
        self.addCleanup(m.process.kill)
        old = self.connected(m.port, 4, 'old', clean=False)
        old.subscribe(('news/#', 1), ('two/+/c', 2))
        five = self.connected(m.port, 5, 'five', clean=False, properties=[(SESSION_EXPIRY, 100000)])
        five.subscribe(('news/#', 2 | 8), properties=[(SUBSCRIPTION_ID, 77)])
        publisher = self.connected(m.port, 5, 'publisher')
        publisher.publish('news/first', 'one', qos=1, retain=True, properties=[(CONTENT_TYPE, 'text/plain'), (USER_PROPERTY, ('k', 'v'))])
        publisher.publish('news/second', 'two', qos=2, properties=[(MESSAGE_EXPIRY, 5000)])
        self.first, self.second = five.expect(PUBLISH), five.expect(PUBLISH)
        five.acknowledge(PUBREC, self.second.packet_id)
        five.expect(PUBREL)
        old.vanish()
        for n in range(20):
            publisher.publish(f'news/{n}', f'queued {n}', qos=1)
        publisher.publish('retained/binary', bytes(range(256)), qos=0, retain=True)
        five.send(publish_bytes(5, 'two/x/c', 'not released', 2, packet_id=41))
        five.expect_answer(PUBREC, 41)
        five.vanish()
        time.sleep(0.2)
        m.stop()

    def test_clients_go_on_where_they_were(self):
        self.fill_mosquitto()
        done = self.run_import()
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn('2 sessions, 3 subscriptions, 2 retained messages', done.stdout)
        self.broker.start()
        port = self.broker.port

        old = self.connected(port, 4, 'old', clean=False)
        self.assertTrue(old.session_present)
        got = [old.receive() for _ in range(23)]
        self.assertEqual([g.topic for g in got], ['news/first', 'news/second'] + [f'news/{n}' for n in range(20)] + ['two/x/c'])
        self.assertEqual([g.dup for g in got[:2] + got[3:]], [True] * 2 + [False] * 20)  # Mosquitto had sent two or three
        self.assertEqual((got[-1].payload, got[-1].qos), (b'not released', 2))

        five = self.connected(port, 5, 'five', clean=False, properties=[(SESSION_EXPIRY, 100000)])
        self.assertTrue(five.session_present)
        got = [five.receive() for _ in range(22)]
        self.assertEqual([(g.packet_id, g.kind) for g in got if g.kind != PUBLISH], [(self.second.packet_id, PUBREL)])
        five.acknowledge(PUBCOMP, self.second.packet_id)
        first, *others = [g for g in got if g.kind == PUBLISH]
        five.check(first, PUBLISH, packet_id=self.first.packet_id, topic='news/first', payload='one', dup=True, retain=True)
        self.assertEqual((first.get(CONTENT_TYPE), first.get(USER_PROPERTY), first.get(SUBSCRIPTION_ID)), ('text/plain', ('k', 'v'), 77))
        self.assertEqual([(g.topic, g.all(SUBSCRIPTION_ID)) for g in others], [(f'news/{n}', [77]) for n in range(20)])
        five.acknowledge(PUBREL, 41)
        five.expect_answer(PUBCOMP, 41)
        five.expect_nothing()

        new = self.connected(port, 5, 'new')
        new.subscribe('#')
        retained = {}
        for _ in range(2):
            got = new.expect(PUBLISH, retain=True)
            retained[got.topic] = got.payload
        self.assertEqual(retained, {'news/first': b'one', 'retained/binary': bytes(range(256))})
        new.publish('news/live', 'now', qos=1)
        old.expect(PUBLISH, topic='news/live')
        five.expect(PUBLISH, topic='news/live')
        self.broker.stop()

    def test_a_broker_does_not_forget_a_database_that_nobody_imported(self):
        (self.directory / 'mosquitto.db').write_bytes(b'anything')
        with self.assertRaisesRegex(AssertionError, 'tidewire-import'):
            self.broker.start()

    def test_what_is_no_database_or_damaged_leaves_nothing_behind(self):
        self.fill_mosquitto()
        path = self.directory / 'mosquitto.db'
        whole = path.read_bytes()
        for octets, why in ((b'', 'not a database of Mosquitto'), (b'anything else that is as long', 'not a database of Mosquitto'), (whole[:-1], 'ends too early')):
            path.write_bytes(octets)
            done = self.run_import()
            self.assertEqual(done.returncode, 1, done.stdout)
            self.assertIn(why, done.stdout)
            self.assertIn(str(path), done.stdout)
        path.write_bytes(whole)
        self.assertEqual(self.run_import().returncode, 0)
        done = self.run_import(str(path))
        self.assertEqual(done.returncode, 1)
        self.assertIn('is there already', done.stdout)

    def test_wrong_arguments_are_told(self):
        self.broker.options = []
        for arguments, code, why in (((), 3, "no 'persistence true'"), (('a', 'b'), 3, 'tidewire-import -c FILE')):
            done = self.run_import(*arguments)
            self.assertEqual(done.returncode, code, done.stdout)
            self.assertIn(why, done.stdout)


if __name__ == '__main__':
    broker.main()
