#!/usr/bin/python3
"""Access lists: what an operator types, and the same answers as Debian's mosquitto for the same file.

The comparison runs both brokers on one ACL file, asks both the same questions over MQTT, and wants the same answers: may this client publish to this topic
(the reason in PUBACK), and is it given this message (what arrives at a subscription to everything).
"""
import random
import signal
import subprocess
import time
import unittest

import broker
from broker import Broker, PATIENCE, eventually
from mosquitto_clients_test import Listener, RUN_S
from wire import Client, PUBACK, PUBLISH, SESSION_EXPIRY, SUBACK, Silence, publish_bytes, subscribe_bytes

MOSQUITTO = '/usr/sbin/mosquitto'
NOT_AUTHORIZED = 0x87


class Mosquitto(Broker):
    """Debian's mosquitto on the same terms."""

    def config_text(self):
        lines = [f'listener {self.port} 127.0.0.1', 'allow_anonymous true', 'log_dest stderr', 'user root', 'set_tcp_nodelay true', *self.options]
        return '\n'.join(lines) + '\n'

    def spawn(self, arguments):
        with open(self.stderr_path, 'ab') as log:
            self.process = subprocess.Popen([MOSQUITTO, *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.directory,
                                            preexec_fn=broker.die_with_parent)


# ------------------------------------------------------------------------------------------------------------- the same as mosquitto

LEVELS = ('a', 'b', 'ann', 'dev', 'dev-c1', 'x')
TOPICS = ['a', 'b', 'a/b', 'a/', '/a', 'a/ann', 'a/c1', 'b/ann/c1', 'a/b/x', 'a//b', 'dev/c1', 'dev/ann', 'dev-c1', 'dev-c1/x', 'x/dev-c1', '$x', '$x/a', '$x/c1', '$x/a/b',
          'ann', 'c1', 'bob/c2', 'c2/bob', 'a/%c', '%u', 'a/b/x/dev']
# Client identifier and user name (None: anonymous). No '/' and no empty name: there Tidewire is stricter than 2.0, see the header of engine/access/acl.h.
SUBJECTS = [('c0', None), ('c1', 'ann'), ('c2', 'bob'), ('ann', 'c1'), ('c+', 'ann'), ('c3', '#x'), ('a', 'nobody'), ('+', None), ('dev', 'b'), ('b', None)]
ROOT = 'user root\ntopic readwrite #\ntopic readwrite $x/#\n'

HANDWRITTEN = {
    'empty': '',
    'anonymous and users': 'topic read a/#\ntopic deny a/b\nuser ann\ntopic a\ntopic write b\nuser bob\ntopic readwrite +/+\nuser ann\ntopic read dev/+\n',
    'patterns': 'pattern readwrite a/%c\npattern read dev/%u\npattern write %u/%c\npattern deny b/%u/#\npattern b/#\n',
    'inside levels': 'pattern dev-%c/#\npattern readwrite x/dev-%c\npattern a/%c%u\n',
    'denials late': 'user ann\ntopic readwrite #\ntopic deny a/+\nuser bob\ntopic #\npattern deny dev/#\npattern #\n',
    'dollar': 'topic #\ntopic readwrite $x/+\nuser ann\ntopic #\npattern read $x/%c\npattern %c\npattern +/%c\n',
    'topic lines are plain': 'topic a/%c\ntopic %u\nuser ann\ntopic readwrite a/%c\n',
    'blanks': '# comment\r\n\r\n  topic   read   a  \r\nuser   ann  \ntopic write\ntopic read a/b \n',
}


def random_list(numbers):
    lines = []
    for _ in range(numbers.randrange(30)):
        kind = numbers.random()
        if kind < 0.15:
            lines.append(f'user {numbers.choice(("ann", "bob", "c1", "#x", "b"))}')
            continue
        word = 'pattern' if kind < 0.5 else 'topic'
        levels = [numbers.choice(LEVELS + ('+',) + (('%c', '%u', 'dev-%c', '%u%c') if word == 'pattern' else ('',))) for _ in range(numbers.randrange(1, 4))]
        if numbers.random() < 0.3:
            levels[-1] = '#'
        if numbers.random() < 0.15:
            levels[0] = '$x'
        if levels[0].startswith('%') or levels == ['']:
            levels[0] = 'a'  # Mosquitto lets a client name its way into $-topics with a variable in front
        lines.append(f'{word} {numbers.choice(("read ", "write ", "readwrite ", "deny ", ""))}{"/".join(levels)}')
    return '\n'.join(lines) + '\n'


def answers(port):
    """What a broker says to every question: {(client identifier, user, 'write' or 'read', topic)} that are granted."""
    granted, clients = set(), {}
    for subject in SUBJECTS:
        c = clients[subject] = Client(port)
        c.connect(subject[0], user=subject[1])
        subscribe_anyhow(c)
    for subject, c in clients.items():
        granted |= {(*subject, 'write', topic) for topic in TOPICS if may_publish(c, topic)}
    root = Client(port)
    root.connect('root', user='root')
    for topic in TOPICS:
        assert may_publish(root, topic, b'read'), topic
    time.sleep(0.3 * PATIENCE)
    for subject, c in clients.items():
        granted |= {(*subject, 'read', topic) for topic in heard(c)}
        c.socket.close()
    root.socket.close()
    return granted


def subscribe_anyhow(c, qos=0):
    """To everything; a broker may refuse what could never bring a message."""
    for filter_ in ('#', '$x/#'):
        packet_id = c.new_packet_id()
        c.send(subscribe_bytes(5, packet_id, [(filter_, qos)]))
        c.expect_answer(SUBACK, packet_id)


def may_publish(c, topic, payload=b'write'):
    packet_id = c.new_packet_id()
    c.send(publish_bytes(5, topic, payload, 1, False, False, packet_id))
    return c.expect_answer(PUBACK, packet_id).reason != NOT_AUTHORIZED


def heard(c):
    topics = []
    try:
        while True:
            got = c.receive(0.05)
            assert got.kind == PUBLISH, got
            if got.payload == b'read':
                topics.append(got.topic)
    except Silence:
        pass
    assert len(topics) == len(set(topics)), f'a message came twice: {topics}'
    return topics


class SameAsMosquitto(unittest.TestCase):
    def compare(self, text):
        text = text + ROOT
        said = []
        for kind in (Broker, Mosquitto):
            one = kind()
            list_path = one.directory / 'acl'
            list_path.write_bytes(text.encode())
            list_path.chmod(0o644)
            one.options = [f'acl_file {list_path}']
            one.start()
            try:
                said.append(answers(one.port))
            finally:
                one.stop()
        ours, theirs = said
        self.assertEqual(ours ^ theirs, set(), f'only Tidewire grants {sorted(map(str, ours - theirs))}, only Mosquitto {sorted(map(str, theirs - ours))}:\n{text}')
        return len(ours)

    def test_handwritten_lists(self):
        for name, text in HANDWRITTEN.items():
            with self.subTest(name):
                self.assertEqual(self.compare(text) > 0, name != 'empty')

    def test_random_lists(self):
        numbers = random.Random(4)
        granted = 0
        for round_ in range(5):
            with self.subTest(round_):
                granted += self.compare(random_list(numbers))
        self.assertGreater(granted, 100)


# ------------------------------------------------------------------------------------------------------------- what an operator types

class Operator(unittest.TestCase):
    def setUp(self):
        self.broker = Broker()
        self.list_path = self.broker.directory / 'acl'
        self.broker.options = [f'acl_file {self.list_path}']
        self.addCleanup(self.broker.kill)

    def start(self, text):
        self.list_path.write_text(text)
        self.broker.start()
        self.addCleanup(lambda: self.broker.stop() if self.broker.alive() else None)

    @property
    def port(self):
        return self.broker.port

    def pub(self, *arguments):
        return subprocess.run(['mosquitto_pub', '-h', '127.0.0.1', '-p', str(self.port), '-V', 'mqttv5', '-d', '-q', '1', *arguments], timeout=RUN_S, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True).stdout

    def reload(self, text):
        reloads = self.broker.stderr().count('reloaded')
        self.list_path.write_text(text)
        self.broker.signal(signal.SIGHUP)
        eventually(lambda: self.broker.stderr().count('reloaded') > reloads, what='an answer to SIGHUP')

    def test_mosquitto_clients_keep_to_the_list(self):
        self.start('topic read news/#\nuser ann\ntopic readwrite news/#\npattern readwrite inbox/%u\n')
        reader = Listener(self, ['-t', 'news/#', '-v'])
        inbox = Listener(self, ['-t', 'inbox/ann', '-u', 'ann', '-v'])
        self.assertIn('Not authorized', self.pub('-t', 'news/a', '-m', 'forged'))
        self.assertIn('Not authorized', self.pub('-t', 'inbox/ann', '-m', 'forged', '-u', 'bob'))
        self.assertNotIn('Not authorized', self.pub('-t', 'news/a', '-m', 'true', '-u', 'ann'))
        self.assertNotIn('Not authorized', self.pub('-t', 'inbox/ann', '-m', 'note', '-u', 'ann'))
        eventually(lambda: reader.lines() and inbox.lines(), what='the messages')
        self.assertEqual((reader.lines(), inbox.lines()), (['news/a true'], ['inbox/ann note']))
        refused = Listener(self, ['-V', 'mqttv5', '-t', 'inbox/#'], ready=False)
        eventually(lambda: 'All subscription requests were denied' in refused.text(), what='a refused subscription')

    def test_a_reload_counts_at_once(self):
        self.start('topic a\n')
        reader = Listener(self, ['-t', '#', '-v'])
        self.assertNotIn('Not authorized', self.pub('-t', 'a', '-m', '1'))
        self.reload('topic write #\ntopic read b\n')
        self.pub('-t', 'a', '-m', '2')
        self.pub('-t', 'b', '-m', '3')
        eventually(lambda: len(reader.lines()) >= 2, what='two messages')
        self.assertEqual(reader.lines(), ['a 1', 'b 3'])

    def test_a_broken_list_keeps_the_old_one(self):
        self.start('topic a\n')
        self.reload('topic #\nnonsense\n')
        self.assertIn(f"{self.list_path}:2: 'nonsense' is not topic, pattern or user", self.broker.stderr())
        self.assertNotIn('Not authorized', self.pub('-t', 'a', '-m', '1'))
        self.assertIn('Not authorized', self.pub('-t', 'b', '-m', '2'))
        self.list_path.unlink()
        self.broker.signal(signal.SIGHUP)
        eventually(lambda: 'No such file' in self.broker.stderr(), what='a word about the missing file')
        self.assertIn('Not authorized', self.pub('-t', 'b', '-m', '3'))

    def test_nothing_starts_with_a_list_that_is_missing_or_wrong(self):
        for text, complaint in ((None, 'No such file or directory'), ('topic a\nuser\n', ':2: a user name is missing')):
            if text is not None:
                self.list_path.write_text(text)
            self.broker.port = broker.free_port()
            self.broker.write_config()
            for look in ([], ['--test-config']):
                done = broker.run_once(['-c', str(self.broker.config_path), *look])
                self.assertNotEqual(done.returncode, 0)
                self.assertIn(str(self.list_path), done.stdout)
                self.assertIn(complaint, done.stdout)


class TwoDoors(Broker):
    """One listener with a list, and one without."""

    def config_text(self):
        self.open_port = self.open_port or broker.free_port()
        return '\n'.join(['per_listener_settings true', 'shards 2', 'log_dest stderr', 'user root', f'listener {self.port} 127.0.0.1', 'allow_anonymous true',
                          f'acl_file {self.directory / "acl"}', f'listener {self.open_port} 127.0.0.1', 'allow_anonymous true']) + '\n'

    open_port = None


class PerListener(unittest.TestCase):
    def test_each_listener_has_its_own_list(self):
        one = TwoDoors()
        (one.directory / 'acl').write_text('topic read a\n')
        one.start()
        self.addCleanup(one.kill)
        limited, free = Client(one.port), Client(one.open_port)
        limited.connect('limited', clean=True, properties=[(SESSION_EXPIRY, 1000)])
        free.connect('free')
        subscribe_anyhow(limited, qos=1)
        self.assertFalse(may_publish(limited, 'b'))
        limited.socket.close()
        for topic in ('a', 'b'):
            free.publish(topic, topic, qos=1)  # it is away, and its listener's list counts all the same
        again = Client(one.open_port)
        again.connect('limited', clean=False, properties=[(SESSION_EXPIRY, 0)])
        again.expect_publish('a', 'a')
        free.publish('b', 'now', qos=1)
        again.expect_publish('b', 'now')  # it came through the other door now
        again.socket.close()
        free.socket.close()
        one.stop()


if __name__ == '__main__':
    broker.main()
