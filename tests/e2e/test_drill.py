"""Short drills on real Ray and Redis. How long a recovery takes is not judged here: this machine is shared.

On one that stalls, a keeper may give up, as it should: then the head restarts, which is not judged here either.
"""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from headstay.drill.history import Fault, Note
from headstay.drill.recorder import read_runs
from headstay.drill.requests import HOPS

HEADSTAY = str(Path(sys.prefix) / "bin" / "headstay")


def drill(environment: dict[str, str], *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [HEADSTAY, "drill", "-o", "json", *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def leftovers(environment: dict[str, str]) -> str:
    command = ["kubectl", "get", "namespaces", "--selector=headstay.io/drill", "-o", "name"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60).stdout


def report(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "report.json").read_text())
    assert (folder / "report.html").read_text().startswith("<!DOCTYPE html>")
    return found


def test_a_cluster_recovered_in_place_is_found_to_keep_its_promises(
    environment: dict[str, str], tmp_path: Path
) -> None:
    faults = "gcs-kill,network-cut-redis:3,operator-kill"
    with drill(environment, "--faults", faults, "--workers=1", "--seed=1", f"--out={tmp_path / 'out'}") as process:
        out, err = process.communicate(timeout=280)
    assert process.returncode in {0, 1}, err
    assert json.loads(out)["problem"] == "", err
    found = report(tmp_path / "out")
    assert {run["fault"] for run in found["runs"]} == set(faults.split(","))
    recorded = {run.number: run for run in read_runs(tmp_path / "out")}
    for run in found["runs"]:
        assert run["ended_early"] == ""
        notes = [record.text for record in recorded[run["number"]].records if isinstance(record, Note)]
        timing = {"downtime-bounded"} | ({"head-restarts"} if any("stalled" in note for note in notes) else set())
        for verdict in run["verdicts"]:
            may_be = {"valid", "invalid"} if verdict["checker"] in timing else {"valid"}
            assert verdict["outcome"] in may_be, (run["fault"], verdict, notes)
    assert leftovers(environment) == ""


@pytest.mark.timeout(600)
def test_requests_to_serve_are_kept_while_the_gcs_dies(environment: dict[str, str], tmp_path: Path) -> None:
    with drill(environment, "--serve=10", "--faults=gcs-kill", "--seed=1", f"--out={tmp_path / 'out'}") as process:
        out, err = process.communicate(timeout=500)
    assert process.returncode in {0, 1}, err
    assert json.loads(out)["problem"] == "", err
    (run,) = report(tmp_path / "out")["runs"]
    assert run["ended_early"] == "", "all was well before, and a load was sent"
    (recorded,) = read_runs(tmp_path / "out")
    hops = {hop["hop"]: hop for hop in run["figures"]["requests"]}
    assert hops.keys() == set(HOPS)
    for hop in hops.values():
        # On a machine that stalls all may not be well again before the run ends: then there is no `after`.
        assert all(hop[stretch]["sent"] > 0 for stretch in ("before", "during")), hop
    # Who answered is known of each: the Service has the head's proxy behind it too, a worker's own address has not.
    assert {name.split("-")[2] for name in hops["service"]["proxies"]} >= {"head", "small"}
    assert {name.split("-")[2] for name in hops["worker-proxies"]["proxies"]} == {"small"}
    assert {name.split("-")[2] for name in hops["head-proxy"]["proxies"]} == {"head"}
    stalled = any(isinstance(record, Note) and "stalled" in record.text for record in recorded.records)
    (verdict,) = (verdict for verdict in run["verdicts"] if verdict["checker"] == "requests-kept")
    assert verdict["outcome"] == "valid" or stalled, verdict
    assert leftovers(environment) == ""


def test_ctrl_c_leaves_a_valid_partial_report_and_nothing_in_the_cluster(
    environment: dict[str, str], tmp_path: Path
) -> None:
    arguments = ("--faults=redis-pause:120", "--runs=50", "--workers=1", f"--out={tmp_path / 'out'}")
    with drill(environment, *arguments) as process:
        _until(lambda: "was done to" in _history(tmp_path / "out"), 240)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=240)
    assert process.returncode == 1, err
    assert json.loads(out)["problem"] == "interrupted", err
    found = report(tmp_path / "out")
    assert found["about"]["partial"] == "interrupted"
    (run,) = found["runs"]
    assert run["ended_early"] == "interrupted"
    assert run["outcome"] == "unknown", "a run that was cut short proves nothing"
    (recorded,) = read_runs(tmp_path / "out")
    (fault,) = (record for record in recorded.records if isinstance(record, Fault))
    assert fault.healed is not None, "what was broken was healed"
    assert fault.healed - fault.injected < 100, "and not by its lease"
    assert leftovers(environment) == ""


def _history(folder: Path) -> str:
    return "".join(file.read_text() for file in (folder / "history").glob("*.jsonl"))


def _until(true: Any, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.2)
