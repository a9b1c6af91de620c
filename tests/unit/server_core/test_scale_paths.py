"""The counts that a custom object's scale subresource reads."""

from headstay.local.server.kinds import ScalePaths
from headstay.local.server.scalepaths import validate_replicas

PATHS = ScalePaths(".spec.replicas", ".status.replicas")


def test_a_negative_count_is_refused() -> None:
    (cause,) = validate_replicas(PATHS, {"spec": {"replicas": -1}})
    assert (cause.field, cause.message) == (
        ".spec.replicas",
        "Invalid value: -1: should be a non-negative integer",
    )


def test_a_count_that_is_no_number_is_refused() -> None:
    (cause,) = validate_replicas(PATHS, {"spec": {"replicas": "many"}})
    assert cause.message.endswith(".spec.replicas accessor error: many is of the type string, expected int64")


def test_a_missing_or_good_count_is_not() -> None:
    assert validate_replicas(PATHS, {"spec": {}, "status": {"replicas": 0}}) == []
