"""What is asked: each case is one call of tidewire-bench, what of its answer is shown, and what Tidewire's design promises for it."""
from dataclasses import dataclass, field

from compare_lib.arguments import Arguments


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
    """The metric may be at most (where more is better: at least) `factor` times what `of` has, or that value itself where `of` is None. `of` may be a broker's name."""
    path: str
    factor: float
    of: str = None  # "plain floor": the relay that never waits; "lower floor": the lower of the relays; "best": the best other broker


@dataclass(frozen=True)
class Case:
    name: str
    arguments: Arguments
    metrics: list  # ratios are made of the first
    goals: list = field(default_factory=list)

    def suits(self, broker):
        return not broker.relay or self.arguments.suit_relay()


CPU_PER_MESSAGE = Metric("cpu_ns_per_delivered", "CPU per message", "ns")
CPU = [CPU_PER_MESSAGE, Metric("msgs_per_s", "delivered", "msg/s", better="higher")]
LATENCY = [Metric("latency_ns.p50", "latency p50", "us", 1e-3), Metric("latency_ns.p99", "latency p99", "us", 1e-3), CPU_PER_MESSAGE]
CPU_PER_CONNECT = Metric("cpu_ns_per_connect", "CPU per connect", "us", 1e-3)
CONNECTS = Metric("connects_per_s", "connects", "conn/s", better="higher")
IDLE = [Metric("rss_per_connection", "memory per connection", "B"), CPU_PER_CONNECT, CONNECTS]
CONNECT = [CPU_PER_CONNECT, CONNECTS]
PUBLISH = [Metric("cpu_ns_per_published", "CPU per publish", "ns"), Metric("sent_per_s", "published", "msg/s", better="higher")]
RETAINED = [CPU_PER_MESSAGE, Metric("retained.fetch_msgs_per_s", "fetched", "msg/s", better="higher"),
            Metric("retained.store_msgs_per_s", "stored", "msg/s", better="higher")]
OFFLINE = [Metric("offline.drain_msgs_per_s", "drained", "msg/s", better="higher"),
           Metric("offline.queue_msgs_per_s", "queued", "msg/s", better="higher"),
           Metric("offline.queue_cpu_ns_per_msg", "CPU per message queued", "ns"), Metric("cpu_ns_per_delivered", "CPU per message drained", "ns")]
ACKED = [Metric("acked_ns.mean", "acknowledged after, mean", "us", 1e-3), Metric("acked_ns.p50", "p50", "us", 1e-3), Metric("acked_ns.p99", "p99", "us", 1e-3), *LATENCY]
# The broker's CPU is for both then, the storm and what is beside it.
STORM_BESIDE = [Metric("connect.latency_ns.p99", "connecting p99", "us", 1e-3), CONNECTS, *LATENCY[:2]]


def metrics_of(arguments):
    """For a case that somebody wrote on the command line."""
    scenario = arguments.scenario
    if scenario == "connstorm":
        return STORM_BESIDE if arguments.has_messages() else CONNECT
    if not arguments.has_messages():
        return IDLE
    own = {"retained": RETAINED, "offline": OFFLINE, "pub": PUBLISH}
    return own.get(scenario) or (LATENCY if arguments.has_rate() else CPU)


def case(name, text, metrics=None, goals=()):
    """ValueError where no call of tidewire-bench can be made of the text."""
    arguments = Arguments(text)
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
    case("connect", "connstorm --count 8000", goals=[Goal("connects_per_s", 2, "best"), Goal("cpu_ns_per_connect", 15000)]),
    case("kept-pairs", "pairs --count 50 --qos 1 --keep-sessions", metrics=[CPU[1], CPU[0]], goals=[Goal("msgs_per_s", 1, "mosquitto")]),
    case("kept-latency", "pairs --count 50 --qos 1 --keep-sessions --rate 5000", metrics=ACKED),
    case("away", "offline --count 50 --messages 6000", goals=[Goal("offline.queue_msgs_per_s", 1, "mosquitto")]),
]}

DURABLE = ["kept-pairs", "kept-latency", "away"]
USUAL = [name for name in CASES if name not in DURABLE]
QUICK = ["fanout", "fanin", "pairs-20", "pairs-qos1"]
