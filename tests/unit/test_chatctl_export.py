"""Export from the real application on fakes, and import of what was exported."""

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from ordinal_client import Chat, NewMessage, NotFoundError

from chatctl.commands.export import ExportCursor, chat_names, export_chats, read_cursor
from chatctl.errors import ChatctlError
from chatctl.sources.ndjson import NdjsonLine, scan_ndjson
from tests.unit.chatctl_service import Operator

NOW = "2026-09-22T00:00:00.000Z"


@pytest.fixture
def operator(monkeypatch: pytest.MonkeyPatch) -> Operator:
    """Two chats: one of 230 messages with metadata, one of a single message without a title."""
    operator = Operator(monkeypatch)
    with operator.client() as client:
        client.create_chat("first", {"colour": "blue"})
        client.create_messages(1, [NewMessage(f"message {i}", "ann", {"i": i}) for i in range(230)])
        client.create_chat()
        client.create_message(2, "alone")
    operator.service.ports.persist()
    return operator


def export(
    operator: Operator, only: int | None = None, cursor: ExportCursor | None = None
) -> list[NdjsonLine]:
    with operator.chatctl_client() as client:
        return list(export_chats(client, only, cursor or ExportCursor()))


def write(file: Path, lines: list[NdjsonLine]) -> bytes:
    file.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
    return file.read_bytes()


def test_everything_is_written_oldest_first(operator: Operator) -> None:
    lines = export(operator)
    assert [(e.chat, e.chat_number, e.number) for e in lines] == [
        *(("first", 1, i) for i in range(1, 231)),
        ("2", 2, 1),
    ]
    assert (lines[0].body, lines[0].metadata) == ("message 0", {"i": 0})
    assert [e.chat_metadata for e in lines[:2]] == [{"colour": "blue"}, None]


def test_one_chat_alone(operator: Operator) -> None:
    assert [e.body for e in export(operator, only=2)] == ["alone"]
    with pytest.raises(NotFoundError, match="404"):
        export(operator, only=3)


def test_an_import_of_an_export_gives_the_same_messages(
    operator: Operator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported, file = export(operator), tmp_path / "all.ndjson"
    write(file, exported)
    elsewhere = Operator(monkeypatch)
    assert elsewhere.import_(scan_ndjson(file, NOW, False).sources) == []
    assert [e for e in export(elsewhere) if e.chat != "2"] == exported[:-1]
    assert export(elsewhere, only=2)[0].body == "alone"


@pytest.mark.parametrize("complete", [0, 1, 100, 229, 230, 231])
@pytest.mark.parametrize("torn", [b"", b'{"chat":"first","bo'])
def test_an_export_that_was_killed_is_continued(
    operator: Operator, tmp_path: Path, complete: int, torn: bytes
) -> None:
    lines, file = export(operator), tmp_path / "all.ndjson"
    write(file, lines[:complete])
    with file.open("ab") as out:
        out.write(torn)
    cursor = read_cursor(file)
    assert file.read_bytes() == write(tmp_path / "expected", lines[:complete])
    assert lines[:complete] + export(operator, cursor=cursor) == lines


def test_a_file_that_export_did_not_write_is_not_continued(tmp_path: Path) -> None:
    file = tmp_path / "other.ndjson"
    for line in ('{"chat":"first","body":"x"}\n', "something else\n"):
        file.write_text(line)
        with pytest.raises(ChatctlError, match=r"other\.ndjson"):
            read_cursor(file)


def chat(number: int, title: str | None) -> Chat:
    return Chat(number, title, None, 0, 0, 1, datetime.now(UTC), None)


def test_no_two_chats_have_the_same_name_in_a_file() -> None:
    titles = ["a", None, "a", "5", None]
    names = chat_names([chat(number, title) for number, title in enumerate(titles, 1)])
    assert names == {1: "a #1", 2: "2", 3: "a #3", 4: "5 #4", 5: "5 #5"}
