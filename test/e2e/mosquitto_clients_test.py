#!/usr/bin/python3
"""mosquitto_pub, mosquitto_sub and mosquitto_rr (Debian's 2.0.11) against the broker: what an operator types.

libmosquitto is a client that nobody here wrote. Numbers are MQTT 5.0's.
"""
import os
import re
import subprocess
import tempfile
import time
import unittest

import broker
from broker import BrokerCase, PATIENCE, eventually

VERSIONS = ('mqttv31', 'mqttv311', 'mqttv5')
RUN_S = 15 * PATIENCE


class Listener:
    """A running mosquitto_sub; its lines are read from a file."""

    def __init__(self, case, arguments, ready=True):
        self.file = tempfile.NamedTemporaryFile(mode='rb')
        case.addCleanup(self.file.close)
        self.process = subprocess.Popen(['stdbuf', '-oL', 'mosquitto_sub', '-h', '127.0.0.1', '-p', str(case.port), '-d', *arguments], stdout=self.file, stderr=subprocess.STDOUT,
                                        preexec_fn=broker.die_with_parent)
        case.addCleanup(self.end)
        if ready:
            eventually(lambda: 'Subscribed (mid' in self.text(), what='SUBACK for mosquitto_sub')

    def text(self):
        with open(self.file.name, errors='replace') as f:
            return f.read()

    def lines(self):
        """What was printed apart from -d's own lines."""
        return [line for line in self.text().splitlines() if not re.match(r'Client \S+ (sending|received)|Subscribed \(mid|Connection error', line)]

    def wait(self):
        """Until it ended by itself (-C); its exit code must be 0."""
        code = self.process.wait(timeout=RUN_S)
        assert code == 0, f'mosquitto_sub ended with {code}:\n{self.text()}'
        return self.lines()

    def end(self):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(timeout=RUN_S)


