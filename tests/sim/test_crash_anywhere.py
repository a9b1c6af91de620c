"""Each flow of RayClusters, the operator broken at each of its writes."""

from collections.abc import Iterator

import pytest
from tests.sim import virtual_time
from tests.sim.breaking import HOW, Played, Verdicts, on_all_processors
from tests.sim.flows import FLOWS, KITS
from tests.sim.world import seeded, world


async def _flow_broken_at(name: str, write: int, how: str) -> Played:
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
        return Played(1, found.judges.own_writes, found.judges.told())


def broken_at(name: str, write: int, how: str) -> Played:
    with seeded(write):
        return virtual_time.run(_flow_broken_at(name, write, how))


@pytest.fixture(scope="module")
def verdicts(request: pytest.FixtureRequest) -> Iterator[Verdicts]:
    with on_all_processors(broken_at, request, "verdicts") as found:
        yield found


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("name", FLOWS)
def test_a_flow_ends_right_with_the_operator_broken_at_each_of_its_writes(
    name: str, how: str, verdicts: Verdicts
) -> None:
    told = verdicts[name, how].result()
    assert not told, told
