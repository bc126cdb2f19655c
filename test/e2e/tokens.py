"""tokens: JSON Web Tokens made by hand: hmac for HS256, the openssl program for RS256 and ES256."""
import base64
import hashlib
import hmac
import json
import pathlib
import subprocess


def base64url(octets):
    return base64.urlsafe_b64encode(octets).rstrip(b'=').decode()


def signed_text(header, payload):
    return '.'.join(base64url(json.dumps(part, separators=(',', ':')).encode()) for part in (header, payload))


def hs256(secret, payload, **header):
    text = signed_text({'alg': 'HS256', 'typ': 'JWT', **header}, payload)
    return f'{text}.{base64url(hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest())}'


def openssl(*arguments, data=None):
    return subprocess.run(['openssl', *arguments], input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=True).stdout


def raw_ecdsa(der):
    """r and s of a DER signature, 32 bytes each: SEQUENCE { INTEGER r, INTEGER s }."""
    at, numbers = 2, []
    for _ in range(2):
        size = der[at + 1]
        numbers.append(int.from_bytes(der[at + 2:at + 2 + size], 'big'))
        at += 2 + size
    return b''.join(number.to_bytes(32, 'big') for number in numbers)


class KeyPair:
    """A private key in a file, and its public part."""

    def __init__(self, directory, algorithm):
        self.algorithm = algorithm
        self.private = pathlib.Path(directory) / f'{algorithm}.key'
        kind = ['-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048'] if algorithm == 'RS256' else ['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256']
        openssl('genpkey', *kind, '-out', str(self.private))
        self.public = openssl('pkey', '-in', str(self.private), '-pubout').decode()

    def token(self, payload, **header):
        text = signed_text({'alg': self.algorithm, **header}, payload)
        signature = openssl('dgst', '-sha256', '-sign', str(self.private), data=text.encode())
        return f'{text}.{base64url(raw_ecdsa(signature) if self.algorithm == "ES256" else signature)}'
