"""Installs the operator's manifests with server-side apply, and waits until it is ready."""

import asyncio
import time
from collections.abc import Callable

from headstay.cli.output import UserError
from headstay.controllers import manifests
from headstay.local.config import LocalConfig
from headstay.model.errors import StatusError, is_not_found
from headstay.model.objects import Obj, dig
from headstay.model.resource import DEPLOYMENTS
from headstay.runtime.client import TransportError
from headstay.runtime.http import HttpClient
from headstay.runtime.kubeconfig import load_kubeconfig

FIELD_MANAGER = "headstay-up"


def install(
    config: LocalConfig, *, timeout: float, progress: Callable[[str], None], namespace: str = "default"
) -> None:
    """Raises UserError when the operator is not available after `timeout` seconds, with the reason it gives."""
    asyncio.run(_install(config, timeout, progress, namespace))


async def _install(config: LocalConfig, timeout: float, progress: Callable[[str], None], namespace: str) -> None:
    try:
        async with HttpClient(load_kubeconfig(config.kubeconfig)) as client:
            for resource, manifest in manifests.operator(namespace):
                await client.apply(resource, manifest, field_manager=FIELD_MANAGER)
            deadline = time.monotonic() + timeout
            while True:
                deployment = await client.get(DEPLOYMENTS, namespace, manifests.DEPLOYMENT)
                if dig(deployment, "status", "availableReplicas") and _is_current(deployment):
                    return
                why = _reason(deployment)
                progress(f"waiting for the operator: {why}")
                if time.monotonic() > deadline:
                    raise UserError(
                        f"the operator is not ready after {timeout:.0f} s: {why}",
                        hint=f"kubectl describe deployment {manifests.DEPLOYMENT}; kubectl get pods,events",
                    )
                await asyncio.sleep(0.05)
    except (StatusError, TransportError) as error:
        what = "is missing" if is_not_found(error) else "could not be installed"
        raise UserError(f"the operator {what}: {error}") from error


def _is_current(deployment: Obj) -> bool:
    observed = dig(deployment, "status", "observedGeneration") or 0
    updated = dig(deployment, "status", "updatedReplicas") or 0
    return bool(observed >= deployment["metadata"].get("generation", 0) and updated >= 1)


def _reason(deployment: Obj) -> str:
    for condition in dig(deployment, "status", "conditions") or []:
        if condition.get("type") == "Available":
            return str(condition.get("message") or condition.get("reason") or "not available yet")
    return "not started yet"
