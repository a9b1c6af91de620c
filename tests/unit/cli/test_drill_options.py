"""What `headstay drill` says to those who ask it wrongly, before it looks at any cluster."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from headstay.cli.main import app
from headstay.cli.output import UserError


def refusal(*arguments: str) -> UserError:
    found = CliRunner().invoke(app, ["drill", *arguments])
    assert isinstance(found.exception, UserError), found.output
    return found.exception


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["-f", "gcs-kil"], "there is no fault 'gcs-kil' in --faults"),
        (["-f", "gcs-kill:3"], "fault gcs-kill takes no parameter"),
        (["--recovery", "inplace"], "--recovery is InPlace, RestartHead or both, not 'inplace'"),
        (["--target", "mine", "--recovery", "InPlace"], "a --target recovers as it was made to"),
        (["--target", "mine", "--ray-version", "2.9.0"], "not for a --target"),
        (["-n", "prod"], "--namespace says where the --target is"),
        (["--serve", "50,fast"], "--serve is requests a second, whole numbers from 1 to 1000"),
        (["--serve", "0"], "not '0'"),
        (["-f", "gcs-kill,upgrade"], "--faults: upgrade needs a RayService"),
        (["--target", "mine", "--serve", "50"], "--serve is for a RayService the drill makes"),
    ],
)
def test_what_is_asked_wrongly_is_named_and_has_exit_code_2(arguments: list[str], says: str) -> None:
    error = refusal(*arguments)
    assert says in str(error)
    assert error.code == 2


def test_histories_of_two_drills_are_never_mixed(tmp_path: Path) -> None:
    (tmp_path / "runs.jsonl").touch()
    error = refusal("--out", str(tmp_path))
    assert "is not empty" in str(error)
    assert error.code == 2


def test_the_list_names_every_fault_and_what_it_touches() -> None:
    found = CliRunner().invoke(app, ["drill", "--list", "-o", "json"])
    assert found.exit_code == 0
    listed = {fault["name"]: fault for fault in json.loads(found.stdout)}
    assert listed["redis-away"]["default_s"] == 5
    assert not listed["operator-kill"]["in_all"]
    assert not listed["upgrade"]["in_all"], "but with --serve"
    assert all(fault["touches"] for fault in listed.values())
