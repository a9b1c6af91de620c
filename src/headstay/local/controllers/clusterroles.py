"""Writes the rules of aggregated ClusterRoles out, where users look for them. RBAC itself does not wait for this."""

from typing import Any

import msgspec

from headstay.local.controllers.informers import Informers
from headstay.local.server.auth.aggregation import aggregated_rules
from headstay.model.meta import ObjectMeta, View
from headstay.model.objects import Obj, ObjectKey
from headstay.model.resource import CLUSTER_ROLES
from headstay.runtime.controller import Controller, Result

MANAGER = "clusterrole-aggregation-controller"


class ClusterRole(View):
    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)
    aggregation_rule: dict[str, Any] | None = None
    rules: list[dict[str, Any]] | None = None

    def document(self) -> Obj:
        meta = {"name": self.metadata.name, "labels": self.metadata.labels}
        return {"metadata": meta, "aggregationRule": self.aggregation_rule, "rules": self.rules}


class ClusterRoleAggregation:
    def __init__(self, informers: Informers) -> None:
        self._client = informers.client
        self._roles = informers.of(CLUSTER_ROLES, ClusterRole)
        self.controller: Controller[str] = Controller("clusterrole-aggregation", self._reconcile)
        self.controller.watches(self._roles, lambda _: self._aggregated())

    def _aggregated(self) -> list[str]:
        """Any role may be a part of any aggregate, before or after the change; they are few."""
        return [role.metadata.name for role in self._roles.cache.list() if role.aggregation_rule]

    async def _reconcile(self, name: str) -> Result:
        role = self._roles.cache.get(ObjectKey("", name))
        if role is None or not role.aggregation_rule or role.metadata.deletion_timestamp:
            return Result()
        wanted = aggregated_rules(role.document(), [other.document() for other in self._roles.cache.list()])
        if wanted != (role.rules or []):
            document = {
                "apiVersion": CLUSTER_ROLES.api_version,
                "kind": CLUSTER_ROLES.kind,
                "metadata": {"name": name, "uid": role.metadata.uid},
                "rules": wanted,
            }
            await self._client.apply(CLUSTER_ROLES, document, field_manager=MANAGER)
        return Result()
