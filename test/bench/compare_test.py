#!/usr/bin/env python3
"""bench/compare, with brokers that do what brokers should not: what is known is told and kept, whatever happens.

usage: compare_test.py TIDEWIRE_BENCH FLOOR
"""
import concurrent.futures
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import types
import unittest

BENCH, FLOOR = sys.argv[1:3]
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "bench"))
sys.dont_write_bytecode = True
from compare_lib import arguments, brokers, cases, disk, document, options, progress, rounds, summary  # noqa: E402

# Accepts, and closes at once.
REFUSING = """'%s' -c "
import socket, sys
listener = socket.create_server((\\"127.0.0.1\\", int(sys.argv[1])))
while True: listener.accept()[0].close()
" {port}""" % sys.executable
DYING = "sh -c 'echo out of luck; exec timeout -s KILL 0.6 %s -p {port}'" % FLOOR
GOOD = FLOOR + " -p {port}"


def start(*arguments):
    """One short case; the load and the brokers on whatever cores there are."""
    command = [os.path.join(ROOT, "bench", "compare"), "--bench", BENCH, "--duration", "200ms", "--warmup", "20ms", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


class Comparison:
    """What a run of bench/compare left: its exit code, its table, its messages, its documents."""

    def __init__(self, *arguments, interrupt_after=None):
        with tempfile.TemporaryDirectory() as folder:
            files = [os.path.join(folder, name) for name in ("out.json", "out.html")]
            process = start(*arguments, "--json", files[0], "--html", files[1])
            if interrupt_after is not None:
                wait_for_case(files[0], interrupt_after)
                process.send_signal(signal.SIGINT)
            self.table, self.messages = process.communicate(timeout=120)
            self.code = process.returncode
            self.document, self.page = (read(path) for path in files)
            self.document = json.loads(self.document) if self.document else None
            self.left_over = sorted(set(os.listdir(folder)) - {"out.json", "out.html"})

    def runs(self, case, broker):
        return self.document["runs"].get(case, {}).get(broker, [])


def read(path):
    if not os.path.exists(path):
        return None
    with open(path) as f:
        return f.read()


def wait_for_case(path, name):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        text = read(path)
        if text and name in json.loads(text)["summary"]:
            return
        time.sleep(0.02)
    raise AssertionError("no case %s" % name)


class WholeRuns(unittest.TestCase):
    def test_a_relay_beside_itself_is_compared_in_every_form(self):
        done = Comparison("--case", "small=pairs --count 5 --burst 20", "--relay", "a=" + GOOD, "--relay", "b=" + GOOD, "--rounds", "3", "--samples", "--against", "b")
        self.assertEqual(done.code, 0, done.messages)
        self.assertEqual([r["round"] for r in done.runs("small", "a")], [1, 2, 3])
        figures = done.document["summary"]["small"]["a"]["cpu_ns_per_delivered"]
        values = sorted(r["cpu_ns_per_delivered"] for r in done.runs("small", "a"))
        self.assertEqual([figures["min"], figures["median"], figures["max"], figures["runs"]], [*values, 3])
        self.assertEqual(done.document["ratios"]["small"]["b"]["against"], 1)
        self.assertEqual(min(r["floor"] for r in done.document["ratios"]["small"].values()), 1)
        self.assertRegex(done.table, r"a, round 3: \d")
        self.assertIn("tidewire-bench pairs --count 5 --burst 20", done.table)
        self.assertIn('"small": {"a":', done.page)
        self.assertNotIn(document.MARKER, done.page)
        for key in ("command", "commit", "machine", "cores", "kernel", "time"):
            self.assertIn(key, done.document)
        self.assertEqual(done.left_over, [])

    def test_a_broker_that_dies_is_told_with_its_last_words_and_the_others_figures_stay(self):
        done = Comparison("--case", "c=pairs --count 2", "--relay", "good=" + GOOD, "--relay", "dying=" + DYING, "--rounds", "1", "--duration", "3s")
        self.assertEqual(done.code, 1)
        self.assertIn("out of luck", done.messages)
        self.assertRegex(done.messages, "killed by signal 9|ended with status 137")
        self.assertIn("out of luck", done.runs("c", "dying")[0]["broker_ended"])
        self.assertEqual((done.runs("c", "dying")[0]["ok"], done.runs("c", "good")[0]["ok"]), (False, True))
        self.assertIsNone(done.document["summary"]["c"]["dying"]["cpu_ns_per_delivered"])
        self.assertIn("out of luck", done.page)
        self.assertIn("NOT CLEAN", done.table)

    def test_a_broker_that_refuses_is_told_with_the_connections(self):
        done = Comparison("--case", "c=pairs --count 2", "--broker", "refusing=" + REFUSING, "--rounds", "1")
        self.assertEqual(done.code, 1)
        failures = done.runs("c", "refusing")[0]["failures"]
        self.assertEqual(sum(f["count"] for f in failures), 4)
        self.assertIn(failures[0]["kind"], done.messages)
        self.assertIn("0 of 1", done.table)

    def test_a_broker_that_does_not_start_is_left_out_after_two_attempts(self):
        done = Comparison("--case", "c=pairs --count 2", "--broker", "bad=sh -c 'echo no such option >&2; exit 3'", "--broker", "nowhere=/no/such/broker",
                          "--relay", "good=" + GOOD, "--rounds", "3")
        self.assertEqual(done.code, 1)
        self.assertEqual([(b["broker"], b["round"]) for b in done.document["broken"] if b["broker"] == "bad"], [("bad", 1), ("bad", 2)])
        self.assertIn("ended with status 3 before it listened; it printed: no such option", done.messages)
        self.assertIn("/no/such/broker: no such program", done.messages)
        self.assertEqual(len(done.runs("c", "good")), 3)

    def test_a_load_that_fails_leaves_the_broker_in_later_cases(self):
        done = Comparison("--case", "wrong=pairs --count 2 --nonsense", "--case", "right=pairs --count 2", "--broker", "refusing=" + REFUSING, "--relay",
                          "good=" + GOOD, "--rounds", "3")
        self.assertEqual(len(done.document["broken"]), 6)
        self.assertIn("unknown option '--nonsense'", done.messages)
        self.assertEqual([len(done.runs("right", name)) for name in ("good", "refusing")], [3, 3])
        self.assertNotIn("left out", done.messages)

    def test_an_interrupt_leaves_the_table_and_the_files_so_far(self):
        done = Comparison("--case", "first=pairs --count 2", "--case", "second=pairs --count 2 --duration 60s", "--relay", "good=" + GOOD, "--rounds", "1",
                          interrupt_after="first")
        self.assertEqual(done.code, 130)
        self.assertTrue(done.document["interrupted"])
        self.assertEqual((len(done.runs("first", "good")), len(done.runs("second", "good"))), (1, 0))
        self.assertIn("interrupted: these are the figures so far", done.table)
        self.assertIn('"interrupted": true', done.page)
        self.assertNotIn("Traceback", done.messages)

    def test_options_that_make_no_sense_are_refused_by_name(self):
        wrong = [(["--cases", "fanout,speed"], "no case 'speed'"), (["--rounds", "0"], "--rounds"), (["--duration", "soon"], "'soon' is not a time"),
                 (["--broker", "x"], "'x' is not name="), (["--against", "nobody"], "--against nobody"), (["--broker-core", "9999"], "no core 9999"),
                 (["--broker-core", "0-"], "'0-' is not a list of cores"), (["--json", "/no/such/folder/x.json"], "cannot write /no/such/folder/x.json"),
                 (["--relay", "good=x"], "two brokers with one name"), (["--bench", "/no/such/bench"], "/no/such/bench is not there"),
                 (["--cases", "idle", "--case", "idle=pairs"], "two cases with one name: idle"), (["--case", "c=pears"], "--case c: 'pears' is no scenario"),
                 (["--case", "c=pairs --port=1"], "--case c: --port is what bench/compare chooses"), (["--case", "c=pairs 'x"], "--case c: No closing quotation"),
                 (["--case", "c=pairs --duration soon"], "--case c: 'soon' is not a time")]
        for arguments, said in wrong:
            with self.subTest(arguments=arguments):
                process = start("--relay", "good=" + GOOD, *arguments)
                _, messages = process.communicate(timeout=20)
                self.assertEqual(process.returncode, 2)
                self.assertIn(said, messages)


def results_of(**runs):
    """Of one case 'c': broker=[(cpu, ok)...]."""
    results = rounds.Results()
    results.runs["c"] = {name: [{"cpu_ns_per_delivered": cpu, "msgs_per_s": 1e9 / cpu, "ok": ok} for cpu, ok in values] for name, values in runs.items()}
    return results


class Figures(unittest.TestCase):
    def summarize(self, results, goals=()):
        case = cases.case("c", "pairs", goals=goals)
        those = [brokers.Broker(name, "", relay=name.startswith("floor")) for name in results.runs["c"]]
        return summary.CaseSummary(case, those, results, "peer"), {b.name: b for b in those}

    def test_only_clean_runs_count(self):
        results = results_of(peer=[(100, True), (1, False), (300, True), (200, True)])
        self.assertEqual(summary.summarize(results.runs["c"]["peer"], "cpu_ns_per_delivered"), {"median": 200, "min": 100, "max": 300, "runs": 3})

    def test_ratios_refer_to_the_chosen_broker_and_to_the_lower_relay(self):
        figures, named = self.summarize(results_of(peer=[(400, True)], tidewire=[(100, True)], floor=[(80, True)], floor_wait=[(50, True)]))
        self.assertEqual((figures.ratio(named["tidewire"]), figures.times_floor(named["tidewire"])), (0.25, 2))
        self.assertEqual(figures.times_floor(named["floor_wait"]), 1)

    def test_without_a_clean_run_of_the_reference_there_is_no_ratio(self):
        figures, named = self.summarize(results_of(peer=[(400, False)], tidewire=[(100, True)]))
        self.assertEqual((figures.ratio(named["tidewire"]), figures.times_floor(named["tidewire"])), (None, None))

    def test_goals_are_held_against_floor_best_peer_and_value(self):
        goals = [*cases.cpu_goals(plain_floor=2, lower_floor=2.5, best=0.2), cases.Goal("msgs_per_s", 2, "best"), cases.Goal("cpu_ns_per_delivered", 100)]
        figures, _ = self.summarize(results_of(peer=[(400, True)], other=[(300, True)], tidewire=[(100, True)], floor=[(50, True)], floor_wait=[(25, True)]), goals)
        answers = [(a["of"], round(a["value"], 2), a["reached"]) for a in figures.check_goals()]
        self.assertEqual(answers, [("plain floor", 2, True), ("lower floor", 4, False), ("best", 0.33, False), ("best", 3, True), (None, 100, True)])

    def test_goals_that_nobody_is_there_for_are_not_answered(self):
        figures, _ = self.summarize(results_of(tidewire=[(100, True)]), cases.cpu_goals(plain_floor=2, lower_floor=2, best=0.2))
        self.assertEqual(figures.check_goals(), [])


RELAY = brokers.Broker("floor", "", relay=True)
PLAIN = brokers.Broker("plain", "")


def load_words(text, broker):
    """What tidewire-bench is started with for a case of these arguments, without taskset."""
    those = types.SimpleNamespace(load_core="0", bench=BENCH, duration="200ms", warmup="20ms")
    running = types.SimpleNamespace(port=1, process=types.SimpleNamespace(pid=os.getpid()))
    return rounds.Runner(those, None, None).load_command(rounds.Turn(cases.case("c", text), broker, 0), running)[3:]


def is_refused(words):
    """Nothing listens on port 1: a call that makes sense ends with 1, one that does not with 2."""
    return subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60).returncode == 2


