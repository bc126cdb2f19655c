#!/usr/bin/python3
"""WebSocket listeners: MQTT.js in node and in a browser (headless Chromium), Paho Python, and bytes by hand where a client would not send them.

The page of the browser is served from loopback, so its origin is another one than the broker's. Without chromium the browser's tests are skipped, unless
TIDEWIRE_E2E_REQUIRE_NODE is set.
"""
import base64
import functools
import hashlib
import http.server
import os
import pathlib
import shutil
import socket
import ssl
import struct
import subprocess
import tempfile
import threading
import time
import unittest

import paho.mqtt.client as paho

import broker
import mqttjs_test
from authority import Authority
from broker import BrokerCase, PATIENCE, die_with_parent, eventually

WAIT_S = 10 * PATIENCE
KEY = base64.b64encode(bytes(range(16))).decode()


class WebSocketCase(BrokerCase):
    options = ('protocol websockets',)

    def request(self, *fields, path='/mqtt'):
        usual = ('Upgrade: websocket', 'Connection: Upgrade', f'Sec-WebSocket-Key: {KEY}', 'Sec-WebSocket-Version: 13', 'Sec-WebSocket-Protocol: mqtt')
        return '\r\n'.join((f'GET {path} HTTP/1.1', 'Host: broker', *usual, *fields, '', '')).encode()

    def open(self, data, source=None):
        """Sends bytes on a new connection; returns the socket and what the answer's header says."""
        s = socket.create_connection(('127.0.0.1', self.port), timeout=WAIT_S, source_address=source)
        self.addCleanup(s.close)
        s.sendall(data)
        header = b''
        while b'\r\n\r\n' not in header:
            piece = s.recv(1)
            if not piece:
                break
            header += piece
        return s, header.decode()

    @staticmethod
    def frame(payload, first=0x82, mask=b'\x11\x22\x33\x44'):
        size = len(payload)
        length = bytes([0x80 | size]) if size < 126 else b'\xfe' + struct.pack('>H', size) if size < 65536 else b'\xff' + struct.pack('>Q', size)
        return bytes([first]) + length + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload))

    @staticmethod
    def read_all(s):
        data = b''
        while True:
            piece = s.recv(65536)
            if not piece:
                return data
            data += piece


