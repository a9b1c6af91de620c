"""Takes away everything an instance made on the machine, whether or not its daemon still lives.

Everything is found by the instance's name; no file of ours is trusted to know.
"""

import asyncio
from collections.abc import Callable

from headstay.local.config import LocalConfig
from headstay.local.network import links
from headstay.local.node import cleanup


def remove_all(config: LocalConfig, *, progress: Callable[[str], None]) -> list[str]:
    """Containers first (they hold the namespaces), then the network. Returns what could not be removed."""
    progress("stopping Pods")
    left = asyncio.run(cleanup.remove_all(config))
    progress("removing the Pod network")
    return left + asyncio.run(links.remove_all(config))
