"""The page has to be right for whoever reads it without us: whole, valid, harmless, and true to its figures."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.unit.drill.breakages import BREAKAGES
from tests.unit.drill.histories import CALM, Scene, campaign, good_run

from headstay.drill.checkers import CHECKERS, promise_of
from headstay.drill.history import Call, Fault, Note, Run
from headstay.drill.reading import Reading
from headstay.drill.report import About, Report, write_report
from headstay.drill.report.load import load_pictures
from headstay.drill.report.plots import LEFT, RIGHT, LogScale
from headstay.drill.report.timeline import timeline

SCHEMA = Path(__file__).with_name("report-schema.json")
ABOUT = About(
    "Four faults",
    "headstay drill --faults all --seed 7",
    7,
    1_790_000_000.0,
    {"ray": "2.60.0", "headstay": "0.1.0"},
    "2 cores, 24 GB",
)
VOID = {"meta", "link", "br", "hr", "img", "input"}
NEVER = {"script", "link", "iframe", "img", "object", "embed", "form", "base", "audio", "video", "foreignobject"}


class Page(HTMLParser):
    """Complains of what is not closed, and collects what a test asks for."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.labels: list[str] = []
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.tags.add(tag)
        self.attributes |= set(found)
        self.ids += [found["id"]] if "id" in found else []
        self.links += [found[name] for name in ("href", "src", "xlink:href", "action", "srcset") if name in found]
        if "aria-labelledby" in found:
            self.labels += found["aria-labelledby"].split()
        assert tag != "svg" or "aria-hidden" in found or "aria-label" in found or "aria-labelledby" in found

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def written(folder: Path, runs: list[Run], about: About = ABOUT) -> tuple[Page, Report]:
    files = write_report(folder, runs, about)
    assert sorted(path.name for path in folder.iterdir()) == ["report.html", "report.json"]
    return Page(files.html.read_text()), msgspec.json.decode(files.json.read_bytes(), type=Report)


def broken_runs() -> list[Run]:
    found = []
    for number, breakage in enumerate(BREAKAGES.values()):
        scene = Scene("gcs-kill", "InPlace", 40 + number, workers=3, number=number + 1, rate=10)
        # A proxy that comes back is one that went.
        away = Scene("gcs-kill", "RestartHead", 40 + number, workers=3, number=number + 1, rate=10)
        # Beside a load the bound is too long for a second outage that breaks it.
        idle = Scene("gcs-kill", "InPlace", 40 + number, workers=3, number=number + 1)
        run = breakage.change(scene) or breakage.change(away) or breakage.change(idle)
        assert run is not None
        found.append(run)
    return found


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> tuple[Page, Report]:
    return written(tmp_path_factory.mktemp("good"), campaign(seed=5, runs=1))


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> tuple[Page, Report]:
    return written(tmp_path_factory.mktemp("bad"), [*broken_runs(), *campaign(seed=90, runs=1)[5:]])


def test_a_page_needs_nothing_but_itself(good: tuple[Page, Report], bad: tuple[Page, Report]) -> None:
    for page in (good[0], bad[0]):
        assert not page.tags & NEVER
        assert not [link for link in page.links if not link.startswith("#")]
        assert not [name for name in page.attributes if name.startswith("on")]
        assert not re.search(r"url\(|@import|https?://", page.html)
        assert "default-src 'none'" in page.html


def test_names_within_a_page_are_unique_and_lead_somewhere(good: tuple[Page, Report], bad: tuple[Page, Report]) -> None:
    for page in (good[0], bad[0]):
        assert len(page.ids) == len(set(page.ids))
        assert {link.removeprefix("#") for link in page.links} <= set(page.ids)
        assert set(page.labels) <= set(page.ids)


