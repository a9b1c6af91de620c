"""How much of Redis a storage namespace takes: keys counted, bytes as Redis estimates them. Reads only, and little."""

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import NamedTuple

from headstay.gcs import cleaner
from headstay.gcs.cleaner import (
    Namespace,
    NotReadyError,
    Redis,
    RedisRefusedError,
    RedisTarget,
    RedisUnreachableError,
    ReplyError,
)

_AT_ONCE = 1000
MOST_STEPS = 500
"""Of SCAN: a Redis with more than about half a million keys, whosever they are, is not looked through."""
MOST_KEYS = 10_000


class Size(NamedTuple):
    keys: int
    bytes: int


async def measure(target: RedisTarget, namespace: str, *, seconds: float) -> Size:
    """Raises RedisUnreachableError or RedisRefusedError within about `seconds`. Cancelling it stops it soon."""
    stop = threading.Event()
    try:
        return await asyncio.to_thread(_measure, target, Namespace(namespace), _Bound(seconds, stop))
    finally:
        stop.set()


class _Bound:
    def __init__(self, seconds: float, stop: threading.Event) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds
        self._stop = stop

    def pause(self, began: float) -> None:
        """Others come first: at least half of the time is theirs."""
        self._stop.wait(min(0.05, max(0.001, time.monotonic() - began)))
        if self._stop.is_set() or time.monotonic() > self._end:
            raise RedisUnreachableError(f"Redis took more than {self._seconds:.0f} s to tell how much it holds")


def _measure(target: RedisTarget, space: Namespace, bound: _Bound) -> Size:
    try:
        redis = cleaner.open_primary(target, cleaner.endpoints(target)[:1]).redis
    except NotReadyError as error:
        raise RedisUnreachableError(str(error)) from None
    try:
        sizes = [_bytes_of(redis, key, bound) for key in _keys(redis, space, bound)]
    except ReplyError as error:
        raise RedisRefusedError(
            f"Redis at {redis.endpoint} does not tell: {error}. Allow it with: ACL SETUSER "
            f"{redis.endpoint.username or 'default'} +scan +memory ~RAY*"
        ) from None
    except OSError as error:
        raise RedisUnreachableError(f"Redis at {redis.endpoint} went away: {error}") from None
    finally:
        redis.close()
    return Size(len(sizes), sum(sizes))


def _keys(redis: Redis, space: Namespace, bound: _Bound) -> Iterator[bytes]:
    """SCAN may return a key twice: each is yielded once."""
    cursor, seen = b"0", set[bytes]()
    for _ in range(MOST_STEPS):
        began = time.monotonic()
        cursor, keys = redis.scan("SCAN", cursor, "MATCH", space.pattern, "COUNT", _AT_ONCE)
        fresh = {key for key in keys if space.has(key)} - seen
        seen |= fresh
        if len(seen) > MOST_KEYS:
            raise RedisRefusedError(f"Storage namespace {space.name} has more than {MOST_KEYS} keys")
        yield from sorted(fresh)
        bound.pause(began)
        if cursor == b"0":
            break
    else:
        most = MOST_STEPS * _AT_ONCE
        raise RedisRefusedError(f"Redis at {redis.endpoint} holds more than {most} keys, too many to look through")
    if cleaner.old_key_is_ray_s(redis, space):
        yield space.old_key


def _bytes_of(redis: Redis, key: bytes, bound: _Bound) -> int:
    """0 for a key that went meanwhile."""
    began = time.monotonic()
    reply = redis.ask("MEMORY", "USAGE", key)
    bound.pause(began)
    return reply if isinstance(reply, int) else 0
