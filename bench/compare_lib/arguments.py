"""The arguments of tidewire-bench in a case: which scenario they start, which options they give, which others would be refused beside them.

The tables say again what bench/load/option_rows.c and suite.c say; the test holds them against the program.
"""
import shlex

SUITE = {"conn-tcp-1M-5K": "idle", "fanout-5-1000-5-250K": "fanout", "p2p-50K-50K-50K-50K": "pairs", "sharedsub-50K-500-50K-50K": "shared"}
SCENARIOS = ["pairs", "fanin", "fanout", "shared", "pub", "sub", "idle", "conn", "connstorm", "retained", "offline"]
TASKS = ("retained", "offline")  # over when all is fetched
SILENT = ("idle", "conn")
RELAYED = ("pairs", "fanin", "fanout")

LETTERS = {"-c": "--count", "-L": "--messages", "-t": "--topic", "-n": "--first", "-s": "--size", "-q": "--qos", "-r": "--retain", "-I": "--interval",
           "-F": "--inflight", "-V": "--version", "-u": "--user", "-P": "--password", "-k": "--keep-alive", "-C": "--clean-start",
           "-x": "--session-expiry", "-R": "--connect-rate", "-h": "--host", "-p": "--port"}
FLAGS = ("--retain", "--raw", "--keep-sessions")
OF_MQTT = {"--qos", "--subscribe-qos", "--retain", "--inflight", "--version", "--client-id", "--user", "--password", "--keep-alive", "--clean-start",
           "--session-expiry", "--keep-sessions"}
OURS = ("--port", "--pid", "--json", "--raw")  # bench/compare gives them as it needs them
TIMES = ("--duration", "--warmup")
UNITS = {"": 1, "us": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}


def seconds(text):
    """tidewire-bench's TIME: 5, 2.5s, 300ms or 1m."""
    number = text.rstrip("".join(UNITS))
    try:
        return float(number) * UNITS[text[len(number):]]
    except (KeyError, ValueError):
        raise ValueError("'%s' is not a time (5, 2.5s, 300ms or 1m)" % text)


class Arguments:
    def __init__(self, text):
        """ValueError says what is wrong."""
        self.words = shlex.split(text)
        if not self.words or self.words[0] not in SCENARIOS + list(SUITE):
            raise ValueError("'%s' is no scenario of tidewire-bench" % (self.words[0] if self.words else ""))
        self.is_of_suite = self.words[0] in SUITE
        self.scenario = SUITE.get(self.words[0], self.words[0])
        self.given = read_options(self.words[1:])
        ours = [name for name in OURS if name in self.given]
        if ours:
            raise ValueError("%s is what bench/compare chooses" % ours[0])
        self.times = {name: seconds(self.given[name]) for name in TIMES if name in self.given}

    def has_messages(self):
        return not (self.scenario in SILENT or self.scenario == "connstorm" and "--steady" not in self.given)

    def has_rate(self):
        """The public suite's cases with messages have one of their own."""
        return "--rate" in self.given or "--interval" in self.given or self.is_of_suite and self.has_messages()

    def takes(self, name):
        """Of --duration and --warmup: tasks and storms take the time that they take, and only what is beside a storm can warm up."""
        if self.scenario == "connstorm":
            return name == "--warmup" and "--steady" in self.given
        return self.scenario not in TASKS

    def suit_relay(self):
        """A relay knows no MQTT, and one publisher to all where it is not one to one. The suite's cases have a QoS or many subscribers."""
        return (self.scenario in RELAYED and not self.is_of_suite and not OF_MQTT & set(self.given) and
                self.given.get("--publishers", "1") == "1")


def read_options(words):
    """{long name: value, or None for a flag}, in every way that tidewire-bench reads; what it does not know is left to it to refuse."""
    given, at = {}, 0
    while at < len(words):
        name, separator, value = words[at].partition("=")
        name = LETTERS.get(name[:2], name)
        at += 1
        if name in FLAGS:
            given[name] = None
            continue
        if not separator:
            value = words[at] if at < len(words) else ""
            at += 1
        given[name] = value
    return given
