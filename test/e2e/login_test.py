#!/usr/bin/python3
"""Passwords over real sockets: files of mosquitto_passwd and of tidewire-passwd, clients that nobody here wrote, SCRAM by hand, reloads, and a storm of logins."""

import base64
import hashlib
import hmac
import os
import pathlib
import socket
import statistics
import subprocess
import tempfile
import threading
import time
import unittest

import paho.mqtt.client as paho

import broker
from broker import BINARY, Broker, BrokerCase, PATIENCE, die_with_parent, eventually, run_once
from mqttjs_test import INSTALLED, install
from wire import AUTH, AUTH_DATA, AUTH_METHOD, CONNACK, DISCONNECT, WAIT_S, Client, WireCase, connect_bytes, packet, properties_bytes, publish_bytes

PASSWD = pathlib.Path(BINARY).with_name('tidewire-passwd')
BAD_PASSWORD, NOT_AUTHORIZED, BUSY = 0x86, 0x87, 0x89


def passwd(*words, tool=PASSWD):
    subprocess.run([tool, *map(str, words)], check=True, stdout=subprocess.DEVNULL, timeout=30 * PATIENCE)


class Users:
    """A password file beside a broker."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix='tidewire-login-')
        os.chmod(self.folder.name, 0o755)
        self.path = pathlib.Path(self.folder.name, 'users')
        self.path.touch(mode=0o600)

    def add(self, user, secret, hash='sha512-pbkdf2', cost=1000):
        passwd('-H', hash, *(['-I', cost] if hash in ('sha512-pbkdf2', 'scram-sha-256') else []), '-b', self.path, user, secret)

    def delete(self, user):
        passwd('-D', self.path, user)


class LoginCase(WireCase):
    more = ()

    @classmethod
    def setUpClass(cls):
        cls.users = Users()
        cls.fill()
        cls.options = ('allow_anonymous false', f'password_file {cls.users.path}', *cls.more)
        super().setUpClass()

    @classmethod
    def fill(cls):
        passwd('-b', cls.users.path, 'theirs', 'secret', tool='mosquitto_passwd')
        cls.users.add('ann', 'secret')
        cls.users.add('argon', 'secret', 'argon2id')
        cls.users.add('old', 'secret', 'sha512')
        cls.users.add('eve', 'pencil', 'scram-sha-256', 4096)

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        cls.users.folder.cleanup()

    def refused(self, reason, version=5, client_id='x', **more):
        c = self.client(version)
        c.connect(client_id, expect=None if version < 5 else reason, **more)
        c.expect_closed()


class Clients(LoginCase):
    def mosquitto_pub(self, *arguments):
        return subprocess.run(['mosquitto_pub', '-h', '127.0.0.1', '-p', str(self.port), '-t', 'login', '-m', 'x', *arguments], timeout=15 * PATIENCE,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def test_every_kind_of_hash_lets_mosquitto_pub_in(self):
        for version in ('mqttv31', 'mqttv311', 'mqttv5'):
            for user in ('theirs', 'ann', 'argon', 'old'):
                done = self.mosquitto_pub('-V', version, '-u', user, '-P', 'secret')
                self.assertEqual(done.returncode, 0, (version, user, done.stdout))
            self.assertEqual(self.mosquitto_pub('-V', version, '-u', 'eve', '-P', 'pencil').returncode, 0)
            for words in (['-u', 'theirs', '-P', 'Secret'], ['-u', 'nobody', '-P', 'secret'], ['-u', 'ann'], []):
                self.assertNotEqual(self.mosquitto_pub('-V', version, *words).returncode, 0, (version, words))

    def test_paho_is_told_why(self):
        for version, answers in ((paho.MQTTv311, {'ann': 0, 'nobody': 4, None: 5}), (paho.MQTTv5, {'ann': 0, 'nobody': BAD_PASSWORD, None: NOT_AUTHORIZED})):
            for user, wanted in answers.items():
                got = []
                client = paho.Client(client_id=self.new_id(), protocol=version)
                client.on_connect = lambda c, u, flags, reason, props=None: got.append(getattr(reason, 'value', reason))
                if user:
                    client.username_pw_set(user, 'secret')
                client.connect('127.0.0.1', self.port)
                client.loop_start()
                eventually(lambda: got, what='CONNACK')
                client.loop_stop()
                client.disconnect()
                self.assertEqual(got[0], wanted, (version, user))

    def test_mqttjs(self):
        install()
        done = subprocess.run(['node', 'login.mjs', str(self.port)], cwd=INSTALLED, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=60 * PATIENCE, preexec_fn=die_with_parent)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn('ok ', done.stdout)

    def test_the_log_names_users_and_keeps_secrets(self):
        self.connected(user='ann', password='secret').disconnect()
        self.refused(BAD_PASSWORD, user='ann', password='hunter2hunter2')
        eventually(lambda: "u'ann'" in self.broker.stderr(), what='the line of the log')
        eventually(lambda: "Client x [" in self.broker.stderr() and "as u'ann' refused: a wrong user name or password" in self.broker.stderr(), what='the refusal in the log')
        self.assertNotIn('hunter2', self.broker.stderr())
        self.assertNotIn('secret', self.broker.stderr())


class Scram:
    """The client's side of RFC 7677, from hashlib and hmac alone."""

    def __init__(self, user, secret, nonce):
        self.secret, self.nonce = secret.encode(), nonce
        self.bare = f'n={user},r={nonce}'
        self.first = f'n,,{self.bare}'.encode()

    def answer(self, challenge):
        fields = dict(part.split('=', 1) for part in challenge.decode().split(','))
        assert fields['r'].startswith(self.nonce) and len(fields['r']) > len(self.nonce) + 15
        salted = hashlib.pbkdf2_hmac('sha256', self.secret, base64.b64decode(fields['s']), int(fields['i']))
        without_proof = f'c={base64.b64encode(b"n,,").decode()},r={fields["r"]}'
        message = ','.join((self.bare, challenge.decode(), without_proof)).encode()
        client_key = hmac.digest(salted, b'Client Key', 'sha256')
        signature = hmac.digest(hashlib.sha256(client_key).digest(), message, 'sha256')
        proof = bytes(a ^ b for a, b in zip(client_key, signature))
        self.signature = b'v=' + base64.b64encode(hmac.digest(hmac.digest(salted, b'Server Key', 'sha256'), message, 'sha256'))
        return f'{without_proof},p={base64.b64encode(proof).decode()}'.encode()


