"""What is remembered between a write and its echo in the cache."""

from headstay.controllers.expectations import CREATION_SECONDS, Expectations
from headstay.model.objects import ObjectKey

A = ObjectKey("default", "a")
B = ObjectKey("default", "b")


def test_a_creation_blocks_its_group_until_it_is_seen() -> None:
    expected = Expectations()
    expected.creating(A, "small", "w1", now=0)
    expected.creating(A, "small", "w2", now=0)
    expected.creating(B, "", "h", now=0)
    expected.seen(A, "small", "w1")
    assert expected.unsettled(A, now=1) == {"small"}
    expected.seen(A, "small", "w2")
    assert expected.unsettled(A, now=1) == frozenset()
    assert expected.unsettled(B, now=1) == {""}


def test_a_refused_creation_blocks_nothing() -> None:
    expected = Expectations()
    expected.creating(A, "", "h", now=0)
    expected.refused(A, "", "h")
    assert expected.unsettled(A, now=0) == frozenset()


def test_a_creation_that_never_shows_up_leaves_a_doubt() -> None:
    expected = Expectations()
    expected.creating(A, "", "h", now=0)
    assert expected.next_expiry(A, now=1) == CREATION_SECONDS - 1
    assert expected.unsettled(A, now=CREATION_SECONDS) == frozenset()
    assert expected.doubtful(A) == {""}
    assert expected.next_expiry(A, now=CREATION_SECONDS) is None
    expected.settled(A, "")
    assert expected.doubtful(A) == frozenset()


def test_a_deletion_counts_until_the_pod_is_gone() -> None:
    expected = Expectations()
    expected.deleting(A, "u1")
    expected.deleting(A, "u2")
    expected.gone(A, "u1")
    expected.gone(B, "never-asked-for")
    assert expected.being_deleted(A) == {"u2"}
    assert expected.being_deleted(B) == frozenset()


def test_a_cluster_that_is_gone_is_forgotten_whole() -> None:
    expected = Expectations()
    expected.creating(A, "", "h", now=0)
    expected.creating(A, "x", "w", now=-100)
    expected.deleting(A, "u")
    expected.unsettled(A, now=0)
    expected.forget(A)
    assert expected.unsettled(A, now=0) == expected.doubtful(A) == expected.being_deleted(A) == frozenset()
