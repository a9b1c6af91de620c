"""The words of a RayService's conditions."""

from headstay.model.objects import Obj
from headstay.model.rayservice import READY, SUSPENDED, SUSPENDING, UPGRADE_IN_PROGRESS

INITIALIZING = "Initializing"
TIMED_OUT = "InitializingTimeout"


def _condition(kind: str, status: str, reason: str, message: str) -> Obj:
    return {"type": kind, "status": status, "reason": reason, "message": message}


def initializing(why: str = "") -> Obj:
    return _condition(READY, "False", INITIALIZING, why or "RayService is initializing")


def timed_out(seconds: float) -> Obj:
    message = (
        f"RayService was not ready within {seconds:g} s (annotation ray.io/initializing-timeout); its RayClusters are "
        "deleted. Delete the RayService and make it again"
    )
    return _condition(READY, "False", TIMED_OUT, message)


def invalid(why: str) -> Obj:
    return _condition(READY, "False", "ValidationFailed", why)


def serving(endpoints: int) -> Obj:
    if endpoints:
        return _condition(READY, "True", "NonZeroServeEndpoints", "Number of serve endpoints is greater than 0")
    return _condition(READY, "False", "ZeroServeEndpoints", "The number of serve endpoints dropped to 0")


def not_serving_while(reason: str, message: str) -> Obj:
    return _condition(READY, "False", reason, message)


def upgrading(active: str, pending: str) -> Obj:
    if active and pending:
        message = f"RayCluster {active} serves, {pending} is being prepared"
        return _condition(UPGRADE_IN_PROGRESS, "True", "BothActivePendingClustersExist", message)
    if active:
        return _condition(UPGRADE_IN_PROGRESS, "False", "NoPendingCluster", "Active Ray cluster exists and no pending")
    message = "No active Ray cluster exists, and the RayService is initializing"
    return _condition(UPGRADE_IN_PROGRESS, "Unknown", "NoActiveCluster", message)


def suspension(*, suspending: bool, suspended: bool, reason: str) -> tuple[Obj, Obj]:
    return (
        _condition(SUSPENDING, "True" if suspending else "False", reason, ""),
        _condition(SUSPENDED, "True" if suspended else "False", reason, ""),
    )
