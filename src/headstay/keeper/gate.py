"""Between the GCS and its Redis: no GCS is started before Redis answers and its data is known."""

import time
from typing import Callable, Mapping, Optional, Sequence

from . import redis
from .board import Board
from .lives import Lives
from .log import tell
from .redis_watch import RedisWatcher
from .resp import RefusedError
from .sentinel import connect
from .storage import Namespace, one_hash

_AGAIN = 0.1


class Gate:
    def __init__(self, arguments: Sequence[str], environ: Mapping[str, str], board: Board, ray_version: str) -> None:
        self._board = board
        self._redis = redis.from_gcs_arguments(arguments)
        self._lives = _lives(environ, board, ray_version)
        self._serves = False
        self._watcher: Optional[RedisWatcher] = None
        if self._redis is not None:
            self._watcher = RedisWatcher(self._redis, board, self._lives, self._is_serving)
            self._watcher.start()

    def served(self) -> None:
        """A GCS answers."""
        self._serves = self._lives.served = True

    @property
    def data_lost(self) -> str:
        """Why a GCS that serves has to be ended all the same, or ""."""
        return self._lives.lost

    def redis_away_since(self, moment: float) -> bool:
        return self._watcher is not None and self._watcher.away_since(moment)

    def opens(self, deadline: float, ended: Callable[[], bool], meanwhile: Callable[[], None]) -> bool:
        """Waits for Redis until `deadline`. False, and said why, when the head had better restart.

        `meanwhile` is called again and again while it waits.
        """
        self._serves = False
        if self._redis is None:
            return True
        told = ""
        while not ended():
            try:
                with connect(self._redis) as connection:
                    self._board.redis("Answers")
                    if told:
                        tell(f"{self._redis} answers again")
                    if self._lives.look_before_start(connection):
                        return True
                return self._close("Redis lost the cluster's data; ending, so that head and workers start afresh")
            except RefusedError as error:
                self._board.redis("Refuses", str(error))
                return self._close(f"{error}; ending, so that the head restarts")
            except OSError as error:
                why = f"{self._redis}: {error}"
                self._board.redis("Away", why)
                self._board.gcs("WaitingForRedis", why)
                if why != told:
                    told = why
                    tell(f"waiting for Redis: {why}")
            if time.monotonic() >= deadline:
                return self._close(
                    "Redis has been away for nearly as long as Ray's own patience; ending, so that the head restarts"
                )
            meanwhile()
            time.sleep(_AGAIN)
        return False

    def _close(self, why: str) -> bool:
        tell(why)
        self._board.gcs("Ending", why)
        return False

    def _is_serving(self) -> bool:
        return self._serves


def _lives(environ: Mapping[str, str], board: Board, ray_version: str) -> Lives:
    try:
        name = environ.get("RAY_external_storage_namespace", "")
        return Lives(board, Namespace(name, one_hash=one_hash(ray_version)))
    except ValueError as error:
        return Lives(board, None, str(error))
