"""Growing delays with jitter and a cap: the one shape of retry everywhere in this package."""

import random
from collections.abc import Callable
from typing import NamedTuple


class Backoff(NamedTuple):
    """The nth delay is `base * 2**n`, at most `cap`, less up to `jitter` of itself.

    Jitter only shortens, so that `cap` is a promise.
    """

    base: float
    cap: float
    jitter: float = 0.5

    def delay(self, failures: int, draw: Callable[[], float] = random.random) -> float:
        """The delay after `failures` earlier ones; `draw` gives a number in [0, 1)."""
        grown: float = self.base * 2.0 ** min(failures, 60)
        return min(self.cap, grown) * (1 - self.jitter * draw())
