"""A strategy that does nothing: the base of all others, and right as it is for kinds without rules."""

from headstay.local.server.seams import WriteContext
from headstay.model.errors import Cause
from headstay.model.objects import Obj


class Base:
    """`default` must be idempotent; `prepare_*` may count on its having run."""

    def default(self, new: Obj) -> None:
        """Absent fields that a reader may count on."""

    def prepare_create(self, new: Obj, context: WriteContext) -> None:
        """Admission, allocation, and the removal of what a client may not set."""

    def prepare_update(self, new: Obj, old: Obj, context: WriteContext) -> None:
        """The same for an update."""

    def validate(self, new: Obj, old: Obj | None, context: WriteContext) -> list[Cause]:
        """What is wrong with `new`, in Kubernetes' words; empty when nothing is."""
        return []

    def deleted(self, old: Obj, context: WriteContext) -> None:
        """Nothing to free: allocators read what is stored."""


def put(obj: Obj, **defaults: object) -> None:
    """Sets each field that is absent or null."""
    for name, value in defaults.items():
        if obj.get(name) is None:
            obj[name] = value
