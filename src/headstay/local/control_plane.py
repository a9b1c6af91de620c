"""The API server and the controllers, without a machine: no root, no containers, no Pod network.

The daemon adds a node to it; the conformance tests judge it alone.
"""

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from aiohttp import web

from headstay.local.config import LocalConfig
from headstay.local.controllers import manager
from headstay.local.controllers.clusterroles import ClusterRoleAggregation
from headstay.local.controllers.endpoints import EndpointsController
from headstay.local.controllers.garbage import GarbageCollector
from headstay.local.controllers.informers import Informers
from headstay.local.controllers.namespaces import NamespaceController
from headstay.local.controllers.scheduler import Scheduler
from headstay.local.controllers.serviceaccounts import ServiceAccountsController
from headstay.local.controllers.tokensecrets import TokenSecrets
from headstay.local.seams import PodStreams
from headstay.local.server import http
from headstay.local.server.about import About, Document
from headstay.local.server.assembly import build_api
from headstay.local.server.auth.authn import Authenticator, server_ssl_context
from headstay.local.server.auth.bootstrap import ensure_bootstrap
from headstay.local.server.auth.escalation import refuse_escalation
from headstay.local.server.auth.impersonation import effective_user
from headstay.local.server.auth.kubeconfig import write_kubeconfig
from headstay.local.server.auth.pki import ensure_pki
from headstay.local.server.auth.rbac import RBAC_GROUP, RbacAuthorizer
from headstay.local.server.auth.reviews import Reviews
from headstay.local.server.auth.tokens import ServiceAccountTokens, openid_configuration
from headstay.local.server.codec import encode
from headstay.local.server.inprocess import InProcessClient
from headstay.local.server.maintenance import Maintenance
from headstay.local.server.metrics import Metrics
from headstay.local.server.schema.builtin import Definitions
from headstay.local.server.schema.kinds import KindSchemas
from headstay.local.server.schema.openapi import OpenApi
from headstay.local.server.seams import Schemas
from headstay.local.server.store import Change
from headstay.local.server.streams.routes import StreamHandlers
from headstay.model.resource import Resource
from headstay.runtime.events import EventRecorder

LOOPBACK = "127.0.0.1"


class ControlPlane:
    """`serve` on any number of addresses, then `run` until cancelled, then `close`."""

    def __init__(self, config: LocalConfig) -> None:
        self._config = config
        self._pki = ensure_pki(config, datetime.now(UTC))
        self._tls = server_ssl_context(self._pki)
        self.api = build_api(config.database, service_network=config.service_network)
        self.client = InProcessClient(self.api)
        self.informers = Informers(InProcessClient(self.api, field_manager="headstay-controllers"))
        self.authorizer = RbacAuthorizer(self.api.reader)
        self.tokens = ServiceAccountTokens(self._pki.service_account_key, self.api.reader, self.api.clock)
        self._reviews = Reviews(self.authorizer, self.tokens)
        self._servers: list[web.AppRunner] = []
        self._metrics = Metrics(self.api)
        self._streams: list[StreamHandlers] = []
        self._runners = self._controllers()
        self._wire_security()

    def _controllers(self) -> list[manager.Runner]:
        """What kube-controller-manager and kube-scheduler do. All of them ask for reflectors before those run."""
        client, informers = self.informers.client, self.informers
        recorder = EventRecorder(client, "default-scheduler")
        return [
            recorder,
            Scheduler(client, informers, recorder),
            EndpointsController(self._config, client, informers),
            NamespaceController(client, informers, self._resources),
            ServiceAccountsController(client, informers, self._pki.ca_certificate.read_text()),
            ClusterRoleAggregation(informers).controller,
            TokenSecrets(informers, self.tokens.issue_for_secret, self._pki.ca_certificate.read_text()),
            *manager.workload_runners(informers),
            GarbageCollector(client, self._resources),
        ]

    def _wire_security(self) -> None:
        self.api.issue_token = self.tokens.issue
        self.api.review = lambda kind, obj, user, namespace: self._reviews.review(kind, obj, user, namespace=namespace)
        self.api.writer.admit.append(
            lambda resource, new, old, user: refuse_escalation(resource, new, old, user, self.authorizer)
        )
        self.api.store.on_change(self._roles_may_have_changed)

    def _roles_may_have_changed(self, change: Change) -> None:
        if change.key.table.endswith(f".{RBAC_GROUP}"):
            self.authorizer.changed()

    def _resources(self) -> list[Resource]:
        """What is served right now and can be listed and deleted: for garbage collection and namespace deletion."""
        return [kind.resource for kind in self.api.kinds.all() if {"list", "delete"} <= set(kind.verbs)]

    async def start(self) -> None:
        """What every cluster has before its first request; the kubeconfig last, since it invites requests."""
        await ensure_bootstrap(self.client)
        write_kubeconfig(self._config, self._pki)

    async def serve(self, address: str, streams: PodStreams | None = None) -> None:
        """Listens on `address`. Raises OSError where the port is taken."""
        connect: Mapping[str, http.Connect] = {}
        if streams is not None:
            handlers = StreamHandlers(streams, self.api.reader)
            self._streams.append(handlers)
            connect = _streaming(handlers)
        around = http.Surroundings(
            authenticate=Authenticator(self.tokens).authenticate,
            authorizer=self.authorizer,
            impersonate=effective_user,
            connect=connect,
            observed=self._metrics.request,
        )
        about = About(
            self.api.kinds,
            address=f"{address}:{self._config.api_port}",
            openapi=OpenApi(_definitions(self.api.schemas), self.api.kinds, self.api.reader).document,
            metrics=self._metrics.render,
            documents=self._issuer(f"https://{address}:{self._config.api_port}"),
        )
        app = http.create_app(self.api, around, about)
        self._servers.append(await http.start(app, address, self._config.api_port, self._tls))

    def _issuer(self, server: str) -> Mapping[str, Callable[[], Document]]:
        """How those who get our tokens from Pods can check them without asking us."""
        return {
            "/.well-known/openid-configuration": lambda: Document(
                "application/json", encode(openid_configuration(server))
            ),
            "/openid/v1/jwks": lambda: Document("application/jwk-set+json", encode(self.tokens.jwks())),
        }

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.informers.run(), name="informers")
            group.create_task(Maintenance(self.api).run(), name="maintenance")
            for runner in self._runners:
                group.create_task(runner.run(), name=f"controllers/{type(runner).__name__}")

    async def close(self) -> None:
        # An exec's command must be gone before the loop is: the HTTP server would cancel its handler and not wait.
        for handlers in self._streams:
            await handlers.close()
        for server in self._servers:
            await server.cleanup()
        self.api.store.close()


def _definitions(schemas: Schemas) -> Definitions:
    if not isinstance(schemas, KindSchemas):
        raise TypeError("the API was not built over Kubernetes' own schemas")
    return schemas.definitions


def _streaming(handlers: StreamHandlers) -> Mapping[str, http.Connect]:
    return {
        "log": handlers.logs,
        "exec": handlers.exec,
        "attach": handlers.attach,
        "portforward": handlers.port_forward,
    }
