"""The agent, or the whole machine, goes away at any moment: what was there is found again, and nothing twice."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator

import msgspec
import pytest
import pytest_asyncio
from tests.local.node_lab import Lab, needs_root, node_lab

from headstay.local.node import cleanup
from headstay.local.node.engine import Engine
from headstay.local.node.records import PodRecord
from headstay.model.objects import Obj
from headstay.model.resource import PODS

pytestmark = [needs_root, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab() -> AsyncIterator[Lab]:
    async with node_lab("hstake", 95) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def no_pods_left(lab: Lab) -> AsyncIterator[None]:
    yield
    await lab.client.delete_collection(PODS, "default")
    while (await lab.client.list_page(PODS, "default")).items:
        await asyncio.sleep(0.05)


def sleeper(**more: object) -> Obj:
    return {"name": "main", "image": "busybox:1.36", "command": ["sleep", "1000"]} | more


def container(pod: Obj) -> Obj:
    found: Obj = pod["status"]["containerStatuses"][0]
    return found


async def test_a_container_that_was_started_but_not_written_down_is_not_started_twice(lab: Lab) -> None:
    await lab.run("twin", sleeper())
    before = await lab.until_phase("twin", "Running")
    await lab.stop_agent()
    checkpoint = lab.config.state_dir / "pods" / before["metadata"]["uid"] / "checkpoint.json"
    record = msgspec.json.decode(checkpoint.read_bytes(), type=PodRecord)
    record.containers = {}
    checkpoint.write_bytes(msgspec.json.encode(record))
    await lab.start_agent()
    await asyncio.sleep(0.5)
    assert container(await lab.pod("twin")) == container(before)
    assert await Engine(lab.config).identities() == [container(before)["containerID"].removeprefix("podman://")]


async def test_without_its_checkpoint_a_pod_is_still_taken_over_by_its_labels(lab: Lab) -> None:
    await lab.run("labels", sleeper())
    before = await lab.until_phase("labels", "Running")
    await lab.stop_agent()
    (lab.config.state_dir / "pods" / before["metadata"]["uid"] / "checkpoint.json").write_text("{broken")
    await lab.start_agent()
    await asyncio.sleep(0.5)
    assert container(await lab.pod("labels"))["containerID"] == container(before)["containerID"]
    assert await Engine(lab.config).identities() == [container(before)["containerID"].removeprefix("podman://")]
    assert (await lab.exec("labels", "true"))[0] == 0


async def test_probes_and_readiness_go_on_after_a_take_over(lab: Lab) -> None:
    probe = {"exec": {"command": ["test", "-e", "/tmp/ready"]}, "periodSeconds": 1, "failureThreshold": 1}
    await lab.run("probed", sleeper(readinessProbe=probe))
    await lab.until_phase("probed", "Running")
    await lab.stop_agent()
    await lab.start_agent()
    assert container(await lab.pod("probed"))["ready"] is False
    await lab.exec("probed", "touch", "/tmp/ready")
    await lab.until("probed", lambda pod: container(pod)["ready"])
    await lab.stop_agent()
    await lab.start_agent()
    assert container(await lab.pod("probed"))["ready"] is True
    await lab.exec("probed", "rm", "/tmp/ready")
    await lab.until("probed", lambda pod: not container(pod)["ready"])


async def test_after_a_switched_off_machine_containers_are_made_again_in_the_same_pod(lab: Lab) -> None:
    mount = {"volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}]}
    script = "cat /scratch/x; echo before > /scratch/x; exec sleep 1000"
    await lab.run("back", sleeper(command=["sh", "-c", script], **mount), volumes=[{"name": "scratch", "emptyDir": {}}])
    await lab.until_phase("back", "Running")
    await asyncio.sleep(0.2)
    await lab.stop_agent()
    assert await cleanup.remove_all(lab.config, grace=0) == []
    assert cleanup.leftovers(lab.config) == []
    assert await cleanup.remove_all(lab.config, grace=0) == [], "twice is fine"
    await lab.start_agent()
    pod = await lab.until("back", lambda p: container(p)["restartCount"] == 1 and container(p)["ready"])
    assert container(pod)["lastState"]["terminated"]["reason"] == "ContainerStatusUnknown"
    assert await lab.logs("back") == "before\n"


async def test_a_pod_that_had_ended_does_not_run_again(lab: Lab) -> None:
    await lab.run("done", sleeper(command=["echo", "once"]), restartPolicy="Never")
    before = await lab.until_phase("done", "Succeeded")
    await lab.stop_agent()
    await lab.start_agent()
    await asyncio.sleep(0.5)
    assert (await lab.pod("done"))["status"] == before["status"]
    assert await lab.logs("done") == "once\n"
    assert await Engine(lab.config).identities() == []


DAEMON = """
import asyncio, sys
from tests.local.node_lab import Lab, lab_config
from headstay.model.resource import SERVICE_ACCOUNTS
from pathlib import Path

async def main():
    lab = Lab(lab_config(Path(sys.argv[1]), "hstake", 95))
    account = {"metadata": {"name": "default", "namespace": "default"}, "automountServiceAccountToken": False}
    await lab.client.create(SERVICE_ACCOUNTS, {"apiVersion": "v1", "kind": "ServiceAccount"} | account)
    await lab.network.start()
    await lab.start_agent()
    for number in range(6):
        await lab.run(f"k{number}", {"name": "m", "image": "busybox:1", "command": ["sleep", "1000"]})
    print("started", flush=True)
    await asyncio.sleep(100)

asyncio.run(main())
"""


async def test_nothing_is_left_of_a_daemon_that_was_killed_while_it_started_pods(lab: Lab) -> None:
    await lab.stop_agent()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", DAEMON, str(lab.config.state_dir.parent), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    async with asyncio.timeout(20):
        assert await process.stdout.readline() == b"started\n"
    await asyncio.sleep(0.25)
    os.kill(process.pid, signal.SIGKILL)
    await process.wait()
    assert await cleanup.remove_all(lab.config, grace=0) == []
    assert cleanup.leftovers(lab.config) == []
    assert await Engine(lab.config).identities() == []
    await lab.start_agent()


async def test_going_down_lets_containers_end_by_themselves_first(lab: Lab) -> None:
    directory = lab.config.state_dir / "graceful"
    script = "trap 'echo saved > /out/state; exit 0' TERM; while :; do sleep 0.1; done"
    mount = {"volumeMounts": [{"name": "out", "mountPath": "/out"}]}
    volume = {"name": "out", "hostPath": {"path": str(directory), "type": "DirectoryOrCreate"}}
    await lab.run("graceful", sleeper(command=["sh", "-c", script], **mount), volumes=[volume])
    await lab.until_phase("graceful", "Running")
    await lab.stop_agent()
    assert await cleanup.remove_all(lab.config) == []
    assert await asyncio.to_thread((directory / "state").read_text) == "saved\n"
    await lab.start_agent()
