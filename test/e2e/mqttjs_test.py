#!/usr/bin/python3
"""MQTT.js against the broker: runs mqttjs/*.mjs with node, each given the port; their output says which claims failed.

MQTT.js comes from npm, pinned by mqttjs/package-lock.json, into build/e2e/mqttjs (or TIDEWIRE_E2E_NODE_MODULES). Without node, or without a
network and an installed copy, the tests are skipped, unless TIDEWIRE_E2E_REQUIRE_NODE is set.
"""
import fcntl
import os
import shutil
import subprocess
import unittest

import broker
from broker import BUILD, HERE, BrokerCase, PATIENCE, die_with_parent

SOURCE = HERE / 'mqttjs'
INSTALLED = BUILD / 'mqttjs'


def absent(why):
    if os.environ.get('TIDEWIRE_E2E_REQUIRE_NODE'):
        raise AssertionError(why)
    raise unittest.SkipTest(why)


def install():
    """`npm ci` once per lock file; two runs at a time wait for each other."""
    if not shutil.which('node') or not shutil.which('npm'):
        absent('node and npm are not installed')
    INSTALLED.mkdir(parents=True, exist_ok=True)
    with open(INSTALLED / '.installing', 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = (SOURCE / 'package-lock.json').read_bytes()
        stamp = INSTALLED / '.installed'
        if not stamp.exists() or stamp.read_bytes() != wanted:
            for name in ('package.json', 'package-lock.json'):
                shutil.copy(SOURCE / name, INSTALLED)
            done = subprocess.run(['npm', 'ci', '--ignore-scripts', '--no-audit', '--no-fund'], cwd=INSTALLED, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)
            if done.returncode:
                absent(f'npm ci failed:\n{done.stdout[-2000:]}')
            stamp.write_bytes(wanted)
        for script in SOURCE.glob('*.mjs'):  # beside node_modules, where node looks for them
            shutil.copy(script, INSTALLED)


class MqttJs(BrokerCase):
    @classmethod
    def setUpClass(cls):
        install()
        super().setUpClass()

    def script(self, name, *more, port=None, **environment):
        done = subprocess.run(['node', name, str(port or self.port), *more], env={**os.environ, **environment}, cwd=INSTALLED, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60 * PATIENCE, preexec_fn=die_with_parent)
        self.assertEqual(done.returncode, 0, f'\n{done.stdout}')
        self.assertIn('ok ', done.stdout)

    def test_everyday_use_with_every_version(self):
        self.script('everyday.mjs')

    def test_version_5(self):
        self.script('five.mjs')


if __name__ == '__main__':
    broker.main()
