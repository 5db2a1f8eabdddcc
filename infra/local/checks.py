"""Runs the static checks, the tests, the faults, the benchmarks and the simulation."""

import os
import re
import subprocess
from collections import Counter
from collections.abc import Sequence

from infra.local.console import log, print_raw
from infra.local.paths import DEV_VENV, REGION, ROOT, TOOLS, Stack, port_variable

STATIC_CHECKS = (
    (DEV_VENV, ("ruff", "check", "--extend-exclude", "var", ".")),
    (DEV_VENV, ("ruff", "format", "--check", "--extend-exclude", "var", ".")),
    (DEV_VENV, ("mypy",)),
    (DEV_VENV, ("lint-imports",)),
    (TOOLS / "templates", ("cfn-lint", "--", "infra/cloud/*.yaml")),
    (
        TOOLS / "templates",
        # Without --skip-download it loads guidelines from the web. The checks are in the package.
        ("checkov", "--directory", "infra/cloud", "--skip-download", "--compact", "--quiet"),
    ),
)


def static_checks() -> int:
    """Run every static check, also after a failure. Returns the exit code of the first failure."""
    first_failure = 0
    for environment, check in STATIC_CHECKS:
        log(" ".join(check))
        program = environment / "bin" / check[0]
        code = subprocess.run([program, *check[1:]], cwd=ROOT, env=_environment()).returncode
        first_failure = first_failure or code
    return first_failure


def run_pytest(stack: Stack, arguments: Sequence[str]) -> int:
    """Run pytest and keep its output in a log. Returns its exit code."""
    log("pytest " + " ".join(arguments))
    command = [DEV_VENV / "bin/python", "-m", "pytest", *arguments]
    with (
        (stack.logs / "pytest.log").open("w") as copy,
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
                print_raw(line.rstrip("\n"))
                copy.write(line)
            return pytest.wait()
        except BaseException:
            pytest.terminate()
            raise


def run_faults(stack: Stack, only: str | None, minutes: str | None) -> int:
    """Break the stack while clients use it. The table is in `var/faults/table.md`."""
    command = [str(DEV_VENV / "bin/python"), "-m", "tests.faults"]
    command += ["--only", only] if only else []
    command += ["--mix", minutes] if minutes else []
    ports = {port_variable(name): str(port) for name, port in stack.ports.items()}
    return _run(command, _environment() | ports)


def run_bench(stack: Stack, only: str | None) -> int:
    """Measure the product. The rows are in `var/bench/latest.json`."""
    command = [str(DEV_VENV / "bin/python"), "-m", "tests.bench", str(stack.file)]
    command += ["--only", only] if only else []
    return _run(command, _environment())


def run_simulation(seeds: int, jobs: int) -> int:
    """Run `tests.simulation` with fresh seeds. The exit code is 0 if no run broke a promise."""
    counts = ["--fresh", "--seeds", str(seeds), "--jobs", str(jobs)]
    command = [str(DEV_VENV / "bin/python"), "-m", "tests.simulation", *counts]
    return subprocess.run(command, cwd=ROOT, env=_environment()).returncode


def closing_lines(stack: Stack) -> list[str]:
    """The reasons of all skips, and last pytest's own line of counts, as `3 passed in 0.1s`."""
    output = (stack.logs / "pytest.log").read_text()
    counted = re.compile(r"\d+ (passed|failed|error|skipped|deselected)|no tests ran")
    lines = [line for line in output.splitlines() if counted.search(line)]
    return [*skip_summary(output), lines[-1] if lines else "pytest printed no counts"]


def skip_summary(output: str) -> list[str]:
    """The reasons for which pytest skipped tests: a line each, with the number of tests and their files."""
    counts: Counter[str] = Counter()
    files: dict[str, set[str]] = {}
    pattern = re.compile(r"^SKIPPED \[(\d+)\] (.+?)(?::\d+)?: (.+)$", re.MULTILINE)
    for count, file, reason in pattern.findall(output):
        counts[reason] += int(count)
        files.setdefault(reason, set()).add(file)
    if not counts:
        return ["No test was skipped."]
    lines = [
        f"  {count:4} {reason} ({', '.join(sorted(files[reason]))})"
        for reason, count in counts.items()
    ]
    return ["Skipped tests, and why:", *lines]


def _run(command: Sequence[str], environment: dict[str, str]) -> int:
    """Run a program to its end. It is terminated if this program is interrupted."""
    with subprocess.Popen(command, cwd=ROOT, env=environment) as program:
        try:
            return program.wait()
        except BaseException:
            program.terminate()
            raise


def _environment() -> dict[str, str]:
    """The shell's environment without its settings of Ordinal and AWS, but with `ORDINAL_TEST_*`."""
    variables = {
        name: value
        for name, value in os.environ.items()
        if name.startswith("ORDINAL_TEST_")
        or not name.startswith(("ORDINAL_", "AWS_", "PYTHON", "VIRTUAL_ENV"))
    }
    path = f"{DEV_VENV / 'bin'}:{os.environ['PATH']}"
    return variables | {"AWS_DEFAULT_REGION": REGION, "PATH": path}