def auth_bytes(reason, data, method='SCRAM-SHA-256'):
    return packet(AUTH, 0, bytes([reason]) + properties_bytes([(AUTH_METHOD, method), (AUTH_DATA, data)]))


class Enhanced(LoginCase):
    def come_in(self, secret='pencil', expect=0):
        c, scram = self.client(), Scram('eve', secret, 'n' + self.new_id())
        c.send(connect_bytes(5, self.new_id(), properties=[(AUTH_METHOD, 'SCRAM-SHA-256'), (AUTH_DATA, scram.first)]))
        challenge = c.expect(AUTH)
        c.send(auth_bytes(0x18, scram.answer(challenge.get(AUTH_DATA))))
        connack = c.expect(CONNACK)
        self.assertEqual(connack.reason, expect)
        return c, scram, connack

    def test_who_knows_the_password_is_let_in(self):
        c, scram, connack = self.come_in()
        self.assertEqual((connack.get(AUTH_METHOD), connack.get(AUTH_DATA)), ('SCRAM-SHA-256', scram.signature))
        c.ping()
        c, _, _ = self.come_in('pen', NOT_AUTHORIZED)
        c.expect_closed()

    def test_again_while_messages_go_on(self):
        c, _, _ = self.come_in()
        topic = self.topic()
        c.subscribe((topic, 1))
        for _ in range(3):
            scram = Scram('eve', 'pencil', 'again' + self.new_id())
            c.send(auth_bytes(0x19, scram.first))
            challenge = c.expect(AUTH)
            c.publish(topic, b'meanwhile', qos=1)
            c.expect_publish(topic, b'meanwhile')
            c.send(auth_bytes(0x18, scram.answer(challenge.get(AUTH_DATA))))
            done = c.expect(AUTH)
            self.assertEqual((done.reason, done.get(AUTH_DATA)), (0, scram.signature))
        scram = Scram('eve', 'wrong', 'again' + self.new_id())
        c.send(auth_bytes(0x19, scram.first))
        c.send(auth_bytes(0x18, scram.answer(c.expect(AUTH).get(AUTH_DATA))))
        self.assertEqual(c.expect(DISCONNECT).reason, NOT_AUTHORIZED)
        c.expect_closed()


class Reload(LoginCase):
    def test_who_is_gone_or_changed_is_disconnected_and_the_rest_stays(self):
        for user in ('gone', 'changed', 'same'):
            self.users.add(user, 'secret')
        self.assertTrue(self.broker.reload())
        gone, changed, same = (self.connected(user=user, password='secret') for user in ('gone', 'changed', 'same'))
        old = self.connected(version=4, user='gone', password='secret')
        self.users.delete('gone')
        self.users.add('changed', 'other')
        self.assertTrue(self.broker.reload())
        for c in (gone, changed):
            self.assertEqual(c.expect(DISCONNECT).reason, NOT_AUTHORIZED)
            c.expect_closed()
        old.expect_closed()
        same.ping()
        self.refused(BAD_PASSWORD, user='gone', password='secret')
        self.refused(BAD_PASSWORD, user='changed', password='secret')
        self.connected(user='changed', password='other').ping()

    def test_a_broken_file_keeps_the_old_one(self):
        good = self.users.path.read_text()
        self.addCleanup(self.users.path.write_text, good)
        for bad in (good + 'half a line\n', good + 'plain:text\n', good + good):
            self.users.path.write_text(bad)
            self.assertFalse(self.broker.reload())
            self.connected(user='ann', password='secret').ping()
        self.assertIn(f'{self.users.path}:', self.broker.stderr())


