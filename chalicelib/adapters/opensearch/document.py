"""A message state as its OpenSearch document, and back, exactly as it was."""

from typing import Any

import msgspec

from chalicelib.domain.folding import compose
from chalicelib.domain.records import Document, Message, Metadata

Source = dict[str, Any]


def to_action(document: Document) -> bytes:
    """The two lines of a bulk request. Raises `UnicodeEncodeError` for text that is not Unicode.

    The revision is the document's version, so an older state never replaces a newer one.
    """
    token, message = document.token, document.message
    head = {
        "_id": f"{token}:{document.chat}:{message.number}",
        "routing": token,
        "version": message.revision,
        "version_type": "external_gte",
    }
    lines = msgspec.json.encode({"index": head}), msgspec.json.encode(_to_source(document))
    return b"".join(line + b"\n" for line in lines)


def to_message(source: Source) -> Message:
    """The message as it was indexed. Its Idempotency-Key is not kept here."""
    metadata = source.get("metadata")
    return Message(
        number=source["number"],
        revision=source["revision"],
        body=source["original"] if "original" in source else source["body"],
        sender=source.get("sender"),
        metadata=None if metadata is None else msgspec.json.decode(metadata, type=Metadata),
        created_at=source["created_at"],
        edited_at=source.get("edited_at"),
    )


def _to_source(document: Document) -> Source:
    """A deleted message stays as a mark: OpenSearch forgets what it deleted after a minute, and an
    older state that came later would bring the message back.
    """
    message = document.message
    source: Source = {
        "token": document.token,
        "chat": document.chat,
        "number": message.number,
        "revision": message.revision,
        "deleted": message.deleted_at is not None,
        "created_at": message.created_at,
    }
    return source if source["deleted"] else {**source, **_content(message)}


def _content(message: Message) -> Source:
    """The composed spelling is indexed; the original is kept beside it where it differs."""
    body = compose(message.body)
    content: Source = {
        "body": body,
        "original": None if body == message.body else message.body,
        "sender": message.sender,
        "metadata": _as_text(message.metadata),
        "edited_at": message.edited_at,
    }
    return {name: value for name, value in content.items() if value is not None}


def _as_text(metadata: Metadata | None) -> str | None:
    return None if metadata is None else msgspec.json.encode(metadata).decode()
