"""The `Metrics` port in memory: tests read what was counted and measured."""

from chalicelib.domain.metrics import ALL, Metric


class FakeMetrics:
    """Sums of counts and last measured values, by name, or by `Name:dimension`."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.measured: dict[str, float] = {}
        self.flushed: list[str] = []

    def count(self, metric: Metric, value: int = 1, dimension: str | None = None) -> None:
        name = _series(metric, "Count", dimension)
        self.counts[name] = self.counts.get(name, 0) + value

    def measure(self, metric: Metric, value: float, dimension: str | None = None) -> None:
        self.measured[_series(metric, metric.unit, dimension)] = value

    def flush(self, service: str) -> None:
        self.flushed.append(service)


def _series(metric: Metric, unit: str, dimension: str | None) -> str:
    assert metric in ALL
    assert metric.unit == unit
    assert (metric.by is None) == (dimension is None), metric.name
    return metric.name if dimension is None else f"{metric.name}:{dimension}"
