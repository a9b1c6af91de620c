"""The machine's own network settings that we read or touch: its uplinks and their forwarding."""

import json
from pathlib import Path
from typing import Any

from headstay.local.network.commands import NetworkError, run

_SYSCTL = Path("/proc/sys/net/ipv4")


def write_sysctl(name: str, value: str) -> None:
    path = _SYSCTL / name
    try:
        if path.read_text().strip() != value:
            path.write_text(value)
    except OSError as error:
        raise NetworkError(f"cannot set {path} to {value}: {error.strerror}") from error


async def uplinks() -> list[str]:
    """The interfaces that lead to the outside: those with a default route."""
    routes: list[dict[str, Any]] = json.loads(await run("ip", "-json", "-4", "route", "show", "default") or "[]")
    return sorted({str(route["dev"]) for route in routes if "dev" in route})


def forwards(interface: str) -> bool:
    path = _SYSCTL / "conf" / interface / "forwarding"
    return path.exists() and path.read_text().strip() == "1"


def set_forwarding(interface: str, *, on: bool) -> None:
    if (_SYSCTL / "conf" / interface).exists():
        write_sysctl(f"conf/{interface}/forwarding", "1" if on else "0")
