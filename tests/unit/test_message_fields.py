"""A field of a message is everywhere or nowhere: request, row, document, response, client, export.

`docs/changing.md` says which files a new field touches.
"""

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import ordinal_client

from chalicelib.adapters.mysql import messages, persist_messages
from chalicelib.adapters.opensearch.index import to_action, to_message
from chalicelib.adapters.opensearch.mapping import MAPPINGS
from chalicelib.domain import models
from chalicelib.domain.models import Message
from chalicelib.domain.queue_records import Document
from chalicelib.domain.requests import MessageChange, MessageRequest
from chatctl.sources.ndjson import NdjsonLine

ROOT = Path(__file__).parents[2]
API = json.loads((ROOT / "docs/openapi.json").read_text())

STORED = set(Message.__struct_fields__)
# Clients do not see these fields.
INTERNAL = {"deleted_at", "idempotency_key", "metadata_by_server"}
SHOWN = STORED - INTERNAL
NOW = "2026-01-31T12:00:00.000Z"
REQUESTED = set(MessageRequest.__struct_fields__)


def a_message() -> Message:
    """A message with a value in every field that clients see."""
    of_type: dict[Any, Any] = {str: "text", int: 7, dict: {"a": 1}}
    fields = {
        field.name: next(
            value
            for kind, value in of_type.items()
            if re.match(rf"(typing\.)?{kind.__name__}\b", _text(field.type), re.I)
        )
        for field in msgspec.structs.fields(Message)
        if field.name in SHOWN
    }
    return Message(**fields | {"created_at": NOW, "edited_at": NOW})


def _text(kind: Any) -> str:
    for name, new_type in vars(models).items():
        if hasattr(new_type, "__supertype__") and re.search(rf"\b{name}\b", str(kind)):
            return str(new_type.__supertype__.__name__)
    return kind.__name__ if isinstance(kind, type) and not hasattr(kind, "__args__") else str(kind)


def test_every_field_of_a_request_is_a_field_of_the_message() -> None:
    assert REQUESTED < STORED
    assert set(MessageChange.__struct_fields__) < STORED
    fields = msgspec.to_builtins(a_message())
    request = MessageRequest(**{name: fields[name] for name in REQUESTED})
    draft = request.draft(NOW, None)
    assert {name: getattr(draft, name) for name in REQUESTED} == {
        name: fields[name] for name in REQUESTED
    }


class Cursor:
    """Records the rows that are written."""

    def executemany(self, sql: str, rows: list[tuple[Any, ...]]) -> None:
        self.sql, self.rows = sql, rows


def test_mysql_stores_and_returns_every_field() -> None:
    message, cursor = a_message(), Cursor()
    persist_messages.insert_messages(cursor, [(1, 2, message)])  # type: ignore[arg-type]
    columns = re.findall(r"\w+", cursor.sql.split("(")[1].split(")")[0])
    assert set(columns) == STORED | {"chat_id", "position"}
    stored = dict(zip(columns, cursor.rows[0], strict=True))
    row = tuple(stored[column] for column in re.findall(r"m\.(\w+)", messages.COLUMNS))
    assert messages.to_message(row) == message


def test_a_newer_version_replaces_every_field() -> None:
    replaced = set(re.findall(r"(\w+) = VALUES\(\1\)", persist_messages.REPLACE))
    assert replaced == STORED - {"number"} | {"position"}


def test_the_index_stores_and_returns_every_field() -> None:
    message = a_message()
    source = json.loads(to_action(Document(token="t", chat=1, message=message)).splitlines()[1])
    assert to_message(source) == message
    assert set(source) <= set(MAPPINGS["properties"])


def test_the_api_and_its_client_show_every_field() -> None:
    responses = API["paths"]["/applications/{token}/chats/{chat}/messages/{number}"]["get"]
    [content] = responses["responses"]["200"]["content"].values()
    schema = API["components"]["schemas"][content["schema"]["$ref"].rpartition("/")[2]]
    assert set(schema["properties"]) == SHOWN
    assert set(ordinal_client.Message.__struct_fields__) == SHOWN
    assert set(ordinal_client.NewMessage.__struct_fields__) == REQUESTED


def test_an_export_has_every_field_that_an_import_can_use() -> None:
    of_chat = {"chat", "chat_number", "chat_metadata"}
    assert set(NdjsonLine.__struct_fields__) == of_chat | SHOWN - {"revision"}
    line = NdjsonLine(chat="a chat", **{name: getattr(a_message(), name) for name in REQUESTED})
    request = line.message()
    assert all(getattr(request, name) is not None for name in REQUESTED)