class ByHand(WebSocketCase):
    CONNECT = bytes.fromhex('101000044d51545405020000000003') + b'abc'

    def test_the_answer_proves_that_the_request_was_understood(self):
        _, header = self.open(self.request())
        self.assertTrue(header.startswith('HTTP/1.1 101 '), header)
        accept = base64.b64encode(hashlib.sha1((KEY + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11').encode()).digest()).decode()
        self.assertIn(f'Sec-WebSocket-Accept: {accept}\r\n', header)
        self.assertIn('Sec-WebSocket-Protocol: mqtt\r\n', header)

    def test_connect_disconnect_and_the_close_handshake(self):
        s, _ = self.open(self.request() + self.frame(self.CONNECT))
        connack = s.recv(100)
        self.assertEqual(connack[0], 0x82)
        self.assertEqual(connack[2], 0x20)
        s.sendall(self.frame(b'\xe0\x00') + self.frame(struct.pack('>H', 1000), first=0x88))
        self.assertEqual(self.read_all(s), b'\x88\x02\x03\xe8')

    def test_plain_mqtt_and_tls_to_this_port_are_refused_at_once(self):
        for start in (self.CONNECT, b'\x16\x03\x01\x02\x00\x01'):
            began = time.monotonic()
            s, header = self.open(start)
            self.assertTrue(header.startswith('HTTP/1.1 400 '), header)
            self.assertEqual(self.read_all(s), b'')
            self.assertLess(time.monotonic() - began, 5 * PATIENCE)

    def test_a_browser_that_was_typed_into_is_told_what_this_is(self):
        s, header = self.open(b'GET / HTTP/1.1\r\nHost: broker\r\nAccept: text/html\r\n\r\n')
        self.assertTrue(header.startswith('HTTP/1.1 426 '), header)
        self.assertEqual(self.read_all(s), b'')

    def test_a_header_without_end_is_refused(self):
        s = socket.create_connection(('127.0.0.1', self.port), timeout=WAIT_S)
        self.addCleanup(s.close)
        s.sendall(b'GET / HTTP/1.1\r\nHost: b\r\nCookie: ' + b'x' * 4096)
        self.assertTrue(self.read_all(s).startswith(b'HTTP/1.1 431 '))

    def test_half_frames_from_many_clients_hold_nobody_up(self):
        for _ in range(200):
            self.open(self.request())[0].sendall(b'\x82\xff\x00\x00\x00\x01\x00')
        s, _ = self.open(self.request() + self.frame(self.CONNECT))
        self.assertEqual(s.recv(3)[0], 0x82)


class Impatient(WebSocketCase):
    options = ('protocol websockets', 'connect_timeout 1')

    def test_slow_requests_and_silent_upgrades_are_cut_off(self):
        s = socket.create_connection(('127.0.0.1', self.port), timeout=WAIT_S)
        self.addCleanup(s.close)
        began = time.monotonic()
        try:
            for byte in self.request():
                s.sendall(bytes([byte]))
                time.sleep(0.1)
                self.assertLess(time.monotonic() - began, 6 * PATIENCE)
            self.fail('the whole request was taken')
        except (BrokenPipeError, ConnectionResetError):
            pass
        s, header = self.open(self.request())
        self.assertIn(' 101 ', header)
        self.assertEqual(self.read_all(s), b'')


class Node(WebSocketCase):
    @classmethod
    def setUpClass(cls):
        mqttjs_test.install()
        super().setUpClass()

    script = mqttjs_test.MqttJs.script

    def test_everyday_use_with_every_version(self):
        self.script('everyday.mjs', 'ws')

    def test_version_5(self):
        self.script('five.mjs', 'ws')


class Encrypted(WebSocketCase):
    """Inside of TLS, each with its own certificate."""

    @classmethod
    def setUpClass(cls):
        mqttjs_test.install()
        cls.authority = Authority()
        cls.authority.issue_server()
        cls.tls_port = broker.free_port()
        cls.options = (f'listener {cls.tls_port} 127.0.0.1', 'protocol websockets', f'certfile {cls.authority.path("server.pem")}',
                       f'keyfile {cls.authority.path("server.key")}')
        super().setUpClass()

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        cls.authority.close()

    script = mqttjs_test.MqttJs.script

    def open_tls(self):
        context = ssl.create_default_context(cafile=self.authority.path('ca.pem'))
        raw = socket.create_connection(('127.0.0.1', self.tls_port), timeout=WAIT_S)
        s = context.wrap_socket(raw, server_hostname='localhost')
        self.addCleanup(s.close)
        return s

    def test_mqtt_js_with_every_version(self):
        self.script('everyday.mjs', 'wss', port=self.tls_port, NODE_EXTRA_CA_CERTS=self.authority.path('ca.pem'))

    def test_paho(self):
        Paho.exchange(self, paho.MQTTv5, os.urandom(300_000), self.tls_port, self.authority.path('ca.pem'))

    def test_pings_that_come_while_nobody_reads_are_answered_later(self):
        s = self.open_tls()
        s.sendall(self.request())
        self.assertIn(b' 101 ', s.recv(1000))
        s.sendall(self.frame(ByHand.CONNECT))
        self.assertEqual(s.recv(100)[2], 0x20)
        for i in range(5):
            s.sendall(self.frame(b'%d' % i, first=0x89))
            self.assertEqual(s.recv(100), b'\x8a\x01%d' % i)
        s.sendall(self.frame(struct.pack('>H', 1000), first=0x88))
        self.assertEqual(self.read_all(s), b'\x88\x02\x03\xe8')

    def test_the_plain_protocol_to_this_port_gets_no_answer_of_http(self):
        s = socket.create_connection(('127.0.0.1', self.tls_port), timeout=WAIT_S)
        self.addCleanup(s.close)
        s.sendall(self.request())
        try:
            self.assertNotIn(b'HTTP', self.read_all(s))
        except ConnectionResetError:
            pass


class Paho(WebSocketCase):
    def test_a_message_goes_around_with_every_version(self):
        for version in (paho.MQTTv31, paho.MQTTv311, paho.MQTTv5):
            for size in (10, 200, 70000, 1_000_000):
                self.exchange(version, os.urandom(size))

    def exchange(self, version, payload, port=None, authority=None):
        got = []
        client = paho.Client(client_id=f'paho{version}', protocol=version, transport='websockets')
        client.on_message = lambda c, u, message: got.append(message.payload)
        client.on_connect = lambda c, *_: c.subscribe('paho/around', 2)
        client.on_subscribe = lambda c, *_: c.publish('paho/around', payload, 2)
        if authority:
            client.tls_set(authority)
        client.connect('localhost' if authority else '127.0.0.1', port or self.port)
        client.loop_start()
        try:
            eventually(lambda: got, WAIT_S, 'the message')
            self.assertEqual(got[0], payload)
        finally:
            client.disconnect()
            client.loop_stop()


PAGE = """<!doctype html><meta charset=utf-8><title>waiting</title><script src=mqtt.min.js></script><pre id=said></pre><script>
const [scheme, port] = location.hash.slice(1).split(':')
const said = document.getElementById('said'), wanted = [3, 4, 5].flatMap((version) => [0, 1, 2].map((qos) => [version, qos]))
function say(line) { said.textContent += line + '\\n' }
function exchange(version, qos) {
  return new Promise((resolve, reject) => {
    const client = mqtt.connect(`${scheme}://127.0.0.1:${port}/mqtt`, {
      protocolVersion: version, protocolId: version === 3 ? 'MQIsdp' : 'MQTT', reconnectPeriod: 0, clientId: `browser${version}${qos}` })
    let done = false
    const payload = 'x'.repeat(100000) + version + qos, topic = `browser/${version}/${qos}`
    client.on('connect', () => client.subscribe(topic, { qos }, () => client.publish(topic, payload, { qos })))
    client.on('message', (t, got) => {
      if (t !== topic || got.toString() !== payload) reject(new Error('another message'))
      else { done = true; client.end(false, {}, resolve) }
    })
    client.on('error', reject)
    client.on('close', () => done || reject(new Error('closed')))
  })
}
(async () => {
  for (const [version, qos] of wanted) {
    try { await exchange(version, qos); say(`ok version ${version} qos ${qos}`) } catch (e) { say(`FAILED version ${version} qos ${qos}: ${e.message}`) }
  }
  await fetch('/result', { method: 'POST', body: said.textContent })
})()
</script>"""


class Browser(WebSocketCase):
    @classmethod
    def setUpClass(cls):
        mqttjs_test.install()
        cls.chromium = shutil.which('chromium')
        if not cls.chromium:
            mqttjs_test.absent('chromium is not installed')
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix='tidewire-browser-'))
        shutil.copy(mqttjs_test.INSTALLED / 'node_modules' / 'mqtt' / 'dist' / 'mqtt.min.js', cls.folder)
        (cls.folder / 'page.html').write_text(PAGE)
        super().setUpClass()

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        shutil.rmtree(cls.folder, ignore_errors=True)

    def serve(self):
        """Serves the folder, and keeps what the page posts. Returns its port and the list of results."""
        results = []

        class Handler(http.server.SimpleHTTPRequestHandler):
            def do_POST(self):
                results.append(self.rfile.read(int(self.headers['Content-Length'])).decode())
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_):
                pass
        server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), functools.partial(Handler, directory=str(self.folder)))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return server.server_address[1], results

    def browse(self, scheme, broker_port):
        page_port, results = self.serve()
        profile = tempfile.mkdtemp(prefix='profile-', dir=self.folder)
        log = open(self.folder / 'chromium.txt', 'wb')
        self.addCleanup(log.close)
        # As root there is no sandbox; the page is our own.
        chromium = subprocess.Popen([self.chromium, '--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run', '--disable-background-networking', '--ignore-certificate-errors',
                                     '--disable-component-update', f'--user-data-dir={profile}', '--remote-debugging-port=0', f'http://127.0.0.1:{page_port}/page.html#{scheme}:{broker_port}'],
                                    stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=die_with_parent)
        try:
            eventually(lambda: results or chromium.poll() is not None, 60, 'an answer of the page')
        finally:
            chromium.terminate()
            try:
                chromium.wait(timeout=10)
            except subprocess.TimeoutExpired:
                chromium.kill()
                chromium.wait()
        self.assertTrue(results, (self.folder / 'chromium.txt').read_text(errors='replace')[-3000:])
        return results[0]

    def test_a_page_exchanges_messages_with_every_version_and_qos(self):
        said = self.browse('ws', self.port)
        self.assertNotIn('FAILED', said)
        self.assertEqual(said.count('ok '), 9, said)


