#!/usr/bin/python3
"""HTTP hooks, end to end: a small server that decides, is slow, fails, babbles and sends elsewhere."""
import subprocess
import time
import unittest

import broker
from broker import PATIENCE, eventually, free_port
from hook_server import HookServer
from wire import CONNACK, PINGRESP, PUBACK, WireCase, connect_bytes, publish_bytes

ALLOW, DENY = (200, {'result': 'allow'}), (200, {'result': 'deny'})
NOT_AUTHORIZED, SERVER_UNAVAILABLE, MAXIMUM_CONNECT_TIME = 0x87, 0x88, 0xA0


class HookCase(WireCase):
    more_options = ()
    environment = {'http_proxy': 'http://127.0.0.1:9', 'HTTP_PROXY': 'http://127.0.0.1:9', 'ALL_PROXY': 'http://127.0.0.1:9'}  # not to be used

    @classmethod
    def setUpClass(cls):
        cls.server = HookServer(lambda question: ALLOW)
        cls.addClassCleanup(cls.server.stop)
        cls.options = ('allow_anonymous false', f'http_auth_url {cls.server.url("auth")}', f'http_acl_url {cls.server.url("acl?x=1")}', 'http_header X-Key: s3cret',
                       'http_timeout_ms 1000', 'http_cache_seconds 30', 'http_cache_deny_seconds 0', *cls.more_options)
        cls.broker = broker.Broker(cls.options, environment=cls.environment).start()

    def setUp(self):
        super().setUp()
        self.server.decide = lambda question: ALLOW
        self.server.questions.clear()

    def asked(self, action):
        return [question for _, question, _ in self.server.questions if question['action'] == action]


