"""What the parts' /metrics say."""

from prometheus_client.parser import text_string_to_metric_families


class Figures:
    """One scrape."""

    def __init__(self, text: str) -> None:
        self._samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]

    def total(self, name: str, **labels: str) -> float:
        return sum(
            sample.value
            for sample in self._samples
            if sample.name == name and all(sample.labels.get(key) == value for key, value in labels.items())
        )

    def by(self, name: str, *labels: str) -> dict[str, float]:
        found: dict[str, float] = {}
        for sample in self._samples:
            if sample.name == name:
                key = " ".join(sample.labels.get(label, "") for label in labels)
                found[key] = found.get(key, 0) + sample.value
        return found

    def buckets(self, name: str) -> dict[float, float]:
        return {float(bound): count for bound, count in self.by(f"{name}_bucket", "le").items()}


def quantile(share: float, after: dict[float, float], before: dict[float, float]) -> float:
    """Linear within its bucket, as Prometheus does it."""
    counts = sorted((bound, count - before.get(bound, 0)) for bound, count in after.items())
    wanted = share * counts[-1][1]
    low, below = 0.0, 0.0
    for bound, count in counts:
        if count >= wanted:
            if bound == float("inf"):
                return low
            return round(low + (bound - low) * (wanted - below) / max(count - below, 1), 4)
        low, below = bound, count
    return low
