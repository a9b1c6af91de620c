"""How the page says things: pure, short, and the same everywhere."""

from headstay.drill.figures import MILESTONES
from headstay.drill.promises import Recovery
from headstay.drill.report.document import Report, Summary

WAYS: dict[Recovery, str] = {"InPlace": "in place", "RestartHead": "with a head restart"}
MILESTONE_WORDS = {
    "detected": "detected",
    "gcs-serving": "GCS serving",
    "head-ready": "head ready",
    "workers-back": "workers back",
    "first-call": "first new actor",
}


HOPS = {
    "service": "through the Service",
    "worker-proxies": "at the workers' proxies",
    "head-proxy": "at the head's proxy",
}


def milestone(name: str) -> str:
    return MILESTONE_WORDS.get(name, name)


def milestone_class(name: str) -> str:
    return f"m-{name}" if name in MILESTONES else "m-other"


def seconds(value: float | None) -> str:
    """To the precision that means something: 0.68 s, 9.4 s, 71 s."""
    if value is None:
        return "-"
    if value < 0.995:
        return f"{value:.2f} s"
    return f"{value:.1f} s" if value < 9.95 else f"{value:.0f} s"


def latency(value: float | None) -> str:
    """Of a request: milliseconds below a second."""
    if value is None:
        return "-"
    return f"{1000 * value:.0f} ms" if value < 0.995 else seconds(value)


def many(count: int, one: str, more: str = "") -> str:
    return f"{count:,} {one if count == 1 else more or one + 's'}"


def verdict_words(summary: Summary) -> str:
    if summary.runs == 0:
        return "Nothing was judged"
    if summary.outcome == "invalid":
        return f"{many(summary.invalid, 'run')} of {summary.runs:,} broke a promise"
    if summary.outcome == "unknown":
        return f"No promise was seen broken, and {many(summary.unknown, 'run')} of {summary.runs:,} could not be judged"
    return "Every promise was kept"


def sentence(summary: Summary) -> str:
    if summary.runs == 0:
        return "No fault was done, so there is nothing to report."
    harm = [
        many(summary.workers_restarted, "worker") + " restarted needlessly",
        many(summary.actors_lost, "actor") + " lost",
        many(summary.counters_reset, "counter") + " reset",
        many(summary.writes_lost, "acknowledged write") + " lost",
    ]
    if summary.requests:
        harm.append(f"{summary.requests_lost:,} of {many(summary.requests, 'request')} to Serve lost")
    return f"{many(summary.faults, 'fault')}, {', '.join(harm)}{_back(summary)}."


def _back(summary: Summary) -> str:
    dead = summary.downtime_dead_gcs
    found = dead or summary.downtime
    medians = [f"{seconds(found[way].p50)} {words}" for way, words in WAYS.items() if way in found]
    after = " after the GCS died" if dead else ""
    return f"; median until a new actor was answered{after}: {', '.join(medians)}" if medians else ""


def ratio(report: Report, fault: str) -> str:
    """How many times faster than a head restart, by the medians."""
    medians = {found.recovery: found.downtime.p50 for found in report.faults if found.fault == fault and found.downtime}
    if len(medians) < 2 or not medians["InPlace"]:
        return ""
    times = medians["RestartHead"] / medians["InPlace"]
    return f"{times:.0f} x" if times >= 9.95 else f"{times:.1f} x"
