#!/usr/bin/env python3
"""The benchmark of millions of sessions, with a thousand: it may not rot, and what it says must be so.

usage: millions_test.py TIDEWIRE_MILLIONS
"""
import csv
import json
import os
import subprocess
import sys
import tempfile
import unittest

MILLIONS = sys.argv.pop(1)


def run(*arguments):
    return subprocess.run([MILLIONS, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120)


class Smoke(unittest.TestCase):
    def check_points(self, points, qos):
        self.assertEqual([(p["shards"], p["sessions"]) for p in points], [(1, 1000), (2, 1000)])
        for p in points:
            self.assertEqual((p["sent"], p["delivered"], p["clean"], p["qos"]), (5000, 5000, 1, qos))
            self.assertEqual((p["missing"], p["repeated"], p["strange"], p["refused"]), (0, 0, 0, 0))
            self.assertEqual(p["acknowledged"], 5000 * qos)
            self.assertGreater(p["accounted_bytes_per_session"], 256)  # a connection and a session at least
            self.assertGreater(p["broker_bytes_per_session"], p["accounted_bytes_per_session"])  # it knows of nothing that is not there
            self.assertGreater(p["simulator_and_driver_bytes_per_session"], 32)
            self.assertLessEqual(p["cpu_ns_per_message_min"], p["cpu_ns_per_message"])
            self.assertGreater(p["cpu_ns_per_message_min"], 0)

    def test_qos_0_as_json(self):
        done = run("--smoke", "--json", "-")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.check_points(json.loads(done.stdout)["points"], 0)

    def test_qos_1_as_csv(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "points.csv")
            done = run("--smoke", "--qos", "1", "--csv", path)
            self.assertEqual(done.returncode, 0, done.stderr)
            with open(path) as f:
                points = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(f)]
            self.check_points(points, 1)


class Refusals(unittest.TestCase):
    def refuse(self, arguments, words):
        done = run(*arguments)
        self.assertEqual(done.returncode, 2)
        self.assertIn(words, done.stderr)

    def test_wrong_arguments_are_named(self):
        self.refuse(["--sessions", "0"], "--sessions takes numbers from 1")
        self.refuse(["--sessions", "10,,20"], "--sessions takes numbers from 1")
        self.refuse(["--shards", "65"], "--shards takes numbers from 1 to 64")
        self.refuse(["--qos", "2"], "--qos takes numbers from 0 to 1")
        self.refuse(["--messages", "many"], "'many'")
        self.refuse(["--smoke", "more"], "'more'")

    def test_a_file_that_cannot_be_written_is_an_error(self):
        done = run("--smoke", "--csv", "/nonexistent/points.csv")
        self.assertEqual(done.returncode, 1)
        self.assertIn("/nonexistent/points.csv", done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
