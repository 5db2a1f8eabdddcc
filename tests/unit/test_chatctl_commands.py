"""The commands as an operator sees them."""

import functools
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from ordinal_client import Client

from chalicelib.adapters.mysql import store as mysql_store
from chalicelib.domain.models import ListedApplication
from chalicelib.operators import advance_counters, recount
from chalicelib.operators.lag import PendingLag, QueueLag
from chalicelib.operators.recount import CountMismatch
from chatctl import api
from chatctl.commands import lag
from chatctl.main import cli
from tests.fakes.ports import SETTINGS
from tests.unit.chatctl_service import URL, Operator


@pytest.fixture
def operator(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Operator:
    """An operator in an empty directory with a stack file. The client reaches the application on fakes."""
    operator = Operator(monkeypatch)
    monkeypatch.setattr(api, "Client", functools.partial(Client, transport=operator.service))
    monkeypatch.chdir(tmp_path)
    for name in ("ORDINAL_REDIS_URL", "ORDINAL_MYSQL_URL", "ORDINAL_KEY"):
        monkeypatch.delenv(name, raising=False)
    Path("var/local").mkdir(parents=True)
    part = {"url": "redis://127.0.0.1:1"}
    stack = {"base_url": URL, "admin_key": SETTINGS.admin_key, "queues": {}}
    stack |= {
        "redis": part,
        "mysql": {"url": "mysql://root@127.0.0.1:1/x"},
        "aws": part,
        "opensearch": part,
    }
    Path("var/local/stack.json").write_text(json.dumps(stack))
    return operator


def logs(*lines: str) -> None:
    Path("logs").mkdir(exist_ok=True)
    Path("logs/2020-01-01.txt").write_text("".join(f"{line}\n" for line in lines))
    Path("logs/LICENSE.txt").write_text("free")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


def summary(result: Result) -> dict[str, str]:
    return {line[:15].strip(): line[15:] for line in result.output.splitlines()}


def test_import_creates_an_application_once_and_continues_it(operator: Operator) -> None:
    logs("[01:00] <ann> one", "=== bob joins", "[01:01] * bob waves")
    first = run("import", "logs")
    assert first.exit_code == 0, first.output
    lines = summary(first)
    assert (lines["chats"], lines["messages sent"], lines["already there"]) == ("1 of 1", "2", "0")
    assert lines["skipped"] == "1 system, 1 file (by its name)"
    logs("[01:00] <ann> one", "=== bob joins", "[01:01] * bob waves", "[01:02] <ann> three")
    second = run("import", "logs")
    assert summary(second)["application"] == lines["application"]
    assert "found again" in second.output
    assert (summary(second)["messages sent"], summary(second)["already there"]) == ("1", "2")
    names = [a.name for a in operator.service.ports.store.applications.list_applications(None, 10)]
    assert sorted(names) == ["an application", "logs"]


def test_import_creates_another_application_if_the_service_has_lost_the_first(
    operator: Operator,
) -> None:
    logs("[01:00] <ann> one")
    token = summary(run("import", "logs"))["application"]
    operator.service.ports.store.applications.delete_application(token, "2026-09-21T14:13:20.000Z")
    operator.service.ports.sequencer.block_application(token)
    again = run("import", "logs")
    assert again.exit_code == 0, again.output
    assert summary(again)["application"] != token


def test_import_into_an_existing_application(operator: Operator) -> None:
    logs("[01:00] <ann> one")
    named = ("--application", operator.token, "--key", operator.key)
    assert run("import", "logs", *named).exit_code == 0
    assert operator.chat(1) == [(1, "one", "ann")]
    assert not Path("var/chatctl.json").exists()
    assert run("import", "logs", *named[:2]).exit_code == 2


def test_import_ends_with_1_and_names_the_broken_line(operator: Operator) -> None:
    logs("[01:00] <ann> one", f"[01:00] <ann> {'x' * 20_001}", "[01:00] <ann> three")
    result = run("import", "logs")
    assert result.exit_code == 1
    assert "Error: logs/2020-01-01.txt, line 2: " in result.output
    assert summary(result)["messages sent"] == "1"
    skipping = run("import", "logs", "--skip-broken")
    assert skipping.exit_code == 0
    assert summary(skipping)["messages sent"] == "1"
    assert "1 broken" in summary(skipping)["skipped"]


def test_import_with_a_wrong_key_has_one_error(operator: Operator) -> None:
    logs("[01:00] <ann> one")
    result = run("import", "logs", "--application", operator.token, "--key", "ok_1_x")
    assert result.exit_code == 1
    assert result.output.count("401 The credential is not valid") == 1


def test_a_base_url_must_be_a_url(operator: Operator) -> None:
    logs("[01:00] <ann> one")
    assert "must begin with http" in run("import", "logs", "--base-url", "localhost:1").output


def test_export_writes_a_file_and_does_not_overwrite_it(operator: Operator) -> None:
    logs("[01:00] <ann> one", "[01:01] <bob> two")
    named = ("--application", operator.token, "--key", operator.key)
    run("import", "logs", *named)
    assert run("export", *named, "-o", "out.ndjson").exit_code == 0
    whole = Path("out.ndjson").read_bytes()
    assert "out.ndjson exists" in run("export", *named, "-o", "out.ndjson").output
    Path("out.ndjson").write_bytes(whole[:-20])
    assert run("export", *named, "-o", "out.ndjson", "--resume").exit_code == 0
    assert Path("out.ndjson").read_bytes() == whole
    assert run("export", *named).stdout.encode() == whole
    assert "add -o FILE" in run("export", *named, "--resume").output


def test_lag_prints_the_failures_when_everything_is_down(operator: Operator) -> None:
    result = run("lag", "--json")
    assert result.exit_code == 1
    shown = json.loads(result.stdout)
    assert (shown["queues"], shown["pending"]) == (None, None)
    assert len(shown["failures"]) == 2


def test_lag_prints_a_table_of_queues_and_a_line_for_pending_versions(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    queues = {"chats": QueueLag(1, 2, 3, 4_000)}
    monkeypatch.setattr(lag, "_queues", lambda targets: queues)
    monkeypatch.setattr(lag, "_pending", lambda targets, now_ms: PendingLag(5, 2, 61.5))
    result = run("lag")
    assert result.exit_code == 0
    assert result.output.splitlines()[1:] == [
        "queue       visible  in flight  delayed     dead",
        "chats             1          2        3    4,000",
        "pending   5 versions of 2 applications, the oldest 61.5 s old",
    ]


class Store:
    """A store with two wrong counts."""

    def __init__(self, url: str) -> None:
        self.applications = self.database = self

    def list_tokens(self, after: int, limit: int) -> list[ListedApplication]:
        pages = {0: [(1, "a"), (2, "b")], 2: [(3, "c")]}
        return [ListedApplication(*row) for row in pages.get(after, [])]

    def recount(self, token: str, repair: bool) -> list[CountMismatch]:
        wrong = (7, "messages_count", 5, 6), (None, "chats_count", 1, 2)
        return [CountMismatch(*fields) for fields in wrong] if token == "c" else []

    def advance(self, token: str, by: int, now: str) -> int:
        return {"a": 1_000, "b": 200}.get(token, 0) + by

    def close(self) -> None:
        pass


def test_advance_counters_prints_each_advanced_counter_and_the_distance(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mysql_store, "MySqlStore", Store)
    monkeypatch.setattr(advance_counters, "AdvanceCounters", lambda database: database)
    result = run("advance-counters", "--by", "5000")
    assert result.exit_code == 0
    assert result.output == "3 applications and 16,200 chats continue 5,000 numbers higher\n"
    for wrong in ((), ("--by", "0"), ("--by", "100000001")):
        assert run("advance-counters", *wrong).exit_code == 2


@pytest.mark.parametrize(("fix", "exit_code"), [((), 1), (("--fix",), 0)])
def test_recount_prints_wrong_counts_and_fails_unless_it_corrects_them(
    operator: Operator, monkeypatch: pytest.MonkeyPatch, fix: tuple[str, ...], exit_code: int
) -> None:
    monkeypatch.setattr(mysql_store, "MySqlStore", Store)
    monkeypatch.setattr(recount, "Recount", lambda database: database)
    result = run("recount", *fix)
    assert result.exit_code == exit_code
    assert result.output.splitlines() == [
        "c chat 7: messages_count is 5, but the rows give 6",
        "c: chats_count is 1, but the rows give 2",
        f"3 applications counted, 2 counts wrong{' and corrected' if fix else ''}",
    ]
    assert run("recount", "--application", "a").output == "1 applications counted, 0 counts wrong\n"


def test_the_page_of_chatctl_has_every_command_and_option() -> None:
    page = (Path(__file__).parents[2] / "docs/chatctl.md").read_text()
    for name, command in cli.commands.items():
        part = page.split(f"## chatctl {name}")[1].split("\n## ")[0]
        for option in command.params:
            if option.opts[0].startswith("-") and option.name != "stack_file":
                assert f"`{max(option.opts, key=len)}" in part, (name, option.opts)
