#!/usr/bin/python3
"""JSON Web Tokens as passwords, end to end: tokens that nobody here verified before, through mosquitto_pub, paho and by hand."""
import pathlib
import shutil
import subprocess
import tempfile
import time
import unittest

import paho.mqtt.client as paho

import broker
import tokens
from broker import PATIENCE, eventually
from wire import WireCase

SECRET = '0123456789abcdef0123456789abcdef'
BAD_USER_NAME_OR_PASSWORD, NOT_AUTHORIZED, MAXIMUM_CONNECT_TIME = 0x86, 0x87, 0xA0


def setUpModule():
    global FILES, RSA, EC
    FILES = pathlib.Path(tempfile.mkdtemp(prefix='tidewire-jwt-'))
    RSA, EC = tokens.KeyPair(FILES, 'RS256'), tokens.KeyPair(FILES, 'ES256')
    (FILES / 'keys.pem').write_text(f'kid: rsa\n{RSA.public}kid: ec\n{EC.public}')
    (FILES / 'secrets').write_text(f'# the fleet\nfleet {SECRET}\n')


def tearDownModule():
    shutil.rmtree(FILES)


def soon(seconds=60):
    return int(time.time()) + seconds


class JwtCase(WireCase):
    @classmethod
    def setUpClass(cls):
        cls.options = ('allow_anonymous false', f'jwt_key_file {FILES / "keys.pem"}', f'jwt_secret_file {FILES / "secrets"}', 'jwt_leeway 0', 'jwt_issuer issuer',
                       'jwt_audience mqtt')
        super().setUpClass()

    @staticmethod
    def payload(**claims):
        return {'iss': 'issuer', 'aud': ['web', 'mqtt'], 'sub': 'hugo', 'exp': soon(), **claims}


class Verdicts(JwtCase):
    def test_tokens_of_every_kind_let_their_user_in(self):
        for version in (3, 4, 5):
            for token in (tokens.hs256(SECRET, self.payload()), RSA.token(self.payload()), EC.token(self.payload()), RSA.token(self.payload(), kid='rsa')):
                self.connected(version, user='anybody', password=token).ping()

    def test_es256_signatures_with_small_numbers_are_read(self):
        """One in 128 has an r or s of 31 bytes; each is another number."""
        for number in range(30):
            self.connected(password=EC.token(self.payload(jti=number)))

    def test_forged_and_stale_tokens_are_refused(self):
        header, body, signature = RSA.token(self.payload()).split('.')
        other = RSA.token(self.payload(sub='root')).split('.')[1]
        forged = {
            'of nobody': f'{tokens.signed_text({"alg": "none"}, self.payload())}.',
            'another payload': f'{header}.{other}.{signature}',
            'a public key taken for a secret': tokens.hs256(RSA.public, self.payload()),
            'another secret': tokens.hs256(SECRET[::-1], self.payload()),
            'a kid of another key': EC.token(self.payload(), kid='rsa'),
            'expired': RSA.token(self.payload(exp=soon(-1))),
            'without expiry': RSA.token({'iss': 'issuer', 'aud': 'mqtt', 'sub': 'hugo'}),
            'not valid yet': RSA.token(self.payload(nbf=soon())),
            'of another issuer': RSA.token(self.payload(iss='other')),
            'for another audience': RSA.token(self.payload(aud='web')),
            'padded': RSA.token(self.payload()) + '=',
        }
        for what, token in forged.items():
            with self.subTest(what):
                self.client().connect(f'forged-{len(what)}', expect=BAD_USER_NAME_OR_PASSWORD, user='hugo', password=token)

    def test_without_a_token_nobody_is_let_in(self):
        self.client().connect('nobody', expect=NOT_AUTHORIZED)
        self.client().connect('nobody', expect=NOT_AUTHORIZED, user='hugo', password='hugo')

    def test_mosquitto_pub_brings_a_token(self):
        listener = self.connected(password=EC.token(self.payload()))
        listener.subscribe((self.topic(), 0))
        for token, code in ((RSA.token(self.payload()), 0), (RSA.token(self.payload(exp=soon(-5))), 4)):
            done = subprocess.run(['mosquitto_pub', '-h', '127.0.0.1', '-p', str(self.port), '-V', 'mqttv311', '-t', self.topic(), '-m', 'hello', '-u', 'x', '-P', token],
                                  timeout=15 * PATIENCE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            self.assertEqual(done.returncode, code, done.stdout)
        listener.expect_publish(self.topic(), 'hello')
        listener.expect_nothing()

    def test_paho_brings_a_token(self):
        codes = []
        client = paho.Client('paho', protocol=paho.MQTTv5)
        client.on_connect = lambda *arguments: codes.append(arguments[3].value)
        client.username_pw_set('x', RSA.token(self.payload()))
        client.connect('127.0.0.1', self.port)
        client.loop_start()
        try:
            eventually(lambda: codes, what='CONNACK for paho')
        finally:
            client.disconnect()
            client.loop_stop()
        self.assertEqual(codes, [0])


class Ends(JwtCase):
    def test_an_expired_token_ends_its_connection(self):
        start = time.monotonic()
        five = self.connected(password=EC.token(self.payload(exp=soon(3))))
        four = self.connected(4, user='x', password=tokens.hs256(SECRET, self.payload(exp=soon(3))))
        five.ping()
        five.expect_closed(6 * PATIENCE, reason=MAXIMUM_CONNECT_TIME)
        four.expect_closed(6 * PATIENCE)
        self.assertGreater(time.monotonic() - start, 1.5)

    def test_keys_are_read_again(self):
        client = self.connected(password=tokens.hs256(SECRET, self.payload()))
        (FILES / 'secrets').write_text('short\n')
        self.assertFalse(self.broker.reload())
        self.assertIn(f'{FILES / "secrets"}:1: a secret of 5 bytes', self.broker.stderr())
        self.connected(password=tokens.hs256(SECRET, self.payload()))
        (FILES / 'secrets').write_text(f'new {SECRET[::-1]}\n')
        self.assertTrue(self.broker.reload())
        self.client().connect('old', expect=BAD_USER_NAME_OR_PASSWORD, password=tokens.hs256(SECRET, self.payload()))
        self.connected(password=tokens.hs256(SECRET[::-1], self.payload()))
        client.ping()
        (FILES / 'secrets').write_text(f'fleet {SECRET}\n')
        self.assertTrue(self.broker.reload())


class Files(unittest.TestCase):
    def refused(self, option, text, words):
        with tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory) / 'file'
            path.write_text(text)
            config = pathlib.Path(directory) / 'broker.conf'
            config.write_text(f'{option} {path}\n')
            for more, code in (([], 1), (['--test-config'], 3)):
                done = broker.run_once(['-c', str(config), *more])
                self.assertEqual(done.returncode, code, done.stdout)
                self.assertIn(f'{path}:{words}', done.stdout)

    def test_files_that_are_no_good_are_refused_at_the_start_and_by_test_config(self):
        self.refused('jwt_secret_file', '\nsecret\n', '2: a secret of 6 bytes; HS256 takes 32 and more')
        self.refused('jwt_key_file', tokens.openssl('genpkey', '-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048').decode(), '1: a private key')
        self.refused('jwt_key_file', 'hello\n', ' holds no public key')


if __name__ == '__main__':
    unittest.main()
