#!/usr/bin/python3
"""The process: command line, configuration errors, reload, shutdown, files, and running out of descriptors or slots."""
import os
import resource
import signal
import socket
import subprocess
import tempfile
import time
import unittest

import broker
from broker import BINARY, Broker, differs_on_mosquitto, eventually, free_port, only_tidewire, run_once
from wire import *
from wire import Client, connect_bytes, publish_bytes

TAKEN_UP_S = 5


class ProcessCase(unittest.TestCase):
    """Each test starts its own broker."""

    def broker(self, *options, **more):
        b = Broker(options, **more)
        self.addCleanup(b.kill)
        return b

    def started(self, *options, **more):
        return self.broker(*options, **more).start()

    def client(self, b, version=5):
        c = Client(b.port, version)
        self.addCleanup(c.close)
        return c

    def connected(self, b, client_id='c', version=5, **more):
        c = self.client(b, version)
        c.connect(client_id, **more)
        return c


class CommandLine(ProcessCase):
    def test_help_and_version_exit_0(self):
        done = run_once(['-h'])
        self.assertIn('-c', done.stdout)
        if not broker.ON_MOSQUITTO:  # 2.0.11: 3, and no --version
            self.assertEqual(done.returncode, 0)
            done = run_once(['--version'])
            self.assertEqual(done.returncode, 0)
            self.assertRegex(done.stdout, r'\d+\.\d+')

    def test_unknown_argument_is_refused(self):
        done = run_once(['--no-such-thing'])
        self.assertNotEqual(done.returncode, 0)
        self.assertIn('--no-such-thing', done.stdout)

    def test_port_argument_serves_loopback(self):
        """mosquitto(8): -p"""
        b = self.broker()
        b.port = free_port()
        b.spawn(['-p', str(b.port)])
        self.assertTrue(b.wait_until_it_accepts(), b.stderr())
        self.connected(b).ping()
        b.stop()

    @only_tidewire('2.0.11 has no --test-config')
    def test_test_config_says_ok_and_starts_nothing(self):
        b = self.broker()
        b.port = free_port()
        b.write_config()
        done = run_once(['-c', str(b.config_path), '--test-config'])
        self.assertEqual(done.returncode, 0, done.stdout)
        b.config_path.write_text('max_keepalive many\n')
        done = run_once(['-c', str(b.config_path), '--test-config'])
        self.assertNotEqual(done.returncode, 0)
        self.assertIn('max_keepalive', done.stdout)

    @only_tidewire('2.0.11 has no --test-config')
    def test_test_config_says_whether_there_could_be_a_journal(self):
        b = self.broker()
        with tempfile.TemporaryDirectory() as folder:
            for place, code in ((folder, 0), (folder + '/none', 3)):
                b.config_path.write_text(f'listener {free_port()} 127.0.0.1\nallow_anonymous true\npersistence true\npersistence_location {place}\n')
                done = run_once(['-c', str(b.config_path), '--test-config'])
                self.assertEqual(done.returncode, code, done.stdout)
                self.assertEqual(os.listdir(folder), [])

    def test_missing_configuration_file_is_named(self):
        done = run_once(['-c', '/nonexistent/tidewire.conf'])
        self.assertNotEqual(done.returncode, 0)
        self.assertIn('/nonexistent/tidewire.conf', done.stdout)


