"""The tests run the code of the client's README and compare its tables with the code."""

import functools
import json
import re
from pathlib import Path
from typing import Any

import httpx
import ordinal_client
import pytest
from ordinal_client import AsyncClient, Client, OrdinalError

from tests.fakes.ports import SETTINGS
from tests.unit.chatctl_service import URL, Operator

README = (Path(ordinal_client.__file__).parents[1] / "README.md").read_text()


class Indexing:
    """The application on fakes, whose workers have no lag."""

    def __init__(self, operator: Operator) -> None:
        self._service = operator.service

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self._service.ports.persist()
        return self._service.handle_request(request)


def test_the_five_minutes_can_be_typed_in(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    transport = httpx.MockTransport(Indexing(Operator(monkeypatch)))
    for client in (Client, AsyncClient):
        partial = functools.partial(client, transport=transport)
        monkeypatch.setattr(ordinal_client, client.__name__, partial)
    monkeypatch.chdir(tmp_path)
    Path("var/local").mkdir(parents=True)
    stack = {"base_url": URL, "admin_key": SETTINGS.admin_key}
    Path("var/local/stack.json").write_text(json.dumps(stack))
    code = "\n".join(re.findall(r"```python\n(.*?)```", README, re.DOTALL))
    names: dict[str, Any] = {}
    exec(code, names)
    names["client"].close()
    printed = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("{")]
    for expected in re.findall(r"print\(.*\)  # (.*)", code):
        assert expected in printed
    assert "1 ann Good morning" in printed
    assert printed[-3:] == ["4 At five.", "3 Tea, at five?", "1 Good morning"]
    assert any(line.startswith("1 1 ") and "morn" in line for line in printed)


@pytest.mark.parametrize("client", [Client, AsyncClient])
def test_the_table_of_methods_has_all_methods(client: type[Client | AsyncClient]) -> None:
    table = README.split("## All methods")[1].split("\n\n`")[0]
    plumbing = {"send", "iterate", "close"}
    methods = {name for name in dir(client) if not name.startswith("_")} - plumbing
    assert set(re.findall(r"`(\w+)`", table)) == methods


def test_every_error_is_named() -> None:
    tree: list[type[OrdinalError]] = [OrdinalError]
    for kind in tree:
        tree += kind.__subclasses__()
        assert f"`{kind.__name__}`" in README
        assert hasattr(ordinal_client, kind.__name__)
