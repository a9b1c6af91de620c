"""A cluster is well when nothing is broken, nothing failed for a while, and everything has been answered since."""

from headstay.drill.history import Call, Outcome
from headstay.drill.requests import HOPS
from headstay.drill.wellness import CARRIED_FOR, NEEDED, NEEDED_OF_SERVE, ONSET, Carried, Wellness


def call(operation: str, began: float, outcome: Outcome = "ok", subject: str = "", took: float = 0.1) -> Call:
    return Call("p", operation, subject, began, began + took, outcome)


def all_answered(wellness: Wellness, began: float) -> None:
    for operation in NEEDED:
        wellness.call(call(operation, began))


def test_all_that_users_do_must_have_been_answered_since_the_fault() -> None:
    wellness = Wellness(settle=1)
    all_answered(wellness, 99)
    wellness.trouble(100)
    for operation in NEEDED:
        assert wellness.missing(110, "") == f"no {operation} yet"
        wellness.call(call(operation, 105))
    assert wellness.missing(110, "") == ""


def test_what_the_dying_gcs_still_answered_counts_for_nothing() -> None:
    wellness = Wellness(settle=0)
    wellness.trouble(100)
    all_answered(wellness, 100 + ONSET / 2)
    assert wellness.missing(200, "") != ""


def test_a_call_asked_for_before_the_fault_and_answered_after_it_counts_for_nothing() -> None:
    wellness = Wellness(settle=0)
    wellness.trouble(100)
    for operation in NEEDED:
        wellness.call(call(operation, 99, took=50))
    assert wellness.missing(200, "") != ""


def test_each_failure_begins_the_wait_anew() -> None:
    wellness = Wellness(settle=5)
    wellness.trouble(100)
    all_answered(wellness, 101)
    assert wellness.missing(102, "") == "well for 2.0 of 5 s"
    wellness.call(call("kv-put", 103, "unknown"))
    assert wellness.missing(106, "") == "no new-actor yet"
    all_answered(wellness, 107)
    assert wellness.missing(107.5, "") == "well for 4.4 of 5 s"
    assert wellness.missing(108.2, "") == ""


def test_pods_that_are_not_whole_are_trouble_and_said() -> None:
    wellness = Wellness(settle=1)
    wellness.trouble(100)
    all_answered(wellness, 101)
    assert wellness.missing(110, "Pod head is not ready") == "Pod head is not ready"
    assert wellness.missing(111, "") == "no new-actor yet"


def test_counters_are_waited_for_until_they_are_known_to_be_dead() -> None:
    wellness = Wellness(settle=0, counters=["one", "two"])
    wellness.trouble(100)
    all_answered(wellness, 101)
    wellness.call(call("increment", 101, subject="one"))
    assert wellness.missing(110, "") == "no answer of counter two yet"
    wellness.lost("two")
    wellness.call(call("increment", 109, "unknown", subject="two"))
    assert wellness.missing(110, "") == ""


def test_operations_that_take_long_by_nature_are_no_sign_of_illness() -> None:
    wellness = Wellness(settle=1)
    wellness.trouble(100)
    all_answered(wellness, 101)
    wellness.call(call("job", 103, "unknown", took=0.5))
    assert wellness.missing(104, "") == ""


def test_with_serve_each_hop_must_have_answered_since_the_last_request_that_was_lost() -> None:
    wellness = Wellness(settle=1, needed=NEEDED_OF_SERVE)
    wellness.trouble(100)
    all_answered(wellness, 105)
    for hop in HOPS:
        assert wellness.missing(110, "") == f"no serve {hop} yet"
        wellness.call(Call(hop, "serve", "any", 105, 105.1, "ok"))
    assert wellness.missing(110, "") == ""
    wellness.call(Call("head-proxy", "serve", "head", 110, 110.1, "failed", error="refused: x"))
    assert wellness.missing(112, "") != ""


def requests(carried: Carried, began: float, took: float = 0.1, outcome: Outcome = "ok") -> None:
    for number in range(20):
        carried.call(call("serve", began + number / 20, outcome, took=took))


def test_a_load_is_carried_when_nothing_was_lost_or_slow_for_a_while() -> None:
    carried = Carried()
    assert carried.missing(100) == "too few requests have been answered yet"
    requests(carried, 100, took=3)
    requests(carried, 104)
    assert carried.missing(105) == "requests take as much as 3.0 s"
    requests(carried, 103 + CARRIED_FOR, outcome="unknown")
    assert carried.missing(106 + CARRIED_FOR) == "of 20 requests 20 were lost"
    requests(carried, 106 + 2 * CARRIED_FOR)
    assert carried.missing(107 + 2 * CARRIED_FOR) == ""
