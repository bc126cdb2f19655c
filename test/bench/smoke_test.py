#!/usr/bin/env python3
"""The load generator and the floor, against each other for a moment: neither may rot.

usage: smoke_test.py TIDEWIRE_BENCH FLOOR
"""
import json
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest

BENCH, FLOOR = sys.argv[1:3]


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


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[3:])
