"""One verb for each operation: at the API, in the use cases and in the Python client."""

import ast
import importlib
import pkgutil
from pathlib import Path

import ordinal_client
from ordinal_client.descriptors import Method

import app
from chalicelib import usecases
from chalicelib.entrypoints.http.endpoint import OPERATIONS

ROOT = Path(__file__).parents[2]
ROUTES = app.app.routes
PRODUCT = ("app.py", "chalicelib", "chatctl", "clients", "infra")
# They describe the API itself and have no use case. Programs do not call the last two.
NO_USE_CASE = {"get_health", "get_readiness", "get_openapi", "get_docs"}
NO_CLIENT_METHOD = {"get_openapi", "get_docs"}


def operation_names() -> list[str]:
    return [operation.name for operation in OPERATIONS]


def test_every_route_has_an_operation_with_a_name_of_its_own() -> None:
    assert len(set(operation_names())) == len(OPERATIONS) == sum(map(len, ROUTES.values()))


def test_every_operation_has_a_use_case_of_its_name() -> None:
    modules = [
        importlib.import_module(f"{usecases.__name__}.{module.name}")
        for module in pkgutil.iter_modules(usecases.__path__)
    ]
    functions = {
        name
        for module in modules
        for name, value in vars(module).items()
        if getattr(value, "__module__", "") == module.__name__
    }
    assert set(operation_names()) - functions == NO_USE_CASE


def test_every_operation_has_a_client_method_of_its_name_and_no_method_has_another() -> None:
    methods = {
        name
        for kind in ordinal_client.Client.__mro__
        for name, value in vars(kind).items()
        if isinstance(value, Method)
    }
    assert methods == set(operation_names()) - NO_CLIENT_METHOD


def test_no_import_renames_a_name_of_the_repository() -> None:
    files = [
        path
        for part in PRODUCT
        for path in ([ROOT / part] if part.endswith(".py") else (ROOT / part).rglob("*.py"))
        if "node_modules" not in path.parts and ".venv" not in path.parts
    ]
    assert len(files) > 100
    renamed = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in files
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        and any(alias.asname not in (None, alias.name) for alias in node.names)
        and _is_ours(node)
    ]
    assert renamed == []


def _is_ours(node: ast.Import | ast.ImportFrom) -> bool:
    modules = [node.module] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
    ours = ("app", "chalicelib", "chatctl", "infra", "ordinal_client")
    return any((module or "").partition(".")[0] in ours for module in modules)
