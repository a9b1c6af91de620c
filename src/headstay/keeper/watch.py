"""Watches one incarnation of the GCS over one kept connection."""

import threading
import time
from contextlib import suppress
from typing import Callable, Optional

from .probe import Conversation, Endpoint

_CALL_EVERY = 1.0
_CALL_SECONDS = 2.0
_LOOK_AGAIN = 0.01
_LOADING = 0.02
_LOADING_LONG = 0.2
_SOON = 10.0


class Watcher(threading.Thread):
    """A call that hangs here must not keep the supervisor from seeing an exit.

    A GCS that begins to shut down says goodbye on the kept connection within milliseconds, one that died loses it; a
    connect that is refused then makes it certain.
    """

    def __init__(self, endpoint: Endpoint, wake: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self._endpoint = endpoint
        self._wake = wake
        self._stopped = False
        self._conversation: Optional[Conversation] = None
        self.answered: Optional[float] = None
        self.refused_since: Optional[float] = None

    def run(self) -> None:
        began = time.monotonic()
        while not self._stopped:
            try:
                with self._endpoint.open(timeout=_CALL_SECONDS) as self._conversation:
                    self.refused_since = None
                    self._converse(self._conversation)
            except ConnectionRefusedError:
                self._refused()
            except (OSError, ValueError):
                pass  # what it means shows at the next attempt
            loading = self.answered is None
            time.sleep((_LOADING if time.monotonic() - began < _SOON else _LOADING_LONG) if loading else _LOOK_AGAIN)

    def _converse(self, conversation: Conversation) -> None:
        while not self._stopped:
            if not conversation.call(timeout=_CALL_SECONDS):
                return
            first, self.answered = self.answered is None, time.monotonic()
            if first:
                self._wake()
            if conversation.ends_within(_CALL_EVERY):
                return

    def _refused(self) -> None:
        if self.answered is None:
            return
        if self.refused_since is None:
            self.refused_since = time.monotonic()
        else:
            self._wake()

    def stop(self) -> None:
        self._stopped = True
        conversation = self._conversation
        if conversation is not None:
            with suppress(OSError):
                conversation.shutdown()
