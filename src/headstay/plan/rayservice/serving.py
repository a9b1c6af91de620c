"""What Ray Serve says of itself, as far as decisions depend on it."""

from dataclasses import dataclass, field

from headstay.model.objects import Obj

RUNNING = "RUNNING"


@dataclass(frozen=True)
class Applications:
    """The answer of a dashboard: what status shows of each application, and where a proxy is known to be healthy."""

    statuses: dict[str, Obj] = field(default_factory=dict)
    proxies: frozenset[str] = frozenset()
    """Addresses of nodes; empty where this Ray does not tell."""

    @property
    def all_running(self) -> bool:
        return bool(self.statuses) and all(found["status"] == RUNNING for found in self.statuses.values())


def read_applications(answer: Obj) -> Applications:
    """`GET /api/serve/applications/`, in the form in which status shows it. Raises ValueError for another document."""
    found = answer.get("applications")
    if not isinstance(found, dict):
        raise ValueError("no applications in the answer")  # noqa: TRY004 a document of another shape is a bad value
    proxies = answer.get("proxies") or {}
    return Applications(
        {name: _status(application) for name, application in found.items()},
        frozenset(
            str(proxy["node_ip"])
            for proxy in proxies.values()
            if isinstance(proxy, dict) and proxy.get("status") == "HEALTHY" and proxy.get("node_ip")
        ),
    )


def _status(application: Obj) -> Obj:
    deployments = application.get("deployments") or {}
    shown = {
        name: _without_blanks({"status": str(found.get("status") or ""), "message": str(found.get("message") or "")})
        for name, found in deployments.items()
    }
    status = {"status": str(application.get("status") or ""), "message": str(application.get("message") or "")}
    return _without_blanks(status) | ({"serveDeploymentStatuses": shown} if shown else {})


def _without_blanks(status: Obj) -> Obj:
    """The status itself stays: it is compared."""
    return {key: value for key, value in status.items() if value or key == "status"}
