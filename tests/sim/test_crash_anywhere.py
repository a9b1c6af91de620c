"""Each flow again and again, the operator broken at its first write, its second, and so on to its last."""

import pytest
from tests.sim import virtual_time
from tests.sim.flows import FLOWS
from tests.sim.world import seeded, world


async def _flow_broken_at(name: str, write: int, how: str) -> tuple[int, str]:
    """How many writes the operator made in all, and what went wrong."""
    async with world() as found:
        if how == "its answer lost":
            found.lose_answer_of = write
        else:
            found.kill_after = write
            # Back while old Pods still end, or when they are gone: what is left to find is not the same.
            found.restart_after = 1.0 if how == "killed, back soon" else 6.0
        await found.converge(await FLOWS[name](found))
        return found.judges.own_writes(), "\n".join([*found.judges.broken, "---", *found.judges.log])


def broken_at(name: str, write: int, how: str) -> tuple[int, str]:
    with seeded(write):
        return virtual_time.run(_flow_broken_at(name, write, how))


@pytest.mark.parametrize("how", ["killed, back soon", "killed, back late", "its answer lost"])
@pytest.mark.parametrize("name", FLOWS)
def test_a_flow_ends_right_with_the_operator_broken_at_each_of_its_writes(name: str, how: str) -> None:
    undisturbed, told = broken_at(name, 0, how)
    assert told.startswith("---"), told
    write = 1
    while True:
        writes, told = broken_at(name, write, how)
        assert told.startswith("---"), f"{how}, at write {write}:\n{told}"
        assert writes <= 2 * undisturbed + 10, f"{writes} writes instead of {undisturbed}:\n{told}"
        if write >= writes:
            break
        write += 1
    assert write >= 8
