"""Takes every trace of an instance's Pods off the machine, whether or not a daemon still lives or ended well.

Found by the instance's name alone: its podman storage, its cgroups, its mounts. What is to survive `down` (volumes,
logs, restart counts) is not touched: to the next `up` it looks like a machine that was switched off. Doing it twice is
fine.
"""

import asyncio
import os
import shutil
from pathlib import Path

from headstay.local.config import LocalConfig
from headstay.local.node import cgroups
from headstay.local.node.engine import Engine, EngineError
from headstay.local.node.volumes import mount_points, unmount_below

GRACE_SECONDS = 3.0
_GRACE_TRIES = 50
_PAUSE = 0.1


async def remove_all(config: LocalConfig, *, grace: float = GRACE_SECONDS) -> list[str]:
    """Containers, asked to end first, then what a crash may have left of them. Returns what could not be removed."""
    left = await _remove_containers(config, grace)
    left += await _end_processes(config)
    directories = [config.state_dir / "podman", config.state_dir / "pods", config.run_dir / "pods"]
    for directory in directories:
        await unmount_below(directory)
    left += [f"{point} is still mounted" for directory in directories for point in mount_points(directory)]
    left += await _remove_cgroups(config)
    if not left:
        for directory in (config.run_dir / "pods", config.run_dir / "podman"):
            await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)
    return left


async def _remove_containers(config: LocalConfig, grace: float) -> list[str]:
    if shutil.which("podman") is None or not await asyncio.to_thread((config.state_dir / "podman").is_dir):
        return []
    engine = Engine(config)
    engine.prepare()
    try:
        if not await engine.identities():
            return []
        await engine.stop_all(grace)
        await engine.remove_all()
    except EngineError as error:
        return [str(error)]
    return []


async def _end_processes(config: LocalConfig) -> list[str]:
    """Processes in our cgroups that podman no longer knows (its own state was lost)."""
    group = config.cgroup_parent
    for attempt in range(_GRACE_TRIES):
        pids = await asyncio.to_thread(cgroups.processes, group)
        if not pids:
            return []
        if attempt:
            for pid in pids:
                _kill(pid)
        await asyncio.sleep(_PAUSE)
    return [f"process {pid} does not end" for pid in sorted(await asyncio.to_thread(cgroups.processes, group))]


def _kill(pid: int) -> None:
    try:
        os.kill(pid, 9)
    except ProcessLookupError:
        return


async def _remove_cgroups(config: LocalConfig) -> list[str]:
    left: list[str] = []
    for _ in range(_GRACE_TRIES):
        left = await asyncio.to_thread(cgroups.remove, config.cgroup_parent)
        if not left:
            break
        await asyncio.sleep(_PAUSE)
    return left


def leftovers(config: LocalConfig) -> list[Path]:
    """What of the node agent's is still on the machine (for tests and `doctor`)."""
    groups = [root / config.cgroup_parent.lstrip("/") for root in cgroups.hierarchies()]
    mounts = mount_points(config.state_dir) + mount_points(config.run_dir)
    return [group for group in groups if group.exists()] + mounts
