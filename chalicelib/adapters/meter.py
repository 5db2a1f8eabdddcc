"""Metrics as lines on stdout, from which CloudWatch makes them (EMF)."""

from aws_lambda_powertools.metrics.provider.cloudwatch_emf.cloudwatch import (
    AmazonCloudWatchEMFProvider,
)

from chalicelib.domain.metrics import NAMESPACE, Metric

_Series = tuple[Metric, str | None]


class EmfMeter:
    """Notes values until `flush`: those of one invocation."""

    def __init__(self, stage: str) -> None:
        self._stage = stage
        self._sums: dict[_Series, int] = {}
        self._values: dict[_Series, list[float]] = {}

    def count(self, metric: Metric, value: int = 1, of: str | None = None) -> None:
        self._sums[metric, of] = self._sums.get((metric, of), 0) + value

    def measure(self, metric: Metric, value: float, of: str | None = None) -> None:
        self._values.setdefault((metric, of), []).append(value)

    def flush(self, service: str) -> None:
        """Write one line for each set of dimensions, and forget what was noted."""
        values: dict[_Series, list[float]] = {
            **{series: [value] for series, value in self._sums.items() if value},
            **self._values,
        }
        self._sums, self._values = {}, {}
        lines: dict[tuple[str | None, str | None], AmazonCloudWatchEMFProvider] = {}
        for (metric, of), noted in values.items():
            line = lines.setdefault((metric.by, of), self._line(service, metric.by, of))
            for value in noted:
                line.add_metric(metric.name, metric.unit, value)
        for line in lines.values():
            if line.metric_set:
                line.flush_metrics()

    def _line(self, service: str, by: str | None, of: str | None) -> AmazonCloudWatchEMFProvider:
        dimensions = {"stage": self._stage, "service": service}
        if by is not None and of is not None:
            dimensions[by] = of
        return AmazonCloudWatchEMFProvider(namespace=NAMESPACE, dimension_set=dimensions)
