"""From runs to figures: medians and spread, the ratio to a chosen broker, the distance from the floor, goals, disturbance."""
import statistics

DISTURBED_SHARE = 0.05


def pick(result, path):
    for key in path.split("."):
        result = result.get(key) if result else None
    return result


def summarize(runs, path):
    """Of the clean runs; None if there is nothing."""
    values = [v for v in (pick(r, path) for r in runs if r["ok"]) if v is not None]
    if not values:
        return None
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "runs": len(values)}


def median(runs, path):
    s = summarize(runs, path)
    return s["median"] if s else None


def ratio(value, reference):
    return value / reference if value is not None and reference else None


def disturbance(run):
    """The share of time in which broker or load was ready and something else had its core."""
    return max(run.get("cpu_wait_share") or 0, run.get("load_wait_share") or 0)


def disturbed_runs(results):
    """(how many, of how many, the worst share)."""
    shares = [disturbance(r) for per in results.runs.values() for runs in per.values() for r in runs]
    return sum(1 for s in shares if s > DISTURBED_SHARE), len(shares), max(shares, default=0)


class CaseSummary:
    """The figures of one case, of all brokers that took part in it."""

    def __init__(self, case, brokers, results, against):
        self.case = case
        self.brokers = [b for b in brokers if results.of(case, b)]
        self.runs = {b.name: results.of(case, b) for b in self.brokers}
        self.against = against

    def get(self, broker, path):
        return summarize(self.runs[broker.name], path)

    def floor(self, path="cpu_ns_per_delivered"):
        """The lowest of the relays."""
        return self.best_of((b for b in self.brokers if b.relay), path, "lower")

    def best_of(self, brokers, path, better):
        values = [v for v in (median(self.runs[b.name], path) for b in brokers) if v is not None]
        if not values:
            return None
        return min(values) if better == "lower" else max(values)

    def ratio(self, broker):
        path = self.case.metrics[0].path
        return ratio(median(self.runs[broker.name], path), median(self.runs.get(self.against, []), path))

    def times_floor(self, broker):
        return ratio(median(self.runs[broker.name], "cpu_ns_per_delivered"), self.floor())

    def better(self, path):
        return next((m.better for m in self.case.metrics if m.path == path), "lower")

    def check_goals(self, name="tidewire"):
        """[{path, of, goal, value, reached}]: what can be told from the brokers that took part. Goals are Tidewire's own."""
        subject = next((b for b in self.brokers if b.name == name), None)
        answers = [self.check_goal(goal, subject) for goal in self.case.goals] if subject else []
        return [a for a in answers if a["value"] is not None]

    def check_goal(self, goal, subject):
        value = median(self.runs[subject.name], goal.path)
        better = self.better(goal.path)
        if goal.of == "plain floor":
            value = ratio(value, median(self.runs.get("floor", []), goal.path))
        elif goal.of == "lower floor":
            value = ratio(value, self.floor(goal.path))
        elif goal.of in self.runs:
            value = ratio(value, median(self.runs[goal.of], goal.path))
        elif goal.of == "best":
            value = ratio(value, self.best_of((b for b in self.brokers if not b.relay and b is not subject), goal.path, better))
        elif goal.of is not None:
            value = None  # it took no part
        reached = None if value is None else value <= goal.factor if better == "lower" else value >= goal.factor
        return {"path": goal.path, "of": goal.of, "goal": goal.factor, "better": better, "value": value, "reached": reached}
