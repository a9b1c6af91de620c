"""Each flow of RayServices, the operator broken at each of the writes that the flow is about."""

from collections.abc import Iterator

import pytest
from tests.sim import virtual_time
from tests.sim.breaking import HOW, Played, Verdicts, on_all_processors
from tests.sim.service_flows import SERVICE_FLOWS
from tests.sim.services import GIVEN, service_world
from tests.sim.world import seeded


async def _flow_broken_at(name: str, write: int, how: str) -> tuple[Played, list[str]]:
    """Also the storage namespaces in turn."""
    async with service_world() as found:
        if how == "its answer lost":
            found.lose_answer_of = write
        else:
            found.kill_after = write
            # Back while old Pods still end, or when they are gone: what is left to find is not the same.
            found.restart_after = 1.0 if how == "killed, back soon" else 6.0
        await found.converge(await SERVICE_FLOWS[name](found))
        if found.used[:1] != [GIVEN]:
            found.judges.complain(f"the first namespace is not {GIVEN}: {found.used}")
        return Played(found.first_write, found.judges.own_writes, found.judges.told()), found.used


def broken_at(name: str, write: int, how: str) -> Played:
    with seeded(write):
        return virtual_time.run(_flow_broken_at(name, write, how))[0]


@pytest.fixture(scope="module")
def service_verdicts(request: pytest.FixtureRequest) -> Iterator[Verdicts]:
    with on_all_processors(broken_at, request, "service_verdicts") as found:
        yield found


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("how", [how for how in HOW if "on its way" not in how])
@pytest.mark.parametrize("name", SERVICE_FLOWS)
def test_a_flow_of_a_rayservice_ends_right_with_the_operator_broken_at_each_of_its_writes(
    name: str, how: str, service_verdicts: Verdicts
) -> None:
    told = service_verdicts[name, how].result()
    assert not told, told


def test_a_retained_rayservice_goes_on_in_the_namespace_it_used_last() -> None:
    with seeded(0):
        played, used = virtual_time.run(_flow_broken_at("retain and create again", 0, HOW[0]))
    assert not played.wrong, played.wrong
    assert len(used) == 2, f"the third RayCluster was to go on in the second's: {used}"
    assert used[0] == GIVEN
    assert used[1].startswith(f"{GIVEN}-")
