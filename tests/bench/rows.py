"""What a run of the benchmarks says: rows, their table, and how they differ from the kept figures."""

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path

import msgspec

from infra.local.layout import ROOT, VAR

LATEST = VAR / "bench" / "latest.json"
KEPT = ROOT / "docs" / "performance.md"
HEAD = ("row", "value", "unit", "floor", "ratio", "goal", "reached", "spread")
_KEPT_ROW = re.compile(
    r"\| `(?P<name>[^`]+)` \| (?P<value>[^|]+) \|(?:[^|]*\|){2} (?P<ratio>[^|]*?) ?\|"
)


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One figure. `value` and `floor` are medians in `unit`, `ratio` is the median of the pairs' ratios.

    `spread` is half of the distance between the quartiles of what the goal is about (the ratio, or else
    the value), as a share of its median. `goal` is empty where the figure is for information.
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
    """The rows in Markdown."""
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
    """Write what was measured; whoever reads meanwhile reads the whole of the last run."""
    LATEST.parent.mkdir(parents=True, exist_ok=True)
    new = LATEST.with_suffix(".new")
    new.write_text(
        json.dumps({"rows": [msgspec.to_builtins(row) for row in rows]}, indent=1) + "\n"
    )
    os.replace(new, LATEST)


def differences(rows: Sequence[Row], page: Path = KEPT) -> list[str]:
    """A line for each row whose ratio (or value, where it has no floor) is not what the page says."""
    kept = {
        found["name"]: found
        for found in map(_KEPT_ROW.match, page.read_text().splitlines())
        if found
    }
    lines = []
    for row in rows:
        if row.name not in kept:
            lines.append(f"{row.name}: not on the page")
            continue
        column, now = ("value", row.value) if row.ratio is None else ("ratio", row.ratio)
        before = float(kept[row.name][column].replace(",", ""))
        if before and abs(now / before - 1) > 0.1:
            lines.append(f"{row.name}: {column} {_figure(before)} on the page, {_figure(now)} now")
    return lines


def _figure(number: float | None) -> str:
    """Three digits that count; whole numbers as they are."""
    if number is None:
        return ""
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.3g}"
