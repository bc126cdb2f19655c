#!/usr/bin/env python3
"""The load generator over TLS and WebSocket: through a terminator in Python in front of the broker, so that both ends are judged by a third.

usage: tunnels_test.py TIDEWIRE_BENCH TIDEWIRE
"""
import asyncio
import base64
import hashlib
import json
import os
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

BENCH, TIDEWIRE = sys.argv[1:3]
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def make_certificates(folder):
    def openssl(*words):
        subprocess.run(["openssl", *words], cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    for name, subject, more in (("ca", "/CN=ca", ["-addext", "basicConstraints=critical,CA:TRUE"]),
                                ("server", "/CN=broker", ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-CA", "ca.pem", "-CAkey", "ca.key"]),
                                ("client", "/CN=device", ["-CA", "ca.pem", "-CAkey", "ca.key"])):
        openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", name + ".key")
        if name == "ca":
            openssl("req", "-x509", "-new", "-key", "ca.key", "-subj", subject, "-days", "2", "-out", "ca.pem", *more)
            continue
        openssl("req", "-new", "-key", name + ".key", "-subj", subject, "-out", name + ".csr", *more[:2] if more[0] == "-addext" else [])
        openssl("x509", "-req", "-in", name + ".csr", "-copy_extensions", "copy", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
                "-out", name + ".pem")


class Terminator(threading.Thread):
    """Takes TLS, WebSocket or both off, and hands MQTT on to the broker. Counts handshakes, resumed ones and frames."""

    def __init__(self, broker_port, context=None, websocket=False):
        super().__init__(daemon=True)
        self.broker_port, self.context, self.websocket = broker_port, context, websocket
        self.connections = self.resumed = self.frames = 0
        self.names = []
        self.ready = threading.Event()
        self.loop = asyncio.new_event_loop()
        self.start()
        self.ready.wait()

    def run(self):
        async def serve():
            server = await asyncio.start_server(self.take, "127.0.0.1", 0, ssl=self.context, backlog=1000)
            self.port = server.sockets[0].getsockname()[1]
            self.ready.set()
        self.loop.set_exception_handler(lambda *_: None)  # resets of clients that leave
        self.loop.run_until_complete(serve())
        self.loop.run_forever()

    def end(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.join()

    async def take(self, reader, writer):
        self.connections += 1
        secured = writer.get_extra_info("ssl_object")
        if secured is not None:
            self.resumed += secured.session_reused
            self.names.append(dict(p[0] for p in (secured.getpeercert() or {}).get("subject", ())).get("commonName"))
        try:
            if self.websocket:
                await self.upgrade(reader, writer)
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.broker_port)
            down = asyncio.ensure_future(self.carry_down(up_reader, writer))
            await (self.unframe(reader, up_writer, writer) if self.websocket else self.carry(reader, up_writer))
            up_writer.close()
            await down
        except (OSError, asyncio.IncompleteReadError):
            pass
        writer.close()

    async def upgrade(self, reader, writer):
        request = await reader.readuntil(b"\r\n\r\n")
        key = [line.split(b": ")[1] for line in request.split(b"\r\n") if line.startswith(b"Sec-WebSocket-Key")][0]
        accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + accept +
                     b"\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n")

    async def unframe(self, reader, to, back):
        while True:
            head = await reader.readexactly(2)
            size = head[1] & 127
            if size >= 126:
                size = struct.unpack(">H" if size == 126 else ">Q", await reader.readexactly(2 if size == 126 else 8))[0]
            mask = await reader.readexactly(4)
            data = await reader.readexactly(size)
            key = (mask * (size // 4 + 1))[:size]
            data = (int.from_bytes(data, "big") ^ int.from_bytes(key, "big")).to_bytes(size, "big")
            self.frames += 1
            if head[0] & 15 == 2:
                to.write(data)

    async def carry(self, reader, to):
        while data := await reader.read(65536):
            to.write(data)

    async def carry_down(self, reader, to):
        while data := await reader.read(65536):
            if not self.websocket:
                to.write(data)
                continue
            middle = len(data) // 2  # two fragments with a ping between them
            for first, part in ((0x02, data[:middle]), (0x89, b"?"), (0x80, data[middle:])):
                size = len(part)
                to.write(bytes([first]) + (bytes([size]) if size < 126 else struct.pack(">BH", 126, size) if size < 65536 else struct.pack(">BQ", 127, size)) + part)
        to.close()


class Tunnels(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="tidewire-tunnels-")
        make_certificates(cls.folder.name)
        cls.port = free_port()
        cls.process = subprocess.Popen([TIDEWIRE, "-p", str(cls.port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", cls.port)).close()
                break
            except OSError:
                time.sleep(0.02)

    @classmethod
    def tearDownClass(cls):
        cls.process.terminate()
        cls.process.wait()
        cls.folder.cleanup()

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def terminate(self, tls=True, **more):
        context = None
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.path("server.pem"), self.path("server.key"))
            context.set_alpn_protocols(["mqtt"])
            if more.pop("ask", False):
                context.verify_mode = ssl.CERT_REQUIRED
                context.load_verify_locations(self.path("ca.pem"))
            context.num_tickets = more.pop("tickets", 2)
        terminator = Terminator(self.port, context, **more)
        self.addCleanup(terminator.end)
        return terminator

    def bench(self, line, port, *more):
        done = subprocess.run([BENCH, *line.split(), *more, "--port", str(port), "--json", "-"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              timeout=60)
        result = json.loads(done.stdout) if done.stdout else None
        return done.returncode, result, done.stderr

    def good(self, line, port, *more):
        code, result, table = self.bench(line, port, *more)
        self.assertEqual((code, result and result["lost"]), (0, 0), table)
        return result, table

    LINES = ("pairs --count 4 --warmup 20ms --duration 150ms", "pairs --count 2 --qos 2 --version 5 --size 20000 --window 20 --warmup 20ms --duration 150ms",
             "fanout --count 10 --threads 2 --burst 5 --warmup 20ms --duration 150ms", "offline --count 3 --messages 40", "retained --count 2 --messages 100",
             "connstorm --count 40 --steady 2 --rate 500 --warmup 50ms --processes 2")

    def test_scenarios_work_over_tls(self):
        terminator = self.terminate()
        for line in self.LINES:
            with self.subTest(line=line):
                result, table = self.good(line, terminator.port, "--tls", "--cafile", self.path("ca.pem"))
                self.assertIn("over TLS", table)
                self.assertIn("TLSv1.3", result["tls_agreed"])
                self.assertGreaterEqual(result["handshakes_full"], result["connections"])
                self.assertEqual(result["handshakes_resumed"], 0)

    def test_scenarios_work_over_websocket_and_over_both(self):
        for tls in ([], ["--tls", "--cafile", self.path("ca.pem"), "--host", "localhost"]):
            terminator = self.terminate(tls=bool(tls), websocket=True)
            for line in self.LINES:
                with self.subTest(line=line, tls=bool(tls)):
                    self.good(line, terminator.port, "--websocket", *tls)
            self.assertGreater(terminator.frames, 1000)

    def test_a_flush_is_one_frame(self):
        terminator = self.terminate(tls=False, websocket=True)
        result, _ = self.good("pub --topic f/%i --count 1 --messages 2000 --burst 20 --qos 1 --inflight 20", terminator.port, "--websocket")
        self.assertLess(terminator.frames, result["sent"] / 2)

    def test_resumption_is_counted_as_the_server_counts_it(self):
        for version in ("1.2", "1.3"):
            with self.subTest(version=version):
                terminator = self.terminate()
                result, table = self.good("connstorm --count 50 --threads 2", terminator.port, "--tls", "--insecure", "--resume", "--tls-version", version)
                self.assertEqual((result["handshakes_full"], result["handshakes_resumed"]), (2, 48), table)
                self.assertEqual(terminator.resumed, 48)
                self.assertIn("TLSv" + version, result["tls_agreed"])

    def test_a_server_that_does_not_resume_is_no_success(self):
        terminator = self.terminate(tickets=0)
        code, result, table = self.bench("idle --count 10 --warmup 0 --duration 50ms", terminator.port, "--tls", "--insecure", "--resume")
        self.assertEqual((code, [(f["kind"], f["count"]) for f in result["failures"]]), (1, [("not_resumed", 9)]), table)

    def test_a_certificate_is_shown_to_a_server_that_asks(self):
        terminator = self.terminate(ask=True)
        self.good("idle --count 3 --warmup 0 --duration 50ms", terminator.port, "--tls", "--cafile", self.path("ca.pem"), "--cert", self.path("client.pem"),
                  "--key", self.path("client.key"))
        self.assertEqual(terminator.names, ["device"] * 3)
        code, result, _ = self.bench("idle --count 3 --warmup 0 --duration 50ms", terminator.port, "--tls", "--insecure")
        # In TLS 1.3 a client is up before the server has looked: it hears of it as an alert, or as the end.
        self.assertEqual((code, sum(f["count"] for f in result["failures"] if f["kind"] in ("tls", "closed", "reset"))), (1, 3))

    def test_what_goes_wrong_is_named(self):
        plain = self.port
        secured = self.terminate().port
        for port, words, kind, said in ((secured, ["--tls"], "certificate", "issuer"),
                                        (secured, ["--tls", "--cafile", self.path("ca.pem"), "--server-name", "elsewhere"], "certificate", "mismatch"),
                                        (plain, ["--tls", "--insecure"], "closed", ""),
                                        (plain, ["--websocket"], "closed", "")):
            with self.subTest(words=words):
                code, result, table = self.bench("idle --count 2 --warmup 0 --duration 50ms --stall 2s", port, *words)
                self.assertEqual((code, [(f["kind"], f["count"]) for f in result["failures"]]), (1, [(kind, 2)]), table)
                self.assertIn(said, table)

    def test_wrong_files_end_with_2(self):
        code, _, said = self.bench("idle --count 1", 1, "--tls", "--cafile", "/nonexistent/ca")
        self.assertEqual((code, said), (2, "tidewire-bench: --cafile '/nonexistent/ca': No such file or directory\n"))
        code, _, said = self.bench("idle --count 1", 1, "--tls", "--insecure", "--cert", self.path("client.pem"), "--key", self.path("server.key"))
        self.assertEqual(code, 2)
        self.assertIn("key values mismatch", said)

    def test_a_key_is_not_in_the_report(self):
        code, result, table = self.bench("idle --count 1 --warmup 0 --duration 20ms", self.port, "--tls", "--psk", "00112233445566778899", "--psk-identity", "d")
        self.assertEqual(code, 1)
        self.assertNotIn("0011223344", json.dumps(result) + table)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[3:], warnings="ignore")
