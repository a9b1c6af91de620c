"""Whether running Pods are to be replaced because the spec changed (`upgradeStrategy.type: Recreate`).

Hashes are compared only between Pods of this operator version. A head made by another version (or by KubeRay) is
adopted as it is: taking over a fleet must not restart it.
"""

from headstay.model.ray import HEAD, OPERATOR_VERSION, RECREATE_HASH, WORKER
from headstay.plan.raycluster.plan import Annotate, Observed
from headstay.plan.raycluster.recreate import recreates, spec_hash
from headstay.plan.raycluster.settings import Settings


def outdated_pods(observed: Observed, settings: Settings) -> str:
    """Why all Pods must be recreated, or ""."""
    cluster = observed.cluster
    if not recreates(cluster):
        return ""
    expected = spec_hash(cluster)
    for pod in (*observed.of_type(HEAD), *observed.of_type(WORKER)):
        annotations = pod.metadata.annotations
        found = annotations.get(RECREATE_HASH, "")
        if found and annotations.get(OPERATOR_VERSION) == settings.version and found != expected:
            return "the spec changed, and upgradeStrategy is Recreate"
    return ""


def adopted_heads(observed: Observed, settings: Settings) -> list[Annotate]:
    """Heads of another version get our marks, so that the next change of the spec is seen."""
    if not recreates(observed.cluster):
        return []
    marks = {RECREATE_HASH: spec_hash(observed.cluster), OPERATOR_VERSION: settings.version}
    foreign = [
        head
        for head in observed.of_type(HEAD)
        if head.metadata.annotations.get(OPERATOR_VERSION, settings.version) != settings.version
    ]
    return [Annotate(head, marks) for head in foreign]
