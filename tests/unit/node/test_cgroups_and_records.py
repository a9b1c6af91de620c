"""Control groups of both layouts, and checkpoints."""

from datetime import UTC, datetime
from pathlib import Path

from headstay.local.node import cgroups
from headstay.local.node.engine import runtime_name
from headstay.local.node.records import Checkpoints, ContainerRecord, PodRecord, Termination


def v2(root: Path) -> Path:
    (root / "cgroup.controllers").write_text("cpu memory pids")
    return root


def test_a_kill_for_memory_is_read_in_both_layouts(tmp_path: Path) -> None:
    assert cgroups.oom_kills(tmp_path) == 0
    (tmp_path / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n")
    assert cgroups.oom_kills(tmp_path) == 3
    (tmp_path / "memory.events").write_text("low 0\noom 1\noom_kill 2\noom_group_kill 0\n")
    assert cgroups.oom_kills(tmp_path) == 2


def test_groups_are_removed_with_all_below_them_in_every_hierarchy(tmp_path: Path) -> None:
    for controller in ("cpu", "memory"):
        (tmp_path / controller / "headstay" / "podu" / "main").mkdir(parents=True)
    assert cgroups.remove("/headstay", tmp_path) == []
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["cpu", "memory"]
    assert cgroups.remove("/headstay", tmp_path) == [], "twice is fine"


def test_a_group_that_cannot_be_removed_is_named(tmp_path: Path) -> None:
    (tmp_path / "cpu" / "headstay").mkdir(parents=True)
    (tmp_path / "cpu" / "headstay" / "cgroup.procs").write_text("12\n13\n")
    assert cgroups.processes("/headstay", tmp_path) == {12, 13}
    left = cgroups.remove("/headstay", tmp_path)
    assert len(left) == 1
    assert "cpu/headstay" in left[0]


def test_the_one_tree_of_v2_is_its_only_hierarchy(tmp_path: Path) -> None:
    assert cgroups.hierarchies(v2(tmp_path)) == [tmp_path]


def test_pods_weigh_more_than_one_process_of_the_machine_on_v1_alone(tmp_path: Path) -> None:
    (tmp_path / "cpu").mkdir()
    cgroups.weigh("/headstay", 2, tmp_path)
    assert (tmp_path / "cpu" / "headstay" / "cpu.shares").read_text() == "8192"
    unified = tmp_path / "v2"
    unified.mkdir()
    cgroups.weigh("/headstay", 2, v2(unified))
    assert not (unified / "headstay").exists()


def test_the_daemon_weighs_as_much_as_all_pods_on_v1_alone(tmp_path: Path) -> None:
    session = tmp_path / "autogroup"
    cgroups.keep_up(v2(tmp_path), session)
    assert not session.exists()
    cgroups.keep_up(tmp_path / "cpu", session)
    assert session.read_text() == "-10"
    cgroups.keep_up(tmp_path / "cpu", tmp_path / "a kernel without" / "autogroup")


def test_crun_is_only_for_machines_with_v2_alone(tmp_path: Path) -> None:
    assert runtime_name(tmp_path) == "runc"


def test_a_record_survives_its_file(tmp_path: Path) -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
    record = PodRecord("u", "n", "p", started_at=moment, address="10.0.0.9", outcome=("Failed", "r", "m"))
    known = record.container("a")
    known.last = Termination(137, "OOMKilled", moment, moment, "text", "id")
    known.backoff_seconds, known.backoff_set_at = 20, moment
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(record)
    assert checkpoints.load() == [record]


def test_a_broken_or_missing_checkpoint_still_names_its_pod(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "checkpoint.json").write_text("{")
    assert [record.uid for record in Checkpoints(tmp_path).load()] == ["one", "two"]


def test_a_container_of_a_pod_is_remembered_by_its_name() -> None:
    record = PodRecord("u", "n", "p")
    assert record.container("a") is record.container("a")
    assert record.container("a") == ContainerRecord("a")
