"""The verbs of the API, for every kind alike, without a wire: synchronous, and atomic because of that.

Nothing here awaits between reading and writing, so that no other request can come between; a conflict is what a
caller's own resourceVersion or uid says, never a race inside the server.
"""

from collections.abc import Callable
from datetime import datetime

from headstay.local.seams import User
from headstay.local.server import codec, decoding, errors, namespaces
from headstay.local.server.admission.matching import Request
from headstay.local.server.builtin import RETURNS_DELETED_OBJECT
from headstay.local.server.customs import CRD_TABLE, CustomKinds
from headstay.local.server.definitions import Definitions, refuse_creation
from headstay.local.server.deletion import decide_deletion
from headstay.local.server.kinds import Kinds, Served
from headstay.local.server.listing import encode_token, list_page, select
from headstay.local.server.patch.apply import server_side_apply
from headstay.local.server.patching import Patch, applied_document, check_patch_type, facts_of, patched
from headstay.local.server.reader import StoreReader
from headstay.local.server.requests import Answer, Call, DeleteOptions, ListAnswer, Target
from headstay.local.server.seams import Schemas
from headstay.local.server.store import Store
from headstay.local.server.versions import presenter
from headstay.local.server.watch import Broadcaster, Watch, WatchOptions
from headstay.local.server.writes import Current, Track, Writer
from headstay.model.objects import Obj
from headstay.model.resource import Resource

_REVIEW_GROUPS = {"authentication.k8s.io", "authorization.k8s.io"}
IssueToken = Callable[[str, str, Obj], Obj]
"""(namespace, service account, TokenRequest) -> the TokenRequest with its status."""
Review = Callable[[str, Obj, User, str], Obj]
"""(kind, the posted review, who asks, namespace) -> the review with its status."""


