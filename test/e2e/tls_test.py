#!/usr/bin/python3
"""TLS as clients that nobody here wrote speak it: mosquitto_pub and mosquitto_sub, paho, openssl s_client, and Python's ssl."""
import os
import signal
import socket
import ssl
import subprocess
import threading
import time
import unittest

import paho.mqtt.client as paho

import broker
import wire
from authority import Authority
from broker import Broker, PATIENCE, eventually, free_port, run_once

RUN_S = 15 * PATIENCE


def setUpModule():
    global authority, foreign
    authority = Authority()
    foreign = Authority('Somebody else')
    authority.issue_server()
    authority.issue_server('rsa', rsa=True)
    authority.issue('client', '/O=Sensors/CN=device-1')
    authority.issue('revoked', '/CN=device-2')
    authority.issue('expired', '/CN=device-3', start='20200101000000Z', end='20210101000000Z')
    authority.issue('server_only', '/CN=device-4', 'extendedKeyUsage=serverAuth')
    foreign.issue('client', '/CN=device-1')
    authority.run('genpkey', '-genparam', '-algorithm', 'DH', '-pkeyopt', 'group:ffdhe2048', '-out', 'dh.pem')
    with open(authority.path('psk'), 'w') as f:
        f.write('sensor:00112233445566778899aabbccddeeff\n')


def tearDownModule():
    authority.close()
    foreign.close()


def server_options(name='server'):
    return [f'certfile {authority.path(name + ".pem")}', f'keyfile {authority.path(name + ".key")}']