def test_a_good_campaign_says_so_in_numbers(good: tuple[Page, Report]) -> None:
    page, report = good
    assert report.summary.outcome == "valid"
    assert "Every promise was kept" in page.text
    faults = report.summary.faults
    assert (
        f"{faults} faults, 0 workers restarted needlessly, 0 actors lost, 0 counters reset, 0 acknowledged writes lost"
        in page.text
    )
    assert re.search(
        r"median until a new actor was answered after the GCS died: \S+ s in place, \d+ s with a head", page.text
    )
    assert "A promise was broken" not in page.text
    for checker in set(CHECKERS) - {"requests-kept"}:
        assert promise_of(checker) in page.text
    assert "requests" not in page.ids, "without Serve nothing is said of requests"
    assert ABOUT.command in page.text


def test_a_campaign_with_serve_tells_what_requests_noticed(tmp_path: Path) -> None:
    runs = campaign(seed=5, runs=1, rate=20)
    page, report = written(tmp_path, runs)
    assert report.summary.outcome == "valid"
    sent = [r for run in runs for r in run.records if isinstance(r, Call) and r.operation == "serve"]
    missed = sum(call.outcome != "ok" for call in sent)
    assert missed > 0, "heads that ended have lost some"
    assert (report.summary.requests, report.summary.requests_lost) == (len(sent), missed)
    assert f"{missed:,} of {len(sent):,} requests to Serve lost" in page.text
    assert promise_of("requests-kept") in page.text
    assert {found.rate for found in report.requests} == {20}
    told = {(found.fault, found.recovery): {hop.hop: hop for hop in found.hops} for found in report.requests}
    upgrade = told["upgrade", "InPlace"]
    assert {hop.before.lost + hop.during.lost + hop.after.lost for hop in upgrade.values()} == {0}
    assert told["gcs-kill", "RestartHead"]["head-proxy"].during.lost > 0
    assert told["gcs-kill", "RestartHead"]["head-proxy"].errors.keys() == {"refused"}
    assert told["gcs-kill", "InPlace"]["head-proxy"].during.lost == 0
    assert told["gcs-kill", "InPlace"]["service"].proxies.keys() == {"worker"}
    assert page.text.count("at the head's proxy") >= len(report.requests)


def test_requests_are_drawn_within_their_frame(tmp_path: Path) -> None:
    scene = Scene("head-pod", "RestartHead", rate=100)
    (picture,) = load_pictures([Reading(good_run(scene)), Reading(good_run(scene))])
    assert (picture.runs, len(picture.lanes)) == (2, 3)
    for lane in picture.lanes:
        paths = dict(lane.paths)
        assert set(paths) <= {"ok", "load-max", "load-slow", "failed"}
        numbers = [float(x) for path in paths.values() for x in re.findall(r"M([0-9.]+) ", path)]
        assert all(190 <= x < 985 for x in numbers)
        assert all(len(path) < 40 * 200 for path in paths.values())
        assert ("failed" in paths) == (lane.told[0].split()[0] != "0")
    assert picture.struck < picture.calm <= 985


def test_a_broken_promise_leads_the_page(bad: tuple[Page, Report]) -> None:
    page, report = bad
    assert report.summary.outcome == "invalid"
    assert f"{report.summary.invalid} runs of {report.summary.runs} broke a promise" in page.text
    assert (
        page.text.index("A promise was broken") < page.text.index("Could not be judged") < page.text.index("gcs-stop, ")
    )
    for breakage, run in zip(BREAKAGES.values(), report.runs, strict=False):
        assert {verdict.checker for verdict in run.verdicts if verdict.outcome == "invalid"} == breakage.invalid
    assert (report.summary.actors_lost, report.summary.counters_reset, report.summary.writes_lost) == (2, 4, 3)
    assert report.summary.workers_restarted == 2


def test_what_is_said_of_checkers_adds_up(bad: tuple[Page, Report]) -> None:
    _page, report = bad
    with_serve = sum(run.rate > 0 for run in report.runs)
    for checked in report.checkers:
        of = with_serve if checked.checker == "requests-kept" else report.summary.runs
        assert checked.valid + checked.invalid + checked.unknown == of
    assert sum(found.runs for found in report.faults) == report.summary.runs


