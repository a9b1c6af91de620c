from headstay.drill.safety import ALLOWED, MADE_BY, is_key_of, redis_refusal, target_refusal

OURS = {MADE_BY: "headstay-drill-1"}


def test_a_cluster_that_says_nothing_is_not_broken() -> None:
    assert target_refusal("prod", {}, "") == "RayCluster prod does not allow drills"
    assert target_refusal("prod", {ALLOWED: "false"}, "") != ""
    assert target_refusal("prod", {ALLOWED: "True"}, "") != "", "an annotation means exactly what it says"
    assert target_refusal("prod", {}, "pro") != ""


def test_a_cluster_is_broken_if_it_says_so_or_its_name_was_typed() -> None:
    assert target_refusal("prod", {ALLOWED: "true"}, "") == ""
    assert target_refusal("prod", {}, "prod") == ""


def test_a_redis_that_no_drill_made_is_left_alone_whatever_it_holds() -> None:
    assert redis_refusal({}, [], "ns") == "its Redis was not made by a drill"
    assert redis_refusal({"app": "redis"}, ["RAYns@KV"], "ns") == "its Redis was not made by a drill"


def test_a_redis_that_holds_anything_else_is_left_alone() -> None:
    assert redis_refusal(OURS, ["RAYns@KV", "RAYns@NODE", "RAYns@HEADSTAY"], "ns") == ""
    assert redis_refusal(OURS, ["ns"], "ns") == "", "Ray before 2.38 keeps one hash"
    refusal = redis_refusal(OURS, ["RAYns@KV", "sessions"], "ns")
    assert refusal == "its Redis holds what is not the target's: key sessions"


def test_a_namespace_that_begins_like_ours_is_not_ours() -> None:
    assert not is_key_of("RAYns2@KV", "ns")
    assert not is_key_of("RAYn@KV", "n*")
    assert is_key_of("RAYn*@KV", "n*")
