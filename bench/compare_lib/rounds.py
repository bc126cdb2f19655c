"""The order of the runs, and one run: broker started anew, load beside it, both ended.

Brokers that are compared run next to each other in time: a case's rounds follow one another, and in each round every broker has its turn,
in rotating order, so that none always has the quiet or the warm moment.
"""
import json
import subprocess
import tempfile
import time
from dataclasses import dataclass

from compare_lib.arguments import seconds
from compare_lib import disk
from compare_lib.brokers import Broken, NotStarted, Running

FAILED_STARTS_MAX = 2  # then the broker is left out: each one that does not listen costs ten seconds
FLUSHES_PER_TURN = 1500  # one behind the other, for as long as a broker is measured: a disk may be quicker for the first few
LOAD_GRACE_SECONDS = 120  # beyond warm-up and duration: connecting, draining, stalls


@dataclass(frozen=True)
class Turn:
    case: object
    broker: object
    round: int


def plan(cases, brokers, rounds):
    turns = []
    for case in cases:
        fit = [b for b in brokers if case.suits(b)]
        for number in range(rounds):
            first = number % len(fit) if fit else 0
            turns += [Turn(case, broker, number) for broker in fit[first:] + fit[:first]]
    return turns


class Results:
    """What is known so far. `runs[case][broker]` is a list of tidewire-bench's results, `broken` what could not be measured."""

    def __init__(self):
        self.runs = {}
        self.broken = []
        self.flushes = []  # seconds; with --durable
        self.interrupted = False

    def of(self, case, broker):
        return self.runs.get(case.name, {}).get(broker.name, [])

    def add(self, turn, result):
        self.runs.setdefault(turn.case.name, {}).setdefault(turn.broker.name, []).append(result)

    def add_broken(self, turn, what):
        self.broken.append({"case": turn.case.name, "broker": turn.broker.name, "round": turn.round + 1, "what": what})

    def is_clean(self):
        every = [run for per in self.runs.values() for runs in per.values() for run in runs]
        return bool(every) and not self.broken and all(run["ok"] for run in every)


class Runner:
    def __init__(self, options, results, progress):
        self.options = options
        self.results = results
        self.progress = progress
        self.failed_starts = {}  # broker's name -> in a row

    def run_case(self, turns):
        for turn in turns:
            if self.failed_starts.get(turn.broker.name, 0) >= FAILED_STARTS_MAX:
                self.progress.skip(turn)
                continue
            self.progress.begin(turn)
            try:
                self.results.add(turn, self.measure(turn))
                self.failed_starts[turn.broker.name] = 0
            except NotStarted as error:
                self.note_broken(turn, str(error))
                self.count_failed_start(turn.broker.name)
            except Broken as error:  # it did start; another case may be the better one for it
                self.note_broken(turn, str(error))
                self.failed_starts[turn.broker.name] = 0
            self.progress.end(turn)

    def note_broken(self, turn, what):
        self.results.add_broken(turn, what)
        self.progress.say("%s, round %d, %s: %s" % (turn.case.name, turn.round + 1, turn.broker.name, what))

    def count_failed_start(self, name):
        failed = self.failed_starts[name] = self.failed_starts.get(name, 0) + 1
        if failed >= FAILED_STARTS_MAX:
            self.progress.say("%s failed %d times in a row and is left out from here on" % (name, failed))

    def measure(self, turn):
        if self.options.durable:
            self.results.flushes += disk.flush_times(tempfile.gettempdir(), FLUSHES_PER_TURN)
        with tempfile.TemporaryDirectory(prefix="tidewire-compare-") as directory:
            with Running(turn.broker, directory, self.options.broker_core) as running:
                result = self.run_load(turn, running)
                ended = running.how_it_ended()
        if ended and not (turn.broker.relay and running.process.returncode == 0):  # a relay is done when its load is
            result["ok"] = False
            result["broker_ended"] = ended
        result["round"] = turn.round + 1
        if not result["ok"]:
            self.progress.say("%s, round %d, %s: not clean\n%s" % (turn.case.name, turn.round + 1, turn.broker.name, describe_failure(result)))
        return result

    def load_command(self, turn, running):
        arguments = turn.case.arguments
        words = ["taskset", "-c", self.options.load_core, self.options.bench] + arguments.words
        words += ["--port", str(running.port), "--pid", str(running.process.pid), "--json", "-"]
        for name, value in self.times().items():
            if name not in arguments.given and arguments.takes(name):
                words += [name, value]
        return words + (["--raw"] if turn.broker.relay else [])

    def times(self):
        return {"--duration": self.options.duration, "--warmup": self.options.warmup}

    def patience(self, turn):
        """After so many seconds the load has had more than its time."""
        return LOAD_GRACE_SECONDS + sum(turn.case.arguments.times.get(name, seconds(value)) for name, value in self.times().items())

    def run_load(self, turn, running):
        started = time.time()
        patience = self.patience(turn)
        load = subprocess.Popen(self.load_command(turn, running), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
        try:
            out, table = load.communicate(timeout=patience)
        except subprocess.TimeoutExpired:
            raise Broken("tidewire-bench did not end; " + (running.how_it_ended() or "the broker runs"))
        finally:
            if load.poll() is None:
                load.kill()
                load.wait()
        try:
            result = json.loads(out)
        except ValueError:
            raise Broken("tidewire-bench ended with %d: %s" % (load.returncode, table.strip()[-600:]))
        result["ok"] = bool(result.get("ok")) and load.returncode == 0
        result["started"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started))
        return result


def describe_failure(result):
    lines = ["%s: %d times, first by %s %s after %.2f s%s" % (f["kind"], f["count"], f.get("role", "connection"), f.get("first_connection", "?"),
                                                             f.get("at_s") or 0, ": " + f["detail"] if f.get("detail") else "")
             for f in result.get("failures") or []]
    lines += ["%s %d messages" % (word, result[key]) for key, word in (("lost", "lost"), ("dup", "duplicated"), ("reordered", "reordered")) if result.get(key)]
    if result.get("broker_ended"):
        lines.append("the broker " + result["broker_ended"])
    elif result.get("broker_gone"):
        lines.append("the broker's process was gone")
    return "\n".join("    " + line for line in lines or ["tidewire-bench called it not clean"])
