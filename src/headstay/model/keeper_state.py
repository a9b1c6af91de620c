"""What the keeper of a head tells about its GCS: the answer to `GET /v1/state` on the head Pod.

The contract between `headstay.keeper`, which writes it with the standard library alone, and whoever reads it. Times
are Unix seconds of the head's clock; `now` is that clock when the answer was made, so that a reader can compare. A
reader passes over fields it does not know, and a keeper of another version may leave out any with a default.

`GET /v1/state?after=SEQUENCE&wait=SECONDS` answers once `sequence` differs from SEQUENCE or SECONDS (at most 30) are
over. `GET /readyz` answers 200 while the GCS serves or has been gone for less than the grace, else 503.
"""

from typing import Literal

import msgspec

KEEPER_PORT = "HEADSTAY_KEEPER_PORT"
DEFAULT_KEEPER_PORT = 44250

GcsPhase = Literal["Loading", "Serving", "Gone", "Silent", "WaitingForRedis", "Ending"]
RedisPhase = Literal["Unknown", "Answers", "Away", "Refuses"]
StoragePhase = Literal["Unknown", "Marked", "Emptied"]


class GcsNow(msgspec.Struct, frozen=True):
    """`why` is for people and "" while it serves."""

    phase: GcsPhase
    since: float
    why: str = ""


class RedisNow(msgspec.Struct, frozen=True):
    """Redis as the keeper last saw it; `why` never holds a password."""

    phase: RedisPhase = "Unknown"
    since: float = 0.0
    why: str = ""


class StorageNow(msgspec.Struct, frozen=True):
    """The storage namespace. `epoch` names one life of its data: another epoch is a fresh start.

    `begun` tells how the epoch began: "New" (nothing was there), "Adopted" (tables without a marker), or "DataLost"
    (the marker had gone: Redis lost its data); `at` when, by the clock of the head that began it. `keys` (entries of
    Ray's tables) and `bytes` are sampled, None where not known. `why` is for people: what the phase Unknown or Emptied
    comes from.
    """

    phase: StoragePhase = "Unknown"
    epoch: str = ""
    begun: str = ""
    at: str = ""
    keys: int | None = None
    bytes: int | None = None
    why: str = ""


class Revival(msgspec.Struct, frozen=True):
    """One GCS that failed and was started again in place. `number` counts from 1 in one incarnation of the keeper.

    `lost` is the last moment it is known to have served, `detected` when the keeper was sure, `started` when the next
    one was started (after waiting for Redis), `serving` when that one answered; None while that is still to come.
    """

    number: int
    verdict: Literal["Gone", "Silent"]
    why: str
    lost: float
    detected: float
    started: float | None = None
    serving: float | None = None


class KeeperState(msgspec.Struct, frozen=True):
    """`incarnation` is another one each time a keeper starts, that is with each start of the head's container."""

    incarnation: str
    sequence: int
    now: float
    gcs: GcsNow
    redis: RedisNow = RedisNow()
    storage: StorageNow = StorageNow()
    revivals: tuple[Revival, ...] = ()
    """The last ten, oldest first."""
