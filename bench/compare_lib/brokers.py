"""The programs that are compared: how one is started on a core of its own, found to listen, and ended by its process id."""
import os
import shlex
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, replace

START_SECONDS = 10
STOP_SECONDS = 5

# One file for mosquitto and tidewire, which reads the same grammar. Nothing may be lost: no limit on queues or on messages in
# flight. Nagle off, as in every other broker. Nothing is written to disk or logged.
FAIR_CONF = """\
listener {port} 127.0.0.1
allow_anonymous true
persistence false
set_tcp_nodelay true
max_queued_messages 0
max_queued_bytes 0
max_inflight_messages 0
connection_messages false
log_dest none
"""


class Broken(Exception):
    """A broker that could not be measured."""


class NotStarted(Broken):
    """It did not even listen."""


@dataclass(frozen=True)
class Broker:
    name: str
    command: str
    relay: bool = False
    settings: str = ""  # more lines of {conf}, which count more; {dir} as in commands


def find_mosquitto():
    """Debian keeps it where an ordinary user's PATH does not lead."""
    return shutil.which("mosquitto") or shutil.which("/usr/sbin/mosquitto")


def default_brokers(build):
    """As far as they are there."""
    def built(name):
        return shutil.which(os.path.join(build, name))

    mosquitto, tidewire, floor = find_mosquitto(), built("tidewire"), built("floor")
    brokers = []
    if mosquitto:
        brokers.append(Broker("mosquitto", mosquitto + " -c {conf}"))
    if tidewire:
        brokers.append(Broker("tidewire", tidewire + " -c {conf}"))
    if floor:
        brokers.append(Broker("floor", floor + " -p {port}", relay=True))
        brokers.append(Broker("floor-wait", floor + " -p {port} -m 50 -q 16", relay=True))
    return brokers


def durable_brokers(build):
    """What acknowledging after the disk costs: Tidewire in each of its modes, beside Mosquitto without a disk and saving every second. 'tidewire' is the mode that waits."""
    stored = "persistence true\npersistence_location {dir}/\n" + ("user root\n" if os.geteuid() == 0 else "")
    brokers = []
    for broker in default_brokers(build):
        if broker.name == "mosquitto":
            brokers += [broker, replace(broker, name="mosquitto-saves", settings=stored + "autosave_interval 1\n")]
        elif broker.name == "tidewire":
            brokers += [replace(broker, name="tidewire" + name, settings=stored + "persistence_sync %s\n" % mode)
                        for name, mode in (("", "always"), ("-interval", "interval 100"), ("-none", "none"))]
            brokers.append(replace(broker, name="tidewire-off"))
    return brokers


class Running:
    """A started broker, for `with`: ended when the block is left, however it is left."""

    def __init__(self, broker, directory, cores):
        self.port = free_port()
        self.log_path = os.path.join(directory, "log")
        conf = os.path.join(directory, "broker.conf")
        with open(conf, "w") as f:
            f.write(FAIR_CONF.format(port=self.port) + fill(broker.settings, {"{dir}": directory}))
        places = {"{port}": str(self.port), "{dir}": directory, "{conf}": conf}
        self.words = [fill(word, places) for word in shlex.split(broker.command)]
        self.cores = cores

    def __enter__(self):
        if not shutil.which(self.words[0]):
            raise NotStarted("%s: no such program" % self.words[0])
        with open(self.log_path, "w") as log:
            # taskset becomes the broker (exec), so its process id is the broker's. A session of its own: Ctrl-C is for us alone.
            self.process = subprocess.Popen(["taskset", "-c", self.cores] + self.words, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            start_new_session=True)
        try:
            self.wait_for_listener()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def wait_for_listener(self):
        deadline = time.monotonic() + START_SECONDS
        while not is_listening(self.port):
            if self.process.poll() is not None:
                raise NotStarted("ended with status %d before it listened%s" % (self.process.returncode, self.last_words()))
            if time.monotonic() > deadline:
                raise NotStarted("does not listen on port %d after %d s%s" % (self.port, START_SECONDS, self.last_words()))
            time.sleep(0.02)
        time.sleep(0.2)  # what it still has to do at its start is not what is measured

    def last_words(self):
        """What it printed, the end of it."""
        with open(self.log_path, errors="replace") as log:
            said = log.read().strip()
        return "; it printed: " + said[-600:] if said else "; it printed nothing"

    def how_it_ended(self):
        """None while it runs."""
        code = self.process.poll()
        if code is None:
            return None
        how = "killed by signal %d" % -code if code < 0 else "ended with status %d" % code
        return how + self.last_words()

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def fill(word, places):
    for place, value in places.items():
        word = word.replace(place, value)
    return word


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def is_listening(port):
    """Looks in /proc, because a connection only to see would be the first one a relay serves."""
    wanted = ":%04X" % port
    for path in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            with open(path) as f:
                for line in f:
                    fields = line.split()
                    if fields[1].endswith(wanted) and fields[3] == "0A":
                        return True
        except FileNotFoundError:
            pass
    return False
