#!/usr/bin/env python3
"""The page of measurements: its data can be anything, its script draws it without a fault, and it needs nothing from outside.

usage: page_test.py
"""
import copy
import html.parser
import json
import os
import re
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "bench"))
sys.dont_write_bytecode = True
from compare_lib import document  # noqa: E402

TEMPLATE = os.path.join(ROOT, "bench", "page", "page.html")
FIGURE = os.path.join(ROOT, "bench", "figure")
WIDTHS = (260, 760, 1240)

# Reads {documents, widths}, answers with what the page makes of each: {title, html, plots: {name: [svg per width]}}.
DRAW = """
const input = JSON.parse(require("fs").readFileSync(0, "utf8"));
const script = input.template.match(/<script>([\\s\\S]*)<\\/script>/)[1];
const describe = require("vm").runInNewContext(script + "\\ndescribe;", {});
process.stdout.write(JSON.stringify(input.documents.map((d) => {
  const page = describe(d), plots = {};
  for (const [name, draw] of Object.entries(page.plots)) plots[name] = input.widths.map((w) => draw(w).svg);
  return {title: page.title, html: page.html, plots};
})));
"""

# What tidewire-bench writes today at the least, without the newer keys.
OLD_RUN = {
    "scenario": "pairs", "count": 50, "raw": False, "version": 4, "qos": 0, "size": 64, "window": 20000, "burst": 1, "rate": 0, "ok": True,
    "interrupted": False, "seconds": 1.0, "cpu_ns_per_delivered": 1320.8, "cpu_share": 0.5, "load_cpu_ns_per_delivered": 1394.5, "load_cpu_share": 0.6,
    "cpu_wait_share": 0.0, "load_wait_share": 0.37, "msgs_per_s": 444554.9, "measured_delivered": 448151, "sent": 618353, "delivered": 618353, "lost": 0,
    "dup": 0, "reordered": 0, "foreign": 0, "acked": 0, "unacked": 0, "latency_ns": None, "sent_late_ns": None, "connections": 100, "connections_up": 100,
    "connects_per_s": 7914.6, "cpu_ns_per_connect": 46048.5, "rss_bytes": 14516224, "rss_bytes_before": 7823360, "rss_per_connection": 66928.6,
    "broker_gone": False, "failures": [],
}
LATENCY = {"count": 9, "min": 21000, "p50": 36000, "p90": 61000, "p99": 90000, "p999": 200000, "p9999": 600000, "max": 2100000, "mean": 41000}


def series(count):
    """With a spike in the middle, and nothing known at the start, as before the first delivery."""
    return [{"t": round((i + 1) / 10, 1), "phase": "connect" if i < 3 else "measure", "delivered_per_s": 9e9 if i == count // 2 else 400000 + i, "sent_per_s": 400000,
             "connected": 100, "broker_cpu_ns_per_delivered": None if i < 3 else 1300 + i % 7, "broker_cpu_share": 0.5, "broker_rss_bytes": 14000000,
             "latency_p50_ns": None if i < 3 else 30000, "latency_p99_ns": None if i < 3 else 90000} for i in range(count)]


def full_run():
    run = copy.deepcopy(OLD_RUN)
    run.update({
        "tool_version": "0.1.0", "command": "tidewire-bench pairs", "time": "2026-11-25T17:00:00Z", "machine": "AMD EPYC", "cores": 2, "kernel": "6.18", "ok": False,
        "lost": 13, "latency_ns": LATENCY, "series": series(300), "latency_percentiles": [[0.0, 21000], [0.5, 36000], [0.99, 90000], [0.9999, 600000], [1.0, 2100000]],
        "failures": [{"kind": "reset", "count": 3, "first_connection": 17, "role": "subscriber", "detail": "</script><b>\" & '", "at_s": 4.1}], "connect": {"count": 5, "per_s": None},
    })
    return run


# As tidewire-bench writes them; what they share with others is left as it is.
PUB_RUN = dict(OLD_RUN, scenario="pub", count=5, publishers=5, subscribers=0, sent=354715, delivered=0, measured_delivered=0, msgs_per_s=None, sent_per_s=161184.6,
               cpu_ns_per_delivered=None, cpu_ns_per_published=3979.1, series=[dict(p, delivered_per_s=0, broker_cpu_ns_per_delivered=None) for p in series(9)])
