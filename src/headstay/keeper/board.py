"""What the keeper knows, for whoever asks: the document of `GET /v1/state`.

Written by the supervisor and the one who watches Redis, read by the server. Nobody waits here for anybody: a change is
a few assignments under a lock. The document is a contract with the operator (its `model/keeper_state.py`).
"""

import threading
import time
from typing import Any, Callable, Dict, List, Optional

from .epoch import Marker

_REVIVALS_KEPT = 10


class Board:
    def __init__(self, incarnation: str, phase: str = "Loading", why: str = "") -> None:
        self._lock = threading.Lock()
        self._changed: Callable[[], None] = lambda: None
        self._incarnation = incarnation
        # So large that another incarnation has other numbers: nobody waits for a change from a number of the last one.
        self._sequence = int(time.time() * 1000)
        self._gcs: Dict[str, Any] = {"phase": phase, "since": time.time(), "why": why}
        self._redis: Dict[str, Any] = {"phase": "Unknown", "since": time.time(), "why": ""}
        self._storage: Dict[str, Any] = {"phase": "Unknown", "epoch": "", "begun": "", "at": "", "why": ""}
        self._sample: Dict[str, Optional[int]] = {"keys": None, "bytes": None}
        self._revivals: List[Dict[str, Any]] = []
        self._revived = 0
        self._unserved_since: Optional[float] = float("-inf")

    def on_change(self, call: Callable[[], None]) -> None:
        """`call` comes from the thread that changed something, so it must be quick."""
        self._changed = call

    def gcs(self, phase: str, why: str = "") -> None:
        with self._lock:
            if phase == "Serving":
                self._unserved_since = None
                if self._revivals and self._revivals[-1]["serving"] is None:
                    self._revivals[-1]["serving"] = time.time()
            elif self._unserved_since is None:
                self._unserved_since = time.monotonic()
        self._set(self._gcs, phase, why)

    def redis(self, phase: str, why: str = "") -> None:
        self._set(self._redis, phase, why)

    def storage(self, phase: str, why: str = "", marker: "Optional[Marker]" = None) -> None:
        """An epoch once known stays known."""
        life = {"epoch": marker.epoch, "begun": marker.begun, "at": marker.at} if marker and marker.epoch else {}
        with self._lock:
            new = {**self._storage, **life, "phase": phase, "why": why}
            if new == self._storage:
                return
            self._storage = new
            self._sequence += 1
        self._changed()

    def sample(self, keys: Optional[int], used: Optional[int]) -> None:
        """No news of its own: figures go out with the next answer, so that they wake nobody once a minute."""
        with self._lock:
            self._sample = {"keys": keys, "bytes": used}

    def lost(self, verdict: str, why: str, served: float) -> None:
        """A GCS that served until `served` (monotonic seconds) is to be started again."""
        with self._lock:
            self._revived += 1
            now = time.time()
            self._revivals = [
                *self._revivals[1 - _REVIVALS_KEPT :],
                {
                    "number": self._revived,
                    "verdict": verdict,
                    "why": why,
                    "lost": now - (time.monotonic() - served),
                    "detected": now,
                    "started": None,
                    "serving": None,
                },
            ]
            self._sequence += 1
        self._changed()

    def started(self) -> None:
        with self._lock:
            if self._revivals and self._revivals[-1]["serving"] is None:
                self._revivals[-1]["started"] = time.time()
        self.gcs("Loading", "it has not answered since its start")

    def last_pause(self) -> float:
        """Seconds from the last moment that the lost GCS is known to have served until its successor did."""
        with self._lock:
            last = self._revivals[-1]
            return float(last["serving"] or time.time()) - float(last["lost"])

    def serves(self, grace: float) -> bool:
        """Whether the GCS serves, or did a moment ago."""
        since = self._unserved_since
        return since is None or time.monotonic() - since < grace

    @property
    def sequence(self) -> int:
        return self._sequence

    def document(self) -> Dict[str, Any]:
        with self._lock:
            return {
                "incarnation": self._incarnation,
                "sequence": self._sequence,
                "now": time.time(),
                "gcs": dict(self._gcs),
                "redis": dict(self._redis),
                "storage": {**self._storage, **self._sample},
                "revivals": [dict(revival) for revival in self._revivals],
            }

    def _set(self, part: Dict[str, Any], phase: str, why: str) -> None:
        with self._lock:
            if (part["phase"], part["why"]) == (phase, why):
                return
            if part["phase"] != phase:
                part["since"] = time.time()
            part.update(phase=phase, why=why)
            self._sequence += 1
        self._changed()
