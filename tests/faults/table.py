"""The table of a run, for the terminal and as markdown."""

from collections.abc import Sequence
from pathlib import Path

from tests.faults.judging import Verdict

_HEADS = (
    "fault",
    "requests during it",
    "acknowledged",
    "stored",
    "lost",
    "doubled",
    "numbers skipped",
    "seconds to recover",
)


def as_markdown(verdicts: Sequence[Verdict]) -> str:
    """The table, and under it what was broken."""
    rows = [_HEADS, tuple("---" for _ in _HEADS), *map(_row, verdicts)]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    for verdict in verdicts:
        lines += [f"\n{verdict.fault}:\n"] if verdict.broken else []
        lines += [f"- {said}" for said in verdict.broken]
    return "\n".join(lines) + "\n"


def write(verdicts: Sequence[Verdict], file: Path) -> None:
    """Into a file, after each scenario, so that a run that is stopped has told what it saw."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(as_markdown(verdicts))


def _row(verdict: Verdict) -> tuple[str, ...]:
    counts = (
        verdict.requests,
        verdict.acknowledged,
        verdict.stored,
        verdict.lost,
        verdict.doubled,
        verdict.skipped,
    )
    return (verdict.fault, *(f"{count:,}" for count in counts), f"{verdict.seconds:.1f}")
