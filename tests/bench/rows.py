"""The rows of a run, their table, and how they differ from the recorded figures."""

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path

import msgspec

from infra.local.paths import ROOT, VAR

LATEST = VAR / "bench" / "latest.json"
RECORDED = ROOT / "docs" / "performance.md"
HEAD = ("row", "value", "unit", "floor", "ratio", "goal", "reached", "spread")
_RECORDED_ROW = re.compile(
    r"\| `(?P<name>[^`]+)` \| (?P<value>[^|]+) \|(?:[^|]*\|){2} (?P<ratio>[^|]*?) ?\|"
)


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One figure. `value` and `floor` are medians in `unit`. `ratio` is the median of the pairs' ratios.

    `spread` is half of the distance between the quartiles, divided by the median. It is the spread of the
    ratio, or of the value if the row has no floor. `goal` is empty if the figure is for information only.
    """

    name: str
    value: float
    unit: str
    floor: float | None = None
    ratio: float | None = None
    goal: str = ""
    reached: bool | None = None
    spread: float | None = None


def table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table."""
    lines = [
        "| " + " | ".join(HEAD) + " |",
        "| --- |" + " ---: | --- |" + " ---: |" * 2 + " --- |" * 2,
    ]
    lines[1] += " ---: |"
    for row in rows:
        reached = {None: "", True: "yes", False: "**no**"}[row.reached]
        spread = "" if row.spread is None else f"±{row.spread:.0%}"
        words = [f"`{row.name}`", _figure(row.value), row.unit, _figure(row.floor)]
        words += [_figure(row.ratio), row.goal, reached, spread]
        lines.append("| " + " | ".join(words) + " |")
    return "\n".join(lines)


def write(rows: Sequence[Row]) -> None:
    """Write the rows of this run. The file is replaced as a whole, so no reader sees a half of it."""
    LATEST.parent.mkdir(parents=True, exist_ok=True)
    new = LATEST.with_suffix(".new")
    new.write_text(
        json.dumps({"rows": [msgspec.to_builtins(row) for row in rows]}, indent=1) + "\n"
    )
    os.replace(new, LATEST)


def differences(rows: Sequence[Row], page: Path = RECORDED) -> list[str]:
    """A line for each row whose ratio (or value, without a floor) differs from the page by over a tenth."""
    recorded = {
        match["name"]: match
        for match in map(_RECORDED_ROW.match, page.read_text().splitlines())
        if match
    }
    lines = []
    for row in rows:
        if row.name not in recorded:
            lines.append(f"{row.name}: not on the page")
            continue
        column, now = ("value", row.value) if row.ratio is None else ("ratio", row.ratio)
        before = float(recorded[row.name][column].replace(",", ""))
        if before and abs(now / before - 1) > 0.1:
            lines.append(f"{row.name}: {column} {_figure(before)} on the page, {_figure(now)} now")
    return lines


def _figure(number: float | None) -> str:
    """The number with three significant digits, or rounded to an integer from 100 up."""
    if number is None:
        return ""
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.3g}"