class TlsCase(broker.BrokerCase):
    """The first listener is plain; the options make others."""

    @classmethod
    def listeners(cls):
        return []

    @classmethod
    def setUpClass(cls):
        cls.options = cls.listeners()
        super().setUpClass()

    def mosquitto(self, program, port, *arguments, **more):
        return subprocess.run([program, '-h', 'localhost', '-p', str(port), *arguments], timeout=RUN_S, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more)

    def pub(self, port, *arguments, expect=0, message='x', topic=None):
        done = self.mosquitto('mosquitto_pub', port, '-t', topic or self.topic(), '-m', message, *arguments)
        self.assertEqual(done.returncode == 0, expect == 0, f'{done.returncode}: {done.stdout}')
        return done.stdout

    def retained(self, port, *arguments):
        """What is retained under this test's topic, through this way in."""
        done = self.mosquitto('mosquitto_sub', port, '-t', self.topic(), '-C', '1', '-W', '5', *arguments)
        return done.stdout.strip()

    def s_client(self, port, *arguments, input=b'', expect=0):
        done = subprocess.run(['openssl', 's_client', '-connect', f'127.0.0.1:{port}', '-CAfile', authority.path('ca.pem'), *arguments], input=input, timeout=RUN_S,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        text = done.stdout.decode(errors='replace')
        self.assertEqual(done.returncode == 0, expect == 0, text)
        return text

    def counted(self, reason):
        """Of $SYS, after at least one more interval."""
        with wire_connection(self.port) as c:
            return c.sys_drop(reason)


class Plain:
    """A bare connection that subscribes to one $SYS topic."""

    def __init__(self, port):
        self.client = paho.Client()
        self.port = port
        self.seen = {}

    def __enter__(self):
        self.client.on_connect = lambda c, *_: c.subscribe('$SYS/#')
        self.client.on_message = lambda c, u, m: self.seen.__setitem__(m.topic, m.payload.decode(errors='replace'))
        self.client.connect('127.0.0.1', self.port)
        self.client.loop_start()
        return self

    def __exit__(self, *_):
        self.client.disconnect()
        self.client.loop_stop()

    def sys_drop(self, reason):
        name = [topic for topic in self.seen if topic.endswith(reason)]
        return int(self.seen[name[0]]) if name else 0


def wire_connection(port):
    return Plain(port)


class Everyday(TlsCase):
    @classmethod
    def listeners(cls):
        cls.tls, cls.rsa, cls.ws = free_port(), free_port(), free_port()
        return ['sys_interval 1', f'listener {cls.tls} 127.0.0.1', *server_options(), f'listener {cls.rsa} 127.0.0.1', *server_options('rsa'), f'dhparamfile {authority.path("dh.pem")}',
                f'listener {cls.ws} 127.0.0.1', 'protocol websockets', *server_options()]

    def test_mosquitto_with_a_cafile(self):
        for port in (self.tls, self.rsa):
            for version in ('tlsv1.2', 'tlsv1.3'):
                for v in ('mqttv311', 'mqttv5'):
                    message = f'{port} {version} {v}'
                    self.pub(port, '--cafile', authority.path('ca.pem'), '--tls-version', version, '-V', v, '-r', message=message)
                    self.assertEqual(self.retained(port, '--cafile', authority.path('ca.pem'), '--tls-version', version, '-V', v), message)

    def test_what_comes_encrypted_leaves_plain_and_the_other_way_round(self):
        self.pub(self.tls, '--cafile', authority.path('ca.pem'), '-r', message='from tls')
        self.assertEqual(self.retained(self.port), 'from tls')
        self.pub(self.port, '-r', message='from plain')
        self.assertEqual(self.retained(self.tls, '--cafile', authority.path('ca.pem')), 'from plain')

    def test_a_client_with_another_authority_refuses_the_broker(self):
        self.pub(self.tls, '--cafile', foreign.path('ca.pem'), expect=1)

    def test_messages_larger_than_records_arrive_whole(self):
        """paho, both ways, through TLS and through WebSocket in TLS."""
        for port, transport in ((self.tls, 'tcp'), (self.ws, 'websockets')):
            got = []
            ready = threading.Event()
            client = paho.Client(transport=transport)
            client.tls_set(authority.path('ca.pem'))
            client.on_connect = lambda c, *_: c.subscribe(self.topic('#'), 1)
            client.on_subscribe = lambda *_: ready.set()
            client.on_message = lambda c, u, m: got.append(m.payload)
            client.connect('localhost', port)
            client.loop_start()
            self.assertTrue(ready.wait(RUN_S))
            sent = [os.urandom(size) for size in (0, 1, 16383, 16384, 16385, 100000, 1000000)]
            for payload in sent:
                client.publish(self.topic(transport), payload, 1)
            eventually(lambda: len(got) == len(sent), 20, 'all messages')
            self.assertEqual(got, sent)
            client.disconnect()
            client.loop_stop()

    def test_s_client_sees_versions_alpn_and_no_renegotiation(self):
        for version in ('-tls1_2', '-tls1_3'):
            text = self.s_client(self.tls, version, '-alpn', 'mqtt')
            self.assertIn('Verify return code: 0 (ok)', text)
            self.assertIn('ALPN protocol: mqtt', text)
        self.assertIn('Secure Renegotiation IS supported', self.s_client(self.tls, '-tls1_2'))
        self.assertIn('no application protocol', self.s_client(self.tls, '-alpn', 'h2', expect=1))
        self.assertIn('ALPN protocol: http/1.1', self.s_client(self.ws, '-alpn', 'http/1.1'))
        for old in ('-tls1', '-tls1_1'):
            self.s_client(self.tls, old, '-cipher', 'ALL:@SECLEVEL=0', expect=1)

    def test_finite_field_diffie_hellman_is_spoken_where_there_are_parameters(self):
        suite = 'DHE-RSA-AES128-GCM-SHA256'
        self.assertIn(f'Cipher is {suite}', self.s_client(self.rsa, '-tls1_2', '-cipher', suite))

    def test_tickets_resume_on_any_shard(self):
        """Twelve connections of either version: some of them come to the other shard."""
        for version in ('-tls1_2', '-tls1_3'):
            session = os.path.join(self.broker.directory, 'session')
            # A ticket of 1.3 comes after the handshake: s_client reads on until it has nothing more to say.
            self.s_client(self.tls, version, '-sess_out', session, '-ign_eof', '-ignore_unexpected_eof', input=b'\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04tick\xe0\x00')
            for _ in range(12):
                text = self.s_client(self.tls, version, '-sess_in', session)
                self.assertIn('Reused, ', text)

    def test_the_broker_says_close_notify(self):
        context = ssl.create_default_context(cafile=authority.path('ca.pem'))
        with socket.create_connection(('127.0.0.1', self.tls), RUN_S) as raw, context.wrap_socket(raw, server_hostname='localhost', suppress_ragged_eofs=False) as s:
            s.sendall(b'\x30\x00')  # not a CONNECT
            self.assertEqual(s.recv(100), b'')  # a missing close_notify would raise

    def test_a_client_that_says_close_notify_is_gone_and_its_will_is_said(self):
        context = ssl.create_default_context(cafile=authority.path('ca.pem'))
        with Plain(self.port) as watcher:
            got = []
            watcher.client.message_callback_add(self.topic(), lambda c, u, m: got.append(m.payload))
            watcher.client.subscribe(self.topic())
            time.sleep(0.3)
            raw = socket.create_connection(('127.0.0.1', self.tls), RUN_S)
            s = context.wrap_socket(raw, server_hostname='localhost')
            topic = self.topic().encode()
            body = b'\x00\x04MQTT\x04\x06\x00\x3c' + wire.data('willed') + wire.data(topic) + wire.data('gone')
            s.sendall(b'\x10' + wire.varint(len(body)) + body)
            self.assertEqual(s.recv(4), b'\x20\x02\x00\x00')
            plain = s.unwrap()
            eventually(lambda: got == [b'gone'], what='the will')
            plain.close()


class BadInput(TlsCase):
    @classmethod
    def listeners(cls):
        cls.tls = free_port()
        return ['sys_interval 1', 'connect_timeout 2', f'listener {cls.tls} 127.0.0.1', *server_options()]

    def raw(self, data):
        """What comes back for it until the end of the stream."""
        with socket.create_connection(('127.0.0.1', self.tls), RUN_S) as s:
            s.settimeout(RUN_S)
            s.sendall(data)
            answer = b''
            try:
                while piece := s.recv(4096):
                    answer += piece
            except ConnectionResetError:
                pass
            return answer

    def test_plain_mqtt_and_garbage_are_closed_at_once_and_counted(self):
        start = time.monotonic()
        self.assertEqual(self.raw(b'\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04abcd'), b'')
        self.assertEqual(self.raw(os.urandom(1).replace(b'\x16', b'\x17') + os.urandom(5000)), b'')
        self.raw(b'\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00')
        self.assertLess(time.monotonic() - start, 1.5 * PATIENCE)
        with Plain(self.port) as sys:
            eventually(lambda: sys.sys_drop('tls handshake') >= 3, 10, 'tls handshake in $SYS')
        self.assertIn('an MQTT CONNECT without TLS', self.broker.stderr())

    def test_half_handshakes_end_with_connect_timeout(self):
        context = ssl.create_default_context(cafile=authority.path('ca.pem'))
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        try:
            context.wrap_bio(incoming, outgoing, server_hostname='localhost').do_handshake()
        except ssl.SSLWantReadError:
            hello = outgoing.read()
        start = time.monotonic()
        sockets = []
        for part in (0, 1, 5, 100, len(hello)):  # with all of it the server answers, and waits for the client's Finished
            s = socket.create_connection(('127.0.0.1', self.tls), RUN_S)
            s.settimeout(RUN_S)
            s.sendall(hello[:part])
            sockets.append(s)
        for s in sockets:
            try:
                while s.recv(4096):
                    pass
            except ConnectionResetError:
                pass
            s.close()
        self.assertGreater(time.monotonic() - start, 1.5)
        self.assertLess(time.monotonic() - start, 8 * PATIENCE)

    def test_a_hello_byte_by_byte_is_a_hello(self):
        context = ssl.create_default_context(cafile=authority.path('ca.pem'))
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_hostname='localhost')
        with socket.create_connection(('127.0.0.1', self.tls), RUN_S) as s:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for _ in range(10):
                try:
                    tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    for byte in outgoing.read():
                        s.sendall(bytes([byte]))
                    incoming.write(s.recv(65536))
            self.assertEqual(tls.version(), 'TLSv1.3')

    def test_a_storm_of_handshakes_that_are_given_up_leaves_nothing(self):
        context = ssl.create_default_context(cafile=authority.path('ca.pem'))
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        try:
            context.wrap_bio(incoming, outgoing, server_hostname='localhost').do_handshake()
        except ssl.SSLWantReadError:
            hello = outgoing.read()
        for _ in range(300):
            with socket.create_connection(('127.0.0.1', self.tls), RUN_S) as s:
                s.sendall(hello)
        self.pub(self.tls, '--cafile', authority.path('ca.pem'))


