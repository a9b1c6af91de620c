"""What Kubernetes' admission plugins do to a Pod: service account and its token, default tolerations, priority.

The order is Kubernetes': the account must exist before anything else is looked at, and quota (see `quota`) comes last.
"""

from hashlib import sha256

from headstay.local.server import errors
from headstay.local.server.seams import WriteContext
from headstay.local.server.strategies.base import put
from headstay.local.server.strategies.podspec import containers
from headstay.model.objects import Obj
from headstay.model.resource import PODS, SERVICE_ACCOUNTS, Resource

TOKEN_MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105
TOKEN_LIFETIME = 3607
PRIORITY_CLASSES = Resource("scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", namespaced=False)
SYSTEM_PRIORITIES = {"system-node-critical": 2_000_001_000, "system-cluster-critical": 2_000_000_000}
_SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


def admit_service_account(pod: Obj, context: WriteContext) -> None:
    meta, spec = pod["metadata"], pod["spec"]
    namespace, name = meta.get("namespace") or "", meta.get("name") or ""
    account_name = spec.get("serviceAccountName") or "default"
    spec["serviceAccountName"] = spec["serviceAccount"] = account_name
    account = context.reader.get(SERVICE_ACCOUNTS, namespace, account_name)
    if account is None and account_name == "default":
        # A new namespace gets its default account a moment later. Kubernetes waits for it here, and so lets in a
        # file that holds a Namespace and a Pod; we go on as if it were there, since it will be when the Pod starts.
        account = {}
    if account is None:
        raise errors.forbidden(
            PODS,
            name,
            f'error looking up service account {namespace}/{account_name}: serviceaccount "{account_name}" not found',
        )
    if _wants_token(spec, account):
        _mount_token(spec, f"{meta.get('uid', '')}/{namespace}/{name}")
    if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
        spec["imagePullSecrets"] = [dict(secret) for secret in account["imagePullSecrets"]]


def _wants_token(spec: Obj, account: Obj) -> bool:
    for said in (spec.get("automountServiceAccountToken"), account.get("automountServiceAccountToken")):
        if said is not None:
            return bool(said)
    return True


def _mount_token(spec: Obj, seed: str) -> None:
    """A projected volume with token, CA and namespace, in every container that has nothing at that path."""
    volumes = spec.get("volumes") or []
    taken = {volume.get("name") for volume in volumes}
    name = f"kube-api-access-{_suffix(seed)}"
    if name in taken:
        name = f"kube-api-access-{_suffix(seed + name)}"
    needed = False
    for container in containers(spec, "initContainers", "containers"):
        mounts = container.get("volumeMounts") or []
        if any(mount.get("mountPath") == TOKEN_MOUNT_PATH for mount in mounts):
            continue
        container["volumeMounts"] = [*mounts, {"name": name, "mountPath": TOKEN_MOUNT_PATH, "readOnly": True}]
        needed = True
    if needed:
        spec["volumes"] = [*volumes, {"name": name, "projected": _token_sources()}]


def _token_sources() -> Obj:
    return {
        "sources": [
            {"serviceAccountToken": {"expirationSeconds": TOKEN_LIFETIME, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {
                "downwardAPI": {
                    "items": [
                        {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
                    ]
                }
            },
        ],
        "defaultMode": 0o644,
    }


def _suffix(seed: str) -> str:
    """Five characters of Kubernetes' name alphabet, from the Pod's uid instead of a random source."""
    digest = sha256(seed.encode()).digest()
    return "".join(_SUFFIX_ALPHABET[byte % len(_SUFFIX_ALPHABET)] for byte in digest[:5])


def admit_tolerations(spec: Obj) -> None:
    """Five minutes on a node that is not ready or unreachable, unless the Pod says otherwise."""
    tolerations = list(spec.get("tolerations") or [])
    for taint in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"):
        tolerated = any(
            toleration.get("key") in {taint, None, ""} and toleration.get("effect") in {"NoExecute", None, ""}
            for toleration in tolerations
        )
        if not tolerated:
            tolerations.append({"key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300})
    spec["tolerations"] = tolerations


def admit_priority(pod: Obj, context: WriteContext) -> None:
    """Resolves priorityClassName to a number; a number of the Pod's own must agree."""
    spec = pod["spec"]
    name = spec.get("priorityClassName") or ""
    value, policy = 0, "PreemptLowerPriority"
    if name in SYSTEM_PRIORITIES:
        value = SYSTEM_PRIORITIES[name]
    elif name:
        found = context.reader.get(PRIORITY_CLASSES, "", name)
        if found is None:
            raise errors.forbidden(
                PODS, pod["metadata"].get("name") or "", f"no PriorityClass with name {name} was found"
            )
        value, policy = found.get("value") or 0, found.get("preemptionPolicy") or policy
    else:
        default = _global_default(context)
        if default is not None:
            spec["priorityClassName"] = default["metadata"]["name"]
            value, policy = default.get("value") or 0, default.get("preemptionPolicy") or policy
    if spec.get("priority") not in {None, value}:
        raise errors.forbidden(
            PODS,
            pod["metadata"].get("name") or "",
            f"the integer value of priority ({spec['priority']}) must not be provided in pod spec; "
            f"priority admission controller computed {value} from the given PriorityClass name",
        )
    spec["priority"] = value
    put(spec, preemptionPolicy=policy)


def _global_default(context: WriteContext) -> Obj | None:
    """The lowest of the classes marked as the default: several may be, for a while."""
    marked = [c for c in context.reader.list(PRIORITY_CLASSES) if c.get("globalDefault")]
    return min(marked, key=lambda c: c.get("value") or 0, default=None)
