"""Whose data is in the storage namespace? Pure: what was found there in, what to make of it out.

An *epoch* names one life of a cluster's data. The marker holds it, in Redis, so that it outlives head Pods. What the
data itself is known by is Ray's own cluster id: a GCS that does not find it makes another, and every node of the old
one is a stranger to it.
"""

from typing import NamedTuple, Optional


class Marker(NamedTuple):
    """`begun` and `at` tell how and when the epoch began. `cluster` is Ray's cluster id in hexadecimal, "" until a GCS

    has made one.
    """

    epoch: str
    begun: str
    cluster: str = ""
    at: str = ""


class Found(NamedTuple):
    """`tables` tells whether any table of Ray's is there."""

    marker: Optional[Marker]
    cluster: str
    tables: bool


class Ruling(NamedTuple):
    """`kind` is

    Keep      the marker is there and fits
    Begin     a new epoch begins; `begun` says how
    PutBack   the marker alone is missing, or lacks the cluster id: write it
    Emptied   the data is gone and a GCS still lives: say so, and look again before it is ended
    Afresh    the data is gone and a GCS is to be started: remove what is left, begin a new epoch
    """

    kind: str
    marker: Optional[Marker] = None
    begun: str = ""
    why: str = ""


def judge(known: Optional[Marker], found: Found, *, alive: bool, served: bool) -> Ruling:
    """`known` is the marker as this keeper last had it, `alive` whether a GCS runs, `served` whether one ever did."""
    marker = found.marker or known
    if marker is None:
        return Ruling("Begin", begun="Adopted" if found.tables else "New")
    why = _loss(marker, found, served=served)
    if why:
        return Ruling("Emptied" if alive else "Afresh", marker, "DataLost", why)
    if marker.cluster and found.cluster and marker.cluster != found.cluster:
        why = "the tables belong to another cluster id than the marker"
        return Ruling("Begin", begun="DataLost", why=why)
    whole = marker._replace(cluster=marker.cluster or found.cluster)
    return Ruling("Keep" if found.marker == whole else "PutBack", whole)


def _loss(marker: Marker, found: Found, *, served: bool) -> str:
    """Why the data counts as lost, or ""."""
    if found.cluster:
        return ""
    if marker.cluster:
        return "Redis has lost the cluster's data: Ray's cluster id is gone"
    if found.marker is None and not found.tables and served:
        return "Redis has lost the cluster's data: marker and tables are gone"
    return ""
