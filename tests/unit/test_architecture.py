"""Rules for the code that no linter checks."""

import os
import subprocess
import sys
from pathlib import Path

from chalicelib.domain import errors
from chalicelib.entrypoints.http.problems import PROBLEMS

ROOT = Path(__file__).parents[2]


def test_every_error_of_the_domain_has_a_problem() -> None:
    tree = [errors.OrdinalError]
    for kind in tree:
        tree += kind.__subclasses__()
    assert {error.code for error in tree} <= set(PROBLEMS)
    assert len({error.__doc__ for error in tree}) == len(tree)


def test_the_app_can_be_imported_in_an_empty_environment() -> None:
    env = {"PATH": os.environ["PATH"]}
    subprocess.run([sys.executable, "-c", "import app"], cwd=ROOT, env=env, check=True, timeout=60)


def test_only_settings_reads_the_environment() -> None:
    readers = [
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "chalicelib").rglob("*.py")
        if "os.environ" in path.read_text() or "getenv" in path.read_text()
    ]
    assert readers == ["chalicelib/settings.py"]


def test_every_script_documents_its_keys_and_arguments() -> None:
    for script in (ROOT / "chalicelib/adapters/redis/scripts").glob("*.lua"):
        if script.name != "common.lua":
            assert "-- KEYS  1" in script.read_text(), script.name
            assert "-- ARGV  1" in script.read_text(), script.name


def test_every_migration_has_a_number_of_its_own() -> None:
    names = [path.name for path in (ROOT / "chalicelib/adapters/mysql/migrations").glob("*.sql")]
    assert sorted(int(name.split("_")[0]) for name in names) == list(range(1, len(names) + 1))
