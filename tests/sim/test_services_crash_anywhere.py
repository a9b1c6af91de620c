"""Each flow of RayServices again and again, the operator broken at each of the writes that the flow is about."""

from typing import NamedTuple

import pytest
from tests.sim import virtual_time
from tests.sim.service_flows import SERVICE_FLOWS
from tests.sim.services import GIVEN, service_world
from tests.sim.world import seeded


class Run(NamedTuple):
    """`writes` is how many the operator made in all, `used` the storage namespaces in turn."""

    writes: int
    first: int
    told: str
    used: list[str]


async def _flow_broken_at(name: str, write: int, how: str) -> Run:
    async with service_world() as found:
        if how == "its answer lost":
            found.lose_answer_of = write
        else:
            found.kill_after = write
            # Back while old Pods still end, or when they are gone: what is left to find is not the same.
            found.restart_after = 1.0 if how == "killed, back soon" else 6.0
        await found.converge(await SERVICE_FLOWS[name](found))
        told = "\n".join([*found.judges.broken, "---", *found.judges.log])
        return Run(found.judges.own_writes, found.first_write, told, found.used)


def broken_at(name: str, write: int, how: str) -> Run:
    with seeded(write):
        return virtual_time.run(_flow_broken_at(name, write, how))


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("how", ["killed, back soon", "killed, back late", "its answer lost"])
@pytest.mark.parametrize("name", SERVICE_FLOWS)
def test_a_flow_of_a_rayservice_ends_right_with_the_operator_broken_at_each_of_its_writes(name: str, how: str) -> None:
    undisturbed = broken_at(name, 0, how)
    assert undisturbed.told.startswith("---"), undisturbed.told
    for write in range(undisturbed.first, 2 * undisturbed.writes):
        run = broken_at(name, write, how)
        assert run.told.startswith("---"), f"{how}, at write {write}:\n{run.told}"
        assert run.writes <= 2 * undisturbed.writes + 10, f"{run.writes} writes:\n{run.told}"
        assert run.used[0] == GIVEN, run.used
        if write >= run.writes:
            break
    assert write >= undisturbed.first + 3


def test_a_retained_rayservice_goes_on_in_the_namespace_it_used_last() -> None:
    run = broken_at("retain and create again", 0, "killed, back soon")
    assert run.told.startswith("---"), run.told
    assert len(run.used) == 2, f"the third RayCluster was to go on in the second's: {run.used}"
    assert run.used[0] == GIVEN
    assert run.used[1].startswith(f"{GIVEN}-")
