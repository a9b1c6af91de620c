"""API failures, as a Kubernetes `Status` says them.

    StatusError
      +- one class; `code` and `reason` tell them apart, as in Kubernetes itself

The same class is raised by the local server (which writes it to the wire) and by every client (which read it
from the wire), so in-process and remote callers see the same thing.
"""

from typing import Any, NamedTuple

from headstay.model.objects import Obj


class Cause(NamedTuple):
    """One entry of `details.causes`: `field` is a path such as `spec.containers[0].image`."""

    reason: str
    message: str
    field: str = ""


class StatusError(Exception):
    """A refused API request.

    `code` is the HTTP status, `reason` Kubernetes' CamelCase word for it (`NotFound`, `Conflict`,
    `AlreadyExists`, `Invalid`, `Expired`, `Forbidden`, ...). `retry_after` is in seconds.
    """

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        causes: tuple[Cause, ...] = (),
        details: Obj | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.causes = causes
        self.details = details or {}
        self.retry_after = retry_after

    def to_status(self) -> Obj:
        details: dict[str, Any] = dict(self.details)
        if self.causes:
            details["causes"] = [
                {"reason": c.reason, "message": c.message} | ({"field": c.field} if c.field else {})
                for c in self.causes
            ]
        if self.retry_after is not None:
            details["retryAfterSeconds"] = self.retry_after
        status: Obj = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            status["reason"] = self.reason
        if details:
            status["details"] = details
        status["code"] = self.code
        return status

    @classmethod
    def from_status(cls, status: Obj, *, code: int = 0) -> "StatusError":
        """The error that a `Status` document stands for; `code` where the document has none."""
        details = dict(status.get("details") or {})
        causes = tuple(
            Cause(c.get("reason", ""), c.get("message", ""), c.get("field", ""))
            for c in details.pop("causes", None) or []
        )
        retry_after = details.pop("retryAfterSeconds", None)
        return cls(
            int(status.get("code") or code),
            status.get("reason") or "Unknown",
            status.get("message") or "the server gave no message",
            causes=causes,
            details=details,
            retry_after=retry_after,
        )


def is_not_found(error: BaseException) -> bool:
    return isinstance(error, StatusError) and error.reason == "NotFound"


def is_conflict(error: BaseException) -> bool:
    """A write lost against another one (`Conflict`); `AlreadyExists` is not one, though both are 409."""
    return isinstance(error, StatusError) and error.reason == "Conflict"


def is_already_exists(error: BaseException) -> bool:
    return isinstance(error, StatusError) and error.reason == "AlreadyExists"


def is_expired(error: BaseException) -> bool:
    """The resourceVersion or continue token is too old: list again (410)."""
    return isinstance(error, StatusError) and (error.code == 410 or error.reason in {"Expired", "Gone"})
