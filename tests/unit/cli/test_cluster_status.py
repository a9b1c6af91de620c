"""`headstay status CLUSTER` and `kubectl headstay status`: what they show, and how they fail."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.unit.plan.clusters import UID, ft_cluster, pod
from tests.unit.plan.test_recoveries import at

from headstay.cli.cluster_status import report
from headstay.model.objects import Obj
from headstay.plan.raycluster.journal import RECOVERIES, Record, write_journal

BIN = Path(sys.prefix) / "bin"
RECORD = Record(
    UID,
    "life/1",
    "InPlace",
    "head",
    why="Gone: it ended with signal 9",
    lost="2026-01-02T03:04:05.000000Z",
    detected="2026-01-02T03:04:05.100000Z",
    started="2026-01-02T03:04:05.100000Z",
    serving="2026-01-02T03:04:05.310000Z",
)


def conditions(*entries: tuple[str, str, str, str]) -> Obj:
    names = ("type", "status", "reason", "message")
    return {"conditions": [dict(zip(names, entry, strict=True)) | {"lastTransitionTime": at(0)} for entry in entries]}


def test_the_report_says_who_the_head_is_what_the_gcs_does_and_how_it_came_back() -> None:
    cluster = ft_cluster(
        annotations={RECOVERIES: write_journal([RECORD])},
        status=conditions(("headstay.io/GcsServing", "False", "RedisAway", "refused")) | {"desiredWorkerReplicas": 2},
    )
    head = pod("new", "head", annotations={"headstay.io/keeper-port": "44250"})
    found = report(cluster, [pod("old", "head", deleting=True), head, pod("w1"), pod("w2", ready=False)])
    assert found["faultTolerance"] == "InPlace"
    assert found["head"] == {"pod": "new", "phase": "Running", "ready": True, "restarts": 0}
    assert found["gcs"]["reason"] == "RedisAway"
    assert found["workers"]["ready"] == 1
    assert found["workers"]["desired"] == 2
    (recovery,) = found["recoveries"]
    assert recovery["seconds"] == pytest.approx({"detect": 0.1, "restart": 0.21, "total": 0.31})


def test_a_head_without_a_keeper_restarts_whatever_the_annotation_says() -> None:
    cluster = ft_cluster(annotations={"headstay.io/gcs-recovery": "InPlace"})
    assert report(cluster, [pod("head", "head")])["faultTolerance"] == "RestartHead"
    cluster.metadata.annotations.clear()
    assert report(cluster, [])["faultTolerance"] == "Off"
    assert report(cluster, [])["head"] is None


def run(command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def kubeconfig(folder: Path) -> str:
    """One whose server nobody is."""
    entry: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": {"token": "x"}}],
    }
    path = folder / "kubeconfig"
    path.write_text(json.dumps(entry))
    return str(path)


@pytest.mark.parametrize("command", [["headstay", "status", "a"], ["kubectl-headstay", "status", "a"]])
def test_no_kubernetes_is_said_in_a_line_and_is_exit_code_1(command: list[str], tmp_path: Path) -> None:
    done = run([str(BIN / command[0]), *command[1:], "--kubeconfig", kubeconfig(tmp_path)])
    assert done.returncode == 1, done.stdout + done.stderr
    assert "127.0.0.1:1" in done.stderr
    assert "Traceback" not in done.stderr


def test_kubectl_finds_the_plugin(tmp_path: Path) -> None:
    done = run(["kubectl", "headstay", "status", "--help"], PATH=f"{BIN}:{os.environ['PATH']}")
    assert done.returncode == 0, done.stderr
    assert "recoveries" in done.stdout


def test_options_of_a_cluster_without_its_name_are_wrong_usage() -> None:
    done = run([str(BIN / "headstay"), "status", "-n", "default"])
    assert done.returncode == 2
