#!/usr/bin/python3
"""Abuse: garbage to every port, half handshakes, clients that drip, and a reload without descriptors. All of it is refused, counted and cheap, and others go on."""
import os
import pathlib
import random
import resource
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import unittest

import broker
from broker import Broker, eventually, free_port, only_tidewire, run_once
from wire import PUBLISH, Client, connect_bytes

SECONDS_TO_CONNECT = 2
TICKS = os.sysconf('SC_CLK_TCK')


def make_certificate(folder):
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', '/CN=localhost', '-days', '2', '-keyout',
                    str(folder / 'key.pem'), '-out', str(folder / 'cert.pem')], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.chmod(folder / 'key.pem', 0o644)


def knows_tls(folder, options):
    """False for a build without TLS, which says so"""
    (folder / 'try.conf').write_text('\n'.join([f'listener {free_port()} 127.0.0.1', 'allow_anonymous true', *options]) + '\n')
    done = run_once(['-c', str(folder / 'try.conf'), '--test-config'])
    assert done.returncode == 0 or 'no TLS' in done.stdout, done.stdout
    return done.returncode == 0


def first_flight():
    """A ClientHello"""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        context.wrap_bio(incoming, outgoing).do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


REQUEST = (b'GET /mqtt HTTP/1.1\r\nHost: b\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n'
           b'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n')
REFUSALS = {'bad input', 'connect timeout', 'proxy header', 'websocket upgrade', 'websocket frame', 'tls handshake', 'work late'}
PROXY = b'PROXY TCP4 192.0.2.1 192.0.2.2 1000 1883\r\n'