class Files(unittest.TestCase):
    """What is wrong with a file is said at the start, with file and line, and nobody is let in instead."""

    def refused(self, text, *words, mode=0o600):
        users = Users()
        self.addCleanup(users.folder.cleanup)
        if text is None:
            users.path.unlink()
        else:
            users.path.write_text(text)
            users.path.chmod(mode)
        b = Broker([f'password_file {users.path}', 'allow_anonymous false'])
        self.addCleanup(b.kill)
        b.port = broker.free_port()
        b.write_config()
        for more in ([], ['--test-config']):
            done = run_once(['-c', str(b.config_path), *more])
            self.assertEqual(done.returncode, 3 if more else 1, done.stdout)
            for word in (str(users.path), *words):
                self.assertIn(word, done.stdout)
        return b, users

    def test_wrong_files(self):
        self.refused(None, 'No such file')
        self.refused('ann:secret\n', ':1:', 'tidewire-passwd -U')
        self.refused('#\nann\n', ':2:', "'user:password'")
        self.refused(':\n', ':1:')

    def test_a_file_that_all_can_read_is_warned_about(self):
        users = Users()
        self.addCleanup(users.folder.cleanup)
        users.add('ann', 'secret', 'sha512')
        users.path.chmod(0o644)
        b = Broker([f'password_file {users.path}', 'allow_anonymous false']).start()
        self.addCleanup(b.kill)
        self.assertIn('everybody on this machine may read', b.stderr())
        b.stop()


class PerListener(unittest.TestCase):
    def test_each_listener_has_its_own_users(self):
        one, two = Users(), Users()
        self.addCleanup(one.folder.cleanup)
        self.addCleanup(two.folder.cleanup)
        one.add('ann', 'secret')
        two.add('bob', 'secret')
        b = Broker()
        second, third = broker.free_port(), broker.free_port()
        b.config_text = lambda: '\n'.join((
            'per_listener_settings true', 'shards 2', 'log_dest stderr', 'user root',
            f'listener {b.port} 127.0.0.1', f'password_file {one.path}',
            f'listener {second} 127.0.0.1', f'password_file {two.path}',
            f'listener {third} 127.0.0.1', 'allow_anonymous true', ''))
        b.start()
        self.addCleanup(b.kill)

        def outcome(port, **who):
            c = Client(port)
            self.addCleanup(c.close)
            return c.connect('c', expect=None, **who).reason

        ann, bob = {'user': 'ann', 'password': 'secret'}, {'user': 'bob', 'password': 'secret'}
        self.assertEqual([outcome(b.port, **ann), outcome(b.port, **bob), outcome(b.port)], [0, BAD_PASSWORD, NOT_AUTHORIZED])
        self.assertEqual([outcome(second, **ann), outcome(second, **bob), outcome(second)], [BAD_PASSWORD, 0, NOT_AUTHORIZED])
        self.assertEqual(outcome(third), 0)
        b.stop()


class Storm(LoginCase):
    """Logins that are slow to check, many at once, beside messages that flow."""

    more = ('login_cache_entries 0', 'connect_timeout 60', 'connection_messages false')
    LOGINS = 60

    @classmethod
    def fill(cls):
        cls.users.add('steady', 'secret', 'sha512')
        cls.users.add('slow', 'secret', 'sha512-pbkdf2', 60000)

    def delays(self, seconds):
        """Times that messages of one client to itself take, in ms."""
        topic = self.topic()
        c = self.connected(user='steady', password='secret')
        c.subscribe((topic, 0))
        out, end = [], time.monotonic() + seconds
        while time.monotonic() < end:
            began = time.monotonic()
            c.send(publish_bytes(5, topic, b'x'))
            c.expect_publish(topic)
            out.append((time.monotonic() - began) * 1000)
            time.sleep(0.005)
        return out

    def test_messages_flow_while_passwords_are_hashed(self):
        alone = statistics.median(self.delays(0.5))
        waiting = [self.client() for _ in range(self.LOGINS)]
        for i, c in enumerate(waiting):
            c.send(connect_bytes(5, f'storm{i}', user='slow', password='secret'))
        began = time.monotonic()
        beside = self.delays(1.0 * PATIENCE)
        for c in waiting:
            self.assertEqual(c.expect(CONNACK, timeout_s=60 * PATIENCE).reason, 0)
        took = time.monotonic() - began
        ordered = sorted(beside)
        print(f'{self.LOGINS} logins in {took * 1000:.0f} ms; a message takes {alone:.2f} ms alone, beside them {statistics.median(beside):.2f} ms (p99 '
              f'{ordered[len(ordered) * 99 // 100]:.2f} ms)')
        one_hash = took * 1000 / self.LOGINS
        self.assertGreater(len(beside), 20)
        self.assertLess(statistics.median(beside), max(10 * PATIENCE, one_hash))  # none of them waited for the hashes in front of it


if __name__ == '__main__':
    broker.main()