class ConfigurationErrors(ProcessCase):
    def refused(self, text):
        b = self.broker()
        b.config_path.write_text(text)
        done = run_once(['-c', str(b.config_path)])
        self.assertNotEqual(done.returncode, 0, done.stdout)
        return b, done.stdout

    def test_wrong_option_is_named_with_file_and_line(self):
        for wrong, word in (('no_such_option 1', 'no_such_option'), ('max_keepalive many', 'max_keepalive'), ('listener 99999', 'listener'),
                            ('allow_anonymous perhaps', 'allow_anonymous'), ('max_packet_size', 'max_packet_size')):
            with self.subTest(wrong=wrong):
                if broker.ON_MOSQUITTO and wrong in ('max_keepalive many', 'listener 99999'):
                    continue  # 2.0.11: reads 'many' as 0, and says 'port value' with no line
                b, output = self.refused(f'# one\n\n{wrong}\n')
                self.assertIn(word, output)
                if not broker.ON_MOSQUITTO:  # 2.0.11 prints the line number on another line, and not always
                    self.assertIn(f'{b.config_path}:3', output)

    def test_port_in_use_is_one_clear_line(self):
        with socket.socket() as taken:
            taken.bind(('127.0.0.1', 0))
            taken.listen()
            port = taken.getsockname()[1]
            _, output = self.refused(f'listener {port} 127.0.0.1\nallow_anonymous true\n')
            self.assertIn('in use', output.lower())
            if not broker.ON_MOSQUITTO:
                self.assertIn(str(port), output)

    def test_second_broker_on_the_port_leaves_the_first_alone(self):
        """Two brokers must not share a port (SO_REUSEPORT): clients would land on either."""
        b = self.started()
        c = self.connected(b)
        done = run_once(['-c', str(b.config_path)])
        self.assertNotEqual(done.returncode, 0)
        c.ping()
        b.stop()

    def test_one_bad_listener_of_two_means_no_broker(self):
        """Never half a broker"""
        with socket.socket() as taken:
            taken.bind(('127.0.0.1', 0))
            taken.listen()
            good = free_port()
            self.refused(f'listener {good} 127.0.0.1\nlistener {taken.getsockname()[1]} 127.0.0.1\nallow_anonymous true\n')
            with self.assertRaises(OSError):
                socket.create_connection(('127.0.0.1', good), timeout=1)

    def test_two_listeners_serve_one_set_of_clients(self):
        b, other = self.broker(), free_port()
        b.options = [f'listener {other} 127.0.0.1']
        b.start()
        near = self.connected(b, 'near')
        near.subscribe('t')
        far = Client(other, 5)
        self.addCleanup(far.close)
        far.connect('far')
        far.publish('t', 'x')
        near.expect_publish('t', 'x')
        b.stop()


class Shutdown(ProcessCase):
    @differs_on_mosquitto('2.0.11 closes without DISCONNECT')
    def test_sigterm_says_goodbye_and_exits_0(self):
        """MQTT5 3.14.2.1: 0x8B Server shutting down; older versions are just closed. MQTT5 [MQTT-3.14.0-1]"""
        b = self.started()
        clients = [self.connected(b, f'c{n}', version) for n, version in enumerate((3, 4, 5, 5, 5, 5))]
        b.signal(signal.SIGTERM)
        for c in clients:
            c.expect_closed(reason=0x8B if c.version == 5 else None)
        b.stop()

    def test_sigint_ends_it_too(self):
        b = self.started()
        c = self.connected(b)
        b.signal(signal.SIGINT)
        c.expect_closed()
        self.assertEqual(b.wait(), 0)

    def test_sigterm_under_load_exits_0(self):
        """With clients that send, and one that does not read"""
        b = self.started()
        deaf, sender = self.client(b), self.connected(b, 'sender', 4)
        deaf.connect('deaf')
        deaf.subscribe('#')
        for _ in range(200):
            sender.send(publish_bytes(4, 'load', bytes(20000)))
        half = self.client(b)
        half.send(connect_bytes(5, 'half')[:7])
        b.signal(signal.SIGTERM)
        try:
            for _ in range(2000):
                sender.send(publish_bytes(4, 'load', bytes(20000)))
        except OSError:
            pass
        b.stop()

    def test_shutdown_does_not_publish_wills_of_served_clients_twice_or_hang(self):
        b = self.started()
        for n in range(20):
            self.connected(b, f'c{n}', will={'topic': f'will/{n}', 'payload': b'x', 'retain': True, 'properties': [(WILL_DELAY, 100)]}, properties=[(SESSION_EXPIRY, 100)])
        b.stop()

    def test_starts_again_on_the_same_port_at_once(self):
        """SO_REUSEADDR: connections in TIME_WAIT do not block the port"""
        b = self.started()
        port = b.port
        c = self.connected(b)
        b.signal(signal.SIGTERM)
        self.assertEqual(b.wait(), 0)
        c.close()
        b.spawn(['-c', str(b.config_path)])
        self.assertTrue(b.wait_until_it_accepts(), b.stderr())
        self.assertEqual(b.port, port)
        self.connected(b).ping()
        b.stop()


