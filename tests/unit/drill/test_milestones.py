from headstay.drill.history import Call, Look, Outcome, Phase, PodSeen
from headstay.drill.milestones import from_history, from_keeper
from headstay.model.keeper_state import GcsNow, KeeperState, Revival

AT = 100.0


def call(operation: str, began: float, ended: float, outcome: Outcome = "ok") -> Call:
    return Call("p", operation, "", began, ended, outcome)


def look(at: float, *, head: bool = True, workers: tuple[bool, ...] = (True, True)) -> Look:
    pods = [PodSeen("head", "h", "head", 0, head)]
    return Look(at, (*pods, *(PodSeen(f"w{n}", f"w{n}", "worker", 0, ready) for n, ready in enumerate(workers))))


def found(*records: Call | Look) -> dict[str, float]:
    return {phase.name: phase.at for phase in from_history(records, AT)}


def test_the_first_call_is_the_first_answer_asked_for_after_the_fault() -> None:
    assert found(
        call("new-actor", 98, 99),
        call("new-actor", 100.1, 102.1, "unknown"),
        call("new-actor", 102.2, 102.5),
        call("new-actor", 102.6, 102.9),
    ) == {"first-call": 102.5}


def test_a_short_hiccup_later_on_is_not_what_the_recovery_took() -> None:
    assert found(
        call("new-actor", 100.1, 104.0),
        call("new-actor", 104.1, 106.1, "unknown"),
        call("new-actor", 106.2, 106.5),
    ) == {"first-call": 104.0}


def test_an_answer_of_the_dying_gcs_is_not_the_end_of_the_outage() -> None:
    assert found(
        call("new-actor", 98, 99),
        call("new-actor", 100.1, 100.2),
        call("new-actor", 100.3, 102.3, "unknown"),
        call("new-actor", 102.4, 103.0),
        call("new-actor", 103.1, 103.5),
    ) == {"first-call": 103.0}


def test_an_answer_asked_for_before_the_fault_is_no_milestone() -> None:
    assert found(call("new-actor", 99.9, 100.5), call("kv-put", 99.9, 100.1)) == {}


def test_what_never_came_back_is_no_milestone() -> None:
    assert found(call("new-actor", 100.1, 101), call("new-actor", 101.1, 103.1, "unknown")) == {}


def test_pods_that_were_ready_all_the_time_are_no_milestone() -> None:
    assert found(look(99), look(100.5), look(110)) == {}


def test_the_head_is_ready_when_it_last_became_so() -> None:
    assert found(look(99), look(101, head=False), look(103), look(104, head=False), look(108), look(109)) == {
        "head-ready": 108
    }


def test_workers_are_back_when_all_are_and_not_a_moment_sooner() -> None:
    looks = (look(99), look(101, workers=(True,)), look(103, workers=(True, False)), look(105))
    assert found(*looks) == {"workers-back": 105}
    assert found(*looks[:-1]) == {}


def test_the_keeper_tells_of_what_it_did_after_the_fault_on_our_clock() -> None:
    old = Revival(1, "Gone", "", lost=10, detected=11, started=11, serving=12)
    new = Revival(2, "Gone", "", lost=95.1, detected=95.4, started=95.5, serving=95.7)
    state = KeeperState("i", 1, 97.0, GcsNow("Serving", 95.7), revivals=(old, new))
    assert from_keeper(state, AT, offset=5.0) == [
        Phase(100.4, "detected", "keeper"),
        Phase(100.7, "gcs-serving", "keeper"),
    ]
