"""Pure: a StatefulSet's Pod templates over time, as the ControllerRevisions that `kubectl rollout history` reads."""

from copy import deepcopy
from typing import Any, NamedTuple

from headstay.local.controllers.rollout import template_hash
from headstay.local.controllers.workloads import ControllerRevision, StatefulSet
from headstay.model.objects import Obj

HASH_LABEL = "controller.kubernetes.io/hash"


class Revisions(NamedTuple):
    """`create` is a document still to be made, `renumber` (revision, number) one that a rollback has brought back."""

    current: str
    update: str
    templates: dict[str, Obj]
    create: Obj | None = None
    renumber: tuple[ControllerRevision, int] | None = None
    obsolete: tuple[ControllerRevision, ...] = ()


def _data(template: Obj) -> Obj:
    return {"spec": {"template": {"$patch": "replace"} | template}}


def template_of(revision: ControllerRevision) -> Obj:
    found: Any = deepcopy(revision.data) or {}
    template: Obj = (found.get("spec") or {}).get("template") or {}
    template.pop("$patch", None)
    return template


def revisions_of(stateful_set: StatefulSet, known: list[ControllerRevision], in_use: set[str]) -> Revisions:
    """Which revision is wanted, which one is being left, and which are no longer needed. `in_use`: by a Pod."""
    spec, status, meta = stateful_set.spec, stateful_set.status, stateful_set.metadata
    ordered = sorted(known, key=lambda found: (found.revision, found.metadata.name))
    templates = {found.metadata.name: template_of(found) for found in ordered}
    number = ordered[-1].revision + 1 if ordered else 1
    same = [found for found in ordered if templates[found.metadata.name] == spec.template]
    create, renumber = None, None
    if same:
        update = same[-1].metadata.name
        renumber = (same[-1], number) if same[-1] is not ordered[-1] else None
    else:
        create = _document(stateful_set, number, taken=set(templates))
        update = create["metadata"]["name"]
        templates[update] = spec.template
    current = status.current_revision if status.current_revision in templates else update
    live = {current, update} | in_use
    spare = [found for found in ordered if found.metadata.name not in live]
    limit = 10 if spec.revision_history_limit is None else spec.revision_history_limit
    obsolete = tuple(spare[: max(0, len(spare) - limit)]) if meta.deletion_timestamp is None else ()
    return Revisions(current, update, templates, create, renumber, obsolete)


def _document(stateful_set: StatefulSet, number: int, *, taken: set[str]) -> Obj:
    meta, template = stateful_set.metadata, stateful_set.spec.template
    hashes = (template_hash(template, collisions) for collisions in range(len(taken) + 1))
    hashed = next(found for found in hashes if f"{meta.name}-{found}" not in taken)
    labels = (template.get("metadata") or {}).get("labels") or {}
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": f"{meta.name}-{hashed}",
            "namespace": meta.namespace,
            "labels": labels | {HASH_LABEL: hashed},
            "annotations": dict(meta.annotations),
        },
        "data": _data(template),
        "revision": number,
    }
