#!/usr/bin/python3
"""The layers hold: no include points the wrong way, the engine reaches the kernel through engine/io alone, every header compiles alone."""

import os
import re
import subprocess
import tempfile
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Folder or file (the longest match counts) -> what it may include of the project. Order as in the root CMake file.
LAYERS = {
    "codec": ["codec"],
    "alloc": ["alloc", "codec"],
    "router": ["router", "alloc", "codec"],
    "engine": ["engine", "router", "alloc", "codec"],
    "engine/config": ["engine/config", "codec"],
    "engine/log": ["engine/log", "engine/config", "codec"],
    "engine/timer": ["engine/timer"],
    "engine/mesh": ["engine/mesh"],
    "engine/io": ["engine/io"],
    "engine/journal": ["engine/journal", "engine/io", "engine/job", "engine/log", "engine/config", "alloc", "codec"],
    "engine/tls": ["engine/tls", "engine/config", "codec"],
    "bench": ["bench", "codec"],
    "bench/micro": ["bench/micro", "engine", "router", "alloc", "codec"],
    "bench/micro/tls": ["bench/micro", "engine", "codec", "test/support"],  # which has the client
    "bench/millions": ["bench/millions", "engine", "router", "alloc", "codec"],  # has the broker inside
}

LIBC = {
    "assert.h", "ctype.h", "errno.h", "inttypes.h", "limits.h", "stdalign.h", "stdarg.h", "stdatomic.h", "stdbool.h", "stddef.h", "stdint.h", "stdio.h",
    "stdlib.h", "string.h",
}
PURE = {"assert.h", "limits.h", "stdbool.h", "stddef.h", "stdint.h", "string.h"}  # nothing that allocates, prints or remembers
SIMD = {"immintrin.h", "emmintrin.h", "arm_neon.h"}

# What else a layer may include. `engine` has no list: it is told what it may not.
FOREIGN = {
    "codec": PURE | SIMD,
    "alloc": LIBC | {"sanitizer/asan_interface.h"},
    "router": LIBC | SIMD | {"pthread.h", "sys/mman.h", "xxhash.h"},
}

# The doors to the kernel that engine/io alone goes through, and who else may use one.
KERNEL_HEADERS = re.compile(
    r"(liburing\.h|liburing/.*|linux/.*|asm/.*|unistd\.h|time\.h|fcntl\.h|poll\.h|netdb\.h|signal\.h|sched\.h|syscall\.h|syslog\.h|dirent\.h|pwd\.h|grp\.h|"
    r"dlfcn\.h|netinet/tcp\.h|ifaddrs\.h|net/.*|sys/.*)")
KERNEL_ALLOWED = {
    "engine/main.c": {"fcntl.h", "sched.h", "signal.h", "sys/stat.h", "unistd.h", "time.h"},
    "engine/process.c": {"dirent.h", "fcntl.h", "grp.h", "pwd.h", "sys/prctl.h", "sys/resource.h", "sys/socket.h", "sys/stat.h", "sys/un.h", "unistd.h"},  # what is said to the system once, not per client
    "engine/log.c": {"fcntl.h", "syslog.h", "time.h", "unistd.h"},
    "engine/config/": {"dirent.h", "pwd.h", "syslog.h", "time.h", "unistd.h"},
    "engine/import/import_main.c": {"fcntl.h", "sys/mman.h", "sys/stat.h", "time.h", "unistd.h"},  # a program of its own
    "engine/identity/passwd": {"fcntl.h", "signal.h", "sys/stat.h", "unistd.h"},  # a program of its own
    "engine/identity/password_file.c": {"sys/stat.h"},  # who else may read it
    "engine/tls/tls.c": {"time.h"},  # the age of tickets
    "engine/tls/tls_context.c": {"dirent.h"},  # capath
    "engine/tls/tls_file.c": {"sys/stat.h"},
    "engine/tls/wolfssl.c": {"sys/random.h"},  # see tls_random()
    "engine/broker.c": {"sched.h"},  # how many cores there are
    "engine/mesh.c": {"sys/mman.h"},  # memory: pages that cost nothing until they are touched
}
# engine/io/io.h brings in the declarations of sys/socket.h for an address type; calling them is another matter.
KERNEL_CALLS = re.compile(
    r"(?<![\w.>])(socket|bind|listen|accept4?|connect|send|sendto|sendmsg|recv|recvfrom|recvmsg|shutdown|setsockopt|getsockopt|getsockname|getpeername|poll|"
    r"epoll_\w+|eventfd|io_uring_\w+|syscall|clock_gettime|gettimeofday|time|nanosleep|usleep|sleep|getrandom|rand|random|read|write|close|open)\s*\(")

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)


def sources(*folders, suffixes=(".c", ".h")):
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in suffixes and "node_modules" not in path.parts:
                yield path.relative_to(ROOT).as_posix()


def text_of(path):
    return (ROOT / path).read_text(encoding="utf-8")


def includes(path):
    """(line, quoted, name) of every include."""
    text = text_of(path)
    return [(text.count("\n", 0, m.start()) + 1, m.group(1) == '"', m.group(2)) for m in INCLUDE.finditer(text)]


def without_comments_and_strings(text):
    pattern = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)
    return pattern.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)


def within(path, prefix):
    return path == prefix or path.startswith(prefix + "/") or path.startswith(prefix + ".")


def layer_of(path):
    return max((layer for layer in LAYERS if within(path, layer)), key=len)


