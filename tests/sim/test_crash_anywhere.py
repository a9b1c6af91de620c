"""Each flow again and again, the operator broken at its first write, its second, and so on to its last."""

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from typing import TypeAlias

import pytest
from tests.sim import virtual_time
from tests.sim.flows import FLOWS, KITS
from tests.sim.world import seeded, world

HOW = ["killed, back soon", "killed, back late", "killed, the write still on its way", "its answer lost"]

Verdicts: TypeAlias = dict[tuple[str, str], "Future[str]"]


async def _flow_broken_at(name: str, write: int, how: str) -> tuple[int, str]:
    """How many writes the operator made in all, and what went wrong."""
    async with world(KITS.get(name)) as found:
        match how:
            case "its answer lost":
                found.lose_answer_of = write
            case "killed, the write still on its way":
                found.hold = write
            case _:
                found.kill_after = write
                # Back while old Pods still end, or when they are gone: what is left to find is not the same.
                found.restart_after = 1.0 if how == "killed, back soon" else 6.0
        await found.converge(await FLOWS[name](found))
        return found.judges.own_writes, "\n".join([*found.judges.broken, "---", *found.judges.log])


def broken_at(name: str, write: int, how: str) -> tuple[int, str]:
    with seeded(write):
        return virtual_time.run(_flow_broken_at(name, write, how))


def verdict(name: str, how: str) -> str:
    """What is wrong with the flow, or ""."""
    undisturbed, told = broken_at(name, 0, how)
    if not told.startswith("---"):
        return told
    write = 1
    while True:
        writes, told = broken_at(name, write, how)
        if not told.startswith("---"):
            return f"{how}, at write {write}:\n{told}"
        if writes > 2 * undisturbed + 10:
            return f"{writes} writes instead of {undisturbed}:\n{told}"
        if write >= writes:
            break
        write += 1
    return "" if write >= 8 else f"only {write} writes: the flow is not played"


@pytest.fixture(scope="module")
def verdicts(request: pytest.FixtureRequest) -> Iterator[Verdicts]:
    """Of the flows that were asked for, found on all processors at once."""
    asked = [item.callspec.params for item in request.session.items if "verdicts" in getattr(item, "fixturenames", ())]  # type: ignore[attr-defined]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), mp_context=context) as pool:
        found = {(of["name"], of["how"]): pool.submit(verdict, of["name"], of["how"]) for of in asked}
        yield found
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("name", FLOWS)
def test_a_flow_ends_right_with_the_operator_broken_at_each_of_its_writes(
    name: str, how: str, verdicts: Verdicts
) -> None:
    told = verdicts[name, how].result()
    assert not told, told
