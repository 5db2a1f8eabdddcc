"""The OpenAPI document describes the endpoints."""

import json
from pathlib import Path

import msgspec
import pytest
from openapi_spec_validator import validate

from app import app
from chalicelib.entrypoints.http.endpoint import OPERATIONS
from chalicelib.entrypoints.http.openapi.document import EXAMPLES, openapi_json
from chalicelib.entrypoints.http.openapi.export import export
from chalicelib.entrypoints.http.problems import PROBLEMS, TYPE_PREFIX

DOCS = Path(__file__).parents[2] / "docs"
DOCUMENT = json.loads(openapi_json())


def test_it_is_valid() -> None:
    validate(DOCUMENT)


def test_every_route_is_in_it_and_no_other() -> None:
    routes = {(path, method) for path, methods in app.routes.items() for method in methods}
    described = {
        (path, method.upper()) for path, methods in DOCUMENT["paths"].items() for method in methods
    }
    assert described == routes


def test_the_tags_are_those_of_the_operations() -> None:
    used = [o["tags"] for methods in DOCUMENT["paths"].values() for o in methods.values()]
    assert {tag["name"] for tag in DOCUMENT["tags"]} == {tag for tags in used for tag in tags}


def test_the_file_in_docs_is_the_same() -> None:
    assert (DOCS / "openapi.json").read_text() == export() + "\n"


@pytest.mark.parametrize("kind", EXAMPLES, ids=str)
def test_every_example_fits_its_type(kind: type) -> None:
    msgspec.convert(EXAMPLES[kind], kind)


def test_every_body_has_an_example() -> None:
    used = {t for o in OPERATIONS for t in (o.body, *o.responses.values())}
    without = {t for t in used - set(EXAMPLES) if t is not None}
    assert [t for t in without if isinstance(t, type) and issubclass(t, msgspec.Struct)] == []


def test_every_operation_has_a_summary() -> None:
    for methods in DOCUMENT["paths"].values():
        for operation in methods.values():
            assert operation["summary"]


def test_the_page_on_errors_has_the_table_of_problems() -> None:
    page = (DOCS / "errors.md").read_text()
    for code, problem in PROBLEMS.items():
        cells = [problem.status, problem.title, problem.when, problem.remedy]
        assert f"| `{TYPE_PREFIX}{code}` | {' | '.join(map(str, cells))} |" in page
    assert page.count(f"| `{TYPE_PREFIX}") == len(PROBLEMS)
