"""A flow again and again, the operator broken at its first write, its second, and so on to its last.

HEADSTAY_SIM_EVERY=N   the first way of breaking is tried at every write; the others at one of N (3), 1 for all
"""

import multiprocessing
import os
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple, TypeAlias

import pytest

EVERY = int(os.environ.get("HEADSTAY_SIM_EVERY") or 3)
HOW = ["killed, back soon", "killed, back late", "killed, the write still on its way", "its answer lost"]


class Played(NamedTuple):
    """`first` and `writes` number the operator's writes that the flow is about, `wrong` what the judges say, or ""."""

    first: int
    writes: int
    wrong: str


Play: TypeAlias = Callable[[str, int, str], Played]
"""Of a flow, the number of the write to break at (0: none), and one of HOW."""
Verdicts: TypeAlias = dict[tuple[str, str], "Future[str]"]


def verdict(play: Play, name: str, how: str) -> str:
    """What is wrong with the flow, or ""."""
    undisturbed = play(name, 0, how)
    if undisturbed.wrong:
        return undisturbed.wrong
    write, writes, tried = undisturbed.first, undisturbed.writes, 0
    while write <= writes:
        if _is_due(name, write, how):
            run = play(name, write, how)
            if run.wrong:
                return f"{how}, at write {write}:\n{run.wrong}"
            if run.writes > 2 * undisturbed.writes + 10:
                return f"{run.writes} writes instead of {undisturbed.writes}, {how}, at write {write}"
            writes, tried = run.writes, tried + 1
        write += 1
    return "" if tried and write - undisturbed.first >= 3 else f"only {write} writes: the flow is not played"


def _is_due(name: str, write: int, how: str) -> bool:
    return how == HOW[0] or (write + zlib.crc32(f"{name}{how}".encode())) % EVERY == 0


@contextmanager
def on_all_processors(play: Play, request: pytest.FixtureRequest, fixture: str) -> Iterator[Verdicts]:
    """The verdicts of all flows whose tests ask for `fixture`."""
    asked = [item.callspec.params for item in request.session.items if fixture in getattr(item, "fixturenames", ())]  # type: ignore[attr-defined]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), mp_context=context) as pool:
        yield {(of["name"], of["how"]): pool.submit(verdict, play, of["name"], of["how"]) for of in asked}
        pool.shutdown(cancel_futures=True)
