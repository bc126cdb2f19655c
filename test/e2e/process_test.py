#!/usr/bin/python3
"""The process towards the system: rights that it gives up, what a crash leaves behind, what a supervisor hears, what the log never says."""
import os
import pathlib
import pwd
import random
import re
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import unittest

import broker
from broker import Broker, eventually, only_tidewire, run_once
from wire import Client, connect_bytes

ROOT = pathlib.Path(__file__).resolve().parents[2]
USER = 'nobody'


def status_of(b):
    with open(f'/proc/{b.process.pid}/status') as status:
        return dict(line.rstrip('\n').split(':\t', 1) for line in status if ':\t' in line)


@only_tidewire('about hardening that Mosquitto 2.0.11 does not have')
class Rights(unittest.TestCase):
    def started(self, *options, **more):
        b = Broker(options, **more)
        self.addCleanup(b.kill)
        return b.start()

    def serves(self, port):
        c = Client(port, 5)
        self.addCleanup(c.close)
        c.connect('served')

    @unittest.skipIf(os.geteuid() != 0, 'only root has something to give up')
    def test_root_becomes_the_user_with_its_groups_and_keeps_nothing(self):
        b = self.started(f'user {USER}', limits=lambda: os.setgroups([0, 4, 27]))
        status, user = status_of(b), pwd.getpwnam(USER)
        self.assertEqual(status['Uid'].split(), [str(user.pw_uid)] * 4)
        self.assertEqual(status['Gid'].split(), [str(user.pw_gid)] * 4)
        self.assertEqual(sorted(map(int, status['Groups'].split())), sorted(os.getgrouplist(USER, user.pw_gid)))
        for kind in ('CapEff', 'CapPrm'):
            self.assertEqual(int(status[kind], 16), 0, kind)
        self.serves(b.port)
        b.stop()

    @unittest.skipIf(os.geteuid() != 0, 'only root may open such a port')
    def test_listeners_are_opened_before_root_is_given_up(self):
        for port in random.sample(range(600, 1024), 100):  # another run of this test looks for one as well
            try:
                with socket.socket() as s:
                    s.bind(('127.0.0.1', port))
                break
            except OSError:
                continue
        b = self.started(f'user {USER}', f'listener {port} 127.0.0.1')
        self.serves(port)
        b.stop()

    @unittest.skipIf(os.geteuid() != 0, 'only root becomes somebody')
    def test_a_user_that_does_not_exist_ends_the_start(self):
        b = Broker(['user no-such-user-here'])
        self.addCleanup(b.kill)
        b.port = broker.free_port()
        b.write_config()
        done = run_once(['-c', str(b.config_path)])
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("no user 'no-such-user-here'", done.stdout)
        with self.assertRaises(OSError):
            socket.create_connection(('127.0.0.1', b.port), timeout=1)

    def retained(self, b, payload=None):
        """Keeps a message, or finds the one that was kept."""
        c = Client(b.port, 5)
        c.connect('keeper')
        if payload is not None:
            c.publish('kept', payload, qos=1, retain=True)
        c.subscribe(('kept', 1))
        found = c.expect_publish('kept').payload
        c.close()
        return found

    @unittest.skipIf(os.geteuid() != 0, 'only root has files to give away')
    def test_the_journal_belongs_to_the_user_and_what_it_links_to_does_not(self):
        with tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o755)
            keep = ('persistence true', f'persistence_location {folder}', 'persistence_segment_size 1048576')
            journal = pathlib.Path(folder, 'tidewire-journal')
            b = self.started('user root', *keep)
            self.assertEqual(self.retained(b, b'first'), b'first')
            b.stop()
            self.assertEqual({path.owner() for path in journal.rglob('*')}, {'root'})
            secret = pathlib.Path(folder, 'secret')
            secret.write_text('of root')
            (journal / 'link').symlink_to(secret)
            os.link(secret, journal / 'second-name')
            for payload in (b'second', b'third'):
                b = self.started(f'user {USER}', *keep)
                self.assertEqual(self.retained(b), {b'second': b'first', b'third': b'second'}[payload])
                self.assertEqual(self.retained(b, payload), payload)
                b.stop()
            self.assertEqual({path.owner() for path in (journal, *journal.rglob('*')) if path.name not in ('link', 'second-name')}, {USER})
            self.assertEqual(secret.owner(), 'root')

    def test_nothing_it_starts_could_get_more_rights(self):
        b = self.started()
        self.assertEqual(status_of(b)['NoNewPrivs'], '1')
        b.stop()

    @unittest.skipIf(broker.PATIENCE >= 4, 'sanitizers look at their own process as a debugger does, and report aborts themselves')
    def test_a_crash_writes_no_core_with_secrets_unless_asked_to(self):
        with open('/proc/sys/kernel/core_pattern') as pattern:
            if pattern.read().startswith('|'):
                self.skipTest('cores of this machine go to a program')

        def unlimited():
            hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
            resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
        if resource.getrlimit(resource.RLIMIT_CORE)[1] == 0:
            self.skipTest('no cores on this machine')
        for options, dumps in ((['core_dumps true'], True), ([], False)):
            b = self.started(*options, limits=unlimited)
            os.kill(b.process.pid, signal.SIGSEGV)
            _, status = os.waitpid(b.process.pid, 0)
            b.process.returncode = -signal.SIGSEGV
            self.assertEqual(os.WCOREDUMP(status), dumps, options)