def test_an_empty_campaign_has_a_page(tmp_path: Path) -> None:
    page, report = written(tmp_path, [], msgspec.structs.replace(ABOUT, partial="stopped before the first fault"))
    assert report.summary.outcome == "unknown"
    assert "Nothing was judged" in page.text
    assert "stopped before the first fault" in page.text
    assert ABOUT.command in page.text


def test_a_campaign_of_skipped_and_cut_off_runs_has_a_page(tmp_path: Path) -> None:
    nothing = Run(1, "gcs-kill", "InPlace", 0, 0, 1, (), ended_early="interrupted")
    skipped = Run(
        2, "network-cut-redis", "InPlace", 0, 0, 1, (Fault("network-cut-redis", "head", 0, skipped="no tool"),)
    )
    alone, report = written(tmp_path, [skipped])
    assert (report.summary.runs, report.summary.skipped) == (0, 1)
    assert "network-cut-redis: no tool" in alone.text
    page, report = written(tmp_path, [nothing, skipped])
    assert (report.summary.runs, report.summary.skipped, report.summary.outcome) == (1, 1, "unknown")
    assert "This run ended early: interrupted" in page.text
    assert "network-cut-redis: no tool" in page.text


def test_names_from_the_cluster_are_text(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>\"'&"
    run = good_run(Scene())
    call = next(record for record in run.records if isinstance(record, Call))
    foreign = msgspec.structs.replace(call, operation=evil, process=evil, error=evil)
    run = msgspec.structs.replace(run, fault=evil, records=(*run.records, foreign, Note(run.began, evil)))
    page, _report = written(tmp_path, [run], msgspec.structs.replace(ABOUT, title=evil, machine=evil))
    assert "script" not in page.tags
    assert evil in page.text


def test_a_large_campaign_stays_a_usable_file(tmp_path: Path) -> None:
    run = good_run(Scene("gcs-kill", "InPlace", pace=0.02, workers=12))
    assert len(run.records) > 3000
    small = good_run(Scene("gcs-kill", "InPlace"))
    runs = [msgspec.structs.replace(run if i % 40 == 0 else small, number=i) for i in range(200)]
    files = write_report(tmp_path, runs, ABOUT)
    assert files.html.stat().st_size < 5_000_000


def in_order(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {key: in_order(value) for key, value in sorted(schema.items())}
    return sorted(map(in_order, schema), key=str) if isinstance(schema, list) else schema


def test_json_keeps_its_schema() -> None:
    """Who reads reports reads old and new ones: a field may come, none may go. Rewrite the file only for a new one."""
    found = json.loads(json.dumps(msgspec.json.schema(Report)))
    assert in_order(found) == json.loads(SCHEMA.read_text())


def test_a_picture_has_a_bounded_size_and_stays_in_its_frame() -> None:
    scene = Scene("gcs-term", "RestartHead", pace=0.05)
    picture = timeline(Reading(good_run(scene)))
    assert picture is not None
    paths = [path for row in picture.rows for _css, path in row.paths]
    assert all(len(path) < 30 * 250 for path in paths)
    assert all(130 <= m.x <= 985 for m in picture.milestones)
    assert scene.ended - scene.back == pytest.approx(CALM)
    longest = max(picture.rows, key=lambda row: row.title.count(","))
    assert "unknown" in longest.title


def test_a_logarithmic_axis_begins_and_ends_at_round_numbers() -> None:
    scale = LogScale([0.68, 71.0])
    assert [tick.label for tick in scale.ticks()] == ["0.5 s", "1 s", "2 s", "5 s", "10 s", "20 s", "50 s", "100 s"]
    assert (scale(0.5), scale(100), scale(1e-9), scale(1e9)) == (LEFT, RIGHT, LEFT, RIGHT)
    assert len(list(LogScale([]).ticks())) >= 4