class Reload(ProcessCase):
    def reload(self, b, *options):
        b.options = list(options)
        b.write_config()
        b.signal(signal.SIGHUP)

    def keep_alive(self, b):
        c = self.client(b)
        got = c.connect('asks', keep_alive=60).get(SERVER_KEEP_ALIVE)
        c.close()
        return got

    @differs_on_mosquitto('2.0.11 documents max_keepalive as reloaded, but keeps the old one')
    def test_sighup_takes_up_new_settings_and_keeps_connections(self):
        b = self.started('max_keepalive 50')
        stays = self.connected(b, 'stays')
        stays.subscribe('t')
        self.assertEqual(self.keep_alive(b), 50)
        self.reload(b, 'max_keepalive 40')
        eventually(lambda: self.keep_alive(b) == 40, TAKEN_UP_S, 'the new max_keepalive')
        self.reload(b)
        eventually(lambda: self.keep_alive(b) is None, TAKEN_UP_S, 'the default again')
        stays.publish('t', 'x')
        stays.expect_publish('t', 'x')
        b.stop()

    def test_wrong_file_changes_nothing_and_says_so(self):
        b = self.started('max_keepalive 50')
        before = len(b.stderr())
        self.reload(b, 'max_keepalive 40', 'no_such_option 1')
        eventually(lambda: 'no_such_option' in b.stderr()[before:], TAKEN_UP_S, 'a line about the option')
        self.assertEqual(self.keep_alive(b), 50)
        self.connected(b).ping()
        b.stop()

    def test_hundred_reloads_under_traffic_lose_nothing(self):
        b = self.started('max_keepalive 50')
        c = self.connected(b)
        c.subscribe(('t', 1))
        for n in range(100):
            b.signal(signal.SIGHUP)
            c.publish('t', str(n), 1)
            c.expect_publish('t', str(n))
        b.stop()

    @only_tidewire('Mosquitto frees what it replaces at once')
    def test_a_thousand_reloads_within_an_hour_leave_little_behind(self):
        """What work off the shards may still use is kept for an hour: some kilobytes each"""
        b = self.started('max_keepalive 50')
        c = self.connected(b)
        resident = []
        for n in range(1, 1001):
            b.signal(signal.SIGHUP)
            eventually(lambda: self.wait_taken(b), TAKEN_UP_S, 'the signal to be taken')
            if n in (200, 1000):
                with open(f'/proc/{b.process.pid}/statm') as statm:
                    resident.append(int(statm.read().split()[1]) * 4)
        eventually(lambda: b.stderr().count('Configuration reloaded.') > 800, TAKEN_UP_S, 'the reloads')
        c.ping()
        self.assertEqual([line for line in b.stderr().splitlines() if 'not reloaded' in line], [])
        if broker.PATIENCE < 4:  # sanitizers keep what is freed
            self.assertLess(resident[1] - resident[0], 16000)  # KB
        b.stop()

    @staticmethod
    def wait_taken(b):
        """Two signals that wait at a time are one"""
        for _ in range(50):
            with open(f'/proc/{b.process.pid}/status') as status:
                pending = int([line for line in status if line.startswith('ShdPnd')][0].split()[1], 16)
            if pending >> (signal.SIGHUP - 1) & 1 == 0:
                return True
            time.sleep(0.001)
        return False

    def test_reload_with_the_file_gone_keeps_running(self):
        b = self.started('max_keepalive 50')
        if broker.ON_MOSQUITTO:
            self.skipTest('2.0.11 ends')
        b.config_path.unlink()
        b.signal(signal.SIGHUP)
        time.sleep(0.3)
        self.assertEqual(self.keep_alive(b), 50)
        b.stop()


