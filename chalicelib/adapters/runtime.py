"""What the Lambda runtime gives to a function: the clock, and stdout for metrics."""

import sys
import time
from collections.abc import Mapping
from itertools import batched

import msgspec

from chalicelib.domain.metrics import NAMESPACE, Metric


class SystemClock:
    """The `Clock` port: the time of the machine."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def wait(self, seconds: float) -> None:
        time.sleep(seconds)


# https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
_MAX_VALUES_OF_A_METRIC = 100

_Series = tuple[Metric, str | None]


class EmfMetrics:
    """Collects the values of one invocation until `flush`."""

    def __init__(self, stage: str) -> None:
        self._stage = stage
        self._sums: dict[_Series, int] = {}
        self._values: dict[_Series, list[float]] = {}

    def count(self, metric: Metric, value: int = 1, dimension: str | None = None) -> None:
        self._sums[metric, dimension] = self._sums.get((metric, dimension), 0) + value

    def measure(self, metric: Metric, value: float, dimension: str | None = None) -> None:
        self._values.setdefault((metric, dimension), []).append(value)

    def flush(self, service: str) -> None:
        """Write one line for each set of dimensions, and start again from nothing."""
        collected: dict[_Series, list[float]] = {
            **{series: [value] for series, value in self._sums.items() if value},
            **self._values,
        }
        self._sums, self._values = {}, {}
        lines: dict[tuple[str | None, str | None, int], dict[Metric, tuple[float, ...]]] = {}
        for (metric, dimension), values in collected.items():
            for index, batch in enumerate(batched(values, _MAX_VALUES_OF_A_METRIC)):
                lines.setdefault((metric.by, dimension, index), {})[metric] = batch
        for (by, dimension, _), metrics in lines.items():
            dimensions = {"stage": self._stage, "service": service}
            if by is not None and dimension is not None:
                dimensions[by] = dimension
            sys.stdout.write(_line(dimensions, metrics) + "\n")


def _line(dimensions: Mapping[str, str], metrics: Mapping[Metric, tuple[float, ...]]) -> str:
    directive = {
        "Namespace": NAMESPACE,
        "Dimensions": [list(dimensions)],
        "Metrics": [{"Name": metric.name, "Unit": metric.unit} for metric in metrics],
    }
    head = {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [directive]}
    series = {metric.name: values for metric, values in metrics.items()}
    return msgspec.json.encode({"_aws": head, **dimensions, **series}).decode()