STORM_RUN = dict(OLD_RUN, scenario="connstorm", count=2000, publishers=0, subscribers=0, sent=0, delivered=0, measured_delivered=0, msgs_per_s=None, sent_per_s=0,
                 cpu_ns_per_delivered=None, connect={"count": 2000, "per_s": 22541.8, "latency_ns": LATENCY},
                 series=[dict(p, delivered_per_s=0, sent_per_s=0, broker_cpu_ns_per_delivered=None, latency_p50_ns=None, latency_p99_ns=None) for p in series(3)])


def task_run(scenario, store, fetch, **counts):
    task = {store + "_s": 0.016, store + "_msgs_per_s": 606912.1, fetch + "_s": 0.006, fetch + "_msgs_per_s": 1680708.7, "subscriber_ns": LATENCY, "subscribers": 10}
    return dict(OLD_RUN, scenario=scenario, qos=1, publishers=10, subscribers=10, sent=10000, delivered=10000, series=series(5), **{scenario: dict(task, **counts)})


def comparison():
    def runs(cpu, ok=True):
        return [dict(OLD_RUN, cpu_ns_per_delivered=cpu + i, latency_ns=LATENCY, round=i + 1, ok=ok) for i in range(3)]

    def figures(cpu):
        return {"cpu_ns_per_delivered": {"median": cpu + 1, "min": cpu, "max": cpu + 2, "runs": 3}, "msgs_per_s": None}

    metrics = [{"path": "cpu_ns_per_delivered", "heading": "CPU per message", "unit": "ns", "factor": 1, "better": "lower"},
               {"path": "msgs_per_s", "heading": "delivered", "unit": "msg/s", "factor": 1, "better": "higher"}]
    return {
        "command": "bench/compare", "commit": "abc", "machine": "AMD EPYC", "cores": 2, "kernel": "6.18", "time": "2026-11-25T17:00:00Z", "against": "mosquitto-2.1",
        "brokers": {"mosquitto-2.1": "mosquitto -c {conf}", "tidewire": "tidewire -c {conf}", "floor": "floor"}, "relays": ["floor"],
        "cases": {"pairs <1>": "pairs --count 50"}, "metrics": {"pairs <1>": metrics},
        "summary": {"pairs <1>": {"mosquitto-2.1": figures(12000), "tidewire": figures(200), "floor": figures(100)}},
        "ratios": {"pairs <1>": {"mosquitto-2.1": {"against": 1, "floor": 120}, "tidewire": {"against": 0.0167, "floor": 2}, "floor": {"against": 0.0084, "floor": 1}}},
        "goals": {"pairs <1>": [{"path": "cpu_ns_per_delivered", "of": "plain floor", "goal": 2, "better": "lower", "value": 1.99, "reached": True}]},
        "broken": [{"case": "pairs <1>", "broker": "dead", "round": 1, "what": "ended with status 3: <no>"}], "interrupted": True, "ok": False,
        "runs": {"pairs <1>": {"mosquitto-2.1": runs(12000), "tidewire": runs(200), "floor": runs(100, ok=False)}},
    }


CURVES = {"title": "Growth", "curves": [{"name": "memory", "title": "Bytes per session", "x": {"label": "sessions", "kind": "log", "format": "count"},
          "y": {"format": "bytes"}, "lines": [{"name": "idle", "points": [[10000, 431], [2000000, 433]]}]}]}


