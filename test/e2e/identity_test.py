#!/usr/bin/python3
"""Who a client is by its certificate, its pre-shared key or what a proxy says: the user name that counts, and client identifiers that must fit it."""

import socket
import struct
import subprocess
import time
import unittest

import broker
from authority import Authority
from broker import Broker, PATIENCE, eventually, free_port
from wire import CONNACK, Client, connect_bytes

RUN_S = 15 * PATIENCE
BAD_PASSWORD, CLIENT_ID = 0x86, 0x85


def setUpModule():
    global authority
    authority = Authority()
    authority.issue_server()
    authority.issue('client', '/O=Sensors/CN=device-1')
    authority.issue('nameless', '/O=Sensors')
    with open(authority.path('psk'), 'w') as f:
        f.write('sensor:00112233445566778899aabbccddeeff\n')


def tearDownModule():
    authority.close()


def ssl_fields(name, verified=True):
    """A PROXY header's word about the client's TLS: connected with TLS, certificate seen, and whether it is good."""
    inner = struct.pack('>BI', 0x07, 0 if verified else 1)
    if name is not None:
        inner += struct.pack('>BH', 0x22, len(name)) + name
    return struct.pack('>BH', 0x20, len(inner)) + inner


def proxy_header(fields):
    addresses = socket.inet_aton('192.0.2.7') + socket.inet_aton('192.0.2.8') + struct.pack('>HH', 40000, 1883)
    return b'\r\n\r\n\0\r\nQUIT\n' + struct.pack('>BBH', 0x21, 0x11, len(addresses) + len(fields)) + addresses + fields


class Identity(broker.BrokerCase):
    @classmethod
    def setUpClass(cls):
        cls.name, cls.subject, cls.psk, cls.proxy, cls.as_id, cls.same = (free_port() for _ in range(6))
        tls = [f'certfile {authority.path("server.pem")}', f'keyfile {authority.path("server.key")}', f'cafile {authority.path("ca.pem")}', 'require_certificate true']
        cls.options = [
            f'psk_file {authority.path("psk")}', 'connection_messages true',
            f'listener {cls.name} 127.0.0.1', *tls, 'use_identity_as_username true',
            f'listener {cls.subject} 127.0.0.1', *tls, 'use_subject_as_username true',
            f'listener {cls.psk} 127.0.0.1', 'psk_hint broker', 'use_identity_as_username true',
            f'listener {cls.proxy} 127.0.0.1', 'enable_proxy_protocol 2', 'use_identity_as_username true',
            f'listener {cls.as_id} 127.0.0.1', *tls, 'use_identity_as_username true', 'use_username_as_clientid true',
            f'listener {cls.same} 127.0.0.1', *tls, 'clientid_is_certificate true',
        ]
        super().setUpClass()

    def setUp(self):
        super().setUp()
        time.sleep(1.1)  # lines that clients cause are limited to some per second

    def pub(self, port, *arguments, expect=0):
        done = subprocess.run(['mosquitto_pub', '-h', 'localhost', '-p', str(port), '-t', 't', '-m', 'x', *arguments], timeout=RUN_S, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        self.assertEqual(done.returncode == 0, expect == 0, f'{done.returncode}: {done.stdout}')

    def with_certificate(self, name='client'):
        return ['--cafile', authority.path('ca.pem'), '--cert', authority.path(name + '.pem'), '--key', authority.path(name + '.key')]

    def expect_logged(self, client_id, user):
        eventually(lambda: any(f'as {client_id} (' in line and line.endswith(f"u'{user}').") for line in self.broker.stderr().splitlines()),
                   what=f'{client_id} as {user} in the log')

    def test_the_common_name_is_the_user_whatever_connect_says(self):
        self.pub(self.name, *self.with_certificate(), '-i', 'plain')
        self.expect_logged('plain', 'device-1')
        self.pub(self.name, *self.with_certificate(), '-i', 'claims', '-u', 'admin', '-P', 'x')
        self.expect_logged('claims', 'device-1')
        self.pub(self.name, *self.with_certificate('nameless'), expect=1)

    def test_the_subject_is_the_user(self):
        self.pub(self.subject, *self.with_certificate(), '-i', 'subject')
        subject = authority.run('x509', '-in', 'client.pem', '-noout', '-subject', '-nameopt', 'RFC2253').strip().removeprefix('subject=')
        self.assertIn('CN=device-1', subject)
        self.expect_logged('subject', subject)
        self.pub(self.subject, *self.with_certificate('nameless'), '-i', 'nameless')
        self.expect_logged('nameless', 'O=Sensors')

    def test_the_identity_of_a_pre_shared_key_is_the_user(self):
        for version in ('tlsv1.2', 'tlsv1.3'):
            self.pub(self.psk, '--psk-identity', 'sensor', '--psk', '00112233445566778899aabbccddeeff', '--tls-version', version, '-i', f'psk-{version}', '-u', 'admin')
            self.expect_logged(f'psk-{version}', 'sensor')

    def through_proxy(self, fields, client_id):
        c = Client(self.proxy)
        self.addCleanup(c.close)
        c.send(proxy_header(fields) + connect_bytes(5, client_id, user='admin', password='x'))
        return c.expect(CONNACK).reason

    def test_a_proxy_says_whose_certificate_it_was(self):
        self.assertEqual(self.through_proxy(ssl_fields(b'device-9'), 'proxied'), 0)
        self.expect_logged('proxied', 'device-9')
        for fields in (b'', ssl_fields(None), ssl_fields(b'device-9', verified=False), ssl_fields(b'')):
            self.assertEqual(self.through_proxy(fields, 'refused'), BAD_PASSWORD)

    def test_the_name_can_be_the_client_identifier(self):
        self.pub(self.as_id, *self.with_certificate(), '-i', 'another')
        self.expect_logged('device-1', 'device-1')

    def test_the_client_identifier_may_have_to_be_the_name(self):
        for version in ('mqttv311', 'mqttv5'):
            self.pub(self.same, *self.with_certificate(), '-V', version, '-i', 'device-1')
            self.pub(self.same, *self.with_certificate(), '-V', version, '-i', 'device-2', expect=1)
            self.pub(self.same, *self.with_certificate('nameless'), '-V', version, '-i', 'device-1', expect=1)

    def test_a_reload_drops_nobody_who_has_shown_a_certificate(self):
        c = Client(self.proxy)
        self.addCleanup(c.close)
        c.send(proxy_header(ssl_fields(b'device-9')) + connect_bytes(5, 'stays'))
        self.assertEqual(c.expect(CONNACK).reason, 0)
        self.assertTrue(self.broker.reload())
        c.ping()


class Configuration(unittest.TestCase):
    def test_names_that_nobody_shows_are_refused_at_the_start(self):
        for option in ('use_identity_as_username true', 'use_subject_as_username true', 'clientid_is_certificate true'):
            b = Broker([option])
            self.addCleanup(b.kill)
            b.port = free_port()
            b.write_config()
            done = broker.run_once(['-c', str(b.config_path), '--test-config'])
            self.assertEqual(done.returncode, 3, done.stdout)
            self.assertIn('require_certificate', done.stdout)


if __name__ == '__main__':
    broker.main()
