from pathlib import Path

from headstay.drill.expression import Combination, Step
from headstay.drill.history import Call, Note, Record, from_lines
from headstay.drill.recorder import Recorder, read_runs
from headstay.drill.schedule import Planned

PLANNED = Planned(3, Combination((Step("redis-away", 20), Step("gcs-kill"))), "InPlace", 77, 0.5)
NOTE = Note(11.0, "said")
CALL = Call("worker/kv.1", "kv-put", "key", 12.0, 12.5, "ok", "key")


def test_a_record_is_on_disk_before_the_run_has_ended(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, PLANNED, 10.0)
    recorder.write(NOTE)
    with (tmp_path / "history" / "0003-redis-away-20-gcs-kill.jsonl").open("rb") as lines:
        assert list(from_lines(lines)) == [NOTE]
    recorder.close(20.0)


def test_what_was_written_down_is_what_is_judged(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, PLANNED, 10.0)
    for record in (NOTE, CALL):
        recorder.write(record)
    run = recorder.close(20.0, "interrupted")
    assert run.records == (NOTE, CALL)
    assert (run.number, run.fault, run.seed, run.ended_early) == (3, "redis-away:20+gcs-kill", 77, "interrupted")
    assert read_runs(tmp_path) == [run]


def test_an_answer_that_comes_after_the_end_belongs_to_no_run(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, PLANNED, 10.0)
    run = recorder.close(20.0)
    recorder.write(CALL)
    assert run.records == ()
    assert read_runs(tmp_path) == [run]


def test_listeners_hear_each_record_and_calls_are_found_by_operation(tmp_path: Path) -> None:
    heard: list[Record] = []
    recorder = Recorder(tmp_path, PLANNED, 10.0)
    recorder.listen(heard.append)
    recorder.write(NOTE)
    recorder.write(CALL)
    assert heard == [NOTE, CALL]
    assert recorder.calls("kv-put") == [CALL]
    assert recorder.calls("kv-get") == []
    recorder.close(20.0)


def test_a_line_cut_short_by_a_crash_is_passed_over(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, PLANNED, 10.0)
    recorder.write(NOTE)
    run = recorder.close(20.0)
    with (tmp_path / "runs.jsonl").open("ab") as file:
        file.write(b'{"number": 4, "fault": "gcs-')
    with next((tmp_path / "history").iterdir()).open("ab") as file:
        file.write(b'{"type": "note", "at": 1')
    assert read_runs(tmp_path) == [run]