class Balance(html.parser.HTMLParser):
    """Every element that is opened is closed, in order."""

    def __init__(self):
        super().__init__()
        self.open = []
        self.elements = []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in ("br", "meta"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, "</%s> closes %s" % (tag, self.open)
        self.open.pop()


def template():
    with open(TEMPLATE) as f:
        return f.read()


def draw(*documents, widths=WIDTHS):
    done = subprocess.run(["node", "-e", DRAW], input=json.dumps({"template": template(), "documents": documents, "widths": widths}), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def tiles_of(page):
    return dict(re.findall(r'<div class="name">([^<]*)</div><div class="value">([^<]*)</div>', page["html"]))


class Template(unittest.TestCase):
    def test_there_is_one_place_for_the_data(self):
        self.assertEqual(template().count(document.MARKER), 1)
        self.assertIn("const data = %s;" % document.MARKER, template())

    def test_nothing_comes_from_outside(self):
        self.assertEqual(re.findall(r"https?:|//[a-z]+\.|\bsrc\s*=|@import|url\(|<link|fetch\(|XMLHttpRequest", template()), [])

    def test_what_strings_contain_cannot_end_the_script(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "page.html")
            figures = comparison()
            figures["brokers"]["odd"] = "</script><script>alert(1)</script> <!--<script> \u2028 \\ \" '"
            document.write_html(figures, path, TEMPLATE)
            with open(path) as f:
                page = f.read()
        self.assertEqual(page.lower().count("</script"), 1)
        self.assertEqual(page.lower().count("<!--"), template().lower().count("<!--"))
        written = re.search(r"^const data = (.*);$", page, re.MULTILINE).group(1)
        self.assertEqual(json.loads(written)["brokers"], figures["brokers"])

    def test_the_page_leaves_out_what_it_does_not_draw(self):
        figures = comparison()
        figures["runs"]["pairs <1>"]["tidewire"][0]["series"] = series(5)
        self.assertNotIn("series", document.without_series(figures)["runs"]["pairs <1>"]["tidewire"][0])
        self.assertIn("series", figures["runs"]["pairs <1>"]["tidewire"][0])


class Drawing(unittest.TestCase):
    def assert_sound(self, page):
        balance = Balance()
        balance.feed(page["html"])
        self.assertEqual(balance.open, [])
        places = [a["data-plot"] for _, a in balance.elements if "data-plot" in a]
        self.assertEqual(sorted(places), sorted(page["plots"]))
        self.assertNotRegex(page["html"], r"\b(NaN|undefined|Infinity|\[object)\b")
        for svg in (svg for per_width in page["plots"].values() for svg in per_width):
            xml.etree.ElementTree.fromstring(svg)
            self.assertNotRegex(svg, r"NaN|undefined|Infinity|\[object")

    def test_every_kind_of_document_is_drawn_at_every_width(self):
        empty = dict(comparison(), summary={}, runs={}, ratios={}, goals={}, broken=[])
        idle = dict(OLD_RUN, scenario="idle", msgs_per_s=None, cpu_ns_per_delivered=None, sent=0, delivered=0, measured_delivered=0)
        unreached = {k: (None if isinstance(v, float) else v) for k, v in OLD_RUN.items()}
        for page in draw(OLD_RUN, full_run(), comparison(), CURVES, None, empty, idle, unreached):
            with self.subTest(title=page["title"]):
                self.assert_sound(page)

    def test_a_run_shows_what_was_recorded(self):
        page, = draw(full_run())
        self.assertEqual(list(page["plots"]), ["throughput", "percentiles", "latency", "cpu", "share", "memory", "connected"])
        for shown in ("1.32 µs", "36.0 µs", "13 lost", "subscriber 17", "&lt;/script&gt;&lt;b&gt;"):
            self.assertIn(shown, page["html"])

    def test_a_run_without_newer_keys_shows_no_empty_plots(self):
        page, = draw(OLD_RUN)
        self.assertEqual(page["plots"], {})
        self.assertIn("445 k", page["html"])

    def test_a_run_names_the_version_of_its_protocol(self):
        pages = draw(*(dict(OLD_RUN, version=version, raw=raw) for version, raw in ((3, False), (4, False), (5, False), (4, True))))
        self.assertEqual([page["title"] for page in pages], ["pairs: MQTT 3.1", "pairs: MQTT 3.1.1", "pairs: MQTT 5.0", "pairs: no MQTT"])

    def test_a_run_that_only_publishes_shows_what_it_published(self):
        page, = draw(PUB_RUN)
        self.assert_sound(page)
        tiles = tiles_of(page)
        self.assertEqual((tiles["messages"], tiles["broker CPU per publish"], tiles["published per second"]), ("355 k", "3.98 µs", "161 k"))
        self.assertIn("Messages sent per second", page["html"])
        self.assertIn("clean: all was published", page["html"])
        self.assertNotIn("window", page["html"].split("<h2>")[0])

    def test_a_task_shows_how_fast_messages_were_stored_and_came_back(self):
        offline, retained = draw(task_run("offline", "queue", "drain", queued=10000, drained=10000), task_run("retained", "store", "fetch", messages=10000, fetched=10000))
        for page, stored, fetched in ((offline, "queued", "drained"), (retained, "stored", "fetched")):
            self.assert_sound(page)
            tiles = tiles_of(page)
            self.assertEqual((tiles[stored + " per second"], tiles[fetched + " per second"], tiles["subscriber had all, p50"]), ("607 k", "1.68 M", "36.0 µs"))
            self.assertNotIn("window", page["html"].split("<h2>")[0])

    def test_a_storm_shows_how_long_connecting_took_and_no_empty_plot_of_messages(self):
        page, = draw(STORM_RUN)
        self.assert_sound(page)
        self.assertEqual(tiles_of(page)["connecting p50"], "36.0 µs")
        self.assertIn("clean: all connected", page["html"])
        self.assertNotIn("throughput", page["plots"])
        self.assertIn("connected", page["plots"])

    def test_a_point_that_stands_alone_is_seen(self):
        run = task_run("offline", "queue", "drain", queued=10000, drained=10000)
        page, = draw(dict(run, series=[dict(p, broker_cpu_ns_per_delivered=421 if i == 2 else None) for i, p in enumerate(run["series"])]))
        self.assertEqual([svg.count("<circle") for svg in page["plots"]["cpu"]], [1, 1, 1])
        self.assertEqual(page["plots"]["memory"][0].count("<circle"), 0)

    def test_a_comparison_shows_medians_ratios_goals_and_what_went_wrong(self):
        page, = draw(comparison())
        self.assertEqual(list(page["plots"]), ["ratios", "pairs <1>-cpu_ns_per_delivered", "pairs <1>-percentiles"])
        for shown in ("12.0 µs", "201 ns", "0.017×", "2.00× floor", "goal ≤ 2.00×", "ended with status 3: &lt;no&gt;", "interrupted"):
            self.assertIn(shown, page["html"])
        ratios = page["plots"]["ratios"][1]
        for shown in ("mosquitto-2.1: 1.00×", "tidewire: 0.017×", "floor:"):
            self.assertIn(shown, ratios)
        bars = page["plots"]["pairs <1>-cpu_ns_per_delivered"][1]
        self.assertEqual(bars.count("<circle"), 9)
        self.assertIn("logarithmic", bars)

    def test_many_points_are_thinned_and_the_spike_stays(self):
        run = full_run()
        run["series"] = series(20000)
        page, = draw(run)
        narrow = page["plots"]["throughput"][0]
        self.assertLess(len(narrow), 40000)
        self.assertIn("to 9.00 G", narrow)
        heights = [float(y) for y in re.findall(r"[ML][\d.]+ ([\d.]+)", narrow)]
        self.assertEqual(sum(1 for y in heights if y < (min(heights) + max(heights)) / 2), 1)


class Figures(unittest.TestCase):
    def figure(self, *arguments):
        return subprocess.run([FIGURE, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def test_points_of_simulated_sessions_become_curves(self):
        points = [{"shards": s, "sessions": n, "broker_bytes_per_session": 400 + s, "cpu_ns_per_message": n // 10} for s in (1, 8) for n in (10000, 2000000)]
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "millions.json")
            with open(path, "w") as f:
                json.dump({"benchmark": "tidewire-millions", "points": points}, f)
            done = self.figure(path, folder)
            self.assertEqual((done.returncode, done.stdout), (0, "bytes-per-session\ncpu-per-message\n"), done.stderr)
            with open(os.path.join(folder, "bytes-per-session.svg")) as f:
                self.assertIn("8 shards", f.read())

    def test_plots_become_pictures_that_stand_alone(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "curves.json")
            with open(path, "w") as f:
                json.dump(CURVES, f)
            done = self.figure(path, folder, "memory")
            self.assertEqual((done.returncode, done.stdout), (0, "memory\n"), done.stderr)
            picture = xml.etree.ElementTree.parse(os.path.join(folder, "memory.svg")).getroot()
        self.assertEqual(picture.tag, "{http://www.w3.org/2000/svg}svg")
        self.assertIn("prefers-color-scheme", xml.etree.ElementTree.tostring(picture, encoding="unicode"))

    def test_what_is_not_there_is_refused_by_name(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "curves.json")
            with open(path, "w") as f:
                json.dump(CURVES, f)
            for arguments, said in (((path, folder, "speed"), "no plot 'speed' (memory)"), ((path + "x",), "no such file"), ((), "usage")):
                with self.subTest(arguments=arguments):
                    done = self.figure(*arguments)
                    self.assertEqual(done.returncode, 2)
                    self.assertIn(said, done.stderr)


if __name__ == "__main__":
    unittest.main()
