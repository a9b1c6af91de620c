"""Debts: keys of deleted RayClusters that may remain in Redis, and when they may be paid.

A debt is a ConfigMap in the operator's own namespace, written before the finalizer of its RayCluster is removed. It
holds no password. Paid debts are removed.

    the RayCluster, or a Pod of its head, is still in the API -- wait: a head may write
    a living RayCluster uses the same storage namespace       -- void: the keys are that one's now
    nobody here can log in to Redis                           -- Unpayable: says the command to type
    else                                                      -- clean; after a failure again, less and less often
"""

import shlex
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal, NamedTuple, TypeAlias

import msgspec

from headstay.model.meta import ObjectMeta, View
from headstay.model.objects import Obj
from headstay.model.timestamps import parse, rfc3339
from headstay.plan.raycluster.storage import Storage

DEBT = "headstay.io/debt"
"""Label of a debt; its value is the state."""

State = Literal["Pending", "Unpayable"]

FIRST_RETRY_SECONDS = 60.0
LAST_RETRY_SECONDS = 3600.0
HEAD_SECONDS = 15.0
CLUSTER_SECONDS = 2.0


class ConfigMap(View):
    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)
    data: dict[str, str] = msgspec.field(default_factory=dict)


@dataclass(frozen=True)
class Debt:
    namespace: str
    cluster: str
    uid: str
    storage: Storage
    reason: str
    since: datetime
    heads: tuple[str, ...] = ()
    """UIDs of the head Pods that the API still showed."""
    state: State = "Pending"
    tries: int = 0
    last_try: datetime | None = None
    last_error: str = ""
    suffix: str = ""
    """Set where the cluster left keys in several places: each is a debt of its own."""

    @property
    def name(self) -> str:
        return "-".join(filter(None, (name_of(self.uid), self.suffix)))

    def beside(self) -> "Debt":
        """The same under a name that no other place of its cluster has."""
        return replace(self, suffix=self.storage.mark)

    def due(self) -> datetime:
        """When the next try may be made."""
        if self.last_try is None:
            return self.since
        return self.last_try + timedelta(seconds=retry_seconds(self.tries))

    def failed(self, error: str, now: datetime) -> "Debt":
        return replace(self, state="Pending", tries=self.tries + 1, last_try=now, last_error=error)


def name_of(uid: str) -> str:
    return f"headstay-debt-{uid}"


def retry_seconds(tries: int) -> float:
    return min(LAST_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2.0 ** max(0, min(tries, 30) - 1))


def document(debt: Debt, namespace: str) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": debt.name, "namespace": namespace, "labels": {DEBT: debt.state}},
        "data": data_of(debt, namespace),
    }


def data_of(debt: Debt, namespace: str) -> dict[str, str]:
    """`storage` is for us, the rest is for people."""
    storage = debt.storage
    secret = storage.password_from
    return {
        "clusterNamespace": debt.namespace,
        "clusterName": debt.cluster,
        "clusterUID": debt.uid,
        "address": _where(debt),
        "storageNamespace": storage.namespace,
        "passwordSecret": f"{debt.namespace}/{secret}" if secret else "",
        "headPodUIDs": ",".join(debt.heads),
        "reason": debt.reason,
        "since": rfc3339(debt.since),
        "tries": str(debt.tries),
        "lastTry": rfc3339(debt.last_try) if debt.last_try else "",
        "lastError": debt.last_error,
        "command": command(debt, namespace),
        "storage": storage.to_json(),
    }


def _where(debt: Debt) -> str:
    source = debt.storage.address_from
    if source is not None:
        return f"in {source.kind} {debt.namespace}/{source}"
    return debt.storage.address if debt.storage.host else ""


def read(found: ConfigMap) -> Debt:
    """Raises ValueError with a sentence for whoever edited it."""
    data = found.data
    try:
        state: State = "Unpayable" if found.metadata.labels.get(DEBT) == "Unpayable" else "Pending"
        return Debt(
            namespace=data["clusterNamespace"],
            cluster=data["clusterName"],
            uid=data["clusterUID"],
            storage=msgspec.json.decode(data["storage"], type=Storage),
            reason=data.get("reason", ""),
            since=parse(data["since"]),
            heads=tuple(filter(None, data.get("headPodUIDs", "").split(","))),
            state=state,
            tries=int(data.get("tries") or 0),
            last_try=parse(data["lastTry"]) if data.get("lastTry") else None,
            last_error=data.get("lastError", ""),
            suffix=found.metadata.name.removeprefix(name_of(data["clusterUID"])).removeprefix("-"),
        )
    except KeyError as error:
        raise ValueError(f"data.{error.args[0]} is missing") from error
    except (ValueError, msgspec.MsgspecError) as error:
        raise ValueError(f"data cannot be read: {error}") from error