class EncryptedPage(Browser):
    """The same inside of TLS; the browser does not know the authority, and is told not to mind."""

    @classmethod
    def setUpClass(cls):
        cls.authority = Authority()
        cls.authority.issue_server()
        cls.options = ('protocol websockets', f'certfile {cls.authority.path("server.pem")}', f'keyfile {cls.authority.path("server.key")}')
        super().setUpClass()

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        cls.authority.close()

    def test_a_page_exchanges_messages_with_every_version_and_qos(self):
        said = self.browse('wss', self.port)
        self.assertNotIn('FAILED', said)
        self.assertEqual(said.count('ok '), 9, said)


class Origins(Browser):
    """The page's origin has a port that is chosen late, so it is never one of these."""
    options = ('protocol websockets', 'websockets_origin https://example.com')

    def test_a_page_exchanges_messages_with_every_version_and_qos(self):
        said = self.browse('ws', self.port)
        self.assertNotIn('ok ', said)
        self.assertEqual(said.count('FAILED'), 9, said)


class BehindAProxy(WebSocketCase):
    options = ('protocol websockets', 'websockets_trusted_proxy 127.0.0.2', 'log_type all')

    def peer_logged(self, client_id, source):
        s, header = self.open(self.request('X-Forwarded-For: 6.6.6.6, 203.0.113.7'), source=(source, 0))
        self.assertIn(' 101 ', header)
        name = client_id.encode()
        s.sendall(self.frame(b'\x10' + bytes([13 + len(name)]) + b'\x00\x04MQTT\x05\x02\x00\x00\x00\x00' + bytes([len(name)]) + name))
        s.recv(100)
        s.shutdown(socket.SHUT_WR)
        line = eventually(lambda: [x for x in self.broker.stderr().splitlines() if client_id in x and 'closed its connection' in x], what='a line of the log')
        return line[0]

    def test_only_a_trusted_proxy_says_who_the_client_is(self):
        self.assertIn('[203.0.113.7:', self.peer_logged('trusted', '127.0.0.2'))
        self.assertIn('[127.0.0.3:', self.peer_logged('stranger', '127.0.0.3'))


if __name__ == '__main__':
    broker.main()