def refused_of(texts, broker):
    """All at once: a call mostly waits."""
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        return [text for text, refused in zip(texts, pool.map(lambda text: is_refused(load_words(text, broker)), texts)) if refused]


class CallsOfTheLoad(unittest.TestCase):
    """Against the program's own judgement."""

    def test_every_scenario_is_started_with_options_that_it_takes(self):
        topics = {"pub": " --topic a", "sub": " --topic a"}
        texts = ["%s --count 2%s" % (name, topics.get(name, "")) for name in arguments.SCENARIOS] + [name + " --scale 0.001 -R 100000" for name in arguments.SUITE]
        self.assertEqual(refused_of([*texts, "connstorm --count 2 --steady 1"], PLAIN), [])

    def test_times_go_to_those_who_take_them(self):
        takes = {text: [word for word in load_words(text, PLAIN) if word in arguments.TIMES] for text in
                 ("pairs", "retained", "offline", "connstorm", "connstorm --steady=5", "p2p-50K-50K-50K-50K", "pub -t a")}
        both = ["--duration", "--warmup"]
        self.assertEqual(list(takes.values()), [both, [], [], [], ["--warmup"], both, both])

    def test_what_a_case_says_is_not_said_again(self):
        self.assertEqual(refused_of(["pairs --count 2 --duration=1", "pairs --count 2 --duration 1 --warmup=0"], PLAIN), [])
        self.assertNotIn("200ms", load_words("pairs --duration=1", PLAIN))

    def test_relays_take_part_in_what_they_are_not_refused(self):
        texts = ["pairs", "fanin -c 2", "fanout --publishers=1", "pairs --burst 2", "pairs -s 32 --rate 10", "pairs --source-addresses 2", "fanout --publishers 2",
                 "fanout --publishers=2", "shared", "idle", "connstorm", "retained", "offline", "pub -t a", "sub --topic a", "pairs -q 0", "pairs --qos=1",
                 "pairs --qos 1", "pairs --subscribe-qos 1", "pairs -V 5", "pairs --version=5", "pairs -u me", "pairs --user me -P x", "pairs -k 5",
                 "pairs --client-id=%i", "pairs --qos 1 -F 2", "conn", "sharedsub-50K-500-50K-50K"]
        takes_part = [text for text in texts if cases.case("c", text).suits(RELAY)]
        self.assertEqual(takes_part, texts[:6])
        self.assertEqual(refused_of(texts, RELAY), texts[6:])

    def test_relays_sit_out_the_public_suite_and_what_nobody_understands(self):
        for text in (*arguments.SUITE, "pairs -q1"):
            self.assertFalse(cases.case("c", text).suits(RELAY), text)
        self.assertTrue(cases.case("c", "pairs --interval 1s --size 99").suits(RELAY))

    def test_a_letter_is_the_long_name(self):
        listed = subprocess.run([BENCH, "--help"], stdout=subprocess.PIPE, text=True).stdout
        self.assertEqual(dict(re.findall(r"(-\w), (--[\w-]+)", listed)), arguments.LETTERS)
        self.assertEqual(arguments.read_options(["-q", "1", "-r", "--user=-q", "-t", "--retain"]), {"--qos": "1", "--retain": None, "--user": "-q", "--topic": "--retain"})

    def test_a_case_is_given_the_time_that_it_asks_for(self):
        runner = rounds.Runner(types.SimpleNamespace(duration="3s", warmup="1s"), None, None)
        patience = [runner.patience(rounds.Turn(cases.case("c", text), PLAIN, 0)) - rounds.LOAD_GRACE_SECONDS for text in ("pairs", "pairs --duration=10m")]
        self.assertEqual(patience, [4, 601])


