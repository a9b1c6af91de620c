"""What we asked the API for and the cache has not shown yet.

A cache lags behind our own writes. Deciding on it as if it were the truth makes twins (a Pod created twice) or
deletes one Pod too many. So a creation blocks decisions about its group until the Pod is seen, and a deletion
counts as begun from the moment it was asked for.

A creation whose answer was lost may still have happened. It blocks like any other; when its time is up the group is
`doubtful`, and the caller compares the cache with the API before it decides again.
"""

from collections import defaultdict
from typing import NamedTuple

from headstay.model.objects import ObjectKey

CREATION_SECONDS = 30.0


class _Group(NamedTuple):
    cluster: ObjectKey
    group: str


class Expectations:
    """Times are of one monotonic clock, given by the caller."""

    def __init__(self) -> None:
        self._created: dict[_Group, dict[str, float]] = defaultdict(dict)
        self._deleted: dict[ObjectKey, set[str]] = defaultdict(set)
        self._doubtful: set[_Group] = set()

    def creating(self, cluster: ObjectKey, group: str, name: str, now: float) -> None:
        """Called before the request, so that no event can come first."""
        self._created[_Group(cluster, group)][name] = now + CREATION_SECONDS

    def refused(self, cluster: ObjectKey, group: str, name: str) -> None:
        """The API said no: nothing was made."""
        self._forget(_Group(cluster, group), name)

    def deleting(self, cluster: ObjectKey, uid: str) -> None:
        self._deleted[cluster].add(uid)

    def seen(self, cluster: ObjectKey, group: str, name: str) -> None:
        self._forget(_Group(cluster, group), name)

    def gone(self, cluster: ObjectKey, uid: str) -> None:
        self._deleted[cluster].discard(uid)
        if not self._deleted[cluster]:
            del self._deleted[cluster]

    def unsettled(self, cluster: ObjectKey, now: float) -> frozenset[str]:
        """Groups that must not be decided on now. Creations whose time is up move to `doubtful`."""
        waiting = set()
        for group in [group for group in self._created if group.cluster == cluster]:
            names = self._created[group]
            for name in [name for name, until in names.items() if until <= now]:
                self._forget(group, name)
                self._doubtful.add(group)
            if self._created.get(group):
                waiting.add(group.group)
        return frozenset(waiting)

    def doubtful(self, cluster: ObjectKey) -> frozenset[str]:
        return frozenset(group.group for group in self._doubtful if group.cluster == cluster)

    def settled(self, cluster: ObjectKey, group: str) -> None:
        """The cache was compared with the API and is not behind."""
        self._doubtful.discard(_Group(cluster, group))

    def next_expiry(self, cluster: ObjectKey, now: float) -> float | None:
        """Seconds until some creation's time is up."""
        times = [
            until for group, names in self._created.items() if group.cluster == cluster for until in names.values()
        ]
        return max(0.0, min(times) - now) if times else None

    def being_deleted(self, cluster: ObjectKey) -> frozenset[str]:
        return frozenset(self._deleted.get(cluster, ()))

    def forget(self, cluster: ObjectKey) -> None:
        """The cluster is gone from the API."""
        for group in [group for group in self._created if group.cluster == cluster]:
            del self._created[group]
        self._deleted.pop(cluster, None)
        self._doubtful = {group for group in self._doubtful if group.cluster != cluster}

    def _forget(self, group: _Group, name: str) -> None:
        names = self._created.get(group)
        if names is not None:
            names.pop(name, None)
            if not names:
                del self._created[group]
