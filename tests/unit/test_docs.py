"""The documents agree with the code."""

import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import ordinal_client
import pytest

from app import app
from chalicelib.domain import limits
from chalicelib.settings import Settings
from chatctl.main import cli
from tests.invariants import check
from tests.simulation.defects import DEFECTS
from tests.unit.chatctl_service import URL, Operator

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
CLIENTS = sorted((ROOT / "clients").glob("*/README.md"))
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    *CLIENTS,
    *sorted((ROOT / "docs").rglob("*.md")),
]


class Recorder(dict[str, str]):
    """An environment that records which variables the code reads."""

    def __init__(self) -> None:
        self.read: set[str] = set()

    def get(self, key: str, default: str | None = None) -> str | None:  # type: ignore[override]
        self.read.add(key)
        return default


def test_the_settings_table_lists_the_variables_that_the_code_reads() -> None:
    environment = Recorder()
    Settings.from_env(environment)
    table = README.split("## Settings")[1].split("\n## ")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert set(re.findall(r"`(ORDINAL_\w+)`", " ".join(rows))) == environment.read


def test_the_table_of_limits_has_every_limit_with_its_value() -> None:
    page = (ROOT / "docs/limits.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| ([\d,]+) \| [^|]* \| [^|]+ \|$", page, re.M)
    of_code = {k: v for k, v in vars(limits).items() if k.isupper()}
    assert [(name, int(value.replace(",", ""))) for name, value in rows] == list(of_code.items())


def _documented(text: str) -> Iterator[tuple[str, str]]:
    """Method and path of every route in the README's table."""
    table = text.split("| route |")[1].split("\n\n")[0]
    for row in table.splitlines():
        methods: list[str] = []
        for word in re.findall(r"`([^`]+)`", row.split("|")[1]) if row.startswith("| `") else []:
            method, _, path = word.partition(" ")
            methods.append(method)
            if path:
                yield from ((m, path.replace("…", "/applications/{token}")) for m in methods)
                methods = []


def test_the_route_table_lists_every_route() -> None:
    routes = {(method, path) for path, methods in app.routes.items() for method in methods}
    assert set(_documented(README)) == routes


def test_the_python_code_of_the_readme_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    operator = Operator(monkeypatch)
    client = functools.partial(ordinal_client.Client, transport=operator.service)
    monkeypatch.setattr(ordinal_client, "Client", client)
    names: dict[str, Any] = {"base_url": URL, "key": operator.key, "token": operator.token}
    names["secret_key"] = operator.key
    sign, post = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(post, names)
    assert capsys.readouterr().out == "1 Good morning\n"
    exec(sign, names)
    assert jwt.decode(names["token"], options={"verify_signature": False})["sub"] == "ann"


def test_the_browser_code_of_the_readme_uses_routes_that_exist() -> None:
    (code,) = re.findall(r"```js\n(.*?)```", README, re.DOTALL)
    (chat,) = re.findall(r"const chat = `\$\{baseUrl\}([^`]+)`", code)
    paths = [chat + path for path in re.findall(r"fetch\(`\$\{chat\}([^`?]*)", code)]
    assert len(paths) == 2
    for path in paths:
        route = path.replace("${application}", "{token}").replace("chats/1", "chats/{chat}")
        assert route in app.routes


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: p.name)
def test_every_link_leads_to_a_file(document: Path) -> None:
    for target in re.findall(r"\]\((?!https?://)([^)#]+)", document.read_text()):
        assert (document.parent / target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: p.name)
def test_paths_that_documents_name_exist(document: Path) -> None:
    folders = r"chalicelib|chatctl|clients|docs|infra|tests|\.chalice|bin"
    for path in re.findall(rf"`((?:{folders})/[\w./*-]+)`", document.read_text()):
        assert any(ROOT.glob(path)), path


def test_the_page_on_changes_names_files_for_ten_changes() -> None:
    page = (ROOT / "docs/changing.md").read_text()
    changes = page.split("\n## ")[1:]
    assert len(changes) == 10
    for change in changes:
        assert len(re.findall(r"^\| `[\w.]+[/.]", change, re.M)) >= 3, change.splitlines()[0]


def test_every_command_of_chatctl_is_in_the_readme() -> None:
    named = set(re.findall(r"`bin/chatctl ([\w-]+)", README.split("## Useful commands")[1]))
    assert named == set(cli.commands)


def test_every_make_command_in_the_readme_is_a_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"(?:^|`)make (\w+)", README, re.M)):
        assert re.search(rf"^{target}\b.*:", makefile, re.M), target


def test_rules_and_defects_that_the_page_on_reliability_names_exist() -> None:
    page = (ROOT / "docs/reliability.md").read_text()
    table = page.split("| planted defect |")[1].split("\n\n")[0]
    assert re.findall(r"^\| (.+) \| [\d,]+ \|$", table, re.M) == list(DEFECTS)
    cited = re.findall(r"simulation (?:and `make faults` )?\(([^)]+)\)", page)
    rules = [rule for text in cited for rule in re.findall(r"`(\w+)`", text)]
    assert len(rules) > 10
    for rule in rules:
        assert hasattr(check, rule), rule
    for document in DOCUMENTS:
        for text in re.findall(
            r"in the\ssimulation ([^|]+?) (?:is|are)\scaught", document.read_text()
        ):
            assert set(re.findall(r"`([^`]+)`", text)) <= set(DEFECTS), document.name


def test_tests_that_documents_name_exist() -> None:
    tests = "".join(path.read_text() for path in (ROOT / "tests").rglob("*.py"))
    for document in DOCUMENTS:
        for name in re.findall(r"`(test_\w+)`", document.read_text()):
            assert f"def {name}(" in tests, name
