"""The four kinds of failure of a reconcile, and how any exception is filed under one of them.

    Failure
      +- Conflict    somebody else wrote first: read again, now
      +- Transient   the world may get better by itself: again, with back-off and jitter
      +- Terminal    only a change of the object can help: wait for that change
      +- Bug         our own mistake: loud, and again with back-off, since a later version of the object may avoid it

Waiting is not a failure: a reconcile that waits returns `Result(requeue_after=..., reason=...)`.
"""

from headstay.model.errors import StatusError, is_already_exists, is_conflict
from headstay.runtime.client import TransportError


class Failure(Exception):  # noqa: N818 these are kinds of failure, named as the design names them
    """Raised by a reconcile that knows which kind of failure it met; `str()` is the reason shown to users."""


class Conflict(Failure):
    pass


class Transient(Failure):
    pass


class Terminal(Failure):
    pass


class Bug(Failure):
    pass


def classify(error: Exception) -> type[Failure]:
    """The kind of failure that `error` is.

    A refusal (`Invalid`, `Forbidden`) is transient: RBAC, quotas and admission policies change without the object
    changing. A reconcile that knows better raises `Terminal` from it.
    """
    if isinstance(error, Failure):
        return next(kind for kind in (Conflict, Transient, Terminal, Bug, Failure) if isinstance(error, kind))
    if is_conflict(error) or is_already_exists(error):
        return Conflict
    if isinstance(error, StatusError | TransportError | TimeoutError):
        return Transient
    return Bug