class Files(ProcessCase):
    def test_pid_file_names_the_process_and_is_removed(self):
        """mosquitto.conf(5): pid_file (Mosquitto 2.0.11 writes it as a daemon only)"""
        b = self.broker()
        path = b.directory / 'broker.pid'
        b.options = [f'pid_file {path}']
        b.start()
        if not broker.ON_MOSQUITTO:
            self.assertEqual(eventually(lambda: path.exists() and path.read_text().strip(), 2), str(b.process.pid))
        b.signal(signal.SIGTERM)
        self.assertEqual(b.wait(), 0)
        self.assertFalse(path.exists())

    def test_daemon_detaches_and_ends_with_its_pid(self):
        """mosquitto(8): -d; the starting process ends with 0 once the broker serves, or non-zero when it cannot"""
        b = self.broker()
        path = b.directory / 'broker.pid'
        b.options = [f'pid_file {path}', f'log_dest file {b.directory}/log.txt']
        b.port = free_port()
        b.write_config()
        done = run_once(['-c', str(b.config_path), '-d'])
        self.assertEqual(done.returncode, 0, done.stdout)
        pid = int(eventually(lambda: path.exists() and path.read_text().strip(), 5, 'the pid file'))
        try:
            eventually(lambda: self.accepts(b.port), 5)
            self.connected(b).ping()
            with open(f'/proc/{pid}/stat') as stat:
                session = int(stat.read().rsplit(')', 1)[1].split()[3])
            self.assertNotEqual(session, os.getsid(0))
        finally:
            self.assertEqual(os.readlink(f'/proc/{pid}/exe'), os.path.realpath(BINARY))
            os.kill(pid, signal.SIGTERM)
        eventually(lambda: not os.path.exists(f'/proc/{pid}') or 'Z' in open(f'/proc/{pid}/stat').read().split(')')[1][:3], broker.STOP_S / broker.PATIENCE, 'its end')
        self.assertFalse(path.exists())

    @staticmethod
    def accepts(port):
        try:
            socket.create_connection(('127.0.0.1', port), timeout=1).close()
            return True
        except OSError:
            return False

    def test_log_file_is_written_and_reopened(self):
        """log_dest file, connection_messages; after rotation and SIGHUP lines go to the new file"""
        b = self.broker()
        log = b.directory / 'log.txt'
        b.options = [f'log_dest file {log}', 'log_type all']
        b.start()
        self.connected(b, 'first-client')
        eventually(lambda: 'first-client' in log.read_text(), 2, 'a line about the connection')
        log.rename(b.directory / 'log.1')
        b.signal(signal.SIGHUP)
        eventually(log.exists, TAKEN_UP_S, 'the new file')
        self.connected(b, 'second-client')
        eventually(lambda: 'second-client' in log.read_text(), 2, 'a line in the new file')
        b.stop()

    def test_control_characters_of_clients_do_not_reach_the_log(self):
        """A client identifier with an escape sequence or newline cannot forge lines or drive terminals"""
        b = self.started('log_type all')
        c = self.client(b)
        c.send(connect_bytes(5, 'evil\x1b[2J\nforged line'))
        try:
            c.receive()
        except Closed:
            pass
        c.close()
        time.sleep(0.2)
        if not broker.ON_MOSQUITTO:
            self.assertNotIn('\x1b', b.stderr())
            self.assertFalse(any(line.startswith('forged line') for line in b.stderr().splitlines()))
        b.stop()


