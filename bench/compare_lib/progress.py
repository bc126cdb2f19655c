"""Which run is on and how long it all may still take: one line that is rewritten, on a terminal only; messages stay."""
import sys
import time

FIRST_GUESS_SECONDS = 0.6  # of a run, beyond warm-up and duration: starting, connecting, draining, ending


def show_duration(seconds):
    if seconds < 90:
        return "%d s" % max(1, round(seconds))
    return "%d min" % round(seconds / 60)


class Progress:
    def __init__(self, turns, run_seconds, rounds, stream=sys.stderr):
        self.total = len(turns)
        self.run_seconds = run_seconds
        self.rounds = rounds
        self.stream = stream
        self.done = 0
        self.measured = 0
        self.spent = 0.0
        self.drawn = False

    def remaining(self):
        each = self.spent / self.measured if self.measured else self.run_seconds + FIRST_GUESS_SECONDS
        return (self.total - self.done) * each

    def begin(self, turn):
        self.began = time.monotonic()
        if self.stream.isatty():
            self.stream.write("\r\033[K%d of %d: %s, round %d of %d, %s; about %s left" % (
                self.done + 1, self.total, turn.case.name, turn.round + 1, self.rounds, turn.broker.name, show_duration(self.remaining())))
            self.stream.flush()
            self.drawn = True

    def end(self, turn):
        self.done += 1
        self.measured += 1
        self.spent += time.monotonic() - self.began
        self.clear()

    def skip(self, turn):
        self.done += 1

    def clear(self):
        if self.drawn:
            self.stream.write("\r\033[K")
            self.stream.flush()
            self.drawn = False

    def say(self, text):
        self.clear()
        print("  " + text, file=self.stream, flush=True)