def script(storage: Storage) -> str:
    """Shell that removes the keys with redis-cli; it asks for the password where there is one, and never prints it.

    It ends with 0 only when Redis was asked and granted everything: what comes after it forgets the debt.
    """
    account = f" --user {shlex.quote(storage.username)}" if storage.username else ""
    tls = " --tls" if storage.tls else ""
    namespace = shlex.quote(storage.namespace)
    pattern = shlex.quote(f"RAY{glob_escaped(storage.namespace)}@*")
    ask = "printf 'Redis password: '; stty -echo 2>/dev/null || true; read -r REDISCLI_AUTH; export REDISCLI_AUTH"
    first_field = f'"$("$@" --raw HSCAN {namespace} 0 COUNT 1000 | sed -n 2p)"'
    steps = [
        "set -e",
        *([ask] if storage.credentials != "none" else []),
        f"set -- redis-cli -h {shlex.quote(storage.host)} -p {storage.port}{tls}{account}",
        f'keys=$("$@" --scan --pattern {pattern})',
        """printf %s "$keys" | tr '\\n' '\\0' | xargs -0 -r -n 1 "$@" -e UNLINK""",
        # Before Ray 2.38 all state is one hash; another's key of that name is let alone.
        f'case {first_field} in {namespace}@*|JobCounter) "$@" -e UNLINK {namespace};; esac',
    ]
    return "; ".join(steps)


def command(debt: Debt, namespace: str) -> str:
    """What a person types to pay it by hand."""
    removal = f"kubectl delete configmap {debt.name} -n {namespace}"
    if not (debt.storage.host and debt.storage.namespace):
        return removal
    pod = f"headstay-pay-{debt.uid[:8]}"
    run = f"kubectl run {pod} -n {namespace} --rm -it --restart=Never --image=redis:7.4 -- sh -c"
    return f"{run} {shlex.quote(script(debt.storage))} && {removal}"


def glob_escaped(text: str) -> str:
    """The Redis pattern that matches `text` alone."""
    return "".join(f"\\{character}" if character in "*?[]^\\-" else character for character in text)


class Facts(NamedTuple):
    """What the API holds now. `takers` use the same storage namespace; of `doubtful` ones that cannot be told, and

    `passing` ones are just being made or deleted.
    """

    cluster_left: bool = False
    cluster_lives: bool = False
    heads: tuple[str, ...] = ()
    takers: tuple[str, ...] = ()
    doubtful: tuple[str, ...] = ()
    passing: tuple[str, ...] = ()
    redis_access: bool = False
    redis_cleanup: bool = True


class Wait(NamedTuple):
    """`brief` ones are not worth writing down."""

    seconds: float
    why: str
    brief: bool = False


class Void(NamedTuple):
    why: str


class Unpayable(NamedTuple):
    """Looked at again every hour: a Secret may come back, a switch be flipped."""

    why: str


@dataclass(frozen=True)
class Pay:
    storage: Storage = field(default_factory=Storage)


Step: TypeAlias = Wait | Void | Unpayable | Pay


def next_step(debt: Debt, facts: Facts, now: datetime) -> Step:
    if facts.cluster_lives:
        return Wait(LAST_RETRY_SECONDS, "its RayCluster still lives, and may come back to these keys", brief=True)
    if facts.cluster_left:
        return Wait(CLUSTER_SECONDS, "its RayCluster is still being deleted", brief=True)
    if facts.takers:
        return Void(
            f"RayCluster {facts.takers[0]} uses storage namespace {debt.storage.namespace!r} now: the keys are its own"
        )
    if facts.passing:
        return Wait(HEAD_SECONDS, f"RayCluster {facts.passing[0]} uses the same keys, and is being made or deleted")
    if facts.doubtful:
        return Wait(
            LAST_RETRY_SECONDS,
            f"RayCluster {facts.doubtful[0]} may use the same keys: where its Redis is cannot be told from its spec",
        )
    if why := _why_unpayable(debt, facts):
        first = f"; first wait until head Pod {facts.heads[0]} is gone" if facts.heads else ""
        return Unpayable(why + first)
    if facts.heads:
        return Wait(HEAD_SECONDS, f"head Pod {facts.heads[0]} is still in the API and may write")
    if now < debt.due():
        return Wait((debt.due() - now).total_seconds(), debt.last_error or "not due yet")
    return Pay(debt.storage)


def _why_unpayable(debt: Debt, facts: Facts) -> str:
    storage = debt.storage
    if not facts.redis_cleanup:
        return "Redis cleanup is switched off (ENABLE_GCS_FT_REDIS_CLEANUP=false)"
    if not storage.known:
        keys = f"keys that begin with RAY{storage.namespace}@" if storage.namespace else "its keys"
        return f"nothing says which Redis the cluster used: remove {keys} there by hand, then delete this ConfigMap"
    if storage.credentials == "lost":
        return "the password went with the spec"
    if storage.tls_lost:
        return f"only the head Pod had the file that {storage.tls_lost} named"
    if not facts.redis_access:
        return "the operator has no access to Redis (chart value redisAccess.enabled)"
    return ""