class ClientCertificates(TlsCase):
    @classmethod
    def listeners(cls):
        cls.tls = free_port()
        return ['sys_interval 1', f'listener {cls.tls} 127.0.0.1', *server_options(), f'cafile {authority.path("ca.pem")}', f'crlfile {authority.path("crl.pem")}',
                'require_certificate true']

    @classmethod
    def setUpClass(cls):
        authority.revoke('revoked')
        super().setUpClass()

    def pub_as(self, owner, name, expect=0):
        for version in ('tlsv1.2', 'tlsv1.3'):
            self.pub(self.tls, '--cafile', authority.path('ca.pem'), '--cert', owner.path(name + '.pem'), '--key', owner.path(name + '.key'), '--tls-version', version,
                     '-q', '1', expect=expect)

    def test_a_good_certificate_comes_in(self):
        self.pub_as(authority, 'client')

    def test_others_stay_out_and_are_counted(self):
        self.pub(self.tls, '--cafile', authority.path('ca.pem'), expect=1)
        self.pub_as(foreign, 'client', expect=1)
        self.pub_as(authority, 'revoked', expect=1)
        self.pub_as(authority, 'expired', expect=1)
        self.pub_as(authority, 'server_only', expect=1)
        with Plain(self.port) as sys:
            eventually(lambda: sys.sys_drop('tls certificate') >= 9, 10, 'tls certificate in $SYS')


