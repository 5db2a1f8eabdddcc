"""On the local stack, all instances of a function append to one log file. Each line is one write."""

import io
import sys

import pytest

from chalicelib.adapters.runtime import EmfMetrics
from chalicelib.domain.metrics import ALL


class _Writes(io.StringIO):
    """A file that records each write."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[str] = []

    def write(self, text: str) -> int:
        self.writes.append(text)
        return len(text)


def test_a_metric_and_its_newline_are_one_write(monkeypatch: pytest.MonkeyPatch) -> None:
    metrics, stdout = EmfMetrics("a-stage"), _Writes()
    metrics.count(ALL[0])
    monkeypatch.setattr(sys, "stdout", stdout)
    metrics.flush("api")
    assert len(stdout.writes) == 1
    assert stdout.writes[0].endswith("}\n")