class Exhaustion(ProcessCase):
    def knock(self, b, n):
        """A CONNECT that may fail: a served client, or None. Waits half a second at most."""
        try:
            c = Client(b.port, 4)
        except OSError:
            return None
        self.addCleanup(c.close)
        try:
            c.send(connect_bytes(4, f'knock{n}', keep_alive=0))
            if c.receive(0.3 * broker.PATIENCE).reason == 0:
                return c
        except (AssertionError, OSError):
            pass
        c.close()
        return None

    def flood(self, b, witnesses, attempts):
        """Connects `attempts` times, while a pair talks; served clients are returned."""
        served = []
        for n in range(attempts):
            c = self.knock(b, n)
            if c:
                served.append(c)
            witnesses[0].publish('w', str(n), 1)
            witnesses[1].expect_publish('w', str(n))
        return served

    def pair(self, b):
        witnesses = self.connected(b, 'w0', keep_alive=0), self.connected(b, 'w1', keep_alive=0)
        witnesses[1].subscribe(('w', 1))
        return witnesses

    @only_tidewire('2.0.11 has no shards')
    def test_connections_beyond_the_slots_do_not_disturb_the_others_and_recover(self):
        """shard_connections 8, two shards: at most 16 are served; when some leave, new ones are served again"""
        b = self.started('shard_connections 8', 'connect_timeout 2')
        witnesses = self.pair(b)
        served = self.flood(b, witnesses, 24)
        self.assertLessEqual(len(served) + 2, 16)
        self.assertGreaterEqual(len(served) + 2, 8)
        for c in served:
            c.ping()
        for c in served:
            c.close()
        self.assertIsNotNone(eventually(lambda: self.knock(b, 100), 5, 'a new client after others left'))
        again = self.flood(b, witnesses, 6)
        self.assertGreaterEqual(len(again), 3)
        b.stop()

    def test_listener_max_connections_is_kept(self):
        """mosquitto.conf(5): max_connections"""
        b = self.started('max_connections 6')
        witnesses = self.pair(b)
        served = self.flood(b, witnesses, 8)
        self.assertIn(len(served) + 2, (6, 7) if broker.ON_MOSQUITTO else (6,))  # 2.0.11: one more
        served[0].close()
        eventually(lambda: self.knock(b, 100), 5, 'a new client after one left')
        b.stop()

    def test_out_of_descriptors_others_go_on_and_it_recovers(self):
        """RLIMIT_NOFILE 64: accept fails with EMFILE; no spinning, no death"""
        def few():
            resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        b = self.broker(limits=few)
        try:
            b.start()
        except AssertionError:
            if b.process is not None and b.process.poll() not in (None, 0) and 'descriptor' in b.stderr().lower() or 'nofile' in b.stderr().lower():
                return  # refusing to start with a clear line is an answer too
            raise
        witnesses = self.pair(b)
        idle = []
        for _ in range(80):
            try:
                s = socket.create_connection(('127.0.0.1', b.port), timeout=1)
            except OSError:
                break
            self.addCleanup(s.close)
            idle.append(s)
        before = self.cpu_seconds(b)
        for n in range(10):
            witnesses[0].publish('w', str(n), 1)
            witnesses[1].expect_publish('w', str(n))
            time.sleep(0.1)
        if not broker.ON_MOSQUITTO:  # 2.0.11 turns in circles
            self.assertLess(self.cpu_seconds(b) - before, 0.5 * broker.PATIENCE, 'it spins on accept')
        for s in idle:
            s.close()
        eventually(lambda: self.knock(b, 0), 5, 'a new client after descriptors came back')
        b.stop()

    @staticmethod
    def cpu_seconds(b):
        with open(f'/proc/{b.process.pid}/stat') as stat:
            fields = stat.read().rsplit(')', 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')

    def test_idle_broker_rests(self):
        """Two shards without traffic use next to no processor time"""
        b = self.started()
        clients = [self.connected(b, f'c{n}') for n in range(20)]
        time.sleep(0.3)
        before = self.cpu_seconds(b)
        time.sleep(1)
        self.assertLess(self.cpu_seconds(b) - before, 0.2)
        self.assertEqual(len(clients), 20)
        b.stop()

    def test_connection_churn_leaks_no_descriptors(self):
        """500 connections that come and go, in several ways"""
        b = self.started()
        self.connected(b, 'first').disconnect()

        def descriptors():
            return len(os.listdir(f'/proc/{b.process.pid}/fd'))
        before = descriptors()
        for n in range(500):
            c = Client(b.port, 5)
            if n % 4:
                c.send(connect_bytes(5, f'c{n % 50}', clean=n % 3 == 0))
                if n % 4 > 1:
                    c.receive()
            c.close()
        eventually(lambda: descriptors() <= before + 2, 5, 'descriptors given back')
        b.stop()


if __name__ == '__main__':
    broker.main()
