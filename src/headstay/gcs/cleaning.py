"""The cleaner as the operator uses it: in a thread of its own, or as text for a Job."""

import asyncio
import threading
from dataclasses import dataclass
from pathlib import Path

from headstay.gcs import cleaner
from headstay.gcs.cleaner import RedisRefusedError, RedisTarget, RedisUnreachableError

__all__ = ["Cleaned", "RedisRefusedError", "RedisTarget", "RedisUnreachableError", "clean", "cleaner_source"]


@dataclass(frozen=True)
class Cleaned:
    removed: int
    """Keys. 0 where there was nothing left to remove."""


async def clean(target: RedisTarget, namespace: str, *, seconds: float) -> Cleaned:
    """Removes the namespace's keys, or raises within about `seconds` what a person should read.

    Waits for a Redis that is away for up to a minute of that time. Cancelling it stops it after the command in hand.
    """
    stop = threading.Event()
    try:
        removed = await asyncio.to_thread(
            cleaner.clean,
            target,
            namespace,
            patience=min(seconds, cleaner.PATIENCE_SECONDS),
            seconds=seconds,
            stopped=stop.is_set,
        )
    finally:
        stop.set()
    return Cleaned(removed)


def cleaner_source() -> str:
    return Path(cleaner.__file__).read_text(encoding="utf-8")
