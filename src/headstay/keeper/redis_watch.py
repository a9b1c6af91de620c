"""Follows Redis while the GCS is well too, so that trouble there is known before it is the GCS's."""

import threading
import time
from typing import Callable

from .board import Board
from .lives import Lives
from .resp import Connection, Redis, RefusedError
from .sentinel import connect

_PING_EVERY = 2.0
_SAMPLE_EVERY = 60.0
_REPLY_SECONDS = 2.0
_AGAIN = 0.5


class RedisWatcher(threading.Thread):
    """One kept connection. One that Redis or the network dropped says nothing: the next one does."""

    def __init__(self, redis: Redis, board: Board, lives: Lives, serves: Callable[[], bool]) -> None:
        super().__init__(daemon=True)
        self._redis = redis
        self._board = board
        self._lives = lives
        self._serves = serves
        self._look_at = self._sample_at = 0.0
        self._away_until = float("-inf")

    def away_since(self, moment: float) -> bool:
        """Whether Redis was not known to answer at any time since then (monotonic seconds)."""
        return self._away_until >= moment

    def run(self) -> None:
        while True:
            try:
                with connect(self._redis, timeout=_REPLY_SECONDS) as connection:
                    self._away_until = min(self._away_until, time.monotonic())
                    self._board.redis("Answers")
                    while not connection.closed_within(_PING_EVERY):
                        connection.ping()
                        self._board.redis("Answers")
                        self._do_what_is_due(connection)
                continue
            except RefusedError as error:
                self._board.redis("Refuses", str(error))
            except OSError as error:
                self._away_until = float("inf")
                self._board.redis("Away", f"{self._redis}: {error}")
            time.sleep(_AGAIN)

    def _do_what_is_due(self, connection: Connection) -> None:
        now = time.monotonic()
        if not self._serves():
            self._look_at = now  # its first look at a GCS that came back is at once
            return
        if now >= self._look_at:
            self._look_at = now + self._lives.look_at_living(connection)
        if now >= self._sample_at:
            self._sample_at = now + _SAMPLE_EVERY
            self._lives.sample(connection)
