"""The storage namespace of the GCS in Redis: its marker, its size, and emptying it on purpose.

Since Ray 2.38 every table is a hash RAY<namespace>@<TABLE>; before, one hash that has the namespace's name holds all,
its fields named <namespace>@<TABLE>:<key>. The marker looks like one more table, so Ray's and KubeRay's own cleanup
take it along.
"""

import re
from typing import Any, Dict, List, NamedTuple, Optional

from .epoch import Found, Marker
from .resp import Connection, ReplyError, Word

_CLUSTER_ID = "@namespace_cluster:ray_cluster_id"
_TABLES = (
    *("NODE", "KV", "JOB", "ACTOR", "ACTOR_TASK_SPEC", "WORKERS", "INTERNAL_CONFIG", "JobCounter"),
    *("PLACEMENT_GROUP", "PLACEMENT_GROUP_SCHEDULE"),
)
_SPECIAL = re.compile(rb"[*?\[\]^\-\\]")
_FIRST_OF_MANY_KEYS = (2, 38)


class Size(NamedTuple):
    """None where Redis does not tell."""

    entries: Optional[int] = None
    used: Optional[int] = None


def one_hash(ray_version: str) -> bool:
    """Whether this Ray keeps all tables in one hash. A version that cannot be read is taken for a new one."""
    found = re.match(r"(\d+)\.(\d+)", ray_version)
    return bool(found) and (int(found.group(1)), int(found.group(2))) < _FIRST_OF_MANY_KEYS if found else False


class Namespace:
    """Which keys and fields are those of namespace `name`."""

    def __init__(self, name: str, *, one_hash: bool) -> None:
        if not name:
            raise ValueError("RAY_external_storage_namespace is not set")
        self._name = name.encode("utf-8", "surrogateescape")
        self._one_hash = one_hash
        self._prefix = b"RAY" + self._name + b"@"

    def inspect(self, redis: Connection) -> Found:
        """Raises ReplyError where the account may not look."""
        key, fields = self._marker_key(), [self._marker_field(name) for name in Marker._fields]
        commands: List[List[Word]] = [["HMGET", key, *fields]]
        if self._one_hash:
            cluster_id = self._name + b"@KV:" + _CLUSTER_ID.encode()
            commands += [["HGET", self._name, cluster_id], ["HLEN", self._name]]
        else:
            commands += [["HGET", self._prefix + b"KV", _CLUSTER_ID]]
            commands += [["EXISTS", self._prefix + table.encode()] for table in _TABLES]
        marker, cluster_id, *counts = _all_granted(redis.ask_all(commands))
        values = [(value or b"").decode(errors="replace") for value in marker]
        own = sum(value is not None for value in marker) if self._one_hash else 0
        return Found(Marker(*values) if values[0] else None, (cluster_id or b"").hex(), sum(counts) > own)

    def mark(self, redis: Connection, marker: Marker) -> None:
        redis.ask(*self._marking(marker))

    def start_afresh(self, redis: Connection, marker: Marker) -> int:
        """Removes every key of the namespace and leaves the marker, in one transaction. Returns how many it removed."""
        keys = self._one_key(redis) if self._one_hash else self._keys(redis)
        removals: List[List[Word]] = [["UNLINK", key] for key in keys]
        answers = _all_granted(redis.ask_all([["MULTI"], *removals, self._marking(marker), ["EXEC"]]))
        replies = _all_granted(answers[-1])
        return sum(replies[:-1])

    def may_start_afresh(self, redis: Connection) -> None:
        """Raises ReplyError where the account may not. Changes nothing: what it removes was never there."""
        walk: List[Word] = ["HSCAN", self._name, 0] if self._one_hash else ["SCAN", 0, "COUNT", 1]
        nobody = self._name if self._one_hash else self._prefix
        _all_granted(redis.ask_all([walk, ["MULTI"], ["UNLINK", nobody + b"@nobody"], ["EXEC"]]))

    def size(self, redis: Connection) -> Size:
        """Of the tables that Ray has, by name: SCAN would walk through the keys of all who share this Redis."""
        if self._one_hash:
            keys = counted = [self._name]
        else:
            keys = [self._prefix + table.encode() for table in (*_TABLES, "HEADSTAY")]
            counted = [key for key in keys if not key.endswith(b"@JobCounter")]
        try:
            counts = _all_granted(redis.ask_all([["HLEN", key] for key in counted]))
        except ReplyError:
            return Size()
        try:
            used = _all_granted(redis.ask_all([["MEMORY", "USAGE", key, "SAMPLES", 5] for key in keys]))
        except ReplyError:
            return Size(sum(counts))
        return Size(sum(counts), sum(found or 0 for found in used))

    def _one_key(self, redis: Connection) -> List[bytes]:
        """The bare name is a key that others may have taken meanwhile: a look at what is in it."""
        _, flat = redis.ask("HSCAN", self._name, 0, "COUNT", 20)
        if not all(name.startswith(self._name + b"@") or name == b"JobCounter" for name in flat[::2]):
            raise ReplyError(f"the key {self._name.decode(errors='replace')} holds fields that are not Ray's")
        return [self._name]

    def _keys(self, redis: Connection) -> List[bytes]:
        """The pattern is Redis' to read; the comparison decides."""
        pattern = _SPECIAL.sub(rb"\\\g<0>", self._prefix) + b"*"
        found: Dict[bytes, None] = {}
        cursor: Any = b"0"
        while True:
            cursor, keys = redis.ask("SCAN", cursor, "MATCH", pattern, "COUNT", 1000)
            found.update((key, None) for key in keys if key.startswith(self._prefix))
            if cursor == b"0":
                return list(found)

    def _marker_key(self) -> bytes:
        return self._name if self._one_hash else self._prefix + b"HEADSTAY"

    def _marker_field(self, name: str) -> bytes:
        return self._name + b"@HEADSTAY:" + name.encode() if self._one_hash else name.encode()

    def _marking(self, marker: Marker) -> List[Word]:
        words: List[Word] = ["HSET", self._marker_key()]
        for name, value in marker._asdict().items():
            words += [self._marker_field(name), value]
        return words


def _all_granted(replies: List[Any]) -> List[Any]:
    for reply in replies:
        if isinstance(reply, ReplyError):
            raise reply
    return replies
