"""The order of the runs, and one run: broker started anew, load beside it, both ended.

Brokers that are compared run next to each other in time: a case's rounds follow one another, and in each round every broker has its turn,
in rotating order, so that none always has the quiet or the warm moment.
"""
import json
import subprocess
import tempfile
import time
from dataclasses import dataclass

from compare_lib.brokers import Broken, Running
from compare_lib.cases import has_duration

FAILED_STARTS_MAX = 2  # then the broker is left out: each one that does not listen costs ten seconds
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


def seconds(text):
    """tidewire-bench's TIME: 5, 2.5s, 300ms or 1m."""
    for suffix, factor in (("ms", 1e-3), ("s", 1), ("m", 60)):
        if text.endswith(suffix):
            return float(text[:-len(suffix)]) * factor
    return float(text)


class Results:
    """What is known so far. `runs[case][broker]` is a list of tidewire-bench's results, `broken` what could not be measured."""

    def __init__(self):
        self.runs = {}
        self.broken = []
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
            except Broken as error:
                self.note_broken(turn, str(error))
            self.progress.end(turn)

    def note_broken(self, turn, what):
        self.results.add_broken(turn, what)
        failed = self.failed_starts[turn.broker.name] = self.failed_starts.get(turn.broker.name, 0) + 1
        self.progress.say("%s, round %d, %s: %s" % (turn.case.name, turn.round + 1, turn.broker.name, what))
        if failed >= FAILED_STARTS_MAX:
            self.progress.say("%s failed %d times in a row and is left out from here on" % (turn.broker.name, failed))

    def measure(self, turn):
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
        words = ["taskset", "-c", self.options.load_core, self.options.bench] + turn.case.arguments
        words += ["--port", str(running.port), "--pid", str(running.process.pid), "--json", "-"]
        for name, value in (("--duration", self.options.duration), ("--warmup", self.options.warmup)):
            if name not in turn.case.arguments and has_duration(turn.case.arguments):
                words += [name, value]
        return words + (["--raw"] if turn.broker.relay else [])

    def run_load(self, turn, running):
        started = time.time()
        load = subprocess.Popen(self.load_command(turn, running), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
        try:
            out, table = load.communicate(timeout=seconds(self.options.warmup) + seconds(self.options.duration) + LOAD_GRACE_SECONDS)
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
