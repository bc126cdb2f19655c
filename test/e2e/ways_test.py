#!/usr/bin/python3
"""Ways in beside plain TCP: Unix sockets (mosquitto_pub and mosquitto_sub), the PROXY protocol, interfaces, several addresses."""
import os
import pathlib
import socket
import stat
import struct
import subprocess
import unittest

import broker
from broker import Broker, BrokerCase, PATIENCE, die_with_parent, eventually

RUN_S = 15 * PATIENCE
SIGNATURE = bytes.fromhex('0d0a0d0a000d0a515549540a')


def connect_packet(client_id):
    name = client_id.encode()
    return b'\x10' + bytes([13 + len(name)]) + b'\x00\x04MQTT\x05\x02\x00\x00\x00\x00' + bytes([len(name)]) + name


def mosquitto(program, *arguments):
    done = subprocess.run([program, *arguments], timeout=RUN_S, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, preexec_fn=die_with_parent)
    assert done.returncode == 0, done.stdout
    return done.stdout


class UnixSocket(BrokerCase):
    # The broker's folder is where it runs, so the path may be a relative one.
    options = ('listener 0 mqtt.socket', 'unix_socket_mode 0600')

    @property
    def path(self):
        return str(self.broker.directory / 'mqtt.socket')

    def test_messages_cross_between_the_socket_and_tcp(self):
        sub = subprocess.Popen(['stdbuf', '-oL', 'mosquitto_sub', '--unix', self.path, '-t', 'a/#', '-C', '2', '-v', '-d'], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                               preexec_fn=die_with_parent)
        self.addCleanup(sub.stdout.close)
        while 'Subscribed' not in (line := sub.stdout.readline()):
            self.assertNotEqual(line, '')
        mosquitto('mosquitto_pub', '--unix', self.path, '-t', 'a/unix', '-m', 'one', '-q', '2')
        mosquitto('mosquitto_pub', '-p', str(self.port), '-h', '127.0.0.1', '-t', 'a/tcp', '-m', 'two', '-q', '1')
        said = sub.communicate(timeout=RUN_S)[0]
        self.assertIn('a/unix one', said)
        self.assertIn('a/tcp two', said)

    def test_clients_are_spread_and_served_by_both_shards(self):
        for i in range(20):
            mosquitto('mosquitto_pub', '--unix', self.path, '-i', f'unix{i}', '-t', 'b', '-m', 'x', '-q', '1')

    def test_the_path_has_the_permissions_that_were_asked_for(self):
        about = os.stat(self.path)
        self.assertTrue(stat.S_ISSOCK(about.st_mode))
        self.assertEqual(stat.S_IMODE(about.st_mode), 0o600)

    def test_the_log_shows_the_path_as_the_peer(self):
        def come_and_look():  # lines that peers cause are limited per second, so more than once
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(self.path)
                s.sendall(connect_packet('shown'))
                s.recv(100)
            return 'shown [mqtt.socket]' in self.broker.stderr()
        eventually(come_and_look, what='a line with the path')


class UnixSocketLife(unittest.TestCase):
    def test_the_path_goes_with_the_broker_and_an_abandoned_one_is_replaced(self):
        b = Broker(('listener 0 mqtt.socket',))
        path = b.directory / 'mqtt.socket'
        try:
            b.start()
            self.assertTrue(path.exists())
            b.process.kill()
            b.process.wait()
            self.assertTrue(path.exists())
            b.start()
            mosquitto('mosquitto_pub', '--unix', str(path), '-t', 'a', '-m', 'x', '-q', '1')
            refused = broker.run_once(['-c', str(self.second_config(b))], cwd=b.directory)
            self.assertIn('cannot listen on mqtt.socket: somebody listens there already', refused.stdout)
            self.assertNotEqual(refused.returncode, 0)
            self.assertTrue(path.exists())
            b.process.terminate()
            self.assertEqual(b.wait(), 0)
            self.assertFalse(path.exists())
        finally:
            b.kill()

    @staticmethod
    def second_config(b):
        path = b.directory / 'second.conf'
        path.write_text('listener 0 mqtt.socket\nallow_anonymous true\nuser root\n')
        return path


