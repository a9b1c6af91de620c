"""A Pod's life on a real machine: real podman, real network, real API server."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from tests.local.node_lab import Lab, needs_root, node_lab

from headstay.local.seams import ExecRequest
from headstay.model.errors import StatusError
from headstay.model.resource import PODS

pytestmark = [needs_root, pytest.mark.asyncio(loop_scope="module")]

SLEEP = ["sh", "-c", 'trap "exit 0" TERM; while :; do sleep 0.1; done']


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab() -> AsyncIterator[Lab]:
    async with node_lab("hsnode", 91) as made:
        yield made


def busybox(*command: str, name: str = "main", **more: object) -> dict[str, object]:
    return {"name": name, "image": "busybox:1.36", "command": list(command)} | more


async def test_a_pod_runs_says_so_and_goes_when_it_is_deleted(lab: Lab) -> None:
    await lab.run("plain", busybox("sh", "-c", "echo out; echo err >&2; exec sleep 1000"))
    pod = await lab.until_phase("plain", "Running")
    conditions = {c["type"]: c["status"] for c in pod["status"]["conditions"]}
    assert conditions["Ready"] == conditions["Initialized"] == conditions["PodReadyToStartContainers"] == "True"
    status = pod["status"]["containerStatuses"][0]
    assert (status["ready"], status["started"], status["restartCount"]) == (True, True, 0)
    assert status["containerID"].startswith("podman://")
    assert pod["status"]["podIP"].startswith("10.91.")
    assert sorted((await lab.logs("plain")).split()) == ["err", "out"]
    assert [reason for reason, _ in await lab.events("plain")] == ["Pulled", "Created", "Started"]
    await lab.client.delete(PODS, "default", "plain")
    await lab.until_gone("plain")


async def test_exec_runs_beside_the_first_process_with_its_identity(lab: Lab) -> None:
    await lab.run("exec", busybox("sleep", "1000", env=[{"name": "COLOUR", "value": "blue"}]))
    await lab.until_phase("exec", "Running")
    assert await lab.exec("exec", "sh", "-c", "echo $COLOUR; echo bad >&2; exit 7") == (7, "blue\n", "bad\n")
    assert (await lab.exec("exec", "cat", stdin=b"typed"))[1] == "typed"
    _, listing, _ = await lab.exec("exec", "ps", "-e", "-o", "args=")
    assert listing.splitlines()[0].strip() == "sleep 1000"
    assert len(listing.splitlines()) == 2


async def test_a_terminal_has_the_size_it_is_given(lab: Lab) -> None:
    assert lab.agent is not None
    await lab.run("tty", busybox("sleep", "1000"))
    await lab.until_phase("tty", "Running")
    request = ExecRequest("", ("sh", "-c", "read a; stty size; tty"), stdin=True, tty=True)
    session = await lab.agent.streams.exec("default", "tty", request)
    session.resize(101, 37)
    await asyncio.sleep(0.5)
    await session.write_stdin(b"go\n")
    output = b"".join([part async for part in session.stdout()])
    assert await session.wait() == 0
    await session.close()
    assert b"37 101" in output
    assert b"/dev/pts/" in output


async def test_a_failing_container_is_restarted_at_once_and_then_backs_off(lab: Lab) -> None:
    await lab.run("crash", busybox("sh", "-c", "echo attempt; exit 3"))
    pod = await lab.until("crash", lambda p: "CrashLoopBackOff" in str(p.get("status")))
    status = pod["status"]["containerStatuses"][0]
    assert status["restartCount"] == 1
    assert status["lastState"]["terminated"]["exitCode"] == 3
    assert status["lastState"]["terminated"]["reason"] == "Error"
    assert pod["status"]["phase"] == "Running"
    assert await lab.logs("crash", previous=True) == "attempt\n"


async def test_a_pod_that_may_not_restart_ends_as_its_containers_did(lab: Lab) -> None:
    await lab.run("good", busybox("true"), restartPolicy="Never")
    await lab.run("bad", busybox("sh", "-c", "echo reason > /dev/termination-log; exit 2"), restartPolicy="Never")
    good = await lab.until_phase("good", "Succeeded")
    assert good["status"]["containerStatuses"][0]["state"]["terminated"]["reason"] == "Completed"
    bad = await lab.until_phase("bad", "Failed")
    ended = bad["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (ended["exitCode"], ended["message"]) == (2, "reason\n")


async def test_a_command_that_does_not_exist_says_so(lab: Lab) -> None:
    await lab.run("typo", busybox("slep", "1"), restartPolicy="Never")
    pod = await lab.until_phase("typo", "Failed")
    ended = pod["status"]["containerStatuses"][0]["state"]["terminated"]
    assert ended["reason"] == "StartError"
    assert "slep" in ended["message"]


async def test_an_image_nobody_knows_is_an_image_error_with_the_way_out(lab: Lab) -> None:
    await lab.run("mystery", {"name": "main", "image": "nowhere.invalid/none:1"})
    pod = await lab.until("mystery", lambda p: "ErrImagePull" in str(p.get("status")))
    message = pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"]
    assert "images.yaml" in message
    with pytest.raises(StatusError, match="trying and failing to pull image"):
        await lab.logs("mystery")


async def test_what_is_not_supported_is_refused_by_name(lab: Lab) -> None:
    await lab.run("odd", busybox("true"), hostNetwork=True)
    pod = await lab.until("odd", lambda p: (p.get("status") or {}).get("reason") == "Unsupported")
    assert "spec.hostNetwork" in pod["status"]["message"]


async def test_a_restart_of_the_agent_takes_running_pods_over(lab: Lab) -> None:
    await lab.run("stays", busybox("sh", "-c", "echo started; exec sleep 1000"))
    before = await lab.until_phase("stays", "Running")
    await lab.run("ends", busybox("sleep", "0.6"), restartPolicy="Never")
    await lab.until_phase("ends", "Running")
    await lab.run("goes", busybox("sleep", "1000"))
    await lab.until_phase("goes", "Running")
    await lab.stop_agent()
    await lab.client.delete(PODS, "default", "goes", grace_period_seconds=0)
    await asyncio.sleep(0.8)
    await lab.start_agent()
    await lab.until_phase("ends", "Succeeded")
    after = await lab.pod("stays")
    assert after["status"] == before["status"]
    assert await lab.logs("stays") == "started\n"
    assert (await lab.exec("stays", "true"))[0] == 0


async def test_memory_that_is_not_there_ends_a_container_as_oom_killed(lab: Lab) -> None:
    eat = "x = bytearray(300 << 20)"
    limits = {"limits": {"memory": "64Mi"}}
    await lab.run("hungry", busybox("python3", "-c", eat, resources=limits), restartPolicy="Never")
    pod = await lab.until_phase("hungry", "Failed")
    ended = pod["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (137, "OOMKilled")


async def test_nothing_of_the_host_but_the_allow_list_is_visible(lab: Lab, tmp_path: Path) -> None:
    canaries = [Path("/root/headstay-canary"), Path("/home/headstay-canary"), lab.config.state_dir / "canary"]
    for canary in canaries:
        canary.write_text("secret")
    try:
        await lab.run("jail", busybox("sleep", "1000"))
        await lab.until_phase("jail", "Running")
        paths = [
            *map(str, canaries),
            "/etc/shadow",
            "/etc/ssh",
            "/etc/ssl/private",
            "/var/lib/headstay",
            "/var/lib/dpkg",
        ]
        for path in paths:
            assert (await lab.exec("jail", "test", "-e", path))[0] == 1, path
        _, capabilities, _ = await lab.exec("jail", "grep", "NoNewPrivs", "/proc/self/status")
        assert capabilities.split() == ["NoNewPrivs:", "1"]
    finally:
        for canary in canaries:
            canary.unlink()
