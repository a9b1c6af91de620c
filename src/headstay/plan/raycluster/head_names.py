"""What a head Pod is called: KubeRay's prefix and five letters that look random, but are the same for whoever decides.

A request to make a head may still be on its way when its operator dies. The next one asks for a head of the same name,
so whichever request comes second is refused by the API. The letters come from the cluster's UID and the name of its
last head, so that a head that replaces another is called otherwise: Ray's autoscaler takes Pods of one name for one.

    head seen --> its name is in the status --> head gone --> noted in the annotation --> next head named after it
"""

import hashlib

from headstay.model.ray import HEAD, RayCluster, template_of
from headstay.plan.raycluster.plan import MarkCluster, Observed
from headstay.plan.raycluster.settings import Settings

LAST_HEAD = "headstay.io/last-head"
"""Annotation of a RayCluster: the name of its head that was there last."""
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_LENGTH = 5


def letters(*facts: str) -> str:
    """Five, as Kubernetes adds to generated names; the same for the same facts."""
    digest = hashlib.sha256("/".join(facts).encode()).digest()
    return "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in digest[:_LENGTH])


def next_head_letters(cluster: RayCluster) -> str:
    return letters(cluster.metadata.uid, cluster.annotations.get(LAST_HEAD, ""))


def gone_head(observed: Observed, settings: Settings) -> MarkCluster | None:
    """To be written, and seen, before the status forgets the head and before another one is made."""
    cluster = observed.cluster
    if observed.of_type(HEAD) or "" in observed.unsettled or _is_named(cluster, settings):
        return None
    last = str((cluster.status.get("head") or {}).get("podName") or "")
    return MarkCluster({LAST_HEAD: last}) if last and cluster.annotations.get(LAST_HEAD) != last else None


def _is_named(cluster: RayCluster, settings: Settings) -> bool:
    """The name is always the same: by an option of the operator, or by the user's template."""
    named = (template_of(cluster.head_group).get("metadata") or {}).get("name")
    return settings.deterministic_head_pod_name or bool(named)
