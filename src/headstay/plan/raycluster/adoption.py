"""What a user who changes operators or versions wants to read: that nothing was restarted for it."""

from headstay.model.ray import HEAD, OPERATOR_VERSION, WORKER
from headstay.plan.raycluster.plan import Observed
from headstay.plan.raycluster.settings import Settings


def adopted(observed: Observed, settings: Settings) -> str:
    """Of a cluster whose head another version or operator made: that it is left alone. Else ""."""
    makers = {head.metadata.annotations.get(OPERATOR_VERSION, "") for head in observed.of_type(HEAD)}
    foreign = ", ".join(sorted(maker or "a KubeRay that leaves no version" for maker in makers - {settings.version}))
    count = len(observed.of_type(HEAD)) + len(observed.of_type(WORKER))
    return f"adopted as it is; its {count} Pods were made by {foreign} and are left alone" if foreign else ""