class Layers(unittest.TestCase):
    def claim_none(self, wrong):
        self.assertEqual(wrong, [], "\n" + "\n".join(wrong))

    def test_no_include_points_the_wrong_way(self):
        wrong = []
        for path in sources("codec", "alloc", "router", "engine", "bench", suffixes=(".c", ".h", ".cc", ".hh")):
            layer = layer_of(path)
            for line, quoted, name in includes(path):
                if quoted and not any(within(name, below) for below in LAYERS[layer]):
                    wrong.append(f'{path}:{line}: "{name}" is not below {layer}')
        self.claim_none(wrong)

    def test_lower_layers_depend_on_nothing_but_the_listed(self):
        wrong = []
        for folder, allowed in FOREIGN.items():
            for path in sources(folder):
                wrong += [f"{path}:{line}: <{name}>" for line, quoted, name in includes(path) if not quoted and name not in allowed]
        self.claim_none(wrong)

    def test_the_engine_reaches_the_kernel_through_io_alone(self):
        wrong = []
        for path in sources("engine"):
            if within(path, "engine/io"):
                continue
            allowed = next((headers for owner, headers in KERNEL_ALLOWED.items() if path.startswith(owner)), set())
            for line, _, name in includes(path):
                if KERNEL_HEADERS.fullmatch(name) and name not in allowed:
                    wrong.append(f"{path}:{line}: <{name}>")
            if not allowed & {"unistd.h", "time.h", "sys/random.h"}:
                code = without_comments_and_strings(text_of(path))
                wrong += [f"{path}:{code.count(chr(10), 0, m.start()) + 1}: calls {m.group(1)}()" for m in KERNEL_CALLS.finditer(code)]
        self.claim_none(wrong)

    def test_only_the_ring_knows_liburing(self):
        wrong = []
        for path in sources("codec", "alloc", "router", "engine"):
            if not path.startswith("engine/io/uring"):
                wrong += [f"{path}:{line}: <{name}>" for line, _, name in includes(path) if name.startswith("liburing")]
        self.claim_none(wrong)

    def test_only_engine_tls_knows_wolfssl(self):
        wrong = []
        for path in sources("codec", "alloc", "router", "engine", "bench", "fuzz", "test"):
            if not path.startswith("engine/tls/"):
                wrong += [f"{path}:{line}: <{name}>" for line, quoted, name in includes(path) if name.startswith("wolfssl/") or name == "engine/tls/wolfssl.h"]
        self.claim_none(wrong)

    def test_tests_and_fuzzers_are_included_by_nobody_else(self):
        wrong = []
        for path in sources("codec", "alloc", "router", "engine", "bench"):
            wrong += [f'{path}:{line}: "{name}"' for line, _, name in includes(path) if name.split("/")[0] in ("test", "fuzz")]
        self.claim_none(wrong)


class Includes(unittest.TestCase):
    FOLDERS = ("codec", "alloc", "router", "engine", "bench", "fuzz", "test")

    def claim_none(self, wrong):
        self.assertEqual(wrong, [], "\n" + "\n".join(wrong))

    def test_includes_are_written_from_the_root(self):
        wrong = []
        for path in sources(*self.FOLDERS):
            for line, quoted, name in includes(path):
                if quoted and (".." in name.split("/") or not (ROOT / name).is_file()):
                    wrong.append(f'{path}:{line}: "{name}" is not a path from the root')
                elif not quoted and (ROOT / name).is_file():
                    wrong.append(f'{path}:{line}: <{name}> is ours: use quotes')
        self.claim_none(wrong)

    def test_own_header_comes_first(self):
        wrong = []
        for path in sources(*self.FOLDERS, suffixes=(".c",)):
            own = path[:-2] + ".h"
            if (ROOT / own).is_file():
                found = includes(path)
                if not found or found[0][2] != own:
                    wrong.append(f'{path}: "{own}" is not its first include')
        self.claim_none(wrong)

    def test_headers_have_a_guard_named_after_their_path(self):
        wrong = []
        for path in sources(*self.FOLDERS, suffixes=(".h",)):
            guard = "TIDEWIRE_" + re.sub(r"[/.]", "_", path).upper()
            if f"#ifndef {guard}\n#define {guard}\n" not in text_of(path):
                wrong.append(f"{path}: no guard {guard}")
        self.claim_none(wrong)

    def test_every_header_compiles_alone(self):
        compiler = os.environ.get("CC", "gcc")
        wolfssl = ROOT / "build/source/wolfssl"
        # What is internal to engine/tls needs the library's headers: looked at where they are there.
        of_wolfssl = {"engine/tls/wolfssl.h", "engine/tls/context_internal.h"}

        def compile_alone(path, settings):
            more = ["-DWOLFSSL_USER_SETTINGS", f"-isystem{wolfssl}", "-I", settings] if path in of_wolfssl else []
            command = [compiler, *more, "-fsyntax-only", "-std=gnu17", "-D_GNU_SOURCE", "-I.", "-Wall", "-Wno-unused-function", "-Wno-unused-variable",
                       "-Werror", "-include", path, "-x", "c", "/dev/null"]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
            return "" if done.returncode == 0 else f"{path}:\n{done.stderr}"

        headers = [path for path in sources(*self.FOLDERS, suffixes=(".h",)) if path not in of_wolfssl or wolfssl.is_dir()]
        with tempfile.TemporaryDirectory() as settings, ThreadPoolExecutor(os.cpu_count()) as pool:
            (Path(settings) / "user_settings.h").write_text('#include "engine/tls/wolfssl_settings.h"\n')
            results = list(pool.map(lambda path: compile_alone(path, settings), headers))
        self.assertGreater(len(results), 20)
        self.claim_none([result for result in results if result])


if __name__ == "__main__":
    unittest.main()
