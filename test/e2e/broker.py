"""broker: starts the broker under test as a child on a free loopback port, and holds it to a clean end.

    TIDEWIRE_BIN            the broker to run; default build/release/tidewire under the checkout. May be a sanitizer build.
    TIDEWIRE_E2E_PEER       'mosquitto': run Debian's mosquitto instead (/usr/sbin/mosquitto, or TIDEWIRE_BIN). Options it does not know
                            are left out, tests marked @differs_on_mosquitto must fail there, and those marked @only_tidewire are skipped.
    TIDEWIRE_E2E_PATIENCE   factor for every waiting limit; default 1. Take 4 or so for sanitizer builds and busy machines.

Every script here runs alone: /usr/bin/python3 test/e2e/x_test.py [-v] [Class.test]. The exit code tells.

A broker ends well if SIGTERM makes it exit with 0 in time and its stderr holds no report of a sanitizer.
"""
import ctypes
import faulthandler
import itertools
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = pathlib.Path(__file__).resolve().parent
BUILD = ROOT / 'build' / 'e2e'  # what the tests themselves build or install

PATIENCE = float(os.environ.get('TIDEWIRE_E2E_PATIENCE', '1'))
ON_MOSQUITTO = os.environ.get('TIDEWIRE_E2E_PEER', '') == 'mosquitto'
BINARY = os.environ.get('TIDEWIRE_BIN') or ('/usr/sbin/mosquitto' if ON_MOSQUITTO else str(ROOT / 'build' / 'release' / 'tidewire'))

START_S = 10 * PATIENCE
STOP_S = 10 * PATIENCE
SCRIPT_S = 150 * PATIENCE  # a script that takes longer hangs: its stacks are printed and it is ended

UNKNOWN_TO_MOSQUITTO = {
    'shards', 'shard_connections', 'batch_wait_us', 'connect_timeout', 'global_max_connections', 'global_max_clients',
    'max_connect_packet_size', 'receive_maximum', 'max_subscriptions', 'max_topic_levels', 'max_output_bytes', 'global_max_filters',
    'max_retained_messages', 'max_retained_bytes', 'max_topic_alias_broker', 'login_cache_entries', 'login_cache_seconds', 'clientid_is_username',
    'clientid_is_certificate', 'core_dumps', 'persistence_sync', 'persistence_segment_size',
}

SANITIZER_REPORTS = ('ERROR: AddressSanitizer', 'ERROR: LeakSanitizer', 'WARNING: ThreadSanitizer', 'runtime error:', 'Assertion `', 'assertion failed')

_libc = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG = 1


def differs_on_mosquitto(why):
    """The claim holds for Tidewire; Mosquitto 2.0.11 is known not to keep it, and the test must fail there (else the mark is stale)."""
    assert why
    return unittest.expectedFailure if ON_MOSQUITTO else (lambda test: test)


def only_tidewire(why):
    """The claim is about something that Mosquitto 2.0.11 does not have, or keeps only sometimes."""
    return unittest.skipIf(ON_MOSQUITTO, why)


def die_with_parent():
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def eventually(condition, timeout_s=5, what='condition'):
    """Waits until condition() is true and returns its value; AssertionError when it never is."""
    deadline = time.monotonic() + timeout_s * PATIENCE
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f'{what}: not within {timeout_s * PATIENCE:g} s')
        time.sleep(0.02)