class ProxyCase(BrokerCase):
    def come(self, header, client_id):
        """The CONNACK, or nothing if the broker closes."""
        s = socket.create_connection(('127.0.0.1', self.port), timeout=RUN_S)
        self.addCleanup(s.close)
        s.sendall(header + connect_packet(client_id))
        try:
            answer = s.recv(100)
        except ConnectionResetError:
            answer = b''
        s.close()
        return answer

    def assert_peer(self, client_id, address):
        eventually(lambda: f'{client_id} [{address}' in self.broker.stderr(), what=f'a line with {address}')


class ProxyLine(ProxyCase):
    options = ('enable_proxy_protocol 1', 'log_type all')

    def test_the_line_names_the_client(self):
        self.assertEqual(self.come(b'PROXY TCP4 203.0.113.7 192.0.2.1 51234 1883\r\n', 'four')[:1], b'\x20')
        self.assertEqual(self.come(b'PROXY TCP6 2001:db8::7 ::1 51234 1883\r\n', 'six')[:1], b'\x20')
        self.assert_peer('four', '203.0.113.7:51234')
        self.assert_peer('six', '2001:db8::7:51234')

    def test_without_a_line_nobody_comes_in(self):
        for header in (b'', b'PROXY TCP4 nonsense\r\n', SIGNATURE + b'\x20\x00\x00\x00'):
            self.assertEqual(self.come(header, 'stranger'), b'')


class ProxyBinary(ProxyCase):
    options = ('enable_proxy_protocol 2', 'proxy_protocol_v2_require_tls true', 'log_type all')

    @staticmethod
    def header(tls):
        body = socket.inet_aton('203.0.113.7') + socket.inet_aton('192.0.2.1') + struct.pack('>HH', 51234, 1883)
        if tls:
            body += b'\x20' + struct.pack('>HBI', 5 + 3 + 7, 1, 1) + b'\x21' + struct.pack('>H', 7) + b'TLSv1.3'
        return SIGNATURE + b'\x21\x11' + struct.pack('>H', len(body)) + body

    def test_only_clients_with_tls_come_in(self):
        self.assertEqual(self.come(self.header(True), 'safe')[:1], b'\x20')
        self.assert_peer('safe', '203.0.113.7:51234')
        self.assertEqual(self.come(self.header(False), 'unsafe'), b'')
        self.assertEqual(self.come(SIGNATURE + b'\x20\x00\x00\x00', 'local'), b'')


class Addresses(unittest.TestCase):
    def pub(self, host, port):
        mosquitto('mosquitto_pub', '-h', host, '-p', str(port), '-t', 'a', '-m', 'x', '-q', '1')

    def properties(self, host, port):
        """Those of a CONNACK."""
        with socket.create_connection((host, port), timeout=RUN_S) as s:
            s.sendall(connect_packet('asks'))
            return s.recv(200)[5:]

    def test_one_port_on_several_addresses_with_settings_of_their_own(self):
        port = broker.free_port()
        b = Broker((f'listener {port} 127.0.0.2', f'listener {port} 127.0.0.3', 'max_qos 0'))
        try:
            b.start()
            self.pub('127.0.0.2', port)
            self.assertNotIn(b'\x24', self.properties('127.0.0.2', port))
            self.assertIn(b'\x24\x00', self.properties('127.0.0.3', port))  # Maximum QoS: 0
            b.stop()
        finally:
            b.kill()

    def test_an_interface_stands_for_all_its_addresses(self):
        port = broker.free_port()
        b = Broker((f'listener {port}', 'bind_interface lo'))
        try:
            b.start()
            self.pub('127.0.0.1', port)
            if pathlib.Path('/proc/net/if_inet6').exists() and '0' * 31 + '1' in pathlib.Path('/proc/net/if_inet6').read_text():
                self.pub('::1', port)
            with self.assertRaises(OSError):
                socket.create_connection(('127.0.0.2', port), timeout=RUN_S)  # the interface has 127.0.0.1 only
            b.stop()
        finally:
            b.kill()

    def test_an_interface_that_is_not_there_ends_the_start(self):
        b = Broker()
        try:
            path = b.directory / 'bad.conf'
            path.write_text(f'listener {broker.free_port()}\nbind_interface nosuch0\nallow_anonymous true\nuser root\n')
            done = broker.run_once(['-c', str(path)], cwd=b.directory)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn('cannot listen on interface nosuch0', done.stdout)
        finally:
            b.kill()


if __name__ == '__main__':
    broker.main()
