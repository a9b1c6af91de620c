"""`python -m headstay.local`: the daemon that `headstay up` starts."""

import argparse
import asyncio
import logging
import signal
import sys
from dataclasses import replace
from pathlib import Path

from headstay.local import process
from headstay.local.config import LocalConfig
from headstay.runtime.garbage import settle_garbage_collector


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m headstay.local", description=__doc__)
    parser.add_argument("--control-plane-only", action="store_true", help="no node and no Pod network; needs no root")
    parser.add_argument("--directory", type=Path, help="keep all state below this directory")
    return parser.parse_args()


def main() -> int:
    arguments = _arguments()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    config = LocalConfig.from_environment()
    if arguments.directory:
        config = replace(config, state_dir=arguments.directory, run_dir=arguments.directory / "run")
    try:
        lock = process.acquire_lock(config)
    except process.DaemonError as error:
        logging.getLogger("headstay").error("%s", error)  # noqa: TRY400 the user's mistake, not ours
        return 1
    with lock:
        return asyncio.run(_control_plane(config) if arguments.control_plane_only else _daemon(config))


async def _daemon(config: LocalConfig) -> int:
    from headstay.local import daemon

    report = daemon.Report(config)
    settle_garbage_collector()
    try:
        await daemon.run(config, report)
    except Exception as error:
        logging.getLogger("headstay").exception("the daemon ends")
        report.failed(str(_first(error)))
        return 1
    return 0


async def _control_plane(config: LocalConfig) -> int:
    from headstay.local.control_plane import LOOPBACK, ControlPlane

    plane = ControlPlane(config)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await plane.serve(LOOPBACK)
    await plane.start()
    settle_garbage_collector()
    work = asyncio.create_task(plane.run())
    await asyncio.wait({work, asyncio.create_task(stop.wait())}, return_when=asyncio.FIRST_COMPLETED)
    if work.done():
        await work
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    await plane.close()
    return 0


def _first(error: BaseException) -> BaseException:
    """The failure inside a task group's group of failures."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


if __name__ == "__main__":
    sys.exit(main())