@only_tidewire('2.0.11 of Debian is built without it')
class Supervisor(unittest.TestCase):
    def test_it_hears_when_the_broker_serves_and_when_it_ends(self):
        """sd_notify(3)"""
        folder = tempfile.mkdtemp(prefix='tidewire-notify-')
        self.addCleanup(shutil.rmtree, folder)
        for address in (folder + '/notify', '\0tidewire-test-%d' % os.getpid()):
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
                listener.bind(address)
                listener.settimeout(5 * broker.PATIENCE)
                b = Broker(environment={'NOTIFY_SOCKET': address.replace('\0', '@')})
                self.addCleanup(b.kill)
                b.start()
                self.assertEqual(listener.recv(100), b'READY=1')
                b.signal(signal.SIGTERM)
                self.assertEqual(listener.recv(100), b'STOPPING=1')
                self.assertEqual(b.wait(), 0)

    def test_a_supervisor_that_is_not_there_does_not_matter(self):
        for address in ('/nonexistent/notify', 'relative', '/' + 'x' * 200, '@'):
            b = Broker(environment={'NOTIFY_SOCKET': address})
            self.addCleanup(b.kill)
            b.start()
            b.stop()


class Installed(unittest.TestCase):
    """cmake --install of the build whose broker is tested"""

    def test_the_unit_is_valid_and_starts_what_is_installed(self):
        build = pathlib.Path(broker.BINARY).parent
        if not (build / 'cmake_install.cmake').exists() or not shutil.which('cmake'):
            self.skipTest('the broker lies in no build folder')
        with tempfile.TemporaryDirectory(prefix='tidewire-install-') as folder:
            subprocess.run(['cmake', '--install', str(build)], env={**os.environ, 'DESTDIR': folder}, check=True, stdout=subprocess.DEVNULL)
            root = pathlib.Path(folder)
            unit = next(root.rglob('tidewire.service'))
            started = re.search(r'^ExecStart=(\S+) -c (\S+)$', unit.read_text(), re.MULTILINE)
            # Its state is where the unit makes a directory for it.
            state = '/var/lib/' + re.search(r'^StateDirectory=(\S+)$', unit.read_text(), re.MULTILINE)[1]
            installed = pathlib.Path(folder + started[2])
            self.assertIn(f'persistence_location {state}\n', installed.read_text())
            os.makedirs(folder + state)
            trial = root / 'trial.conf'
            trial.write_text(installed.read_text().replace(state, folder + state))
            done = subprocess.run([folder + started[1], '--test-config', '-c', str(trial)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            self.assertEqual(done.returncode, 0, done.stdout)
            self.assertEqual(next(root.rglob('sysusers.d/tidewire.conf')).read_text().split()[:2], ['u', 'tidewire'])
            # A configuration that is there already stays.
            pathlib.Path(folder + started[2]).write_text('# mine\n')
            subprocess.run(['cmake', '--install', str(build)], env={**os.environ, 'DESTDIR': folder}, check=True, stdout=subprocess.DEVNULL)
            self.assertEqual(pathlib.Path(folder + started[2]).read_text(), '# mine\n')
            if shutil.which('systemd-analyze'):
                text = unit.read_text().replace(started[1], folder + started[1])
                unit.write_text(text)
                done = subprocess.run(['systemd-analyze', 'verify', '--man=no', str(unit)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
                complaints = [line for line in done.stdout.splitlines() if 'tidewire.service' in line]
                self.assertEqual(complaints, [])


class Secrets(unittest.TestCase):
    def talk(self, port, version=5, **login):
        c = Client(port, version)
        self.addCleanup(c.close)
        c.send(connect_bytes(version, f'c{version}', **login))
        try:
            c.receive()
        except (AssertionError, OSError):
            pass
        c.close()

    def claim_silent(self, b, secrets):
        log = b.stderr()
        self.assertEqual([secret for secret in secrets if secret in log], [])

    def test_a_password_of_a_client_is_in_no_log(self):
        b = Broker(['log_type all'])
        self.addCleanup(b.kill)
        b.start()
        for version in (3, 4, 5):
            self.talk(b.port, version, user='somebody', password=b'hunter2-secret')
        eventually(lambda: 'c5' in b.stderr(), 5, 'a line about the client')
        b.stop()
        self.claim_silent(b, ['hunter2'])

    @only_tidewire('about files of its own')
    def test_what_files_and_handshakes_hold_is_in_no_log(self):
        """Everything on, everything tried rightly and wrongly, and every file broken at a reload"""
        folder = pathlib.Path(tempfile.mkdtemp(prefix='tidewire-secrets-'))
        self.addCleanup(shutil.rmtree, folder)
        os.chmod(folder, 0o755)
        passwords, psks, port = folder / 'passwords', folder / 'psks', broker.free_port()
        subprocess.run([os.path.join(os.path.dirname(broker.BINARY), 'tidewire-passwd'), '-H', 'sha512-pbkdf2', '-I', '1000', '-c', '-b', str(passwords), 'user',
                        'hunter2-right'], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        psks.write_text('device:0badc0de5ec4e7\n')
        for path in (passwords, psks):
            os.chmod(path, 0o644)
        options = ['log_type all', 'allow_anonymous false', f'password_file {passwords}', f'psk_file {psks}', f'listener {port} 127.0.0.1', 'psk_hint hint']
        b = Broker(options)
        self.addCleanup(b.kill)
        b.port = broker.free_port()
        b.write_config()
        done = run_once(['-c', str(b.config_path), '--test-config', '-v'])
        if 'no TLS' in done.stdout:
            b.options = options[:3]
        b.start()
        secrets = ['hunter2', '0badc0de', *passwords.read_text().strip().split(':')[1].split('$')[-2:]]
        for password in (b'hunter2-right', b'hunter2-wrong'):
            self.talk(b.port, user='user', password=password)
        for key in ('0badc0de5ec4e7', '0badc0de000000'):
            subprocess.run(['openssl', 's_client', '-connect', f'127.0.0.1:{port}', '-psk_identity', 'device', '-psk', key], input=b'', stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL, timeout=10 * broker.PATIENCE)
        for path, broken in ((passwords, 'user:hunter2-plain\n'), (passwords, 'hunter2-without-a-colon\n'), (psks, 'device:0badc0de-nohex\n')):
            whole, before = path.read_text(), b.stderr().count('not reloaded')
            path.write_text(broken)
            if path == passwords or len(b.options) > 3:
                b.signal(signal.SIGHUP)
                eventually(lambda: b.stderr().count('not reloaded') > before, 5, 'a line that says so')
            path.write_text(whole)
        b.stop()
        self.claim_silent(b, secrets)


if __name__ == '__main__':
    broker.main()
