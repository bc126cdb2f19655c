#!/usr/bin/env python3
"""bench/disk in a few seconds: its figures hang together, and it says when something is wrong.

usage: disk_test.py TIDEWIRE_BENCH TIDEWIRE
"""
import json
import os
import subprocess
import sys
import tempfile
import unittest

BENCH, BROKER = sys.argv[1:3]
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def run(*arguments):
    command = [os.path.join(ROOT, "bench", "disk"), "--bench", BENCH, "--broker", BROKER, "--minutes", "0.04", "--every", "0.8", "--live", "2", "--messages", "40", "--sessions", "5"]
    return subprocess.run([*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)


class Disk(unittest.TestCase):
    def test_the_journal_holds_what_stays_and_is_written_more_than_what_is_published(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "out.json")
            done = run("--json", path, "--folder", folder)
            self.assertEqual(done.returncode, 0, done.stderr)
            with open(path) as f:
                result = json.load(f)
            self.assertEqual(os.listdir(folder), ["out.json"])
        self.assertEqual(len(result["samples"]), 3)
        for line in result["samples"]:
            self.assertGreaterEqual(line["disk_bytes"], result["live_bytes"])
            self.assertGreater(line["rss_bytes"], 0)
        last = result["samples"][-1]
        self.assertGreater(last["published_bytes"], 0)
        self.assertGreater(last["written_bytes"], last["published_bytes"])
        self.assertIn("written", done.stdout)

    def test_a_broker_that_does_not_start_is_told(self):
        done = run("--option", "no_such_option 1")
        self.assertEqual(done.returncode, 1)
        self.assertIn("no_such_option", done.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[3:])
