"""The lists of dependencies: each entry has a reason, and the lock files name no registry."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LISTS = [
    ROOT / "requirements.txt",
    ROOT / "requirements-dev.in",
    *sorted((ROOT / "infra/local").glob("requirements-*.txt")),
]
NPM_LOCKS = sorted((ROOT / "infra/local").glob("*/package-lock.json"))
MOST_WORDS = 8
# The version of each is pinned in a file of its own.
LOCKED_ELSEWHERE = {"requirements-dev.in", "requirements-localstack.txt"}


def entries(file: Path) -> list[str]:
    return [line for line in file.read_text().splitlines() if line and line[0] not in "#-"]


def test_the_patterns_match_the_lists_of_dependencies() -> None:
    assert len(LISTS) > 7
    assert {lock.parent.name for lock in NPM_LOCKS} == {"newman", "browser"}


@pytest.mark.parametrize("file", LISTS, ids=lambda file: file.name)
def test_each_dependency_has_a_short_reason(file: Path) -> None:
    reasons = {line: line.partition("  # ")[2] for line in entries(file)}
    # A list with one entry can give its reason above it.
    alone = len(reasons) == 1 and file.read_text().startswith("# ")
    assert alone or [line for line, reason in reasons.items() if not reason] == []
    assert [line for line, why in reasons.items() if len(why.split()) > MOST_WORDS] == []


@pytest.mark.parametrize("file", LISTS, ids=lambda file: file.name)
def test_each_dependency_is_pinned(file: Path) -> None:
    if file.name not in LOCKED_ELSEWHERE:
        assert [line for line in entries(file) if "==" not in line.split("#")[0]] == []


def test_the_lock_of_development_pins_each_entry_and_names_no_registry() -> None:
    lock = (ROOT / "requirements-dev.txt").read_text()
    pinned = set(re.findall(r"^([a-z0-9-]+)==", lock, re.MULTILINE))
    names = [re.split(r"[\[=<> ]", line)[0].lower() for line in entries(LISTS[1])]
    assert names
    assert [name for name in names if name not in pinned] == []
    assert "://" not in lock


@pytest.mark.parametrize("lock", NPM_LOCKS, ids=lambda lock: lock.parent.name)
def test_the_locks_of_npm_hold_hashes_and_name_no_registry(lock: Path) -> None:
    packages = {
        name: entry for name, entry in json.loads(lock.read_text())["packages"].items() if name
    }
    assert packages
    assert [name for name, entry in packages.items() if not entry.get("integrity")] == []
    assert [name for name, entry in packages.items() if "resolved" in entry] == []