class Logins(HookCase):
    def test_the_question_says_who_it_is(self):
        client = self.connected(client_id='dev"ice', user='änne', password='sec\\ret')
        path, question, headers = self.server.questions[0]
        port = client.socket.getsockname()[1]
        self.assertEqual((path, headers['X-Key'], headers['Content-Type']), ('/auth', 's3cret', 'application/json'))
        self.assertEqual(question, {'action': 'connect', 'clientid': 'dev"ice', 'username': 'änne', 'password': 'sec\\ret', 'peerhost': '127.0.0.1', 'peerport': port,
                                    'listener': self.port, 'protocol': 5})

    def test_allow_and_deny_in_every_form(self):
        answers = {'204': ((204, ''), 0), 'allow': (ALLOW, 0), 'deny': (DENY, NOT_AUTHORIZED), '401': ((401, ''), NOT_AUTHORIZED), '403': ((403, 'no'), NOT_AUTHORIZED),
                   'ignore': ((200, {'result': 'ignore'}), NOT_AUTHORIZED)}
        self.server.decide = lambda question: answers[question['username']][0]
        for name, (_, code) in answers.items():
            with self.subTest(name):
                self.client().connect(f'c-{name}', expect=code, user=name, password='x')

    def test_whatever_fails_lets_nobody_in(self):
        answers = {
            'error': (500, ''), 'elsewhere': (302, '', {'Location': self.server.url('other')}), 'moved': (307, '', {'Location': self.server.url('other')}),
            'babble': (200, 'ok'), 'huge': (200, ' ' * 100000 + '{"result":"allow"}'), 'headers': (200, '{"result":"allow"}', {f'X-{n}': 'x' * 1000 for n in range(40)}),
            'slow': 3, 'gone': 'hang up', 'empty': (200, ''), 'other type': (200, {'result': True}),
        }
        self.server.decide = lambda question: answers[question['username']]
        for name in answers:
            with self.subTest(name):
                start = time.monotonic()
                self.client().connect('c', expect=SERVER_UNAVAILABLE, user=name, password='x')
                self.assertLess(time.monotonic() - start, 1.5 + PATIENCE)
        self.assertEqual({path for path, _, _ in self.server.questions}, {'/auth'})

    def test_a_yes_is_remembered_for_the_same_device_until_a_reload(self):
        for _ in range(5):
            self.connected(client_id='again', user='u', password='p').disconnect()
        self.assertEqual(len(self.server.questions), 1)
        self.server.decide = lambda question: DENY
        self.client().connect('again', expect=NOT_AUTHORIZED, user='u', password='other')
        self.connected(client_id='again', user='u', password='p').disconnect()
        self.assertTrue(self.broker.reload())
        self.client().connect('again', expect=NOT_AUTHORIZED, user='u', password='p')
        self.assertEqual(len(self.server.questions), 3)

    def test_others_go_on_while_the_server_is_slow(self):
        self.server.decide = lambda question: 0.6 if question['username'] == 'slow' else ALLOW
        quick = self.connected(user='quick')
        quick.subscribe((self.topic(), 1))
        waiting = self.client()
        waiting.send(connect_bytes(5, 'slow', user='slow'))
        start = time.monotonic()
        for number in range(20):
            quick.publish(self.topic(), f'{number}', qos=1)
            quick.expect_publish(self.topic(), f'{number}')
        self.assertLess(time.monotonic() - start, 0.5 * PATIENCE)
        waiting.expect(CONNACK, reason=0)

    def test_many_logins_at_once_are_all_answered(self):
        self.server.decide = lambda question: 0.02
        clients = [self.client() for _ in range(200)]
        for number, client in enumerate(clients):
            client.send(connect_bytes(5, f'many-{number}', user='u'))
        for client in clients:
            client.expect(CONNACK, reason=0)
        self.assertEqual(len(self.asked('connect')), 200)

    def test_until_a_time(self):
        self.server.decide = lambda question: (200, {'result': 'allow', 'expire_at': int(time.time()) + 2})
        self.connected(user='u').expect_closed(5 * PATIENCE, reason=MAXIMUM_CONNECT_TIME)

    def test_a_binary_password_arrives(self):
        self.connected(user='u', password=b'\xff\x00')
        self.assertEqual(self.asked('connect')[0].get('password_base64'), '/wA=')

    def test_mosquitto_pub(self):
        self.server.decide = lambda question: ALLOW if question.get('password', 'good') == 'good' else DENY
        for password, code in (('good', 0), ('bad', 5)):
            done = subprocess.run(['mosquitto_pub', '-h', '127.0.0.1', '-p', str(self.port), '-t', self.topic(), '-m', 'x', '-q', '1', '-u', 'u', '-P', password],
                                  timeout=15 * PATIENCE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            self.assertEqual(done.returncode, code, done.stdout)


class Topics(HookCase):
    def deny_below(self, level):
        self.server.decide = lambda question: DENY if question.get('topic', '').startswith(level) else ALLOW

    def test_publishing_is_asked_about_once_per_topic(self):
        client = self.connected(user='u')
        client.subscribe((self.topic('#'), 1), expect=[1])
        for number in range(5):
            client.publish(self.topic('a'), f'{number}', qos=1)
            client.expect_publish(self.topic('a'), f'{number}')
        self.assertEqual([question['topic'] for question in self.asked('publish')], [self.topic('a')])
        self.assertEqual([question['topic'] for question in self.asked('subscribe')], [self.topic('#')])
        self.assertEqual(self.asked('publish')[0]['username'], 'u')

    def test_what_is_denied_is_not_delivered(self):
        self.deny_below(self.topic('bad'))
        client = self.connected(user='u')
        client.subscribe((self.topic('#'), 1), expect=[1])
        client.publish(self.topic('bad'), 'x', qos=1, expect=(NOT_AUTHORIZED,))
        client.publish(self.topic('bad'), 'x')
        client.publish(self.topic('good'), 'y', qos=1)
        client.expect_publish(self.topic('good'), 'y')
        client.expect_nothing()

    def test_every_filter_gets_its_code(self):
        self.deny_below(self.topic('bad'))
        client = self.connected(user='u')
        client.subscribe((self.topic('a'), 1), (self.topic('bad', '+'), 1), (self.topic('b'), 0), expect=[1, NOT_AUTHORIZED, 0])

    def test_a_flow_keeps_its_order_through_a_slow_server(self):
        self.server.decide = lambda question: 0.2 if question['action'] == 'publish' else ALLOW
        subscriber, publisher = self.connected(user='s'), self.connected(user='p')
        subscriber.subscribe((self.topic('#'), 0))
        publisher.send(b''.join(publish_bytes(5, self.topic(n % 3), f'{n}', qos=1, packet_id=n + 1) for n in range(30)) + b'\xc0\x00')
        for number in range(30):
            subscriber.expect_publish(self.topic(number % 3), f'{number}')
        for number in range(30):
            publisher.expect(PUBACK, packet_id=number + 1)
        publisher.expect(PINGRESP)

    def test_a_denied_will_keeps_its_client_out(self):
        self.deny_below('denied')
        self.client().connect('w', expect=NOT_AUTHORIZED, user='u', will={'topic': 'denied/will', 'payload': b'x'})
        self.connected(user='u', will={'topic': self.topic(), 'payload': b'x'})


class Dead(unittest.TestCase):
    def test_a_server_that_is_not_there_keeps_everyone_out_and_harms_nobody(self):
        running = broker.Broker(('allow_anonymous false', f'http_auth_url http://127.0.0.1:{free_port()}/')).start()
        self.addCleanup(running.stop)
        case = WireCase('client')
        case.broker = running
        self.addCleanup(case.doCleanups)
        for _ in range(3):
            case.client().connect('c', expect=SERVER_UNAVAILABLE, user='u', password='p')
        eventually(lambda: 'HTTP hook gave no connection' in running.stderr(), what='a warning')
        self.assertNotIn('password', running.stderr().lower())

    def test_https_needs_a_good_certificate(self):
        server = HookServer(lambda question: ALLOW)  # speaks no TLS at all
        self.addCleanup(server.stop)
        running = broker.Broker(('allow_anonymous false', f'http_auth_url https://127.0.0.1:{server.port}/')).start()
        self.addCleanup(running.stop)
        case = WireCase('client')
        case.broker = running
        self.addCleanup(case.doCleanups)
        case.client().connect('c', expect=SERVER_UNAVAILABLE, user='u', password='p')
        self.assertEqual(server.questions, [])


if __name__ == '__main__':
    unittest.main()
