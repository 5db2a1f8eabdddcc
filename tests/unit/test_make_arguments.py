"""Wrong arguments are refused before anything is installed or started."""

import subprocess
import sys
from pathlib import Path

import pytest

from infra.local.arguments import BENCHMARKS, FAULTS
from tests.bench.__main__ import NAMES as BENCHMARK_NAMES
from tests.faults.scenarios import NAMES as SCENARIO_NAMES

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["faults", "ONLY=typo"], FAULTS),
        (["faults", f"ONLY={FAULTS[0]},typo"], FAULTS),
        (["bench", "ONLY=typo"], BENCHMARKS),
        (["bench", f"ONLY={BENCHMARKS[0]},"], BENCHMARKS),
        (["up", "STACK=typo"], ("local", "test", "faults", "bench")),
        (["faults", "MIX=abc"], ("MIX=abc", "minutes")),
        (["faults", "MIX=-1"], ("MIX=-1", "minutes")),
        (["faults", "MIX=1", f"ONLY={FAULTS[0]}"], ("ONLY", "MIX")),
        (["simulate", "SEEDS=x"], ("SEEDS=x", "whole number")),
        (["simulate", "SEEDS=0"], ("SEEDS=0", "whole number")),
        (["simulate", "JOBS=two"], ("JOBS=two", "whole number")),
    ],
)
def test_a_wrong_argument_is_refused_at_once_with_the_names_that_are_right(
    words: list[str], names: tuple[str, ...], tmp_path: Path
) -> None:
    # A checkout in which nothing is installed: any step before the refusal would fail or print something.
    for name in ("Makefile", "infra"):
        (tmp_path / name).symlink_to(ROOT / name)
    done = subprocess.run(
        ["make", *words],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "ORDINAL_PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    sentence = done.stderr.splitlines()[0]
    assert [name for name in names if name not in sentence] == []


def test_the_names_of_faults_and_benchmarks_are_those_of_their_programs() -> None:
    assert SCENARIO_NAMES == FAULTS
    assert BENCHMARK_NAMES == BENCHMARKS