class MetricsOfACase(unittest.TestCase):
    def test_what_a_case_shows_is_what_its_scenario_is_about(self):
        shown = {"pairs": "cpu_ns_per_delivered", "pairs -I 1s": "latency_ns.p50", "p2p-50K-50K-50K-50K": "latency_ns.p50", "conn-tcp-1M-5K": "rss_per_connection",
                 "pub -t a": "cpu_ns_per_published", "connstorm": "cpu_ns_per_connect", "connstorm --steady 5": "connect.latency_ns.p99"}
        self.assertEqual({text: cases.case("c", text).metrics[0].path for text in shown}, shown)
        for scenario, path in (("retained", "retained.fetch_msgs_per_s"), ("offline", "offline.drain_msgs_per_s")):
            self.assertIn(path, [m.path for m in cases.case("c", scenario).metrics])


class Order(unittest.TestCase):
    def test_every_broker_has_every_place_in_the_order(self):
        three = [brokers.Broker(n, "") for n in "abc"]
        turns = rounds.plan([cases.CASES["fanout"]], three, 3)
        self.assertEqual("".join(t.broker.name for t in turns), "abcbcacab")

    def test_relays_sit_out_what_they_do_not_know(self):
        takes_part = [name for name, case in cases.CASES.items() if rounds.plan([case], [RELAY], 1)]
        self.assertEqual(takes_part, ["fanout", "fanin", "pairs-20", "pairs", "pairs-1000", "latency"])

    def test_what_remains_is_estimated_from_what_runs_took(self):
        turns = rounds.plan([cases.CASES["fanout"]], [brokers.Broker("a", "")], 4)
        watch = progress.Progress(turns, 3.5, 4, stream=types.SimpleNamespace(isatty=lambda: False))
        self.assertAlmostEqual(watch.remaining(), 4 * (3.5 + progress.FIRST_GUESS_SECONDS))
        watch.begin(turns[0])
        watch.began -= 10
        watch.end(turns[0])
        watch.skip(turns[1])
        self.assertAlmostEqual(watch.remaining(), 20, delta=0.5)

    def test_times_are_read_as_the_load_generator_reads_them(self):
        self.assertEqual([arguments.seconds(t) for t in ("5", "2.5s", "300ms", "1m", "2h")], [5, 2.5, 0.3, 60, 7200])
        for wrong in ("soon", "1x", "", "1sm", "s"):
            self.assertRaisesRegex(ValueError, "is not a time", arguments.seconds, wrong)

    def test_lists_of_cores_are_those_of_taskset(self):
        here = sorted(os.sched_getaffinity(0))
        self.assertEqual(options.core_list(str(here[0])), str(here[0]))
        self.assertEqual(options.core_list(",".join(map(str, here))), options.show_cores(here))

    def test_the_quick_preset_gives_way_to_what_is_said(self):
        parser = options.parser("", ROOT)
        quick = parser.parse_args(["--quick"])
        options.fill_presets(quick)
        self.assertEqual((quick.cases.split(","), quick.rounds, quick.duration), (cases.QUICK, 3, "1s"))
        said = parser.parse_args(["--quick", "--rounds", "7", "--cases", "pairs"])
        options.fill_presets(said)
        self.assertEqual((said.cases, said.rounds), ("pairs", 7))

    def test_the_durable_preset_has_every_mode_and_its_own_cases(self):
        parser = options.parser("", ROOT)
        chosen = parser.parse_args(["--durable", "--build", os.path.dirname(BENCH)])
        options.fill_presets(chosen)
        self.assertEqual([c.name for c in options.choose_cases(parser, chosen)], cases.DURABLE)
        settings = {b.name: b.settings for b in options.choose_brokers(parser, chosen, print)}
        self.assertIn("persistence_sync always", settings["tidewire"])
        self.assertIn("persistence_sync interval 100", settings["tidewire-interval"])
        self.assertEqual(settings["tidewire-off"], "")
        self.assertFalse(set(cases.DURABLE) & set(cases.USUAL))

    def test_settings_of_a_broker_reach_its_file_behind_those_of_all(self):
        with tempfile.TemporaryDirectory() as folder:
            brokers.Running(brokers.Broker("a", "true {conf}", settings="persistence true\npersistence_location {dir}/\n"), folder, "0")
            text = read(os.path.join(folder, "broker.conf"))
        self.assertTrue(text.endswith("log_dest none\npersistence true\npersistence_location %s/\n" % folder), text)

    def test_the_disk_is_timed(self):
        with tempfile.TemporaryDirectory() as folder:
            times = disk.flush_times(folder, 20)
            self.assertEqual(os.listdir(folder), [])
        figures = disk.summarize(times)
        self.assertEqual(figures["count"], 20)
        self.assertTrue(0 < figures["p50"] <= figures["p99"] <= figures["max"])
        self.assertIsNone(disk.summarize([]))

    def test_a_goal_may_be_relative_to_one_broker(self):
        results = rounds.Results()
        case = cases.case("c", "pairs", goals=[cases.Goal("msgs_per_s", 2, "slow"), cases.Goal("msgs_per_s", 2, "absent")])
        two = [brokers.Broker("slow", ""), brokers.Broker("tidewire", "")]
        for broker, rate in zip(two, (100, 150)):
            results.add(rounds.Turn(case, broker, 0), {"ok": True, "msgs_per_s": rate})
        answers = summary.CaseSummary(case, two, results, "slow").check_goals()
        self.assertEqual([(a["value"], a["reached"]) for a in answers], [(1.5, False)])

    def test_the_settings_for_brokers_name_the_port_once(self):
        self.assertEqual(re.findall(r"\{\w+\}", brokers.FAIR_CONF), ["{port}"])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[3:])
