"""The names of the code hold one vocabulary: that of the field, and `docs/glossary.md`.

Checked are the names that the repository itself gives (a name that a library gave is not ours), names of
files, and names and strings of the Redis scripts. Migrations and recordings of earlier releases are left
out, because what was stored and released stays as it is.
"""

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
GLOSSARY = (ROOT / "docs/glossary.md").read_text()
MAX_GLOSSARY_ROWS = 40
RECORDINGS = ROOT / "tests/contract/releases"

# Words that had a private meaning here, or several. docs/glossary.md has the words that are used instead.
_RETIRED = """
ledger ledgers world worlds door doors anew quiet ahead basis
begin begins begun beginning beginnings need needs given look looks
told tell tells said say says asked ask asks
bury buries buried settle settles settled lift lifts lifted walk walks
kept keep keeps cut carried place places answer answers
"""
RETIRED = set(_RETIRED.split())
# Whole names that say nothing of what they hold.
RETIRED_NAMES = {"mark", "marks", "one", "some", "found", "of", "there", "raised", "memory"}

# Names that are stored outside of the code, or given by others. A rename would need a migration.
STORED: dict[str, str] = {
    "memory": "field of `{token}:application` in Redis",
    "asked": "field of `{token}:application` in Redis",
    "kept": "field of an idempotency record in Redis",
    "redis_keeps_writes": "the setting ORDINAL_REDIS_KEEPS_WRITES",
}
MAX_STORED = 15


@cache
def _files(*suffixes: str) -> tuple[Path, ...]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    return tuple(
        path
        for path in (ROOT / name for name in listed)
        if path.name.endswith(suffixes)
        and path.is_file()
        and path.parent.name != "migrations"
        and (path.suffix == ".py" or RECORDINGS not in path.parents)
    )


def _python_names(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Every name that a module gives to something."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name, node.lineno
            case ast.arg():
                yield node.arg, node.lineno
            case ast.Name(ctx=ast.Store()):
                yield node.id, node.lineno
            case ast.Attribute(ctx=ast.Store()):
                yield node.attr, node.lineno
            case ast.alias() if node.asname:
                yield node.asname, node.lineno
            case ast.ExceptHandler() if node.name:
                yield node.name, node.lineno
            case ast.MatchAs() | ast.MatchStar() if node.name:
                yield node.name, node.lineno
            case ast.TypeVar():
                yield node.name, node.lineno


def _lua_names(text: str) -> Iterator[tuple[str, int]]:
    for number, line in enumerate(text.splitlines(), 1):
        for name in re.findall(r"[A-Za-z_]\w*", line.split("--")[0]):
            yield name, number


def _words(name: str) -> list[str]:
    parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)
    return [part.lower() for part in parts]


def _repository_names() -> Iterator[tuple[str, str, int]]:
    """Each name with its file and line; a file's own name with line 0."""
    for path in _files(".py", ".lua"):
        where = str(path.relative_to(ROOT))
        text = path.read_text()
        names = _lua_names(text) if path.suffix == ".lua" else _python_names(ast.parse(text))
        yield from ((name, where, line) for name, line in names)
    for path in _files(""):
        where = path.relative_to(ROOT)
        yield from ((part.split(".")[0], str(where), 0) for part in where.parts)


def _is_retired(name: str) -> bool:
    return (
        name.lower() in RETIRED_NAMES
        or "passed_over" in name
        or bool(RETIRED.intersection(_words(name)))
    )


def test_no_name_has_a_retired_word() -> None:
    names = list(_repository_names())
    assert len(names) > 10_000
    used = {name for name, _, _ in names if _is_retired(name)}
    assert not [
        f"{where}:{line}: {name}"
        for name, where, line in names
        if _is_retired(name) and name not in STORED
    ]
    assert STORED.keys() <= used
    assert len(STORED) <= MAX_STORED


def test_every_word_of_the_glossary_is_a_name_in_the_code() -> None:
    rows = re.findall(r"^\| (?!word \||---)([^|]+) \|[^|]+\| ([^|]+) \|$", GLOSSARY, re.M)
    assert 20 <= len(rows) <= MAX_GLOSSARY_ROWS
    names = {name for name, _, _ in _repository_names()}
    for word, in_code in rows:
        terms = re.findall(r"`(\w+)`", in_code)
        assert terms, word
        for term in terms:
            assert term in names, f"{word}: {term}"


def test_the_glossary_is_linked_from_the_readme_and_the_design() -> None:
    assert "(docs/glossary.md)" in (ROOT / "README.md").read_text()
    assert "(glossary.md)" in (ROOT / "docs/design.md").read_text()
