"""Simulated nodes in a process of their own: every Pod is bound, Ready after a second, gone half a second after it
is told to stop; Pods of Jobs succeed. Ends on SIGTERM.

    python -m bench.scale.nodes KUBECONFIG
"""

import asyncio
import signal
import sys
from pathlib import Path

from tests.sim.kubelet import Habits, Kubelet

from headstay.runtime.http import HttpClient
from headstay.runtime.kubeconfig import find_cluster_config

NODES = [f"simulated-{number}" for number in range(100)]
READY_AFTER = 1.0


async def serve(kubeconfig: Path) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with HttpClient(find_cluster_config(kubeconfig, "", {})) as client:
        kubelet = Kubelet(client, Habits(ready_after=lambda _: READY_AFTER), nodes=NODES, workers=16)
        await kubelet.register()
        work = asyncio.create_task(kubelet.run())
        await asyncio.wait({work, asyncio.create_task(stop.wait())}, return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            await work
        work.cancel()
        await asyncio.wait({work})


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
