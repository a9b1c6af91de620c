"""Whether a drill may touch what it is pointed at. Pure: what was seen in, a reason to refuse (or "") out."""

from collections.abc import Iterable, Mapping

ALLOWED = "headstay.io/drill-allowed"
MADE_BY = "headstay.io/drill"
"""Label of everything a drill made; its value is the drill's name."""


def target_refusal(name: str, annotations: Mapping[str, str], typed: str) -> str:
    """`typed` is what the person at the terminal typed when asked for the cluster's name, or ""."""
    if annotations.get(ALLOWED) == "true" or typed == name:
        return ""
    return f"RayCluster {name} does not allow drills"


def redis_refusal(labels: Mapping[str, str], keys: Iterable[str], namespace: str) -> str:
    """`labels` are those of the Redis Pod, `namespace` the target's storage namespace in Redis."""
    if MADE_BY not in labels:
        return "its Redis was not made by a drill"
    foreign = next((key for key in keys if not is_key_of(key, namespace)), None)
    return f"its Redis holds what is not the target's: key {foreign}" if foreign is not None else ""


def is_key_of(key: str, namespace: str) -> bool:
    """Ray since 2.38 prefixes its keys with `RAY<namespace>@`; before, one hash is named by the namespace itself."""
    return key == namespace or key.startswith(f"RAY{namespace}@")
