"""What the keeper makes of a GCS: a busy, throttled or loading one is never its victim."""

import pytest

from headstay.keeper.verdict import End, Ends, Limits, Seen, judge, pause

LIMITS = Limits()


def test_a_gcs_that_ended_is_gone_whatever_else_was_seen() -> None:
    assert judge(Seen(0, exit_code=-9, answered=5), LIMITS, 5).kind == "Gone"
    assert "signal 9" in judge(Seen(0, exit_code=-9), LIMITS, 1).why
    assert "exit code 1" in judge(Seen(0, exit_code=1), LIMITS, 1).why


def test_a_gcs_that_served_and_refuses_is_gone_after_a_moment() -> None:
    assert judge(Seen(0, answered=10, refused_since=10), LIMITS, 10.001).kind == "Well"
    assert judge(Seen(0, answered=10, refused_since=10), LIMITS, 10.01).kind == "Gone"


def test_a_gcs_that_loads_is_left_alone_until_the_start_deadline() -> None:
    assert judge(Seen(0, refused_since=0), LIMITS, 599).kind == "Well"
    assert judge(Seen(0), LIMITS, 601).kind == "Late"


def test_a_gcs_that_answers_nothing_is_silent() -> None:
    assert judge(Seen(0, answered=100), LIMITS, 109).kind == "Well"
    assert judge(Seen(0, answered=100), LIMITS, 110.5).kind == "Silent"


def test_a_busy_or_starved_gcs_is_given_that_time_within_a_bound() -> None:
    assert judge(Seen(0, answered=100, excused=27), LIMITS, 130).kind == "Well"
    assert judge(Seen(0, answered=100, excused=1e6), LIMITS, 171).kind == "Silent"


def test_a_gcs_that_serves_what_redis_has_lost_makes_way_for_a_fresh_start() -> None:
    verdict = judge(Seen(0, answered=100, data_lost="the cluster id is gone"), LIMITS, 101)
    assert verdict.kind == "Gone"
    assert verdict.why == "ended on purpose, for a fresh start: the cluster id is gone"


def test_a_gcs_that_loads_is_not_ended_for_what_was_lost_before() -> None:
    assert judge(Seen(0, data_lost="the cluster id is gone"), LIMITS, 1).kind == "Well"


def test_starts_that_fail_come_ever_later_up_to_a_bound() -> None:
    pauses = [pause(failures) for failures in range(10)]
    assert pauses[0] == 0
    assert pauses == sorted(pauses)
    assert pauses[-1] == 5


def test_the_user_s_own_limits_win() -> None:
    environ = {"RAY_gcs_rpc_server_reconnect_timeout_s": "20", "HEADSTAY_GCS_SILENCE_S": "3"}
    assert Limits.from_environment(environ)[:] == LIMITS._replace(patience=20, silence=3)[:]


@pytest.mark.parametrize("text", ["", "soon", "-1", "0", "nan", "inf", "1e9"])
def test_a_limit_that_is_no_sensible_number_is_passed_over(text: str) -> None:
    assert Limits.from_environment({"HEADSTAY_GCS_SILENCE_S": text}) == LIMITS


def ended(*times: float, served: bool, excused: bool = False) -> Ends:
    ends = Ends()
    for at in times:
        ends = ends.add(End(at, served, excused), LIMITS)
    return ends


def test_starts_that_never_served_are_given_up_after_some_in_a_row() -> None:
    assert not ended(1, 2, 3, 4, served=False).too_many(LIMITS)
    assert "never served" in ended(1, 2, 3, 4, 5, served=False).too_many(LIMITS)
    one_served = ended(1, 2, 3, 4, served=False).add(End(5, served=True), LIMITS)
    assert not one_served.add(End(6, served=False), LIMITS).too_many(LIMITS)


def test_starts_that_failed_with_their_redis_are_paused_after_and_not_counted_as_failures() -> None:
    flaps = ended(1, 2, 3, 4, 5, 6, served=False, excused=True)
    assert not flaps.too_many(LIMITS)
    assert len(flaps.unserved) == 6
    for at in range(7, 11):
        flaps = flaps.add(End(at, served=False), LIMITS)
    assert not flaps.too_many(LIMITS)
    assert "5 starts in a row never served" in flaps.add(End(11, served=False), LIMITS).too_many(LIMITS)


def test_not_even_redis_has_a_gcs_started_more_often_than_allowed() -> None:
    assert "20 times" in ended(*range(21), served=False, excused=True).too_many(LIMITS)


def test_no_more_revivals_than_allowed_within_the_window_even_if_each_served() -> None:
    limits = LIMITS._replace(revivals=3)
    ends = ended(1, 2, 3, served=True)
    assert not ends.too_many(limits)
    assert "3 times in the last 120 s" in ends.add(End(4, served=True), limits).too_many(limits)
    assert not ends.add(End(200, served=True), limits).too_many(limits)
