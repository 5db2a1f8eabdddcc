"""The page at /docs loads nothing from other hosts, and its policy allows nothing more."""

import re

from chalice.test import Client

from app import app
from chalicelib.entrypoints.http.openapi.docs_page import docs_page

PAGE, HEADERS = docs_page()
POLICY = dict(rule.split(" ", 1) for rule in HEADERS["Content-Security-Policy"].split("; "))


def test_it_is_served_as_html_under_its_policy() -> None:
    with Client(app) as client:
        response = client.http.get("/docs")
    assert (response.status_code, response.body.decode()) == (200, PAGE)
    assert response.headers.items() >= HEADERS.items()


def test_nothing_but_its_own_script_and_style_may_run() -> None:
    assert POLICY["default-src"] == POLICY["base-uri"] == POLICY["frame-ancestors"] == "'none'"
    for kind in ("script-src", "style-src"):
        assert re.fullmatch(r"'sha256-[A-Za-z0-9+/]{43}='", POLICY[kind])
    assert not re.findall(r"\sstyle=|\son\w+=\"", PAGE)


def test_it_names_no_address_but_those_beside_it() -> None:
    named = re.findall(r"(?:src|href)=\"([^\"#]+)\"", PAGE)
    assert [address for address in named if not address.startswith("data:")] == ["openapi.json"]
    assert not re.findall(r"@import|[\s:]url\(", PAGE)


def test_text_of_the_document_never_becomes_markup() -> None:
    assert POLICY["require-trusted-types-for"] == "'script'"
    assert not re.findall(r"(?:inner|outer|insertAdjacent)HTML|document\.write|\beval\b", PAGE)