class Broker:
    """One broker process. `options` are configuration lines added to a listener on loopback, anonymous access and two shards."""

    def __init__(self, options=(), environment=None, limits=None):
        self.options = list(options)
        self.environment = environment or {}
        self.limits = limits  # called in the child before exec
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix='tidewire-e2e-'))
        os.chmod(self.directory, 0o755)
        self.config_path = self.directory / 'broker.conf'
        self.stderr_path = self.directory / 'stderr.txt'
        self.process = None
        self.port = None

    # ---- configuration

    def config_text(self):
        lines = [f'listener {self.port} 127.0.0.1', 'allow_anonymous true', 'shards 2', 'log_dest stderr']
        chosen = {line.split()[0] for line in self.options}
        if os.geteuid() == 0 and 'user' not in chosen:
            lines.append('user root')
        lines = [line for line in lines if line.split()[0] not in chosen or line.startswith('listener')] + self.options
        if ON_MOSQUITTO:
            lines.append('set_tcp_nodelay true')  # else each of its answers may wait 40 ms
            lines = [line for line in lines if line.split()[0] not in UNKNOWN_TO_MOSQUITTO]
        return '\n'.join(lines) + '\n'

    def write_config(self):
        self.config_path.write_text(self.config_text())

    # ---- life

    def start(self):
        for _ in range(3):  # somebody else may take the port between our look and the broker's bind
            self.port = free_port()
            self.write_config()
            self.spawn(['-c', str(self.config_path)])
            if self.wait_until_it_accepts():
                return self
            if 'in use' not in self.stderr().lower():
                break
        raise AssertionError(f'{BINARY} did not start (exit {self.process.poll()}):\n{self.stderr()}')

    def spawn(self, arguments):
        if not os.access(BINARY, os.X_OK):
            raise AssertionError(f'no broker at {BINARY}: build it, or set TIDEWIRE_BIN')
        limits = self.limits

        def in_child():
            die_with_parent()
            if limits:
                limits()
        with open(self.stderr_path, 'ab') as log:
            self.process = subprocess.Popen([BINARY, *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.directory,
                                            preexec_fn=in_child, env={**os.environ, **self.environment})

    def wait_until_it_accepts(self):
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                socket.create_connection(('127.0.0.1', self.port), timeout=1).close()
                return True
            except OSError:
                time.sleep(0.02)
        return False

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def stderr(self):
        return self.stderr_path.read_text(errors='replace') if self.stderr_path.exists() else ''

    def reload(self):
        """SIGHUP, and waits until the broker says how it went: True, or False if the old configuration stays."""
        before = self.stderr().count('onfiguration not reloaded'), self.stderr().count('Configuration reloaded.')
        self.signal(signal.SIGHUP)
        eventually(lambda: (self.stderr().count('onfiguration not reloaded'), self.stderr().count('Configuration reloaded.')) != before, what='the reload')
        return self.stderr().count('Configuration reloaded.') > before[1]

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, timeout_s=STOP_S):
        return self.process.wait(timeout=timeout_s)

    def stop(self):
        """SIGTERM, and the claims about a clean end."""
        try:
            if self.alive():
                self.signal(signal.SIGTERM)
            try:
                code = self.wait()
            except subprocess.TimeoutExpired:
                raise AssertionError(f'SIGTERM did not end the broker within {STOP_S:g} s:\n{self.stderr_tail()}')
            if code != 0:
                raise AssertionError(f'the broker ended with {code}, not 0:\n{self.stderr_tail()}')
            self.check_stderr()
        finally:
            self.kill()

    def check_stderr(self):
        text = self.stderr()
        for report in SANITIZER_REPORTS:
            if report in text:
                raise AssertionError(f'stderr holds "{report}":\n{text[-8000:]}')

    def stderr_tail(self):
        return self.stderr()[-4000:]

    def kill(self):
        if self.alive():
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)


def run_once(arguments, cwd=None, timeout_s=STOP_S):
    """Runs the broker's binary to its end: for what it refuses and for what it only prints."""
    if not os.access(BINARY, os.X_OK):
        raise AssertionError(f'no broker at {BINARY}: build it, or set TIDEWIRE_BIN')
    return subprocess.run([BINARY, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=cwd,
                          timeout=timeout_s, text=True, errors='replace', preexec_fn=die_with_parent)


class BrokerCase(unittest.TestCase):
    """One broker per class, started anew if a test brought it down."""

    options = ()
    maxDiff = 2000
    _numbers = itertools.count(1)

    @classmethod
    def setUpClass(cls):
        cls.broker = Broker(cls.options).start()

    @classmethod
    def tearDownClass(cls):
        cls.broker.stop()

    def setUp(self):
        if not self.broker.alive():
            self.broker.kill()
            type(self).broker = Broker(self.options).start()

    def tearDown(self):
        if not self.broker.alive():
            raise AssertionError(f'the broker died ({self.broker.process.poll()}):\n{self.broker.stderr_tail()}')

    @property
    def port(self):
        return self.broker.port

    def topic(self, *levels):
        """A topic of this test only."""
        return '/'.join((self._testMethodName, *map(str, levels)))

    def new_id(self, word='c'):
        """A client identifier that nobody used, at most 23 bytes of [0-9a-zA-Z], which every server takes. MQTT5 [MQTT-3.1.3-5]."""
        return f'{word}{next(self._numbers)}x{os.getpid()}'[:23]


def main():
    faulthandler.dump_traceback_later(SCRIPT_S, exit=True)
    unittest.main(verbosity=1 if '-q' not in sys.argv else 0)