@only_tidewire('about limits and counters that Mosquitto 2.0.11 does not have')
class Ports(unittest.TestCase):
    """One broker with a listener of every kind; `good` is how a right conversation with each begins."""

    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix='tidewire-abuse-'))
        os.chmod(cls.folder, 0o755)
        make_certificate(cls.folder)
        tls = [f'certfile {cls.folder}/cert.pem', f'keyfile {cls.folder}/key.pem']
        if not knows_tls(cls.folder, tls):
            tls = None
        kinds = {'tcp': [], 'tls': tls, 'websocket': ['protocol websockets'], 'websocket over tls': tls and ['protocol websockets', *tls], 'proxy': ['enable_proxy_protocol 1']}
        cls.good = {'tcp': connect_bytes(5, 'half'), 'tls': first_flight(), 'websocket': REQUEST + b'\x82\x90abcd', 'websocket over tls': first_flight(),
                    'proxy': PROXY + connect_bytes(5, 'half')}
        kinds = {kind: more for kind, more in kinds.items() if more is not None}
        cls.ports = {kind: free_port() for kind in kinds}
        options = [f'connect_timeout {SECONDS_TO_CONNECT}', 'sys_interval 1', 'log_type error', 'log_type warning', 'log_type notice']
        for kind, more in kinds.items():
            options += [f'listener {cls.ports[kind]} 127.0.0.1', *more]
        cls.broker = Broker(options).start()

    @classmethod
    def tearDownClass(cls):
        cls.broker.stop()
        shutil.rmtree(cls.folder)

    def setUp(self):
        self.listener, self.speaker = self.connected('listener'), self.connected('speaker')
        self.listener.subscribe(('t', 1))

    def connected(self, name):
        c = Client(self.broker.port, 5)
        self.addCleanup(c.close)
        c.connect(name, keep_alive=0)
        return c

    def claim_unharmed(self):
        for n in range(20):
            self.speaker.publish('t', str(n), 1)
            self.listener.expect_publish('t', str(n))

    def refused(self):
        """Connections that were refused so far, by $SYS"""
        c = self.connected('counter')
        c.subscribe('$SYS/broker/#')
        counts = {}
        until = time.monotonic() + 0.2 * broker.PATIENCE  # it never falls silent: there is news every second
        try:
            while time.monotonic() < until:
                p = c.receive(max(0.001, until - time.monotonic()))
                reason = p.topic.rsplit('/', 1)[1] if p.kind == PUBLISH and '/dropped/' in p.topic else ''
                if reason in REFUSALS:
                    counts[reason] = int(p.payload)
        except (AssertionError, OSError):
            pass
        c.close()
        return sum(counts.values())

    def cpu_s(self):
        with open(f'/proc/{self.broker.process.pid}/stat') as stat:
            fields = stat.read().rsplit(')', 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def open(self, port):
        s = socket.create_connection(('127.0.0.1', port), timeout=5 * broker.PATIENCE)
        self.addCleanup(s.close)
        return s

    def claim_ended(self, s, within_s):
        s.settimeout(within_s * broker.PATIENCE)
        try:
            while s.recv(65536):
                pass
        except ConnectionError:
            pass
        except socket.timeout:
            self.fail(f'still open after {within_s * broker.PATIENCE} s')

    def test_garbage_to_every_port_ends_the_connection_at_once_and_is_cheap(self):
        rng = random.Random(3)
        count = 100
        for kind, port in self.ports.items():
            with self.subTest(kind=kind):
                refused, before = self.refused(), self.cpu_s()
                for _ in range(count):
                    s = self.open(port)
                    try:
                        # The first byte is none that a packet, a record, a request or a header begins with.
                        s.sendall(b'\xff' + rng.randbytes(rng.choice((1, 50, 3000))))
                        s.shutdown(socket.SHUT_WR)
                    except OSError:
                        pass
                    self.claim_ended(s, SECONDS_TO_CONNECT)
                    s.close()
                spent_us = (self.cpu_s() - before) * 1e6 / count
                self.assertLess(spent_us, 1000 * broker.PATIENCE)
                if os.environ.get('TIDEWIRE_ABUSE_FIGURES'):
                    print(f'{kind}: {spent_us:.0f} us of CPU per refused connection')
                eventually(lambda: self.refused() >= refused + count, 5, f'{count} more to be counted')
                self.claim_unharmed()

    def test_the_protocol_of_one_port_on_another_is_refused(self):
        for kind, port in self.ports.items():
            for other, first in self.good.items():
                if kind.split()[-1] == other.split()[-1] or (kind == 'websocket over tls' and other == 'tls') or (other == 'websocket over tls' and kind == 'tls'):
                    continue
                with self.subTest(port=kind, speaks=other):
                    s = self.open(port)
                    try:
                        s.sendall(first)
                    except OSError:
                        pass
                    self.claim_ended(s, 2 * SECONDS_TO_CONNECT + 1)
        self.claim_unharmed()

    def test_half_a_handshake_is_cut_off_in_time_on_every_port(self):
        waiting = []
        for kind, port in self.ports.items():
            whole = self.good[kind]
            for cut in (0, 1, len(whole) // 2, len(whole) - 1):
                s = self.open(port)
                s.sendall(whole[:cut])
                waiting.append((kind, s))
        start = time.monotonic()
        for kind, s in waiting:
            with self.subTest(kind=kind):
                self.claim_ended(s, SECONDS_TO_CONNECT + 2)
        self.assertGreater(time.monotonic() - start, SECONDS_TO_CONNECT - 1)
        self.claim_unharmed()

    def test_who_drips_is_cut_off_in_time_on_every_port(self):
        """Slow-loris: a byte now and then does not buy time"""
        dripping = {kind: self.open(port) for kind, port in self.ports.items()}
        ended = {}
        start = time.monotonic()
        for at in range(200):
            for kind, s in dripping.items():
                try:
                    s.sendall(self.good[kind][at % len(self.good[kind]):][:1] if at < len(self.good[kind]) - 1 else b'')
                    s.settimeout(0.001)
                    if s.recv(100) == b'':
                        ended.setdefault(kind, time.monotonic() - start)
                except socket.timeout:
                    continue
                except OSError:
                    ended.setdefault(kind, time.monotonic() - start)
            if len(ended) == len(dripping):
                break
            time.sleep(0.05)
        self.assertEqual(sorted(ended), sorted(dripping))
        self.assertLess(max(ended.values()), (SECONDS_TO_CONNECT + 2) * broker.PATIENCE)
        self.claim_unharmed()

    def test_handshakes_that_are_broken_off_leave_nothing(self):
        with open(f'/proc/{self.broker.process.pid}/statm') as statm:
            before = int(statm.read().split()[1])
        for _ in range(3):
            for kind, port in self.ports.items():
                for _ in range(50):
                    s = self.open(port)
                    s.sendall(self.good[kind][:-1])
                    s.close()
        self.claim_unharmed()
        with open(f'/proc/{self.broker.process.pid}/statm') as statm:
            after = int(statm.read().split()[1])
        if broker.PATIENCE < 4:  # sanitizers keep what is freed
            self.assertLess((after - before) * 4096, 20_000_000)


class Descriptors(unittest.TestCase):
    @only_tidewire('CVE-2017-7652 is what Mosquitto did once')
    def test_a_reload_without_descriptors_changes_nothing(self):
        """CVE-2017-7652: a broker that could not read its files at a reload went on without any rule"""
        passwords = pathlib.Path(tempfile.mkdtemp(prefix='tidewire-abuse-')) / 'passwords'
        self.addCleanup(shutil.rmtree, passwords.parent)
        os.chmod(passwords.parent, 0o755)
        subprocess.run([os.path.join(os.path.dirname(broker.BINARY), 'tidewire-passwd'), '-H', 'sha512-pbkdf2', '-I', '1000', '-c', '-b', str(passwords), 'user', 'word'], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.chmod(passwords, 0o644)
        b = Broker([f'password_file {passwords}', 'allow_anonymous false'])
        self.addCleanup(b.kill)
        b.start()
        used = len(os.listdir(f'/proc/{b.process.pid}/fd'))
        hard = resource.prlimit(b.process.pid, resource.RLIMIT_NOFILE)[1]
        resource.prlimit(b.process.pid, resource.RLIMIT_NOFILE, (used, hard))
        before = len(b.stderr())
        b.signal(signal.SIGHUP)
        eventually(lambda: 'not reloaded' in b.stderr()[before:], 5, 'the line that says so')
        resource.prlimit(b.process.pid, resource.RLIMIT_NOFILE, (hard, hard))
        for more, reason in (({}, 0x87), ({'user': 'user', 'password': b'wrong'}, 0x87), ({'user': 'user', 'password': b'word'}, 0)):
            c = Client(b.port, 5)
            c.send(connect_bytes(5, 'c', **more))
            answer = c.receive()
            self.assertEqual(answer.reason if answer.reason in (0, 0x87) else 0x87, reason)
            c.close()
        b.stop()


if __name__ == '__main__':
    broker.main()
