"""Keeps the namespace's marker, and starts afresh on purpose where the data is gone."""

import os
import threading
import time
from typing import Optional

from .board import Board
from .epoch import Marker, Ruling, judge
from .log import tell
from .resp import Connection, ReplyError
from .storage import Namespace

_LOOK_EVERY = 10.0
_LOOK_TWICE = 5.0


class Lives:
    """What this keeper knows of the data's life. `namespace` is None where there is none to look at; `why` says why.

    An account that may not do what is needed here costs the knowledge, never the data: the phase is Unknown then.
    """

    def __init__(self, board: Board, namespace: Optional[Namespace], why: str = "") -> None:
        self._board = board
        self._namespace = namespace
        self._lock = threading.Lock()
        self._known: Optional[Marker] = None
        self._told = ""
        self._lost_at: Optional[float] = None
        self.served = False
        self.lost = ""
        """Why a living GCS has to make way for a fresh start: its data was gone at two looks in a row."""
        if why:
            board.storage("Unknown", why)

    def look_at_living(self, redis: Connection) -> float:
        """While a GCS runs: nothing but the marker is ever written. Returns seconds until the next one. Raises OSError.

        One look is not believed: whoever puts data back (a backup, say) may have begun with an empty Redis.
        """
        self._look(redis, alive=True)
        return _LOOK_EVERY if self._lost_at is None else _LOOK_TWICE

    def look_before_start(self, redis: Connection) -> bool:
        """Whether a GCS may be started on this data; False where it is new and old processes are still about.

        Raises OSError.
        """
        ruling = self._look(redis, alive=False)
        return ruling is None or ruling.kind != "Afresh" or not self.served

    def _look(self, redis: Connection, *, alive: bool) -> Optional[Ruling]:
        if self._namespace is None:
            return None
        with self._lock:  # so that no look at a GCS that was ended since condemns the next one
            lost_at, self._lost_at, self.lost = self._lost_at, None, ""
            try:
                found = self._namespace.inspect(redis)
                ruling = judge(self._known, found, alive=alive, served=self.served)
                self._do(ruling, self._namespace, redis)
            except ReplyError as error:
                self._say(f"cannot keep a marker of the cluster's data in Redis: {error}")
                self._board.storage("Unknown", str(error))
                return None
            if ruling.kind == "Emptied":
                self._doubt(ruling, self._namespace, redis, lost_at)
        return ruling

    def _doubt(self, ruling: Ruling, namespace: Namespace, redis: Connection, lost_at: Optional[float]) -> None:
        now = time.monotonic()
        self._lost_at = now if lost_at is None else lost_at
        if lost_at is None:
            self._say(f"{ruling.why}; if that is still so in {_LOOK_TWICE:.0f} s, the cluster starts afresh")
        elif now - lost_at >= _LOOK_TWICE:
            try:
                namespace.may_start_afresh(redis)
                self.lost = ruling.why
            except ReplyError as error:
                self._say(f"{ruling.why}; the GCS works on, since this account may not make a fresh start ({error})")

    def _do(self, ruling: Ruling, namespace: Namespace, redis: Connection) -> None:
        if ruling.kind == "Emptied":
            self._board.storage("Emptied", ruling.why, self._known or ruling.marker)
            return
        marker = ruling.marker
        if ruling.kind == "Keep" and marker is not None:
            self._told = ""
        elif ruling.kind == "PutBack" and marker is not None:
            namespace.mark(redis, marker)
        elif ruling.kind == "Afresh":
            marker = _new_life(ruling.begun)
            removed = namespace.start_afresh(redis, marker)
            self._say(f"{ruling.why}: a fresh start. Removed {removed} remaining keys; epoch {marker.epoch} begins")
        else:
            marker = _new_life(ruling.begun)
            namespace.mark(redis, marker)
            self._say(
                f"epoch {marker.epoch} of the cluster's data begins ({marker.begun}{ruling.why and ': '}{ruling.why})"
            )
        self._known = marker
        if marker is not None:
            self._board.storage("Marked", "", marker)

    def _say(self, message: str) -> None:
        if message != self._told:
            self._told = message
            tell(message)

    def sample(self, redis: Connection) -> None:
        """Raises OSError."""
        if self._namespace is not None:
            size = self._namespace.size(redis)
            self._board.sample(size.entries, size.used)


def _new_life(begun: str) -> Marker:
    return Marker(os.urandom(8).hex(), begun, at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
