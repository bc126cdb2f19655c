#!/usr/bin/env python3
"""The load generator for a moment: every scenario against the broker, some against the floor, and what it says when things go wrong.

usage: smoke_test.py TIDEWIRE_BENCH FLOOR TIDEWIRE
"""
import json
import os
import pty
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

BENCH, FLOOR, TIDEWIRE = sys.argv[1:4]

# Keys of the JSON that other programs read.
KEYS = """scenario count ok cpu_ns_per_delivered latency_ns failures tool tool_version command time machine cores kernel threads processes
series latency_percentiles connect sent delivered lost dup reordered foreign connections connections_up rss_bytes""".split()
POINT_KEYS = """t phase delivered_per_s sent_per_s connected broker_cpu_ns_per_delivered broker_cpu_share broker_rss_bytes latency_p50_ns
latency_p99_ns""".split()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def is_listening(port):
    with open("/proc/net/tcp") as f:
        return any(line.split()[1].endswith(":%04X" % port) and line.split()[3] == "0A" for line in f)


class Floor:
    """The relay on a port of its own; it ends when its load's connections do."""

    def __init__(self, *arguments):
        self.port = free_port()
        self.process = subprocess.Popen([FLOOR, "-p", str(self.port), *arguments])

    def __enter__(self):
        deadline = time.monotonic() + 10
        while not is_listening(self.port) and time.monotonic() < deadline:
            time.sleep(0.01)
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


class Broker:
    """tidewire on a port of its own, until it is killed."""

    def __init__(self):
        self.port = free_port()
        self.folder = tempfile.TemporaryDirectory(prefix="tidewire-smoke-")
        conf = os.path.join(self.folder.name, "conf")
        with open(conf, "w") as f:
            f.write("listener %d 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\nlog_dest none\n" % self.port)
        self.process = subprocess.Popen([TIDEWIRE, "-c", conf])
        deadline = time.monotonic() + 10
        while not is_listening(self.port) and time.monotonic() < deadline:
            time.sleep(0.01)

    def end(self):
        self.process.kill()
        self.process.wait()
        self.folder.cleanup()


class Refuser(threading.Thread):
    """Answers every CONNECT with 'not authorized'."""

    def __init__(self):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.start()

    def run(self):
        while True:
            peer, _ = self.listener.accept()
            peer.recv(1000)
            peer.sendall(b"\x20\x02\x00\x05")
            peer.close()


class LyingBroker(threading.Thread):
    """MQTT 3.1.1 with one subscriber: of every ten messages of a publisher it loses one, sends one twice and swaps two."""

    def __init__(self, publishers):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.publishers = publishers
        self.whole_tens = 0
        self.lock = threading.Lock()
        self.start()

    @staticmethod
    def read_packet(stream):
        head = stream.read(2)  # all packets here are shorter than 128 bytes
        return (head[0], head + stream.read(head[1])) if len(head) == 2 else (None, b"")

    def run(self):
        with self.listener:
            for _ in range(self.publishers + 1):
                peer, _ = self.listener.accept()
                threading.Thread(target=self.serve, args=(peer,), daemon=True).start()

    def serve(self, peer):
        held = []
        stream = peer.makefile("rb")
        while True:
            kind, packet = self.read_packet(stream)
            if kind is None or kind == 0xE0:
                peer.close()
                return
            if kind == 0x10:
                peer.sendall(b"\x20\x02\x00\x00")
            elif kind == 0x82:
                self.subscriber = peer
                peer.sendall(b"\x90\x03\x00\x01\x00")
            else:
                held.append(packet)
                if len(held) == 10:
                    self.relay(held)
                    held = []

    def relay(self, m):
        with self.lock:
            self.subscriber.sendall(b"".join(m[i] for i in (0, 2, 3, 3, 5, 4, 6, 7, 8, 9)))
            self.whole_tens += 1


