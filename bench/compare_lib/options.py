"""The command line. What makes no sense is refused by name."""
import argparse
import os
import re
import shlex
import shutil

from compare_lib import cases
from compare_lib.brokers import Broker, default_brokers, durable_brokers, find_mosquitto

TIME = re.compile(r"[0-9]+(\.[0-9]+)?(ms|s|m)?")


def named(text):
    name, separator, rest = text.partition("=")
    if not separator or not name or not rest.strip():
        raise argparse.ArgumentTypeError("'%s' is not name=..." % text)
    return name, rest


def core_list(text):
    """0, 0,1 or 0-3: as taskset has it, of the cores that we may use."""
    cores = set()
    for part in text.split(","):
        if not re.fullmatch(r"[0-9]+(-[0-9]+)?", part):
            raise argparse.ArgumentTypeError("'%s' is not a list of cores (0 or 0,1 or 0-3)" % text)
        first, _, last = part.partition("-")
        cores.update(range(int(first), int(last or first) + 1))
    beyond = sorted(cores - os.sched_getaffinity(0))
    if beyond or not cores:
        raise argparse.ArgumentTypeError("no core %s to run on here (%s)" % (beyond[0] if beyond else text, show_cores(os.sched_getaffinity(0))))
    return show_cores(cores)


def show_cores(cores):
    return ",".join(str(core) for core in sorted(cores))


def time_text(text):
    if not TIME.fullmatch(text):
        raise argparse.ArgumentTypeError("'%s' is not a time (5, 2.5s, 300ms or 1m)" % text)
    return text


def output_file(text):
    """Found out before an hour of measuring, not after it."""
    folder = os.path.dirname(os.path.abspath(text))
    if not os.path.isdir(folder) or not os.access(folder, os.W_OK):
        raise argparse.ArgumentTypeError("cannot write %s: no such folder, or not ours" % text)
    if os.path.isdir(text):
        raise argparse.ArgumentTypeError("cannot write %s: it is a folder" % text)
    return text


def parser(description, root):
    p = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--broker", type=named, action="append", default=[], metavar="NAME=COMMAND", help="an MQTT broker (instead of the defaults)")
    p.add_argument("--relay", type=named, action="append", default=[], metavar="NAME=COMMAND", help="a relay without MQTT, as bench/floor")
    p.add_argument("--also", action="store_true", help="keep the defaults besides --broker and --relay")
    p.add_argument("--cases", default=None, help="some of: " + ",".join(cases.CASES))
    p.add_argument("--case", type=named, action="append", default=[], metavar="NAME=ARGUMENTS", help="a case of your own: arguments of tidewire-bench")
    p.add_argument("--quick", action="store_true", help="a minute and a half: %s, 3 rounds of 1 s" % ",".join(cases.QUICK))
    p.add_argument("--durable", action="store_true", help="what it costs to acknowledge after the disk: %s, other brokers, and the disk itself" % ",".join(cases.DURABLE))
    p.add_argument("--against", default=None, metavar="NAME", help="the broker that ratios refer to (the first)")
    p.add_argument("--rounds", type=int, default=None, help="(5)")
    p.add_argument("--duration", type=time_text, default=None, metavar="TIME", help="measured, per run (3s)")
    p.add_argument("--warmup", type=time_text, default=None, metavar="TIME", help="before it (500ms)")
    p.add_argument("--broker-core", type=core_list, default=None, metavar="LIST", help="cores of the broker, as 0 or 0,1 (0)")
    p.add_argument("--load-core", type=core_list, default=None, metavar="LIST", help="cores of the load (1)")
    p.add_argument("--build", default=os.path.join(root, "build", "release"), metavar="FOLDER", help="where tidewire, floor and tidewire-bench are")
    p.add_argument("--bench", default=None, metavar="FILE", help="tidewire-bench, if it is elsewhere")
    p.add_argument("--samples", action="store_true", help="print every run, too")
    p.add_argument("--json", type=output_file, default=None, metavar="FILE", help="everything, every run included")
    p.add_argument("--html", type=output_file, default=None, metavar="FILE", help="one page with plots that opens from disk")
    return p


def parse(p, arguments=None):
    options = p.parse_args(arguments)
    fill_presets(options)
    choose_cores(p, options)
    options.bench = options.bench or os.path.join(options.build, "tidewire-bench")
    if not shutil.which(options.bench):
        p.error("%s is not there: build it (./dev build), or say --bench" % options.bench)
    if options.durable and options.quick:
        p.error("--quick and --durable: each is a choice of cases")
    if options.rounds < 1:
        p.error("--rounds must be 1 or more")
    return options


def fill_presets(options):
    for name, usual, quick in (("rounds", 5, 3), ("duration", "3s", "1s"), ("warmup", "500ms", "300ms")):
        if getattr(options, name) is None:
            setattr(options, name, quick if options.quick else usual)
    if options.quick and not options.cases and not options.case:
        options.cases = ",".join(cases.QUICK)


def choose_cores(p, options):
    usable = sorted(os.sched_getaffinity(0))
    if options.broker_core is None:
        options.broker_core = str(usable[0])
    if options.load_core is None:
        options.load_core = str(usable[min(1, len(usable) - 1)])
    shared = set(options.broker_core.split(",")) & set(options.load_core.split(","))
    if shared and len(usable) > 1:
        p.error("--broker-core %s and --load-core %s share a core: each would wait for the other" % (options.broker_core, options.load_core))


def choose_cases(p, options):
    names = options.cases.split(",") if options.cases else [] if options.case else cases.DURABLE if options.durable else cases.USUAL
    unknown = [name for name in names if name not in cases.CASES]
    if unknown:
        p.error("--cases: no case '%s' (%s)" % (unknown[0], ", ".join(cases.CASES)))
    chosen = [cases.CASES[name] for name in names] + [own_case(p, name, text) for name, text in options.case]
    twice = first_twice(case.name for case in chosen)
    if twice:
        p.error("two cases with one name: " + twice)
    return chosen


def own_case(p, name, text):
    try:
        return cases.case(name, text)
    except ValueError as error:
        p.error("--case %s: %s" % (name, error))


def choose_brokers(p, options, tell):
    brokers = [Broker(n, c) for n, c in options.broker] + [Broker(n, c, relay=True) for n, c in options.relay]
    if not brokers or options.also:
        brokers = (durable_brokers if options.durable else default_brokers)(options.build) + brokers
        if not find_mosquitto():
            tell("mosquitto is not here and is left out; to have it beside the others: apt-get install mosquitto")
    if not brokers:
        p.error("no broker: none given, and neither mosquitto nor %s/tidewire exists" % options.build)
    twice = first_twice(b.name for b in brokers)
    if twice:
        p.error("two brokers with one name: " + twice)
    options.against = options.against or brokers[0].name
    if options.against not in [b.name for b in brokers]:
        p.error("--against %s: not among %s" % (options.against, ", ".join(b.name for b in brokers)))
    return brokers


def first_twice(names):
    seen = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None
