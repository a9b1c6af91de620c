"""Debts in `headstay status`: keys of deleted RayClusters that may remain in Redis, and what to type about them."""

from typing import Any

from rich.text import Text

from headstay.cli.kubectl import Kubectl
from headstay.cli.output import console
from headstay.plan.debts import DEBT


def gather_debts(kubectl: Kubectl) -> list[dict[str, Any]]:
    return [
        {
            "configMap": f"{debt['metadata']['namespace']}/{debt['metadata']['name']}",
            "cluster": f"{data.get('clusterNamespace', '')}/{data.get('clusterName', '')}",
            "address": data.get("address", ""),
            "storageNamespace": data.get("storageNamespace", ""),
            "state": debt["metadata"]["labels"][DEBT],
            "since": data.get("since", ""),
            "reason": data.get("reason", ""),
            "lastError": data.get("lastError", ""),
            "command": data.get("command", ""),
        }
        for debt in kubectl.items("configmaps", "--all-namespaces", "-l", DEBT)
        for data in [debt.get("data") or {}]
    ]


def print_debts(debts: list[dict[str, Any]]) -> None:
    """Commands are never wrapped: somebody will copy them."""
    if debts:
        console.print("\n[bold]Debts[/] (keys of deleted RayClusters that may remain in Redis)")
    for debt in debts:
        head = f"{debt['state']} since {debt['since']}: {debt['cluster']}, storage namespace {debt['storageNamespace']}"
        head += f" ({debt['address']})" if debt["address"] else ""
        console.print(Text(head))
        console.print(Text(f"  {debt['lastError'] or debt['reason']}"))
        if debt["state"] == "Unpayable":
            console.print(Text(f"  {debt['command']}"), soft_wrap=True)
