"""`make test`, `make faults` and `make bench`: static checks, and tests on stacks of their own."""

from __future__ import annotations

import os
import re
import subprocess
from collections import Counter
from collections.abc import Sequence

from infra.local.console import plain, say
from infra.local.layout import DEV_VENV, REGION, ROOT, TOOLS, Stack, port_variable

STATIC_CHECKS = (
    (DEV_VENV, ("ruff", "check", "--extend-exclude", "var", ".")),
    (DEV_VENV, ("ruff", "format", "--check", "--extend-exclude", "var", ".")),
    (DEV_VENV, ("mypy",)),
    (DEV_VENV, ("lint-imports",)),
    (TOOLS / "templates", ("cfn-lint", "--", "infra/cloud/*.yaml")),
    (
        TOOLS / "templates",
        # Without the guidelines on the web: the checks are in the package.
        ("checkov", "--directory", "infra/cloud", "--skip-download", "--compact", "--quiet"),
    ),
)


def static_checks() -> int:
    """Run every static check, also after one has failed; the exit code of the first failure."""
    failed = 0
    for environment, check in STATIC_CHECKS:
        say(" ".join(check))
        program = environment / "bin" / check[0]
        code = subprocess.run([program, *check[1:]], cwd=ROOT, env=_environment()).returncode
        failed = failed or code
    return failed


def run_pytest(stack: Stack, arguments: Sequence[str]) -> int:
    """Run pytest, its output passed on and kept; its closing line is printed again at the end."""
    say("pytest " + " ".join(arguments))
    command = [DEV_VENV / "bin/python", "-m", "pytest", *arguments]
    log = stack.logs / "pytest.log"
    with (
        log.open("w") as kept,
        subprocess.Popen(
            [str(word) for word in command],
            cwd=ROOT,
            env=_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as pytest,
    ):
        assert pytest.stdout is not None
        try:
            for line in pytest.stdout:
                plain(line.rstrip("\n"))
                kept.write(line)
            return pytest.wait()
        except BaseException:
            pytest.terminate()
            raise


def run_faults(stack: Stack, only: str | None, minutes: str | None) -> int:
    """Break the stack of faults while it is used; the table is in `var/faults/table.md`."""
    command = [str(DEV_VENV / "bin/python"), "-m", "tests.faults"]
    command += ["--only", only] if only else []
    command += ["--mix", minutes] if minutes else []
    ports = {port_variable(part): str(port) for part, port in stack.ports.items()}
    return _run(command, _environment() | ports)


def run_bench(stack: Stack, only: str | None) -> int:
    """Measure the product on the stack of benchmarks; the rows are in `var/bench/latest.json`."""
    command = [str(DEV_VENV / "bin/python"), "-m", "tests.bench", str(stack.description)]
    command += ["--only", only] if only else []
    return _run(command, _environment())


def run_simulation(seeds: int, jobs: int) -> int:
    """Run `tests.simulation` with fresh seeds. The exit code is 0 if every run held all promises."""
    counts = ["--fresh", "--seeds", str(seeds), "--jobs", str(jobs)]
    command = [str(DEV_VENV / "bin/python"), "-m", "tests.simulation", *counts]
    return subprocess.run(command, cwd=ROOT, env=_environment()).returncode


def closing_lines(stack: Stack) -> list[str]:
    """Why tests were skipped, and last pytest's own line of counts, as `3 passed in 0.1s`."""
    output = (stack.logs / "pytest.log").read_text()
    counted = re.compile(r"\d+ (passed|failed|error|skipped|deselected)|no tests ran")
    lines = [line for line in output.splitlines() if counted.search(line)]
    return [*skip_summary(output), lines[-1] if lines else "pytest printed no counts"]


def skip_summary(output: str) -> list[str]:
    """The reasons for which pytest skipped tests: a line each, with the number of tests and their files."""
    counts: Counter[str] = Counter()
    files: dict[str, set[str]] = {}
    for count, file, reason in re.findall(
        r"^SKIPPED \[(\d+)\] (.+?)(?::\d+)?: (.+)$", output, re.M
    ):
        counts[reason] += int(count)
        files.setdefault(reason, set()).add(file)
    if not counts:
        return ["No test was skipped."]
    lines = [
        f"  {n:4} {reason} ({', '.join(sorted(files[reason]))})" for reason, n in counts.items()
    ]
    return ["Skipped tests, and why:", *lines]


def _run(command: Sequence[str], environment: dict[str, str]) -> int:
    """Run a program to its end, or end it with this one; its exit code."""
    with subprocess.Popen(command, cwd=ROOT, env=environment) as program:
        try:
            return program.wait()
        except BaseException:
            program.terminate()
            raise


def _environment() -> dict[str, str]:
    """No setting of the person's shell reaches a test but `ORDINAL_TEST_*`, and no real credentials."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name.startswith("ORDINAL_TEST_")
        or not name.startswith(("ORDINAL_", "AWS_", "PYTHON", "VIRTUAL_ENV"))
    }
    return kept | {"AWS_DEFAULT_REGION": REGION, "PATH": f"{DEV_VENV / 'bin'}:{os.environ['PATH']}"}
