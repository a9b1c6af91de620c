"""Asks whether anybody but the head would answer the requests of a RayCluster that serves."""

import asyncio
from collections.abc import Sequence

from headstay.gcs.dashboard import Dashboard, DashboardError


async def one_answers(dashboard: Dashboard, proxies: Sequence[str]) -> bool:
    """Whether one of these Serve proxies is healthy. All are asked at once, and the first that is decides."""
    asked = [asyncio.ensure_future(_answers(dashboard, base)) for base in proxies]
    try:
        for answer in asyncio.as_completed(asked):
            if await answer:
                return True
        return False
    finally:
        for task in asked:
            task.cancel()


async def _answers(dashboard: Dashboard, base: str) -> bool:
    try:
        return await dashboard.proxy_answers(base)
    except DashboardError:
        return False