class LyingRelay(threading.Thread):
    """One pair, messages of 16 bytes: of every ten it loses one, sends one twice and swaps two."""

    def __init__(self):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.whole_tens = 0
        self.start()

    def run(self):
        peers = {}
        with self.listener:
            while len(peers) < 2:
                peer, _ = self.listener.accept()
                peers[peer.recv(12, socket.MSG_WAITALL)[:1]] = peer
                peer.sendall(b"k")
        with peers[b"P"], peers[b"S"]:
            self.relay(peers)

    def relay(self, peers):
        while len(ten := peers[b"P"].recv(160, socket.MSG_WAITALL)) == 160:
            m = [ten[i:i + 16] for i in range(0, 160, 16)]
            try:
                peers[b"S"].sendall(b"".join([m[0], m[2], m[3], m[3], m[5], m[4], m[6], m[7], m[8], m[9]]))
            except OSError:
                return
            self.whole_tens += 1


def start_bench(*arguments):
    return subprocess.Popen([BENCH, *arguments, "--json", "-"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(bench):
    out, table = bench.communicate(timeout=60)
    return bench.returncode, json.loads(out) if out else None, table


def run_bench(*arguments):
    return finish(start_bench(*arguments))


class Smoke(unittest.TestCase):
    def relay(self, *arguments, floor=()):
        with Floor(*floor) as relay:
            code, result, table = finish(start_bench(*arguments, "--raw", "--port", str(relay.port), "--pid", str(relay.process.pid),
                                                     "--warmup", "20ms", "--duration", "200ms"))
        self.assertEqual(code, 0, table)
        self.assertGreater(result["measured_delivered"], 0)
        self.assertEqual((result["lost"], result["dup"], result["reordered"], result["foreign"]), (0, 0, 0, 0))
        self.assertGreater(result["cpu_ns_per_delivered"], 0)
        return result

    def test_every_message_of_every_scenario_comes_back_once_and_in_order(self):
        for arguments in (["pairs", "--count", "5", "--burst", "20"], ["fanin", "--count", "20", "--size", "37"],
                          ["fanout", "--count", "20"], ["pairs", "--count", "3", "--size", "100000", "--window", "30"]):
            with self.subTest(arguments=arguments):
                self.relay(*arguments)

    def test_bounded_waiting_loses_nothing(self):
        self.relay("fanin", "--count", "20", floor=["-m", "50", "-q", "16"])

    def test_a_rate_is_kept_and_gives_latencies(self):
        result = self.relay("pairs", "--count", "4", "--rate", "1000")
        self.assertGreater(result["latency_ns"]["p50"], 0)
        self.assertAlmostEqual(result["latency_ns"]["count"], 200, delta=2)

    def test_nobody_listening_is_reported_with_every_connection(self):
        code, result, _ = finish(start_bench("pairs", "--count", "3", "--port", str(free_port())))
        self.assertEqual(code, 1)
        self.assertEqual([(f["kind"], f["count"]) for f in result["failures"]], [("connect", 6)])

    def test_a_broker_that_dies_is_reported_with_the_figures_so_far(self):
        with Floor() as relay:
            bench = start_bench("pairs", "--count", "3", "--raw", "--port", str(relay.port), "--warmup", "0", "--duration", "30")
            time.sleep(1)
            relay.process.kill()
            code, result, _ = finish(bench)
        self.assertEqual(code, 1)
        self.assertEqual(sum(f["count"] for f in result["failures"]), 6)
        self.assertGreater(result["measured_delivered"], 0)

    def test_losses_duplicates_and_swaps_are_told_apart_and_counted(self):
        relay = LyingRelay()
        code, result, _ = finish(start_bench("pairs", "--count", "1", "--size", "16", "--window", "100", "--burst", "10", "--raw",
                                             "--port", str(relay.port), "--warmup", "0", "--duration", "300ms"))
        self.assertEqual(code, 1)
        self.assertGreater(relay.whole_tens, 10)
        self.assertEqual(result["sent"], 10 * relay.whole_tens)
        self.assertEqual((result["lost"], result["dup"], result["reordered"], result["foreign"]), (relay.whole_tens,) * 3 + (0,))

    def test_an_interrupt_ends_cleanly_with_the_figures(self):
        with Floor() as relay:
            bench = start_bench("fanout", "--count", "3", "--raw", "--port", str(relay.port), "--warmup", "0", "--duration", "30")
            time.sleep(1)
            bench.send_signal(signal.SIGINT)
            code, result, _ = finish(bench)
        self.assertEqual((code, result["interrupted"], result["lost"]), (0, True, 0))


class WithBroker(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.broker = Broker()

    @classmethod
    def tearDownClass(cls):
        cls.broker.end()

    def bench(self, line, *more):
        words = line.split() + ["--port", str(self.broker.port), "--pid", str(self.broker.process.pid), *more]
        code, result, table = run_bench(*words)
        self.assertEqual(code, 0, "%s: %s" % (line, table))
        self.assertTrue(result["ok"])
        self.assertEqual((result["lost"], result["dup"], result["reordered"], result["foreign"]), (0, 0, 0, 0), line)
        return result

    SHORT = " --warmup 20ms --duration 150ms"

    def test_every_flow_delivers_all_with_threads_and_processes(self):
        for scenario in ("pairs --count 5 --burst 20", "fanin --count 20 --qos 1", "fanout --count 20", "fanout --count 20 --publishers 3 --rate 300",
                         "shared --count 6 --publishers 5 --groups 2", "shared --count 4 --publishers 5 --rate 1000 --qos 1",
                         "pairs --count 4 --qos 2 --version 5", "pairs --count 2 --version 3", "pairs --count 3 --size 16 --qos 1 --subscribe-qos 0"):
            for workers in ("", " --threads 2", " --processes 2", " --threads 2 --processes 2"):
                with self.subTest(scenario=scenario, workers=workers):
                    result = self.bench(scenario + workers + self.SHORT)
                    self.assertGreater(result["measured_delivered"], 0)
                    self.assertGreaterEqual(result["delivered"], result["measured_delivered"])

    def test_deliveries_add_up(self):
        result = self.bench("fanout --count 7 --publishers 2 --rate 1000 --threads 2" + self.SHORT)
        self.assertEqual(result["delivered"], 7 * result["sent"])
        result = self.bench("shared --count 6 --publishers 3 --groups 3 --processes 2 --rate 1000" + self.SHORT)
        self.assertEqual(result["delivered"], 3 * result["sent"])

    def test_the_public_suite_runs_at_a_small_scale(self):
        for case, connections in (("conn-tcp-1M-5K", 100), ("fanout-5-1000-5-250K", 5), ("p2p-50K-50K-50K-50K", 10), ("sharedsub-50K-500-50K-50K", 6)):
            with self.subTest(case=case):
                more = ["--connect-rate", "5000"] if case.startswith("conn") else []
                result = self.bench(case + " --scale 0.0001 --warmup 50ms --duration 1100ms", *more)
                self.assertEqual((result["name"], result["connections"]), (case, connections + (1 if case.startswith("fanout") else 0)))

    def test_retained_messages_are_stored_fetched_by_all_and_erased(self):
        for more in ("", " --threads 2 --publishers 3", " --version 5 --subscribe-qos 0 --processes 2"):
            with self.subTest(more=more):
                result = self.bench("retained --count 3 --messages 400" + more)
                self.assertEqual((result["sent"], result["delivered"]), (400, 1200))
                self.assertEqual(result["retained"]["subscriber_ns"]["count"], 3)
                self.assertGreater(result["retained"]["fetch_msgs_per_s"], 0)
        # The next one would get what this one left behind.
        self.assertEqual(self.bench("sub --topic bench/kept/# --count 1 --duration 200ms")["delivered"], 0)

    def test_sessions_queue_while_away_and_drain(self):
        for more in ("", " --version 5 --qos 2 --threads 2", " --processes 2"):
            with self.subTest(more=more):
                result = self.bench("offline --count 6 --messages 50" + more)
                self.assertEqual((result["offline"]["queued"], result["offline"]["drained"]), (300, 300))
                self.assertEqual(result["offline"]["subscriber_ns"]["count"], 6)

    def session_is_there(self, client_id):
        """Connects without asking for a clean session, and ends whatever there is."""
        present = []
        for flags in (0, 2):
            with socket.create_connection(("127.0.0.1", self.broker.port)) as s:
                body = b"\0\4MQTT\4" + bytes([flags]) + b"\0\0" + len(client_id).to_bytes(2, "big") + client_id
                s.sendall(bytes([0x10, len(body)]) + body)
                present.append(s.recv(4)[2] == 1)
        return present[0]

    def test_kept_sessions_are_there_during_the_run_and_ended_after_it(self):
        line = "pairs --count 3 --qos 1 --keep-sessions --client-id kept-%i"
        for more in ("", " --version 5 --threads 2"):
            with self.subTest(more=more):
                self.bench(line + more + self.SHORT)
                self.assertEqual([self.session_is_there(b"kept-%d" % n) for n in range(6)], [False] * 6)
        cut_off = start_bench(*line.split(), "--duration", "20", "-p", str(self.broker.port))
        time.sleep(0.7)
        cut_off.kill()
        finish(cut_off)
        self.assertEqual(sum(self.session_is_there(b"kept-%d" % n) for n in range(6)), 3)

    def test_acknowledgements_are_timed_at_a_rate(self):
        result = self.bench("pairs --count 4 --qos 1 --rate 2000" + self.SHORT)
        self.assertEqual(result["acked_ns"]["count"], result["latency_ns"]["count"])
        self.assertLess(result["acked_ns"]["p50"], 50e6)
        result = self.bench("pairs --count 4 --qos 1" + self.SHORT)
        self.assertIsNone(result["acked_ns"])

    def test_a_storm_counts_its_own_connections_beside_steady_traffic(self):
        result = self.bench("connstorm --count 300 --steady 3 --rate 1000 --warmup 50ms --threads 2")
        self.assertEqual((result["connections"], result["connections_up"], result["connect"]["latency_ns"]["count"]), (300, 300, 300))
        result = self.bench("connstorm --count 101 --steady 3 --rate 1000 --warmup 50ms --calm 300ms --threads 3 --storm-yields --connect-rate 500")
        self.assertEqual(result["connect"]["latency_ns"]["count"], 101)
        self.assertAlmostEqual(result["calm_latency_ns"]["count"], 300, delta=15)
        self.assertAlmostEqual(result["latency_ns"]["count"], 200, delta=15)
        self.assertAlmostEqual(result["connect"]["per_s"], 500, delta=25)
        result = self.bench("connstorm --count 100 --connect-rate 1000")
        self.assertAlmostEqual(result["connect"]["per_s"], 1000, delta=100)

    def test_pub_and_sub_find_each_other_from_two_processes(self):
        sub = start_bench("sub", "-t", "half/#", "-c", "2", "-p", str(self.broker.port), "-q", "1")
        time.sleep(0.5)
        pub = self.bench("pub -t half/%i -c 4 -L 1000 -s 16 -q 1 --rate 4000 --threads 2")
        self.assertEqual((pub["sent"], pub["acked"], pub["unacked"]), (1000, 1000, 0))
        time.sleep(0.2)
        sub.send_signal(signal.SIGINT)
        code, result, table = finish(sub)
        self.assertEqual(code, 0, table)
        self.assertEqual((result["delivered"], result["lost"], result["dup"], result["reordered"]), (2000, 0, 0, 0))
        self.assertEqual(result["latency_ns"]["count"], 2000)

    def test_few_messages_of_pub_are_all_measured(self):
        result = self.bench("pub --topic few/%i --count 2 --messages 6")
        self.assertAlmostEqual(result["sent_per_s"] * result["seconds"], 6, delta=0.01)

    def test_connections_ping_within_their_keep_alive(self):
        self.bench("conn --count 3 --keep-alive 1 --duration 2")
        self.bench("idle --count 3 --version 5 --client-id smoke-%i --clean-start false --session-expiry 1 --warmup 0 --duration 100ms")

    def test_more_connections_than_open_files(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        bench = subprocess.Popen([BENCH, "idle", "--count", "500", "--threads", "3", "--warmup", "0", "--duration", "100ms", "--json", "-", "--port",
                                  str(self.broker.port)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                 preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200)))
        code, result, table = finish(bench)
        self.assertEqual((code, result and result["connections_up"]), (0, 500), table)
        bench = subprocess.run([BENCH, "idle", "--count", "500", "--port", str(self.broker.port)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200)))
        self.assertEqual(bench.returncode, 2)
        self.assertIn("open files", bench.stderr)

    def test_json_has_what_its_readers_read(self):
        result = self.bench("pairs --count 4 --rate 2000 --warmup 50ms --duration 500ms")
        self.assertEqual([k for k in KEYS if k not in result], [])
        for point in result["series"]:
            self.assertEqual(sorted(point), sorted(POINT_KEYS))
        phases = [p["phase"] for p in result["series"]]
        self.assertEqual(sorted(set(phases), key=phases.index), ["connect", "warmup", "measure", "drain"])
        self.assertGreater(sum(1 for p in result["series"] if p["phase"] == "measure" and p["latency_p50_ns"]), 3)
        percentiles = result["latency_percentiles"]
        self.assertEqual((percentiles[0][0], percentiles[-1]), (0.0, [1.0, result["latency_ns"]["max"]]))
        self.assertEqual(percentiles, sorted(percentiles))
        self.assertEqual(result["command"].split()[:3], ["tidewire-bench", "pairs", "--count"])

    def test_a_password_is_not_in_the_report(self):
        for login in (["--password", "secret7"], ["-P", "secret7"], ["--password=secret7"]):
            result = self.bench("idle --count 1 --user u --warmup 0 --duration 20ms", *login)
            self.assertNotIn("secret7", json.dumps(result))
            self.assertIn("***", result["command"])

    def test_memory_is_divided_by_connections_only_where_there_are_only_connections(self):
        self.assertIsNotNone(self.bench("idle --count 100 --warmup 0 --duration 20ms")["rss_per_connection"])
        for line in ("connstorm --count 20 --steady 1 --warmup 0", "retained --count 2 --messages 100", "offline --count 2 --messages 10"):
            self.assertIsNone(self.bench(line)["rss_per_connection"], line)

    def test_the_page_carries_the_data(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "page.html")
            self.bench("pairs --count 2 --html " + path + self.SHORT)
            with open(path) as f:
                page = f.read()
        self.assertIn('"scenario":"pairs"', page)
        self.assertNotIn("/*TIDEWIRE-BENCH-DATA*/null", page)

    def test_a_terminal_gets_a_line_that_is_rewritten(self):
        primary, secondary = pty.openpty()
        bench = subprocess.Popen([BENCH, "pairs", "--count", "2", "--duration", "1", "--port", str(self.broker.port)], stdout=subprocess.DEVNULL,
                                 stderr=secondary)
        os.close(secondary)
        seen = b""
        while True:
            try:
                seen += os.read(primary, 10000)
            except OSError:
                break
        os.close(primary)
        self.assertEqual(bench.wait(), 0)
        self.assertGreater(seen.count(b"\r"), 3)
        self.assertIn(b"delivered", seen)
        self.assertNotIn(b"\n", seen)

    def test_an_interrupt_ends_threads_and_processes_with_the_table(self):
        for line in ("fanout --count 10 --threads 2", "pairs --count 10 --processes 2 --qos 1", "conn --count 10"):
            with self.subTest(line=line):
                bench = start_bench(*line.split(), "--warmup", "0", *(["--duration", "30"] if "conn" not in line else []), "--port", str(self.broker.port))
                time.sleep(0.7)
                bench.send_signal(signal.SIGINT)
                code, result, table = finish(bench)
                self.assertEqual((code, result["interrupted"], result["lost"]), (0, True, 0), table)
                self.assertIn("interrupted", table)

    def test_a_termination_of_the_whole_group_ends_cleanly(self):
        bench = subprocess.Popen([BENCH, "pairs", "--count", "4", "--processes", "2", "--warmup", "0", "--duration", "30", "--json", "-", "--port",
                                  str(self.broker.port)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
        time.sleep(0.7)
        os.killpg(bench.pid, signal.SIGTERM)
        code, result, table = finish(bench)
        self.assertEqual((code, result and result["interrupted"]), (0, True), table)


class Trouble(unittest.TestCase):
    def test_a_broker_killed_in_mid_run_is_reported_with_the_figures_so_far(self):
        for workers in (["--threads", "2"], ["--processes", "2"]):
            with self.subTest(workers=workers):
                broker = Broker()
                bench = start_bench("fanout", "--count", "10", *workers, "--warmup", "0", "--duration", "30", "--port", str(broker.port), "--pid",
                                    str(broker.process.pid))
                time.sleep(0.8)
                broker.end()
                code, result, table = finish(bench)
                self.assertEqual((code, result["ok"], result["broker_gone"]), (1, False, True), table)
                self.assertEqual(sum(f["count"] for f in result["failures"]), 11)
                self.assertGreater(result["measured_delivered"], 0)
                for share in ("cpu_share", "load_cpu_share", "cpu_wait_share", "load_wait_share"):
                    self.assertTrue(0 <= result[share] <= 100, (share, result[share]))

    def test_a_refusal_names_the_reason(self):
        code, result, table = run_bench("pairs", "--count", "3", "--port", str(Refuser().port), "--threads", "2")
        self.assertEqual((code, [(f["kind"], f["count"]) for f in result["failures"]]), (1, [("refused", 6)]))
        self.assertIn("refused by the broker", table)

    def test_a_broker_that_stalls_is_reported(self):
        broker = Broker()
        bench = start_bench("pairs", "--count", "2", "--warmup", "0", "--duration", "30", "--stall", "500ms", "--port", str(broker.port), "--threads", "2")
        time.sleep(0.7)
        broker.process.send_signal(signal.SIGSTOP)
        code, result, table = finish(bench)
        broker.process.send_signal(signal.SIGCONT)
        broker.end()
        self.assertEqual((code, [(f["kind"], f["count"]) for f in result["failures"]]), (1, [("stalled", 2)]), table)

    def test_what_fell_due_while_the_broker_was_away_is_sent_and_timed(self):
        broker = Broker()
        bench = start_bench("pairs", "--count", "1", "--rate", "1000", "--window", "10", "--warmup", "0", "--duration", "1", "--port", str(broker.port))
        time.sleep(0.6)
        broker.process.send_signal(signal.SIGSTOP)
        time.sleep(0.8)
        broker.process.send_signal(signal.SIGCONT)
        code, result, table = finish(bench)
        broker.end()
        self.assertEqual((code, result["unsent"]), (0, 0), table)
        self.assertAlmostEqual(result["latency_ns"]["count"], 1000, delta=20)
        self.assertGreater(result["latency_ns"]["max"], 500e6)

    def test_what_a_slow_broker_never_let_out_is_no_success(self):
        with Floor("-m", "10") as relay:
            code, result, table = run_bench("pairs", "--count", "1", "--raw", "--rate", "1000000", "--window", "1", "--warmup", "0", "--duration", "200ms",
                                            "--stall", "200ms", "--port", str(relay.port))
        self.assertEqual((code, result["lost"]), (1, 0), table)
        self.assertGreater(result["unsent"], 0)
        self.assertIn("due but not sent", table)

    def test_a_broker_that_does_not_read_stalls_publishers_of_qos_0(self):
        for pace in ([], ["--rate", "2000"]):
            with self.subTest(pace=pace):
                broker = Broker()
                bench = start_bench("pub", "--topic", "t/%i", "--count", "2", "--size", "10000", *pace, "--stall", "500ms", "--port", str(broker.port))
                time.sleep(0.7)
                broker.process.send_signal(signal.SIGSTOP)
                code, result, table = finish(bench)
                broker.process.send_signal(signal.SIGCONT)
                broker.end()
                self.assertEqual((code, [(f["kind"], f["count"]) for f in result["failures"]]), (1, [("stalled", 2)]), table)

    def test_a_broker_that_never_answers_costs_one_stall(self):
        silent = socket.create_server(("127.0.0.1", 0), backlog=1000)
        start = time.monotonic()
        code, result, table = run_bench("idle", "--count", "300", "--connecting", "20", "--stall", "500ms", "--threads", "2", "--port",
                                        str(silent.getsockname()[1]))
        self.assertLess(time.monotonic() - start, 5)
        silent.close()
        self.assertEqual((code, {f["kind"]: f["count"] for f in result["failures"]}), (1, {"no_answer": 20, "not_begun": 280}), table)

    def test_slow_connecting_is_no_stall(self):
        broker = Broker()
        code, result, table = run_bench("idle", "--count", "4", "--connect-rate", "4", "--stall", "100ms", "--warmup", "0", "--duration", "50ms",
                                        "--port", str(broker.port))
        broker.end()
        self.assertEqual((code, result["connections_up"]), (0, 4), table)

    def test_a_broker_that_stalls_while_sessions_drain_is_reported(self):
        broker = Broker()
        primary, secondary = pty.openpty()
        bench = subprocess.Popen([BENCH, "offline", "--count", "1", "--messages", "200000", "--size", "16", "--stall", "500ms", "--port",
                                  str(broker.port)], stdout=subprocess.PIPE, stderr=secondary, text=True)
        os.close(secondary)
        seen = b""
        while b"measure" not in seen:
            seen += os.read(primary, 10000)
        broker.process.send_signal(signal.SIGSTOP)
        table = bench.communicate(timeout=20)[0]
        os.close(primary)
        broker.process.send_signal(signal.SIGCONT)
        broker.end()
        self.assertEqual(bench.returncode, 1, table)
        self.assertIn("stalled", table)

    def test_losses_duplicates_and_swaps_are_found_across_threads_and_processes(self):
        for workers in (["--threads", "2"], ["--processes", "3"]):
            with self.subTest(workers=workers):
                broker = LyingBroker(3)
                code, result, table = run_bench("fanin", "--count", "3", "--size", "16", "--window", "90", "--burst", "10", *workers, "--port",
                                                str(broker.port), "--warmup", "0", "--duration", "300ms", "--stall", "1")
                self.assertEqual(code, 1, table)
                self.assertGreater(broker.whole_tens, 10)
                self.assertEqual(result["sent"], 10 * broker.whole_tens)
                self.assertEqual((result["lost"], result["dup"], result["reordered"], result["foreign"]), (broker.whole_tens,) * 3 + (0,))

    def test_a_process_of_the_load_that_dies_is_said(self):
        broker = Broker()
        bench = start_bench("pairs", "--count", "4", "--processes", "2", "--duration", "30", "--port", str(broker.port))
        time.sleep(0.7)
        with open("/proc/%d/task/%d/children" % (bench.pid, bench.pid)) as f:
            os.kill(int(f.read().split()[0]), signal.SIGKILL)
        code, result, table = finish(bench)
        broker.end()
        self.assertEqual(code, 2)
        self.assertIn("has ended", table)
        for share in ("load_cpu_share", "load_wait_share"):
            self.assertTrue(0 <= result[share] <= 100, (share, result[share]))

    def test_wrong_options_end_with_2_and_their_name(self):
        for line, name in (("pairs --topic x", "--topic"), ("pub", "--topic"), ("idle --rate 5", "--rate"), ("offline --duration 5", "--duration"),
                           ("pairs --scale 2", "--scale"), ("retained --qos 0", "--qos"), ("pairs --pid 999999999", "--pid"),
                           ("pairs --threads 200 --processes 200", "--threads")):
            with self.subTest(line=line):
                done = subprocess.run([BENCH, *line.split()], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                self.assertEqual((done.returncode, done.stdout), (2, ""))
                self.assertIn(name, done.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[4:])
