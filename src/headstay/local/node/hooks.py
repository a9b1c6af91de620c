"""postStart and preStop hooks: a command in the container, an HTTP request to it, or a sleep."""

import asyncio

from headstay.local.node.probes import Outcome, Target, ask
from headstay.model.objects import Obj

MOST_SECONDS = 3600.0


async def run_hook(hook: Obj, target: Target, timeout: float = MOST_SECONDS) -> Outcome:
    """Runs it once. Never raises for what the container does."""
    if "sleep" in hook:
        await asyncio.sleep(min(float(hook["sleep"].get("seconds") or 0), timeout))
        return Outcome(True, "")
    return await ask(hook, target, timeout)
