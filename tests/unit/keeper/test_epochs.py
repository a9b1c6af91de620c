"""Whose data it is: a loss of data is told from everything that only looks like one."""

import pytest

from headstay.keeper.epoch import Found, Marker, judge

OURS = Marker("e1", "New", "c1")
NOTHING = Found(None, "", tables=False)


def test_an_empty_namespace_begins_a_new_epoch() -> None:
    ruling = judge(None, NOTHING, alive=False, served=False)
    assert (ruling.kind, ruling.begun) == ("Begin", "New")


@pytest.mark.parametrize("cluster", ["c1", ""])
def test_tables_without_a_marker_are_adopted_by_a_keeper_that_never_saw_them(cluster: str) -> None:
    ruling = judge(None, Found(None, cluster, tables=True), alive=False, served=False)
    assert (ruling.kind, ruling.begun) == ("Begin", "Adopted")


@pytest.mark.parametrize("known", [None, OURS])
@pytest.mark.parametrize("alive", [True, False])
def test_a_marker_that_fits_is_kept(known: Marker | None, alive: bool) -> None:
    assert judge(known, Found(OURS, "c1", tables=True), alive=alive, served=True).kind == "Keep"


def test_the_cluster_id_is_written_down_once_a_gcs_has_made_one() -> None:
    fresh = Marker("e1", "New")
    ruling = judge(fresh, Found(fresh, "c1", tables=True), alive=True, served=True)
    assert (ruling.kind, ruling.marker) == ("PutBack", OURS)


@pytest.mark.parametrize("alive", [True, False])
def test_a_marker_that_alone_is_missing_is_put_back(alive: bool) -> None:
    ruling = judge(OURS, Found(None, "c1", tables=True), alive=alive, served=True)
    assert (ruling.kind, ruling.marker) == ("PutBack", OURS)


@pytest.mark.parametrize(
    "found",
    [NOTHING, Found(None, "", tables=True), Found(OURS, "", tables=True)],
    ids=["nothing left", "a living GCS wrote again", "the marker survived"],
)
def test_lost_data_is_reported_while_a_gcs_lives_and_answered_when_one_must_be_started(found: Found) -> None:
    assert judge(OURS, found, alive=True, served=True).kind == "Emptied"
    ruling = judge(OURS, found, alive=False, served=True)
    assert (ruling.kind, ruling.begun) == ("Afresh", "DataLost")
    assert "lost" in ruling.why


def test_a_ray_whose_cluster_id_is_not_found_is_known_by_its_tables() -> None:
    nameless = Marker("e1", "New")
    assert judge(nameless, Found(None, "", tables=True), alive=False, served=True).kind == "PutBack"
    assert judge(nameless, NOTHING, alive=False, served=True).kind == "Afresh"


def test_a_namespace_that_never_held_anything_cannot_lose_it() -> None:
    assert judge(Marker("e1", "New"), NOTHING, alive=False, served=False).kind == "PutBack"


def test_data_of_another_cluster_under_our_marker_is_another_epoch() -> None:
    ruling = judge(OURS, Found(OURS, "c2", tables=True), alive=True, served=True)
    assert (ruling.kind, ruling.begun) == ("Begin", "DataLost")
