#!/usr/bin/python3
"""Paho C (libpaho-mqtt 1.3) against the broker: runs paho_c_test (synchronous) and paho_c_async_test with the broker's port.

TIDEWIRE_E2E_PAHO_C and TIDEWIRE_E2E_PAHO_C_ASYNC name the programs when the build made them; otherwise they are compiled into build/e2e.
"""
import os
import subprocess
import unittest

import broker
from broker import BUILD, HERE, BrokerCase, PATIENCE, die_with_parent


def program(variable, source, library):
    path = os.environ.get(variable)
    if path:
        return path
    BUILD.mkdir(parents=True, exist_ok=True)
    path = BUILD / source.removesuffix('.c')
    if not path.exists() or path.stat().st_mtime < (HERE / source).stat().st_mtime:
        fresh = f'{path}.{os.getpid()}'
        subprocess.run([os.environ.get('CC', 'cc'), '-std=gnu17', '-O1', '-g', '-Wall', '-Wextra', '-o', fresh, str(HERE / source), f'-l{library}', '-pthread'], check=True)
        os.replace(fresh, path)
    return str(path)


class PahoC(BrokerCase):
    def run_program(self, path):
        done = subprocess.run([path, str(self.port)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=40 * PATIENCE, preexec_fn=die_with_parent)
        self.assertEqual(done.returncode, 0, f'\n{done.stdout[-6000:]}')
        self.assertIn('ok ', done.stdout)

    def test_synchronous_client(self):
        self.run_program(program('TIDEWIRE_E2E_PAHO_C', 'paho_c_test.c', 'paho-mqtt3c'))

    def test_asynchronous_clients(self):
        self.run_program(program('TIDEWIRE_E2E_PAHO_C_ASYNC', 'paho_c_async_test.c', 'paho-mqtt3a'))


if __name__ == '__main__':
    broker.main()
