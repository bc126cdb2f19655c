#!/usr/bin/python3
"""tidewire-passwd: the files it writes, and that it and mosquitto_passwd read each other's."""

import hashlib
import base64
import os
import pty
import re
import stat
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

BROKER = Path(os.environ["TIDEWIRE_BIN"])
PASSWD = BROKER.with_name("tidewire-passwd")


class Passwd(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="tidewire-passwd-")
        self.addCleanup(self.folder.cleanup)
        self.file = Path(self.folder.name, "users")

    def run_tool(self, *words, tool=PASSWD, typed="", fails=False):
        done = subprocess.run([tool, *map(str, words)], input=typed, capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode != 0, fails, (words, done.stdout, done.stderr))
        return done.stdout + done.stderr

    def users(self):
        return dict(line.split(":", 1) for line in self.file.read_text().splitlines() if line and not line.startswith("#"))

    def test_each_hash_is_written_in_its_form(self):
        forms = {"sha512": r"\$6\$", "sha512-pbkdf2": r"\$7\$210000\$", "argon2id": r"\$argon2id\$v=19\$m=47104,t=1,p=1\$",
                 "scram-sha-256": r"SCRAM-SHA-256\$100000:"}
        for name, form in forms.items():
            self.run_tool("-c", "-H", name, "-b", self.file, "ann", "secret")
            self.assertRegex(self.users()["ann"], form)
        self.run_tool("-c", "-b", self.file, "ann", "secret")
        self.assertRegex(self.users()["ann"], forms["argon2id"])

    def test_what_is_written_is_the_hash_of_the_password(self):
        self.run_tool("-c", "-H", "sha512-pbkdf2", "-I", "1000", "-b", self.file, "ann", "secret")
        _, kind, iterations, salt, stored = self.users()["ann"].split("$")
        self.assertEqual((kind, iterations), ("7", "1000"))
        again = hashlib.pbkdf2_hmac("sha512", b"secret", base64.b64decode(salt), 1000)
        self.assertEqual(base64.b64decode(stored), again)

    def test_users_are_added_changed_and_deleted_and_the_rest_stays(self):
        self.run_tool("-c", "-H", "sha512", "-b", self.file, "ann", "a")
        self.file.write_text("# our users\n" + self.file.read_text() + "\n")
        self.run_tool("-H", "sha512", "-b", self.file, "bob", "b")
        before = self.users()
        self.run_tool("-H", "sha512", "-b", self.file, "ann", "other")
        self.assertNotEqual(self.users()["ann"], before["ann"])
        self.assertEqual(self.users()["bob"], before["bob"])
        self.assertTrue(self.file.read_text().startswith("# our users\nann:$6$"))
        self.run_tool("-D", self.file, "ann")
        self.assertEqual(list(self.users()), ["bob"])
        before = self.file.read_text()
        self.assertIn("no user 'ann'", self.run_tool("-D", self.file, "ann", fails=True))
        self.assertEqual(self.file.read_text(), before)
        self.assertEqual([entry.name for entry in self.file.parent.iterdir()], ["users"])

    def test_a_last_line_without_an_end_is_not_joined_with_the_next_user(self):
        self.run_tool("-c", "-H", "sha512", "-b", self.file, "ann", "a")
        self.file.write_text(self.file.read_text().rstrip("\n"))
        self.run_tool("-H", "sha512", "-b", self.file, "bob", "b")
        self.assertEqual(list(self.users()), ["ann", "bob"])

    def test_new_files_are_private_and_old_ones_keep_their_mode(self):
        self.run_tool("-c", "-H", "sha512", "-b", self.file, "ann", "a")
        self.assertEqual(stat.S_IMODE(self.file.stat().st_mode), 0o600)
        self.file.chmod(0o640)
        self.run_tool("-H", "sha512", "-b", self.file, "bob", "b")
        self.assertEqual(stat.S_IMODE(self.file.stat().st_mode), 0o640)

    def test_the_file_is_replaced_whole_even_through_a_link(self):
        self.run_tool("-c", "-H", "sha512", "-b", self.file, "ann", "a")
        link = Path(self.folder.name, "link")
        link.symlink_to(self.file)
        with open(self.file) as old:
            self.run_tool("-H", "sha512", "-b", link, "bob", "b")
            self.assertEqual(old.read().count("\n"), 1)  # who has the old one open reads the old one
        self.assertTrue(link.is_symlink())
        self.assertEqual(list(self.users()), ["ann", "bob"])

    def test_plain_files_are_hashed_once(self):
        self.file.write_text("# plain\nann:secret\nbob:pass:word\n")
        self.run_tool("-U", "-H", "sha512", self.file)
        hashed = self.file.read_text()
        self.assertRegex(hashed, r"^# plain\nann:\$6\$\S+\nbob:\$6\$\S+\n$")
        self.run_tool("-U", "-H", "sha512", self.file)
        self.assertEqual(self.file.read_text(), hashed)

    def test_the_password_is_read_from_standard_input(self):
        self.run_tool("-c", "-H", "sha512", self.file, "ann", typed="secret\n")
        _, _, salt, stored = self.users()["ann"].split("$")
        self.assertEqual(base64.b64decode(stored), hashlib.sha512(b"secret" + base64.b64decode(salt)).digest())
        for typed in ("", "\n"):
            self.run_tool(self.file, "bob", typed=typed, fails=True)

    def at_a_terminal(self, *answers):
        child, terminal = pty.fork()
        if child == 0:
            os.execv(PASSWD, [str(PASSWD), "-c", "-H", "sha512", str(self.file), "ann"])
        shown = b""
        for answer in answers:
            deadline = time.monotonic() + 30
            while not shown.endswith(b": ") and time.monotonic() < deadline:
                shown += os.read(terminal, 1000)
            os.write(terminal, answer + b"\n")
            shown += b"\n"
        while True:
            try:
                shown += os.read(terminal, 1000)
            except OSError:  # it is gone
                break
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), shown

    def test_a_terminal_asks_twice_and_shows_nothing(self):
        status, shown = self.at_a_terminal(b"secret", b"secret")
        self.assertEqual(status, 0, shown)
        self.assertNotIn(b"secret", shown)
        self.assertIn("ann", self.users())
        status, shown = self.at_a_terminal(b"secret", b"other")
        self.assertEqual(status, 1, shown)
        self.assertIn(b"not the same", shown)

    def test_a_file_on_standard_output(self):
        self.assertRegex(self.run_tool("-c", "-H", "sha512", "-b", "-", "ann", "secret"), r"^ann:\$6\$\S+\n$")

    def test_what_is_wrong_is_refused_and_changes_nothing(self):
        self.run_tool("-c", "-H", "sha512", "-b", self.file, "ann", "a")
        before = self.file.read_text()
        for words in (["-b", self.file, "a:b", "x"], ["-b", self.file, "a\nb", "x"], ["-b", self.file, "", "x"], ["-b", self.file, " ann", "x"],
                      ["-b", self.file, "#ann", "x"], ["-b", self.file, "ann", ""], ["-H", "md5", "-b", self.file, "ann", "x"],
                      ["-I", "0", "-b", self.file, "ann", "x"], ["-I", "1x", "-b", self.file, "ann", "x"], ["-I", "99999999999", "-b", self.file, "ann", "x"],
                      ["-H", "sha512", "-I", "5", "-b", self.file, "ann", "x"], ["-I", "81", "-b", self.file, "ann", "x"], ["-c", "-D", self.file, "ann"],
                      ["-D", "-U", self.file], ["-b", "-D", self.file, "ann"], ["-U", self.file, "ann"], ["-z", self.file, "ann"], [self.file], [],
                      ["-b", self.file, "ann", "x", "y"], ["-b", Path(self.folder.name, "none"), "ann", "x"], ["-H"], ["-b", "/", "ann", "x"]):
            self.run_tool(*words, fails=True)
            self.assertEqual(self.file.read_text(), before, words)
        self.file.write_text(before + "half a line\n")
        self.assertIn("users:2: not 'user:password'", self.run_tool("-b", self.file, "bob", "x", fails=True))
        self.assertEqual([entry.name for entry in self.file.parent.iterdir()], ["users"])

    def test_mosquitto_passwd_reads_our_files_and_we_its(self):
        self.run_tool("-c", "-b", self.file, "ann", "a", tool="mosquitto_passwd")
        theirs = self.users()["ann"]
        self.run_tool("-H", "sha512-pbkdf2", "-b", self.file, "bob", "b")
        self.assertEqual(self.users()["ann"], theirs)
        ours = self.users()["bob"]
        self.run_tool("-b", self.file, "eve", "e", tool="mosquitto_passwd")
        self.assertEqual([self.users()["ann"], self.users()["bob"]], [theirs, ours])
        self.run_tool("-D", self.file, "eve")
        self.run_tool("-D", self.file, "bob", tool="mosquitto_passwd")
        self.assertEqual(self.users(), {"ann": theirs})

    def test_help_says_what_there_is(self):
        text = self.run_tool("--help")
        for word in ("-c", "-b", "-D", "-U", "-H", "-I", "argon2id", "scram-sha-256"):
            self.assertTrue(re.search(rf"(^|\W){word}\W", text), word)


if __name__ == "__main__":
    unittest.main(verbosity=2)
