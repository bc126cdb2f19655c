"""The figures as one JSON document, and that document in the page that draws it (bench/page/page.html)."""
import json
import os

from compare_lib import disk
from compare_lib.summary import CaseSummary, disturbance

MARKER = "/*TIDEWIRE-BENCH-DATA*/null"


def build(about, cases, brokers, results, against):
    summaries = [CaseSummary(case, brokers, results, against) for case in cases if case.name in results.runs]
    document = dict(about)
    document.update({
        "against": against,
        "brokers": {b.name: b.command for b in brokers},
        "relays": [b.name for b in brokers if b.relay],
        "cases": {c.name: " ".join(c.arguments.words) for c in cases},
        "metrics": {c.name: [vars_of(m) for m in c.metrics] for c in cases},
        "summary": {s.case.name: {b.name: figures(s, b) for b in s.brokers} for s in summaries},
        "ratios": {s.case.name: {b.name: {"against": s.ratio(b), "floor": s.times_floor(b)} for b in s.brokers} for s in summaries},
        "goals": {s.case.name: s.check_goals() for s in summaries},
        "disturbance": {s.case.name: {b.name: [disturbance(r) for r in s.runs[b.name]] for b in s.brokers} for s in summaries},
        "flush_ns": disk.summarize(results.flushes),
        "broken": results.broken,
        "interrupted": results.interrupted,
        "ok": results.is_clean(),
        "runs": results.runs,
    })
    return document


def vars_of(metric):
    return {"path": metric.path, "heading": metric.heading, "unit": metric.unit, "factor": metric.factor, "better": metric.better}


def figures(summary, broker):
    return {m.path: summary.get(broker, m.path) for m in summary.case.metrics}


def without_series(document):
    """What happened every 100 ms of every run is in the JSON; the page compares whole runs."""
    runs = {case: {b: [{k: v for k, v in run.items() if k != "series"} for run in runs] for b, runs in per.items()}
            for case, per in document["runs"].items()}
    return {**document, "runs": runs}


def write_json(document, path):
    replace(path, json.dumps(document, indent=1) + "\n")


def write_html(document, path, template):
    with open(template) as f:
        page = f.read()
    # A string may hold '</script>' or '<!--', which mean something to the page even inside its script.
    text = json.dumps(without_series(document)).replace("<", "\\u003c")
    replace(path, page.replace(MARKER, text))


def replace(path, text):
    """Never half a file, also when we are interrupted: the figures so far are written after every case."""
    if os.path.exists(path) and not os.path.isfile(path):
        with open(path, "w") as f:  # a device or a pipe
            f.write(text)
        return
    part = path + ".part"
    with open(part, "w") as f:
        f.write(text)
    os.replace(part, path)