class Api:
    """One Kubernetes API over one store. `clock` gives the current time, aware."""

    def __init__(
        self, store: Store, kinds: Kinds, schemas: Schemas, clock: Callable[[], datetime], track: Track
    ) -> None:
        self.store = store
        self.kinds = kinds
        self.schemas = schemas
        self.clock = clock
        self.reader = StoreReader(store)
        self.writer = Writer(store, schemas, self.reader, clock, track)
        self.broadcaster = Broadcaster(store)
        self.customs = CustomKinds(store, kinds, schemas, self.broadcaster)
        self.definitions = Definitions(self)
        self.writer.removed.append(self.definitions.removed)
        self.issue_token: IssueToken | None = None
        self.review: Review | None = None

    def close(self) -> None:
        """Ends all watches and closes the store."""
        self.broadcaster.close()
        self.store.close()

    def served(self, resource: Resource) -> Served:
        """Raises 404 for a resource this server does not have."""
        found = self.kinds.served(resource.group, resource.version, resource.plural)
        if found is None:
            raise errors.no_such_path()
        return found

    # --- reading -------------------------------------------------------------------------------------------

    def get(self, target: Target) -> bytes:
        """The encoded object. Raises 404."""
        _check_verb(target, "get")
        entry = self.store.get(target.key)
        if entry is None:
            raise errors.not_found(target.resource, target.name)
        return presenter(target.served)(entry.value)

    def list(
        self,
        target: Target,
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 0,
        continue_token: str = "",
        exact_revision: int = 0,
    ) -> ListAnswer:
        """One page. `exact_revision` asks for the state at that moment. Raises 410 where it was compacted."""
        _check_verb(target, "list")
        selection = select(target.served.kind, target.namespace, label_selector, field_selector)
        token = continue_token or (encode_token(exact_revision, "") if exact_revision else "")
        page = list_page(self.store, target.served.table, selection, limit=limit, token=token)
        present = presenter(target.served)
        return ListAnswer.of(page, [present(entry.value) for _, entry in page.items])

    def watch(
        self, target: Target, options: WatchOptions, *, label_selector: str = "", field_selector: str = ""
    ) -> Watch:
        """A watch that has begun: nothing that happens from now on is missed. Run its `batches`."""
        _check_verb(target, "watch")
        selection = select(target.served.kind, target.namespace, label_selector, field_selector)
        return Watch(self.store, self.broadcaster, target.served, selection, options)

    # --- writing -------------------------------------------------------------------------------------------

    def create(self, target: Target, document: Obj, call: Call) -> Answer:
        _check_verb(target, "create")
        if target.resource.group in _REVIEW_GROUPS:
            return self._answer_review(target, document, call)
        refuse_creation(target.served)
        return self.writer.create(target, document, call)

    def _answer_review(self, target: Target, document: Obj, call: Call) -> Answer:
        if self.review is None:
            raise errors.unsupported(f"{target.resource.kind} without an authorizer")
        decoding.check(self.schemas, target.served, document, call)
        answer = self.review(target.resource.kind, document, call.user, target.namespace)
        return Answer(codec.encode(answer), created=True)

    def update(self, target: Target, document: Obj, call: Call) -> Answer:
        _check_verb(target, "update")
        current = self.writer.current(target)
        return self.writer.update(target, current, document, call, unconditional=False)

    def patch(self, target: Target, patch: Patch, call: Call) -> Answer:
        """Any of the four patch types; apply creates what is not there."""
        _check_verb(target, "patch")
        check_patch_type(target.served, patch)
        if patch.type == "apply":
            return self._apply(target, patch, call)
        current = self.writer.current(target)
        resource = target.resource
        schema = self.schemas.of(resource.group, resource.version, resource.kind)
        new = patched(schema, current.obj, patch)
        return self.writer.update(target, current, new, call, patched=facts_of(patch, new))

    def _apply(self, target: Target, patch: Patch, call: Call) -> Answer:
        wanted = applied_document(self.schemas, target, patch.body)
        if self.store.get(target.key) is None:
            if target.subresource:
                raise errors.not_found(target.resource, target.name)
            refuse_creation(target.served)
            return self.writer.create(target, self._merged(target, None, wanted, call), call, is_apply=True)
        current = self.writer.current(target)
        new = self._merged(target, current.obj, wanted, call)
        return self.writer.update(target, current, new, call, is_apply=True)

    def _merged(self, target: Target, live: Obj | None, wanted: Obj, call: Call) -> Obj:
        resource = target.resource
        return server_side_apply(
            self.schemas.of(resource.group, resource.version, resource.kind),
            live,
            wanted,
            manager=call.field_manager,
            force=call.force,
            api_version=resource.api_version,
            subresource=target.subresource,
            now=self.clock(),
        )

    def delete(self, target: Target, options: DeleteOptions, call: Call) -> Answer:
        """A Status when the object is gone, the object when its deletion has only begun."""
        _check_verb(target, "delete")
        resource, current = target.resource, self.writer.current(target)
        if target.served.table == "namespaces":
            namespaces.check_deletable(target.name)
        _check_preconditions(target, current, options)
        warnings = self.writer.judge(Request("DELETE", resource, call.user, None, current.obj, "", call.dry_run))
        return self._delete(target, current, options, call)._replace(warnings=warnings)

    def _delete(self, target: Target, current: Current, options: DeleteOptions, call: Call) -> Answer:
        resource = target.resource
        is_definition = target.served.table == CRD_TABLE
        if is_definition:
            current = self.definitions.held(current)
        decided = decide_deletion(resource, current.obj, options, self.clock())
        if decided.remove:
            removed = self.writer.remove(target.served, current, call, last=decided.obj)
            if not resource.group and resource.plural in RETURNS_DELETED_OBJECT:
                return removed
            return Answer(codec.encode(deleted_status(resource, current.obj)))
        if decided.obj is None:
            return Answer(codec.encode(current.obj))
        marked = self.writer.replace(target.served, current, decided.obj, call)
        if is_definition and not call.dry_run:
            self.definitions.empty(target.name)
        return marked

    def delete_collection(
        self,
        target: Target,
        options: DeleteOptions,
        call: Call,
        *,
        label_selector: str = "",
        field_selector: str = "",
    ) -> ListAnswer:
        """Deletes what a list with the same selectors would show; answers with that list."""
        _check_verb(target, "deletecollection")
        selection = select(target.served.kind, target.namespace, label_selector, field_selector)
        page = list_page(self.store, target.served.table, selection, limit=0, token="")
        present = presenter(target.served)
        for key, _ in page.items:
            self.delete(target._replace(namespace=key.namespace, name=key.name), options, call)
        return ListAnswer.of(page, [present(entry.value) for _, entry in page.items])


def deleted_status(resource: Resource, obj: Obj) -> Obj:
    meta = obj["metadata"]
    details: Obj = {"name": meta["name"]}
    if resource.group:
        details["group"] = resource.group
    details |= {"kind": resource.plural, "uid": meta["uid"]}
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}


def _check_verb(target: Target, verb: str) -> None:
    if verb not in target.served.kind.verbs:
        raise errors.method_not_allowed()


def _check_preconditions(target: Target, current: Current, options: DeleteOptions) -> None:
    meta = current.obj["metadata"]
    for what, wanted, found in (
        ("UID", options.uid, meta["uid"]),
        ("ResourceVersion", options.resource_version, meta["resourceVersion"]),
    ):
        if wanted and wanted != found:
            raise errors.precondition_failed(target.resource, target.name, what, wanted, found)
