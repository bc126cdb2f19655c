"""The figures on a terminal."""
import statistics

from compare_lib import disk
from compare_lib.summary import DISTURBED_SHARE, disturbance, disturbed_runs, median, pick


def print_case(summary, samples):
    metrics = summary.case.metrics
    print("\n%s: tidewire-bench %s" % (summary.case.name, " ".join(summary.case.arguments.words)))
    if not summary.brokers:
        print("  nobody was measured")
        return
    heads = ["%s, %s" % (m.heading, m.unit) for m in metrics] + ["ratio", "x floor", "disturbed", "clean"]
    rows = [[b.name] + cells(summary, b) for b in summary.brokers]
    print_aligned([[""] + heads] + rows)
    for answer in summary.check_goals():
        print("  tidewire's goal " + describe_goal(answer, metrics))
    if samples:
        print_samples(summary)


def cells(summary, broker):
    runs = summary.runs[broker.name]
    figures = [show_spread(metric, summary.get(broker, metric.path)) for metric in summary.case.metrics]
    disturbed = "%.0f %%" % (100 * statistics.median(disturbance(r) for r in runs))
    clean = "%d of %d" % (sum(1 for r in runs if r["ok"]), len(runs))
    return figures + [show_ratio(summary.ratio(broker)), show_ratio(summary.times_floor(broker)), disturbed, clean]


def show_spread(metric, s):
    return "-" if s is None else "%s (%s-%s)" % tuple(metric.show(s[k]) for k in ("median", "min", "max"))


def show_ratio(value):
    return "-" if value is None else "%.2f" % value


def print_aligned(rows):
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print("  " + row[0].ljust(widths[0]) + "".join("  " + cell.rjust(width) for cell, width in zip(row[1:], widths[1:])))


def describe_goal(answer, metrics):
    metric = next(m for m in metrics if m.path == answer["path"])
    sign = "at most" if answer["better"] == "lower" else "at least"
    verdict = "reached" if answer["reached"] else "NOT reached"
    if answer["of"] is None:
        value, goal = ("%s %s" % (metric.show(v), metric.unit) for v in (answer["value"], answer["goal"]))
    else:
        whom = "the best other broker" if answer["of"] == "best" else "the " + answer["of"] if answer["of"].endswith("floor") else answer["of"]
        value, goal = "%.2f times %s" % (answer["value"], whom), "%.4g" % answer["goal"]
    return "%s: %s %s (%s %s)" % (verdict, metric.heading, value, sign, goal)


def print_samples(summary):
    for broker in summary.brokers:
        for run in summary.runs[broker.name]:
            figures = []
            for metric in summary.case.metrics:
                value = pick(run, metric.path)
                figures.append("%s %s" % ("-" if value is None else metric.show(value), metric.unit))
            print("    %s, round %d: %s, disturbed %.0f %%%s" % (broker.name, run["round"], ", ".join(figures), 100 * disturbance(run),
                                                                 "" if run["ok"] else ", NOT CLEAN"))


def print_flushes(times):
    s = disk.summarize(times)
    if s:
        print("  a write of 4 KiB until it is on this disk, us: mean %.0f, p50 %.0f, p99 %.0f (%d, between the runs)" % (s["mean"] / 1e3, s["p50"] / 1e3, s["p99"] / 1e3, s["count"]))


def print_added(results, case, path="acked_ns.mean"):
    """What waiting for the disk adds to an acknowledgement, and the goal: less than two flushes."""
    waits, not_at_all = (median(results.runs.get(case, {}).get(name, []), path) for name in ("tidewire", "tidewire-off"))
    flush = disk.summarize(results.flushes)
    if waits is None or not_at_all is None or flush is None:
        return
    added, goal = waits - not_at_all, 2 * flush["mean"]
    print("  tidewire's goal %s: the disk adds %.0f us to an acknowledgement (less than two flushes: %.0f us)" % ("reached" if added < goal else "NOT reached", added / 1e3, goal / 1e3))


def print_ending(results):
    disturbed, total, worst = disturbed_runs(results)
    if disturbed:
        print("\ndisturbed: in %d of %d runs something else had one of the cores for more than %.0f %% of the time (at worst %.0f %%)"
              % (disturbed, total, 100 * DISTURBED_SHARE, 100 * worst))
    unclean = sum(1 for per in results.runs.values() for runs in per.values() for r in runs if not r["ok"])
    if unclean or results.broken:
        print("\nNOT CLEAN: %d runs with failures, %d that could not be measured; see above" % (unclean, len(results.broken)))
    if results.interrupted:
        print("\ninterrupted: these are the figures so far")
