"""HorizontalPodAutoscalers as autoscaling/v1, which `kubectl autoscale` still writes; v2 is what is stored.

v1 knows one metric, CPU. The rest of a v2 object travels through v1 in the annotations that Kubernetes uses for it,
so that a v1 client which reads and writes back loses nothing. Pure.
"""

from typing import Any

import msgspec

from headstay.model.objects import Obj

V1, V2 = "autoscaling/v1", "autoscaling/v2"
_SPEC_PARTS = {"behavior": "autoscaling.alpha.kubernetes.io/behavior"}
_METRICS = "autoscaling.alpha.kubernetes.io/metrics"


def convert(obj: Obj, api_version: str) -> Obj:
    return _to_v1(obj) if api_version == V1 else _to_v2(obj)


def _to_v1(obj: Obj) -> Obj:
    spec = dict(obj.get("spec") or {})
    metrics = spec.pop("metrics", None) or []
    annotations = dict(obj["metadata"].get("annotations") or {})
    others = []
    for metric in metrics:
        percentage = _cpu_percentage(metric)
        if percentage is not None and "targetCPUUtilizationPercentage" not in spec:
            spec["targetCPUUtilizationPercentage"] = percentage
        else:
            others.append(metric)
    if others:
        annotations[_METRICS] = _text(others)
    for part, annotation in _SPEC_PARTS.items():
        if part in spec:
            annotations[annotation] = _text(spec.pop(part))
    found = obj | {"apiVersion": V1, "spec": spec, "metadata": _with(obj["metadata"], annotations)}
    if status := obj.get("status"):
        kept = ("observedGeneration", "lastScaleTime", "currentReplicas", "desiredReplicas")
        found["status"] = {name: status[name] for name in kept if name in status}
    return found


def _to_v2(obj: Obj) -> Obj:
    spec = dict(obj.get("spec") or {})
    annotations = dict(obj["metadata"].get("annotations") or {})
    metrics: list[Any] = []
    if (percentage := spec.pop("targetCPUUtilizationPercentage", None)) is not None:
        target = {"type": "Utilization", "averageUtilization": percentage}
        metrics.append({"type": "Resource", "resource": {"name": "cpu", "target": target}})
    metrics += _parsed(annotations.pop(_METRICS, "")) or []
    if metrics:
        spec["metrics"] = metrics
    for part, annotation in _SPEC_PARTS.items():
        if (value := _parsed(annotations.pop(annotation, ""))) is not None:
            spec[part] = value
    return obj | {"apiVersion": V2, "spec": spec, "metadata": _with(obj["metadata"], annotations)}


def _cpu_percentage(metric: Obj) -> int | None:
    resource = metric.get("resource") or {}
    target = resource.get("target") or {}
    if metric.get("type") != "Resource" or resource.get("name") != "cpu" or target.get("type") != "Utilization":
        return None
    found: int | None = target.get("averageUtilization")
    return found


def _with(meta: Obj, annotations: dict[str, str]) -> Obj:
    plain = {key: value for key, value in meta.items() if key != "annotations"}
    return plain | ({"annotations": annotations} if annotations else {})


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _parsed(text: str) -> Any:
    """What an annotation holds; an unreadable one, which only a client can have written, is dropped."""
    try:
        return msgspec.json.decode(text) if text else None
    except msgspec.DecodeError:
        return None
