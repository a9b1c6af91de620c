"""Kubernetes timestamps. `now` is always an argument; nothing here reads a clock."""

from datetime import UTC, datetime


def rfc3339(moment: datetime) -> str:
    """`2026-01-02T03:04:05Z`: metav1.Time, whole seconds."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def rfc3339_micro(moment: datetime) -> str:
    """`2026-01-02T03:04:05.000006Z`: metav1.MicroTime, as in Leases and events.k8s.io."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def parse(text: str) -> datetime:
    """Either form back into an aware datetime. Raises ValueError on anything else."""
    return datetime.fromisoformat(text).astimezone(UTC)
