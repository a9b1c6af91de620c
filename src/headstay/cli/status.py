"""`headstay status`: what runs, in one look."""

import os
from pathlib import Path
from typing import Any

from rich.table import Table

from headstay.cli.debts import gather_debts, print_debts
from headstay.cli.kubectl import Kubectl
from headstay.cli.output import Output, UserError, console, print_json
from headstay.local import process
from headstay.local.config import LocalConfig


def _resident_megabytes(pid: int) -> float | None:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _gather(config: LocalConfig) -> dict[str, Any]:
    pid = process.running_pid(config)
    report = process.read_report(config)
    found: dict[str, Any] = {"up": pid is not None and report.get("phase") == "ready", "pid": pid}
    if pid is None:
        return found
    found["phase"] = report.get("phase", "starting")
    found["components"] = report.get("components", {})
    found["api"] = f"https://127.0.0.1:{config.api_port}"
    found["kubeconfig"] = str(config.kubeconfig)
    found["residentMegabytes"] = round(_resident_megabytes(pid) or 0, 1)
    if found["up"]:
        kubectl = Kubectl({**os.environ, "KUBECONFIG": str(config.kubeconfig)})
        found["pods"] = [
            {
                "namespace": pod["metadata"]["namespace"],
                "name": pod["metadata"]["name"],
                "phase": pod.get("status", {}).get("phase", ""),
            }
            for pod in kubectl.items("pods", "--all-namespaces")
        ]
        found["rayClusters"] = [
            {
                "namespace": cluster["metadata"]["namespace"],
                "name": cluster["metadata"]["name"],
                "state": cluster.get("status", {}).get("state", ""),
            }
            for cluster in kubectl.items("rayclusters.ray.io", "--all-namespaces")
        ]
        found["debts"] = gather_debts(kubectl)
    return found


def show(output: Output) -> None:
    try:
        config = LocalConfig.from_environment()
    except ValueError as error:
        raise UserError(str(error), code=2) from error
    found = _gather(config)
    if output is Output.json:
        print_json(found)
    elif found["pid"] is None:
        console.print("Headstay is not up. Start it with: headstay up")
    else:
        _print(found)
    if not found["up"]:
        raise SystemExit(1)


def _print(found: dict[str, Any]) -> None:
    table = Table.grid(padding=(0, 2))
    table.add_row("[bold]daemon[/]", f"{found['phase']}, pid {found['pid']}, {found['residentMegabytes']} MB")
    table.add_row("[bold]parts[/]", ", ".join(f"{name} {state}" for name, state in found["components"].items()))
    table.add_row("[bold]API[/]", found["api"])
    table.add_row("[bold]kubeconfig[/]", found["kubeconfig"])
    for pod in found.get("pods", []):
        table.add_row("[bold]Pod[/]", f"{pod['namespace']}/{pod['name']} {pod['phase']}")
    for cluster in found.get("rayClusters", []):
        table.add_row("[bold]RayCluster[/]", f"{cluster['namespace']}/{cluster['name']} {cluster['state']}")
    console.print(table)
    print_debts(found.get("debts", []))
