"""Which of a CRD's names are free: among the CRDs of one group each name stands for one resource or kind."""

from collections.abc import Iterable

from headstay.model.objects import Obj, dig


def accept(wanted: Obj, before: Obj, others: Iterable[Obj]) -> tuple[Obj, tuple[str, str] | None]:
    """The names that may be used, and the first conflict as reason and message.

    A name that is taken keeps its value of `before`. Plural, singular and short names share one space, kind and
    list kind another.
    """
    resources: set[str] = set()
    kinds: set[str] = set()
    for other in others:
        names = dig(other, "status", "acceptedNames") or {}
        resources.update(filter(None, (names.get("plural"), names.get("singular"), *(names.get("shortNames") or ()))))
        kinds.update(filter(None, (names.get("kind"), names.get("listKind"))))
    accepted = dict(before)
    conflict: tuple[str, str] | None = None
    for name, reason, taken in (
        ("plural", "PluralConflict", resources),
        ("singular", "SingularConflict", resources),
        ("kind", "KindConflict", kinds),
        ("listKind", "ListKindConflict", kinds),
    ):
        value = wanted.get(name)
        if value in taken:
            conflict = conflict or (reason, f'"{value}" is already in use')
        elif value:
            accepted[name] = value
    short = wanted.get("shortNames") or []
    busy = [name for name in short if name in resources]
    if busy:
        conflict = conflict or ("ShortNamesConflict", ", ".join(f'"{name}" is already in use' for name in busy))
    for name, values in (("shortNames", None if busy else short), ("categories", wanted.get("categories") or [])):
        if values is None:
            continue
        if values:
            accepted[name] = values
        else:
            accepted.pop(name, None)
    return accepted, conflict
