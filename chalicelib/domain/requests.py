"""What clients send, and the rules that it must keep. What is accepted here is never refused later."""

from collections.abc import Iterator
from itertools import chain
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from chalicelib.domain.auth import User
from chalicelib.domain.errors import InvalidError, Violation
from chalicelib.domain.limits import (
    MAX_BATCH_MESSAGES,
    MAX_BODY_CHARS,
    MAX_KEY_OVERLAP_SECONDS,
    MAX_METADATA_BYTES,
    MAX_METADATA_DEPTH,
    MAX_NAME_CHARS,
    MAX_NUMBER,
    MAX_SENDER_CHARS,
    MAX_TITLE_CHARS,
)
from chalicelib.domain.models import Chat, Message, Metadata
from chalicelib.domain.times import parse_time
from chalicelib.domain.validation import invalid

# Rules that `check_request` checks, as the documentation shows them. What Python takes for white space and
# JSON Schema's regular expressions do not, and the other way round, is named.
_NOT_BLANK = {"pattern": r"[^\s\u001c-\u001f\u0085]|\ufeff"}
_A_TIME = {"format": "date-time"}

Name = Annotated[str, Meta(max_length=MAX_NAME_CHARS, extra_json_schema=_NOT_BLANK)]
Title = Annotated[str, Meta(max_length=MAX_TITLE_CHARS, extra_json_schema=_NOT_BLANK)]
Body = Annotated[str, Meta(max_length=MAX_BODY_CHARS, extra_json_schema=_NOT_BLANK)]
Sender = Annotated[str, Meta(max_length=MAX_SENDER_CHARS)]
Time = Annotated[str, Meta(extra_json_schema=_A_TIME)]


class _Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A JSON object without fields that are not known."""


class ApplicationRequest(_Request, frozen=True, kw_only=True):
    """Create or rename an application."""

    name: Name


class KeyRequest(_Request, frozen=True, kw_only=True):
    """Replace the secret key. For `overlap_seconds` the one before stays valid; 0 ends it at once."""

    overlap_seconds: Annotated[int, Meta(ge=0, le=MAX_KEY_OVERLAP_SECONDS)]


class ChatRequest(_Request, frozen=True, kw_only=True):
    """Create a chat."""

    title: Title | None = None
    metadata: Metadata | None = None

    def draft(self, now: str, idempotency_key: str | None) -> Chat:
        """The chat without its number."""
        return Chat(
            number=0,
            revision=0,
            title=self.title,
            metadata=self.metadata,
            created_at=now,
            idempotency_key=idempotency_key,
        )


class ChatChange(_Request, frozen=True, kw_only=True):
    """Change what is given of a chat; null removes it."""

    title: Title | None | UnsetType = UNSET
    metadata: Metadata | None | UnsetType = UNSET

    def apply(self, chat: Chat, now: str) -> Chat:
        """The chat's next state."""
        return msgspec.structs.replace(chat, edited_at=now, **_given(self))


class MessageRequest(_Request, frozen=True, kw_only=True):
    """Post a message. `created_at` is for imports: when the message was first written."""

    body: Body
    sender: Sender | None = None
    metadata: Metadata | None = None
    created_at: Time | None = None

    def draft(self, now: str, idempotency_key: str | None, user: User | None = None) -> Message:
        """The message without its number; a user is its sender."""
        return Message(
            number=0,
            revision=0,
            body=self.body,
            sender=user.name if user else self.sender,
            metadata=self.metadata,
            created_at=now if self.created_at is None else parse_time("", self.created_at),
            idempotency_key=idempotency_key,
        )


class BatchRequest(_Request, frozen=True, kw_only=True):
    """Post messages that get numbers following each other, all of them or none."""

    messages: Annotated[list[MessageRequest], Meta(min_length=1, max_length=MAX_BATCH_MESSAGES)]


class MessageChange(_Request, frozen=True, kw_only=True):
    """Change what is given of a message."""

    body: Body | UnsetType = UNSET
    metadata: Metadata | None | UnsetType = UNSET

    def apply(self, message: Message, now: str) -> Message:
        """The message's next state."""
        return msgspec.structs.replace(message, edited_at=now, **_given(self))


class MarkerRequest(_Request, frozen=True, kw_only=True):
    """Move a read marker up to a message's number. 0 is before the first message."""

    number: Annotated[int, Meta(ge=0, le=MAX_NUMBER)]


def check_request(request: msgspec.Struct, now: str, user: User | None = None) -> None:
    """Rules that a type cannot express. Raises `InvalidError` with the JSON pointer of each field.

    A user writes in its own name, and at this moment.
    """
    faults = chain(_broken_rules(request, now, ""), _broken_by_user(request, user, ""))
    if (first := next(faults, None)) is not None:
        raise invalid(chain([first], faults))


def _broken_rules(request: msgspec.Struct, now: str, at: str) -> Iterator[Violation]:
    for field in request.__struct_fields__:
        value, place = getattr(request, field), f"{at}/{field}"
        match field:
            case "name" | "title" | "body" if isinstance(value, str) and not value.strip():
                yield Violation(place, "must not be blank")
            case "metadata" if isinstance(value, dict):
                yield from _broken_by_metadata(place, value)
            case "created_at" if value is not None:
                yield from _broken_by_time(place, value, now)
            case "messages":
                for i, message in enumerate(value):
                    yield from _broken_rules(message, now, f"{place}/{i}")
    if isinstance(request, ChatChange | MessageChange) and not _given(request):
        yield Violation(at, "must name at least one field to change")


def _broken_by_user(request: msgspec.Struct, user: User | None, at: str) -> Iterator[Violation]:
    if user and isinstance(request, BatchRequest):
        for i, message in enumerate(request.messages):
            yield from _broken_by_user(message, user, f"{at}/messages/{i}")
    if user and isinstance(request, MessageRequest):
        if request.sender not in (None, user.name):
            yield Violation(f"{at}/sender", "must be the user that the token names, or left out")
        if request.created_at is not None:
            yield Violation(f"{at}/created_at", "must not be there with a user's token")


def _given(change: ChatChange | MessageChange) -> dict[str, Any]:
    return {f: v for f in change.__struct_fields__ if (v := getattr(change, f)) is not UNSET}


def _broken_by_metadata(place: str, metadata: Metadata) -> Iterator[Violation]:
    if _depth(metadata) > MAX_METADATA_DEPTH:
        yield Violation(place, f"must not be nested deeper than {MAX_METADATA_DEPTH} levels")
    elif len(msgspec.json.encode(metadata)) > MAX_METADATA_BYTES:
        yield Violation(place, f"must not be over {MAX_METADATA_BYTES} bytes as JSON")


def _broken_by_time(place: str, time: str, now: str) -> Iterator[Violation]:
    try:
        if parse_time(place, time) > now:
            yield Violation(place, "must not be in the future")
    except InvalidError as error:
        yield from error.violations


def _depth(value: Any) -> int:
    """How deep objects and arrays are nested, counted no further than one over the limit."""
    level, depth = [value], 0
    while level and depth <= MAX_METADATA_DEPTH:
        inner = [v for v in level if isinstance(v, dict | list)]
        level = [c for v in inner for c in (v.values() if isinstance(v, dict) else v)]
        depth += bool(inner)
        if not inner:
            break
    return depth