class PreSharedKeys(TlsCase):
    @classmethod
    def listeners(cls):
        cls.tls = free_port()
        return [f'psk_file {authority.path("psk")}', f'listener {cls.tls} 127.0.0.1', 'psk_hint broker']

    def test_mosquitto_with_a_pre_shared_key(self):
        for version in ('tlsv1.2', 'tlsv1.3'):
            key = ['--psk-identity', 'sensor', '--psk', '00112233445566778899aabbccddeeff', '--tls-version', version]
            self.pub(self.tls, *key, '-r', message=version)
            self.assertEqual(self.retained(self.tls, *key), version)
            self.pub(self.tls, '--psk-identity', 'sensor', '--psk', '00112233445566778899aabbccddee00', '--tls-version', version, expect=1)
            self.pub(self.tls, '--psk-identity', 'other', '--psk', '00112233445566778899aabbccddeeff', '--tls-version', version, expect=1)

    def test_keys_never_appear_in_the_log(self):
        self.assertNotIn('00112233', self.broker.stderr().lower())


class Reload(TlsCase):
    @classmethod
    def listeners(cls):
        cls.tls, cls.mutual = free_port(), free_port()
        authority.issue_server('changing')
        return [f'listener {cls.tls} 127.0.0.1', *server_options('changing'), f'listener {cls.mutual} 127.0.0.1', *server_options(),
                f'cafile {authority.path("ca.pem")}', f'crlfile {authority.path("crl.pem")}', 'require_certificate true']

    def reload(self, expected):
        before = self.broker.stderr().count(expected)
        self.broker.signal(signal.SIGHUP)
        eventually(lambda: self.broker.stderr().count(expected) > before, what=expected)

    def serial(self):
        pem = ssl.get_server_certificate(('127.0.0.1', self.tls))
        return subprocess.run(['openssl', 'x509', '-noout', '-serial'], input=pem, stdout=subprocess.PIPE, text=True).stdout

    def test_certificates_change_and_nobody_is_dropped_and_tickets_stay_good(self):
        session = os.path.join(self.broker.directory, 'session')
        self.s_client(self.tls, '-tls1_3', '-sess_out', session, '-ign_eof', '-ignore_unexpected_eof', input=b'\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04tick\xe0\x00')
        client = paho.Client()
        lost = []
        got = []
        client.tls_set(authority.path('ca.pem'))
        client.on_disconnect = lambda *_: lost.append(1)
        client.on_message = lambda c, u, m: got.append(m.payload)
        client.on_connect = lambda c, *_: c.subscribe(self.topic())
        client.connect('localhost', self.tls)
        client.loop_start()
        before = self.serial()
        authority.issue_server('changing')
        self.reload('Configuration reloaded.')
        eventually(lambda: self.serial() != before, what='the new certificate')
        self.pub(self.tls, '--cafile', authority.path('ca.pem'), message='after')
        eventually(lambda: got == [b'after'], what='the message after the reload')
        self.assertEqual(lost, [])
        client.on_disconnect = None
        client.disconnect()
        client.loop_stop()
        self.assertIn('Reused, ', self.s_client(self.tls, '-tls1_3', '-sess_in', session))

    def test_a_bad_file_keeps_the_old_one_and_is_named(self):
        before = self.serial()
        path = authority.path('changing.pem')
        with open(path) as f:
            good = f.read()
        with open(path, 'w') as f:
            f.write('nothing of use\n')
        try:
            self.reload(f'certfile {path}')
            self.assertEqual(self.serial(), before)
            done = run_once(['-c', str(self.broker.config_path), '--test-config'])
            self.assertNotEqual(done.returncode, 0, done.stdout)
            self.assertIn(path, done.stdout)
        finally:
            with open(path, 'w') as f:
                f.write(good)
        self.reload('Configuration reloaded.')
        self.pub(self.tls, '--cafile', authority.path('ca.pem'))

    def test_a_revoked_certificate_is_refused_from_the_reload_on(self):
        authority.issue('leaving', '/CN=leaving')
        key = ['--cafile', authority.path('ca.pem'), '--cert', authority.path('leaving.pem'), '--key', authority.path('leaving.key'), '-q', '1']
        self.pub(self.mutual, *key)
        authority.revoke('leaving')
        self.pub(self.mutual, *key)
        self.reload('Configuration reloaded.')
        self.pub(self.mutual, *key, expect=1)

    def test_the_key_of_another_certificate_is_refused(self):
        directory = self.broker.directory
        config = directory / 'wrong.conf'
        config.write_text(f'listener {free_port()} 127.0.0.1\nallow_anonymous true\ncertfile {authority.path("server.pem")}\nkeyfile {authority.path("client.key")}\n')
        done = run_once(['-c', str(config), '--test-config'])
        self.assertNotEqual(done.returncode, 0, done.stdout)
        self.assertIn('is not the key of', done.stdout)
        done = run_once(['-c', str(config)])
        self.assertNotEqual(done.returncode, 0, done.stdout)
        self.assertIn('is not the key of', done.stdout)


if __name__ == '__main__':
    broker.main()
