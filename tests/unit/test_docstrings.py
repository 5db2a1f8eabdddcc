"""Docstrings and comments name only files, tests, fields, parameters and functions that exist."""

import ast
import builtins
import io
import re
import subprocess
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]

_SUFFIXES = "py|lua|md|sql|sh|yaml|yml|toml|json|ndjson|html|svg|lock|txt|pem"
_PATH = re.compile(
    rf"(?<![\w/.<>*{{}}$~-])[\w.*-]+(?:/[\w.*-]+)*\.(?:{_SUFFIXES})\b(?![\w/<>{{}}-])"
)
_FOLDER = re.compile(r"(?<![\w/.-])(?:docs|tests|infra|chalicelib|chatctl|clients)(?:/[\w.-]+)+")
# A value stands in quotes between the backticks: `"ok"`.
_NAME = re.compile(r"`([A-Za-z_]\w*)`")
# Made by programs, or a log of a user.
_MADE = re.compile(r"^(?:var/.*|\.venv/.*|stack\.json|sam\.json|\d{4}-\d\d-\d\d\.txt)$")


@cache
def _tracked() -> tuple[str, ...]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return tuple(name for name in listed.splitlines() if (ROOT / name).is_file())


@cache
def _modules() -> dict[str, ast.Module]:
    return {
        name: ast.parse((ROOT / name).read_text()) for name in _tracked() if name.endswith(".py")
    }


Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def _documented(tree: ast.AST) -> Iterator[tuple[Documented, str]]:
    for node in ast.walk(tree):
        if isinstance(node, Documented) and (text := ast.get_docstring(node)):
            yield node, text


def _python_prose(name: str) -> str:
    """Docstrings and comments of a module."""
    tokens = tokenize.generate_tokens(io.StringIO((ROOT / name).read_text()).readline)
    comments = [token.string for token in tokens if token.type == tokenize.COMMENT]
    return "\n".join([text for _, text in _documented(_modules()[name])] + comments)


def _prose() -> Iterator[tuple[str, str]]:
    """Each file of code with the text of its docstrings and comments."""
    for name in _tracked():
        if name.endswith(".py"):
            yield name, _python_prose(name)
        elif name.endswith((".lua", ".sql")) and "/releases/" not in name:
            lines = (ROOT / name).read_text().splitlines()
            yield name, "\n".join(line for line in lines if line.lstrip().startswith("--"))
        elif name.endswith((".yaml", ".yml", ".sh", ".toml")) or name == "Makefile":
            lines = (ROOT / name).read_text().splitlines()
            yield name, "\n".join(line for line in lines if line.lstrip().startswith("#"))


def _exists(path: str, named_in: str) -> bool:
    if _MADE.match(path):
        return True
    if "*" in path:
        return any(ROOT.glob(path)) or any((ROOT / named_in).parent.glob(path))
    if (ROOT / path).exists() or (ROOT / named_in).parent.joinpath(path).exists():
        return True
    return any(name.endswith(f"/{path}") for name in _tracked())


def test_every_path_that_prose_in_the_code_names_exists() -> None:
    named = [
        (where, path.rstrip("."))
        for where, text in _prose()
        for path in _PATH.findall(text) + _FOLDER.findall(text)
    ]
    assert len(named) > 50
    assert not [f"{where}: {path}" for where, path in named if not _exists(path, where)]


@cache
def _public_names() -> frozenset[str]:
    """Functions, classes, constants and modules of the repository, and the builtins of Python."""
    names = set(dir(builtins)) | {Path(name).stem for name in _tracked()}
    for tree in _modules().values():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                names.add(node.name)
            elif isinstance(node, ast.Name) and node.id.isupper():
                names.add(node.id)
    return frozenset(names)


@cache
def _all_fields() -> frozenset[str]:
    return frozenset().union(
        *(
            _fields(node)
            for tree in _modules().values()
            for node in ast.walk(tree)
            if isinstance(node, ast.ClassDef)
        )
    )


@cache
def _names_in(module: str) -> frozenset[str]:
    """Names and words of short texts (keys of records, fields of Redis, columns) in a module's code."""
    tree = _modules()[module]
    names: set[str] = set()
    documented = {id(node.body[0].value) for node, _ in _documented(tree)}  # type: ignore[attr-defined]
    for node in ast.walk(tree):
        match node:
            case ast.Name():
                names.add(node.id)
            case ast.Attribute():
                names.add(node.attr)
            case ast.arg():
                names.add(node.arg)
            case ast.keyword() if node.arg:
                names.add(node.arg)
            case ast.alias():
                names.update((node.asname or node.name).split("."))
            case ast.Constant() if isinstance(node.value, str) and id(node) not in documented:
                names.update(re.findall(r"\w+", node.value))
    return frozenset(names)


def _parameters(node: Documented) -> set[str]:
    return {arg.arg for arg in ast.walk(node) if isinstance(arg, ast.arg)}


@cache
def _classes() -> dict[str, list[ast.ClassDef]]:
    classes: dict[str, list[ast.ClassDef]] = {}
    for tree in _modules().values():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                classes.setdefault(node.name, []).append(node)
    return classes


def _fields(node: ast.ClassDef) -> set[str]:
    """Fields and methods of a class and of its bases in the repository."""
    fields: set[str] = set()
    for item in node.body:
        match item:
            case ast.AnnAssign(target=ast.Name(id=name)) | ast.FunctionDef(name=name):
                fields.add(name)
    bases = {base.id for base in node.bases if isinstance(base, ast.Name)}
    for base in bases:
        for other in _classes().get(base, ()):
            if other is not node:
                fields |= _fields(other)
    return fields


def _is_struct(node: Documented) -> bool:
    return isinstance(node, ast.ClassDef) and any("Struct" in ast.unparse(b) for b in node.bases)


def test_every_field_that_the_docstring_of_a_struct_names_exists() -> None:
    named = 0
    missing = []
    for module, tree in _modules().items():
        for node, text in _documented(tree):
            if not isinstance(node, ast.ClassDef) or not _is_struct(node):
                continue
            known = _fields(node) | _parameters(node) | _public_names()
            for name in _NAME.findall(text):
                named += 1
                if name not in known:
                    missing.append(f"{module}: {node.name}: {name}")
    assert named > 30
    assert not missing


def test_every_name_in_the_docstring_of_a_function_exists() -> None:
    named = 0
    missing = []
    for module, tree in _modules().items():
        for node, text in _documented(tree):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            known = _parameters(node) | _names_in(module) | _public_names() | _all_fields()
            for name in _NAME.findall(text):
                named += 1
                if name not in known:
                    missing.append(f"{module}: {node.name}: {name}")
    assert named > 200
    assert not missing
