"""What is asked: each case is one call of tidewire-bench, what of its answer is shown, and what Tidewire's design promises for it."""
import shlex
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Metric:
    path: str  # in the JSON of tidewire-bench, dots between levels
    heading: str
    unit: str
    factor: float = 1  # from the JSON's unit to the shown one
    better: str = "lower"

    def show(self, value):
        return "%.*f" % (1 if abs(value * self.factor) < 10 else 0, value * self.factor)


@dataclass(frozen=True)
class Goal:
    """The metric may be at most (where more is better: at least) `factor` times what `of` has, or that value itself where `of` is None."""
    path: str
    factor: float
    of: str = None  # "plain floor": the relay that never waits; "lower floor": the lower of the relays; "best": the best other broker


@dataclass(frozen=True)
class Case:
    name: str
    arguments: list
    metrics: list  # ratios are made of the first
    goals: list = field(default_factory=list)

    def suits(self, broker):
        """Relays know no MQTT: they sit out what has a QoS or no messages."""
        return not (broker.relay and ("--qos" in self.arguments or not has_messages(self.arguments)))


CPU_PER_MESSAGE = Metric("cpu_ns_per_delivered", "CPU per message", "ns")
CPU = [CPU_PER_MESSAGE, Metric("msgs_per_s", "delivered", "msg/s", better="higher")]
LATENCY = [Metric("latency_ns.p50", "latency p50", "us", 1e-3), Metric("latency_ns.p99", "latency p99", "us", 1e-3), CPU_PER_MESSAGE]
CPU_PER_CONNECT = Metric("cpu_ns_per_connect", "CPU per connect", "us", 1e-3)
CONNECTS = Metric("connects_per_s", "connects", "conn/s", better="higher")
IDLE = [Metric("rss_per_connection", "memory per connection", "B"), CPU_PER_CONNECT, CONNECTS]
CONNECT = [CPU_PER_CONNECT, CONNECTS]


def has_messages(arguments):
    return arguments[0] not in ("idle", "conn", "connstorm")


def has_duration(arguments):
    """A storm is over when all are connected."""
    return arguments[0] != "connstorm"


def metrics_of(arguments):
    """For a case that somebody wrote on the command line."""
    if not has_messages(arguments):
        return IDLE
    return LATENCY if "--rate" in arguments else CPU


def case(name, text, metrics=None, goals=()):
    arguments = shlex.split(text)
    return Case(name, arguments, metrics or metrics_of(arguments), list(goals))


def cpu_goals(plain_floor=None, lower_floor=None, best=None):
    pairs = [("plain floor", plain_floor), ("lower floor", lower_floor), ("best", best)]
    return [Goal("cpu_ns_per_delivered", factor, of) for of, factor in pairs if factor is not None]


CASES = {c.name: c for c in [
    case("fanout", "fanout --count 500", goals=cpu_goals(plain_floor=2, best=0.3)),
    case("fanin", "fanin --count 500", goals=cpu_goals(lower_floor=1.3, best=0.45)),
    case("pairs-20", "pairs --count 50 --burst 20", goals=cpu_goals(plain_floor=2, best=0.3)),
    case("pairs", "pairs --count 50", goals=cpu_goals(lower_floor=1.3, best=0.35)),
    case("pairs-1000", "pairs --count 1000", goals=cpu_goals(plain_floor=1.15, best=0.6)),
    case("pairs-qos1", "pairs --count 50 --qos 1", goals=cpu_goals(best=0.4)),
    case("pairs-qos2", "pairs --count 50 --qos 2", goals=cpu_goals(best=0.5)),
    case("latency", "pairs --count 200 --rate 10000", goals=[Goal("latency_ns.p50", 1, "best"), Goal("latency_ns.p99", 1, "best")]),
    case("idle", "idle --count 8000", goals=[Goal("rss_per_connection", 500)]),
    case("connect", "connstorm --count 8000", CONNECT, [Goal("connects_per_s", 2, "best"), Goal("cpu_ns_per_connect", 15000)]),
]}

QUICK = ["fanout", "fanin", "pairs-20", "pairs-qos1"]