class MosquittoCase(BrokerCase):
    options = ('sys_interval 1', 'max_packet_size 3000000')

    def pub(self, *arguments, expect=0, data=None):
        done = subprocess.run(['mosquitto_pub', '-h', '127.0.0.1', '-p', str(self.port), *arguments], timeout=RUN_S, input=data, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.assertEqual(done.returncode, expect, done.stdout)
        return done.stdout.decode()

    def sub(self, *arguments, ready=True):
        return Listener(self, arguments, ready)

    def sub_once(self, *arguments):
        """mosquitto_sub that ends by itself within 5 s; its lines."""
        done = subprocess.run(['mosquitto_sub', '-h', '127.0.0.1', '-p', str(self.port), '-W', '5', *arguments], timeout=RUN_S, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        return done.stdout.splitlines()


class Messages(MosquittoCase):
    def test_every_version_reaches_every_version_at_every_qos(self):
        """[MQTT-3.8.4-8]: 9 listeners, 9 publishers"""
        listeners = {(v, q): self.sub('-V', v, '-q', str(q), '-t', self.topic('#'), '-F', '%q %t %p') for v in VERSIONS for q in (0, 1, 2)}
        for v in VERSIONS:
            for q in (0, 1, 2):
                self.pub('-V', v, '-q', str(q), '-t', self.topic(v, q), '-m', f'from {v}')
        for (_, granted), listener in listeners.items():
            expected = {f'{min(q, granted)} {self.topic(v, q)} from {v}' for v in VERSIONS for q in (0, 1, 2)}
            eventually(lambda: len(listener.lines()) >= 9, what='9 messages')
            self.assertEqual(set(listener.lines()), expected)
            self.assertEqual(len(listener.lines()), 9)

    def test_one_megabyte_file_arrives_whole(self):
        with tempfile.NamedTemporaryFile() as f:
            payload = os.urandom(1_000_000)
            f.write(payload)
            f.flush()
            for version in VERSIONS:
                listener = self.sub('-V', version, '-q', '1', '-t', self.topic(version), '-C', '1', '-F', '%x')
                self.pub('-V', version, '-q', '1', '-t', self.topic(version), '-f', f.name)
                self.assertEqual(listener.wait(), [payload.hex()])

    def test_lines_from_stdin_keep_their_order(self):
        """[MQTT-4.6.0-6]: mosquitto_pub -l pipelines"""
        for qos in ('0', '1', '2'):
            listener = self.sub('-q', qos, '-t', self.topic(qos), '-C', '1000')
            self.pub('-q', qos, '-t', self.topic(qos), '-l', data=''.join(f'{n}\n' for n in range(1000)).encode())
            self.assertEqual(listener.wait(), [str(n) for n in range(1000)])

    def test_properties_are_shown_in_order(self):
        """[MQTT-3.3.2-16], [MQTT-3.3.2-18], [MQTT-3.3.2-20]"""
        listener = self.sub('-V', 'mqttv5', '-t', self.topic(), '-C', '1', '-F', '%C|%D|%R|%F|%P|%E')
        self.pub('-V', 'mqttv5', '-t', self.topic(), '-m', 'x', '-D', 'publish', 'content-type', 'text/html', '-D', 'publish', 'correlation-data', 'c0rr',
                 '-D', 'publish', 'response-topic', 'answer', '-D', 'publish', 'payload-format-indicator', '1', '-D', 'publish', 'message-expiry-interval', '100',
                 '-D', 'publish', 'user-property', 'z', '1', '-D', 'publish', 'user-property', 'a', '2')
        line = listener.wait()[0]
        self.assertRegex(line, r'^text/html\|c0rr\|answer\|1\|z:1 a:2\|(100|99)$')

    def test_topic_alias_of_a_publisher(self):
        """[MQTT-3.3.2-11]: mosquitto_pub -l with an alias sends the topic once"""
        listener = self.sub('-t', self.topic(), '-C', '3')
        self.pub('-V', 'mqttv5', '-t', self.topic(), '-D', 'publish', 'topic-alias', '1', '-l', data=b'a\nb\nc\n')
        self.assertEqual(listener.wait(), ['a', 'b', 'c'])

    def test_unsubscribe_option_leaves_out_a_filter(self):
        listener = self.sub('-t', self.topic('+'), '-t', self.topic('gone'), '-U', self.topic('gone'))
        self.pub('-t', self.topic('x'), '-m', 'x')
        eventually(listener.lines)
        self.assertEqual(listener.lines(), ['x'])


class Retained(MosquittoCase):
    def test_retained_is_kept_found_and_cleared(self):
        """[MQTT-3.3.1-5], [MQTT-3.3.1-6]"""
        for v in VERSIONS:
            self.pub('-V', v, '-t', self.topic(v), '-m', v, '-r', '-q', '1')
        self.assertEqual(sorted(self.sub_once('-t', self.topic('+'), '-C', '3', '-F', '%r %p')), sorted(f'1 {v}' for v in VERSIONS))
        self.assertEqual(self.sub_once('-t', self.topic('mqttv5'), '-C', '1'), ['mqttv5'])
        for v in VERSIONS:  # one by one: with a wildcard its own clearing messages may come between the retained ones, and end it
            self.sub_once('-t', self.topic(v), '--remove-retained', '--retained-only', '-C', '1')
        fresh = self.sub('-t', self.topic('#'))
        self.pub('-t', self.topic('end'), '-m', 'end')
        eventually(fresh.lines)
        self.assertEqual(fresh.lines(), ['end'])

    def test_retain_as_published_option(self):
        """[MQTT-3.3.1-13]"""
        listener = self.sub('-V', 'mqttv5', '--retain-as-published', '-t', self.topic(), '-C', '1', '-F', '%r')
        self.pub('-t', self.topic(), '-m', 'x', '-r')
        self.assertEqual(listener.wait(), ['1'])

    def test_stale_messages_are_told_from_fresh_ones(self):
        """[MQTT-3.3.1-8], [MQTT-3.3.1-12]: mosquitto_sub -R leaves out what carries RETAIN"""
        self.pub('-t', self.topic(), '-m', 'kept', '-r', '-q', '1')
        listener = self.sub('-R', '-t', self.topic(), '-C', '1')
        self.pub('-t', self.topic(), '-m', 'new', '-q', '1', '-r')
        self.assertEqual(listener.wait(), ['new'])


class Sessions(MosquittoCase):
    def test_persistent_session_queues(self):
        """[MQTT-3.1.2-5], [MQTT-3.1.2-23]"""
        for version in VERSIONS:
            name = self.new_id('s')
            arguments = ['-V', version, '-i', name, '-c', '-q', '2', '-t', self.topic(version)] + (['-x', '60'] if version == 'mqttv5' else [])
            self.sub_once(*arguments, '-E')
            for n in range(5):
                self.pub('-t', self.topic(version), '-m', str(n), '-q', '2')
            self.assertEqual(self.sub_once(*arguments, '-C', '5'), ['0', '1', '2', '3', '4'])

    def test_killed_client_leaves_its_will(self):
        """[MQTT-3.1.2-8], with properties"""
        watcher = self.sub('-V', 'mqttv5', '-t', self.topic(), '-C', '1', '-F', '%p %C %P')
        dying = self.sub('-V', 'mqttv5', '-t', self.topic('other'), '--will-topic', self.topic(), '--will-payload', 'gone',
                         '-D', 'will', 'content-type', 'text', '-D', 'will', 'user-property', 'k', 'v')
        dying.process.kill()
        dying.process.wait()
        self.assertEqual(watcher.wait(), ['gone text k:v'])

    def test_ended_client_leaves_no_will(self):
        """[MQTT-3.1.2-10]: mosquitto_sub says DISCONNECT at SIGTERM"""
        watcher = self.sub('-t', self.topic())
        self.sub('-t', self.topic('other'), '--will-topic', self.topic(), '--will-payload', 'gone').end()
        self.pub('-t', self.topic(), '-m', 'end')
        eventually(watcher.lines)
        self.assertEqual(watcher.lines(), ['end'])

    def test_will_of_a_publisher_whose_connection_breaks(self):
        watcher = self.sub('-t', self.topic('#'), '-q', '1')
        publisher = subprocess.Popen(['mosquitto_pub', '-h', '127.0.0.1', '-p', str(self.port), '-t', self.topic('alive'), '-l', '--will-topic', self.topic('will'), '--will-payload', 'w', '--will-qos', '1', '--will-retain'],
                                     stdin=subprocess.PIPE, preexec_fn=broker.die_with_parent)
        publisher.stdin.write(b'alive\n')
        publisher.stdin.flush()
        eventually(lambda: watcher.lines() == ['alive'])
        publisher.kill()
        publisher.wait()
        publisher.stdin.close()
        eventually(lambda: watcher.lines() == ['alive', 'w'])
        self.assertEqual(self.sub_once('-t', self.topic('will'), '-C', '1', '-F', '%r %p'), ['1 w'])


class Shared(MosquittoCase):
    def test_group_of_four_shares_evenly(self):
        """4.8.2: each message once; nobody gets less than half of the fair part"""
        members = [self.sub('-V', 'mqttv5', '-q', '1', '-t', f'$share/g/{self.topic()}') for _ in range(4)]
        self.pub('-q', '1', '-t', self.topic(), '-l', data=''.join(f'{n}\n' for n in range(400)).encode())
        eventually(lambda: sum(len(m.lines()) for m in members) >= 400)
        time.sleep(0.1)
        got = [m.lines() for m in members]
        self.assertEqual(sorted(int(n) for part in got for n in part), list(range(400)))
        self.assertGreaterEqual(min(map(len, got)), 50, [len(part) for part in got])


class RequestResponse(MosquittoCase):
    def test_mosquitto_rr_gets_its_answer(self):
        """4.10; [MQTT-3.3.2-15], [MQTT-3.3.2-16]: a responder made of mosquitto_sub and mosquitto_pub"""
        responder = self.sub('-V', 'mqttv5', '-t', self.topic('request'), '-C', '1', '-F', '%R|%D|%p')
        asking = subprocess.Popen(['mosquitto_rr', '-V', 'mqttv5', '-h', '127.0.0.1', '-p', str(self.port), '-t', self.topic('request'), '-e', self.topic('answer'), '-m', 'how much?',
                                   '-D', 'publish', 'correlation-data', 'nr7', '-W', '10'], stdout=subprocess.PIPE, text=True, preexec_fn=broker.die_with_parent)
        response_topic, correlation, payload = responder.wait()[0].split('|')
        self.assertEqual((response_topic, correlation, payload), (self.topic('answer'), 'nr7', 'how much?'))
        self.pub('-V', 'mqttv5', '-t', response_topic, '-m', '42', '-D', 'publish', 'correlation-data', correlation)
        out, _ = asking.communicate(timeout=RUN_S)
        self.assertEqual((asking.returncode, out.strip()), (0, '42'))


class Sys(MosquittoCase):
    def test_sys_tree_tells_version_uptime_clients_messages_and_loads(self):
        """mosquitto.conf(5) and mosquitto(8): names that dashboards for Mosquitto read; values have its form"""
        watcher = self.sub('-t', self.topic('x'))
        self.pub('-t', self.topic('x'), '-m', 'x')

        def tree():
            return dict(line.split(' ', 1) for line in self.sub_once('-v', '-t', '$SYS/#', '-W', '1') if ' ' in line)
        wanted = ['version', 'uptime', 'clients/total', 'clients/connected', 'clients/disconnected', 'clients/maximum', 'messages/received', 'messages/sent',
                  'publish/messages/received', 'publish/messages/sent', 'bytes/received', 'bytes/sent', 'subscriptions/count', 'retained messages/count',
                  'load/messages/received/1min', 'load/messages/sent/5min', 'load/publish/received/15min', 'load/connections/1min', 'load/sockets/1min', 'load/bytes/sent/1min']
        got = {}

        def complete():
            got.update(self.parse(self.sub_once('-F', '%t|%p', '-t', '$SYS/#', '-W', '1')))
            return all(f'$SYS/broker/{name}' in got for name in wanted) and int(got['$SYS/broker/clients/connected']) >= 2
        try:
            eventually(complete, 6)
        except AssertionError:
            self.fail(f'missing under $SYS/broker: {[name for name in wanted if f"$SYS/broker/{name}" not in got]}; there is {sorted(got)}')
        value = {name: got[f'$SYS/broker/{name}'] for name in wanted}
        self.assertRegex(value['version'], r'\S')
        self.assertRegex(value['uptime'], r'^\d+ seconds$')
        for name in wanted[2:14]:
            self.assertRegex(value[name], r'^\d+$', name)
        for name in wanted[14:]:
            self.assertRegex(value[name], r'^\d+\.\d\d$', name)
        self.assertGreaterEqual(int(value['messages/received']), 4)
        self.assertGreater(int(value['bytes/received']), 40)
        watcher.end()

    @staticmethod
    def parse(lines):
        return dict(line.split('|', 1) for line in lines if '|' in line)

    def test_clients_connected_counts_up_and_down(self):
        def connected():
            return int(self.sub_once('-t', '$SYS/broker/clients/connected', '-C', '1')[0])
        listeners = [self.sub('-t', self.topic()) for _ in range(5)]
        eventually(lambda: connected() >= 5, what='5 clients counted')
        for listener in listeners:
            listener.end()
        eventually(lambda: connected() <= 2, what='they are gone')

    def test_sys_is_not_part_of_hash(self):
        """[MQTT-4.7.2-1]"""
        listener = self.sub('-v', '-t', '#', '-t', '+/broker/version')
        time.sleep(1.2)
        self.pub('-t', self.topic(), '-m', 'end')
        eventually(listener.lines)
        self.assertEqual([line for line in listener.lines() if line.startswith('$')], [])

    def test_clients_cannot_publish_into_sys(self):
        """4.7.2, non-normative: $ topics are the server's; a write changes nothing"""
        before = self.sub_once('-t', '$SYS/broker/version', '-C', '1')
        subprocess.run(['mosquitto_pub', '-h', '127.0.0.1', '-p', str(self.port), '-t', '$SYS/broker/version', '-m', 'forged', '-r', '-q', '1'], timeout=RUN_S, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.assertEqual(self.sub_once('-t', '$SYS/broker/version', '-C', '1'), before)


if __name__ == '__main__':
    broker.main()
