"""The bodies of requests, and their rules. What passes these rules is never refused later.

An error names every broken rule and its field. msgspec stops at the first error. Only then the value is
checked again, field by field.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Annotated, Any, get_args, get_origin

import msgspec
from msgspec import UNSET, Meta, UnsetType

from chalicelib.domain.auth import User
from chalicelib.domain.errors import ForbiddenError, InvalidError, Violation
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
from chalicelib.domain.models import (
    Chat,
    ChatNumber,
    Message,
    MessageNumber,
    Metadata,
    Revision,
    Timestamp,
)
from chalicelib.domain.times import parse_time

# Rules of `check_request`, as the documentation shows them. The pattern names the characters that are white
# space only for Python, or only for the regular expressions of JSON Schema.
_NOT_BLANK = {"pattern": r"[^\s\u001c-\u001f\u0085]|\ufeff"}
_TIME = {"format": "date-time"}

Name = Annotated[str, Meta(max_length=MAX_NAME_CHARS, extra_json_schema=_NOT_BLANK)]
Title = Annotated[str, Meta(max_length=MAX_TITLE_CHARS, extra_json_schema=_NOT_BLANK)]
Body = Annotated[str, Meta(max_length=MAX_BODY_CHARS, extra_json_schema=_NOT_BLANK)]
Sender = Annotated[str, Meta(max_length=MAX_SENDER_CHARS)]
Time = Annotated[str, Meta(extra_json_schema=_TIME)]


class _Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A JSON object. Unknown fields are refused."""


class ApplicationRequest(_Request, frozen=True, kw_only=True):
    """Create or rename an application."""

    name: Name


class KeyRequest(_Request, frozen=True, kw_only=True):
    """Replace the secret key. The replaced key stays valid for `overlap_seconds`."""

    overlap_seconds: Annotated[int, Meta(ge=0, le=MAX_KEY_OVERLAP_SECONDS)]


class ChatRequest(_Request, frozen=True, kw_only=True):
    """Create a chat."""

    title: Title | None = None
    metadata: Metadata | None = None

    def draft(self, now: Timestamp, idempotency_key: str | None) -> Chat:
        """The chat without its number."""
        return Chat(
            number=ChatNumber(0),
            revision=Revision(0),
            title=self.title,
            metadata=self.metadata,
            created_at=now,
            idempotency_key=idempotency_key,
        )


class ChatChange(_Request, frozen=True, kw_only=True):
    """Change the named fields of a chat. Null removes a field."""

    title: Title | None | UnsetType = UNSET
    metadata: Metadata | None | UnsetType = UNSET

    def apply(self, chat: Chat, now: Timestamp) -> Chat:
        """The next version of the chat."""
        return msgspec.structs.replace(chat, edited_at=now, **_named_fields(self))


class MessageRequest(_Request, frozen=True, kw_only=True):
    """Post a message. Imports set `created_at` to the time when the message was first written."""

    body: Body
    sender: Sender | None = None
    metadata: Metadata | None = None
    created_at: Time | None = None

    def draft(
        self, now: Timestamp, idempotency_key: str | None, user: User | None = None
    ) -> Message:
        """The message without its number; a user is its sender."""
        return Message(
            number=MessageNumber(0),
            revision=Revision(0),
            body=self.body,
            sender=user.name if user else self.sender,
            metadata=self.metadata,
            metadata_by_server=_is_by_server(self.metadata, user),
            created_at=now if self.created_at is None else parse_time("", self.created_at),
            idempotency_key=idempotency_key,
        )


class BatchRequest(_Request, frozen=True, kw_only=True):
    """Post messages that get consecutive numbers: all of them or none."""

    messages: Annotated[list[MessageRequest], Meta(min_length=1, max_length=MAX_BATCH_MESSAGES)]


class MessageChange(_Request, frozen=True, kw_only=True):
    """Change the named fields of a message. Metadata that the server wrote needs the secret key."""

    body: Body | UnsetType = UNSET
    metadata: Metadata | None | UnsetType = UNSET

    def apply(self, message: Message, now: Timestamp, user: User | None = None) -> Message:
        """The next version of the message.

        Raises `ForbiddenError` if a user changes metadata that was written with the secret key.
        """
        fields = _named_fields(self)
        if "metadata" in fields:
            if user and message.metadata_by_server:
                raise ForbiddenError(
                    "the metadata was written with the secret key, and only the secret key changes it"
                )
            fields["metadata_by_server"] = _is_by_server(fields["metadata"], user)
        return msgspec.structs.replace(message, edited_at=now, **fields)


class MarkerRequest(_Request, frozen=True, kw_only=True):
    """Move a read marker up to the number of a message. 0 is before the first message."""

    number: Annotated[int, Meta(ge=0, le=MAX_NUMBER)]


def check_request(request: msgspec.Struct, now: Timestamp, user: User | None = None) -> None:
    """The rules that a type cannot express. Raises `InvalidError` with the JSON pointer of each field.

    A user cannot write under another name, or with another time.
    """
    violations = chain(_rule_violations(request, now, ""), _user_violations(request, user, ""))
    if (first := next(violations, None)) is not None:
        raise invalid(chain([first], violations))


def _rule_violations(request: msgspec.Struct, now: Timestamp, at: str) -> Iterator[Violation]:
    for field in request.__struct_fields__:
        value, pointer = getattr(request, field), f"{at}/{field}"
        match field:
            case "name" | "title" | "body" if isinstance(value, str) and not value.strip():
                yield Violation(pointer, "must not be blank")
            case "metadata" if isinstance(value, dict):
                yield from _metadata_violations(pointer, value)
            case "created_at" if value is not None:
                yield from _time_violations(pointer, value, now)
            case "messages":
                for i, message in enumerate(value):
                    yield from _rule_violations(message, now, f"{pointer}/{i}")
    if isinstance(request, ChatChange | MessageChange) and not _named_fields(request):
        yield Violation(at, "must name at least one field to change")


def _user_violations(request: msgspec.Struct, user: User | None, at: str) -> Iterator[Violation]:
    if user and isinstance(request, BatchRequest):
        for i, message in enumerate(request.messages):
            yield from _user_violations(message, user, f"{at}/messages/{i}")
    if user and isinstance(request, MessageRequest):
        if request.sender not in (None, user.name):
            yield Violation(f"{at}/sender", "must be the user of the token, or left out")
        if request.created_at is not None:
            yield Violation(f"{at}/created_at", "is not allowed with a user token")


def _is_by_server(metadata: Metadata | None, user: User | None) -> bool:
    return metadata is not None and user is None


def _named_fields(change: ChatChange | MessageChange) -> dict[str, Any]:
    return {f: v for f in change.__struct_fields__ if (v := getattr(change, f)) is not UNSET}


def _metadata_violations(pointer: str, metadata: Metadata) -> Iterator[Violation]:
    if _depth(metadata) > MAX_METADATA_DEPTH:
        yield Violation(pointer, f"must not be nested deeper than {MAX_METADATA_DEPTH} levels")
    elif len(msgspec.json.encode(metadata)) > MAX_METADATA_BYTES:
        yield Violation(pointer, f"must not have more than {MAX_METADATA_BYTES} bytes as JSON")


def _time_violations(pointer: str, time: str, now: Timestamp) -> Iterator[Violation]:
    try:
        if parse_time(pointer, time) > now:
            yield Violation(pointer, "must not be in the future")
    except InvalidError as error:
        yield from error.violations


def _depth(value: Any) -> int:
    """How deep objects and arrays are nested. The count stops one above the limit."""
    level, depth = [value], 0
    while level and depth <= MAX_METADATA_DEPTH:
        inner = [v for v in level if isinstance(v, dict | list)]
        level = [c for v in inner for c in (v.values() if isinstance(v, dict) else v)]
        depth += bool(inner)
        if not inner:
            break
    return depth


MAX_VIOLATIONS = 100

_POSITION = re.compile(r" - at `\$(?P<steps>[^`]*)`$")
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+)\]")
_ESCAPES = str.maketrans({"~": "~0", "/": "~1"})


def decode[T](data: bytes, kind: type[T]) -> T:
    """JSON as a value of the type. Raises `InvalidError` with the JSON pointer of each violation."""
    try:
        try:
            return msgspec.json.decode(data, type=kind)
        except msgspec.ValidationError:
            raw = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise InvalidError("", f"must be JSON in UTF-8: {error}") from None
    except RecursionError:
        raise InvalidError("", "must not be nested so deeply") from None
    raise invalid(_type_violations(raw, kind, "", strict=True))


def from_text[T](values: Mapping[str, str], kind: type[T]) -> T:
    """Parameters as a value of the type. Raises `InvalidError` with the name of each invalid one."""
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError:
        violations = _type_violations(values, kind, "", strict=False)
    raise invalid(
        Violation(violation.pointer.removeprefix("/"), violation.rule) for violation in violations
    )


def invalid(violations: Iterator[Violation]) -> InvalidError:
    """One error for the first 100 violations. There is at least one."""
    first, *others = islice(violations, MAX_VIOLATIONS)
    return InvalidError(first.pointer, first.rule, *others)


def pointer(at: str, name: str) -> str:
    """The JSON pointer (RFC 6901) of a member of the value at `at`."""
    return f"{at}/{name.translate(_ESCAPES)}"


def _type_violations(value: Any, kind: Any, at: str, strict: bool) -> Iterator[Violation]:
    try:
        msgspec.convert(value, kind, strict=strict)
    except msgspec.ValidationError as error:
        inner = list(islice(_inner_violations(value, kind, at, strict), MAX_VIOLATIONS))
        yield from inner or [_as_violation(str(error), at)]
    except RecursionError:
        yield Violation(at, "must not be nested so deeply")


def _inner_violations(value: Any, kind: Any, at: str, strict: bool) -> Iterator[Violation]:
    """The violations inside an object or an array, as far as the type describes its content."""
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if get_origin(kind) is list and isinstance(value, list):
        [item_kind] = get_args(kind)
        for i, item in enumerate(value):
            yield from _type_violations(item, item_kind, f"{at}/{i}", strict)
    elif isinstance(kind, type) and issubclass(kind, msgspec.Struct) and isinstance(value, Mapping):
        yield from _field_violations(value, msgspec.structs.fields(kind), at, strict)


def _field_violations(
    value: Mapping[str, Any], fields: Sequence[msgspec.structs.FieldInfo], at: str, strict: bool
) -> Iterator[Violation]:
    known = {field.encode_name: field for field in fields}
    for name in value:
        if name not in known:
            yield Violation(
                pointer(at, name), f"is not known; the known ones are: {', '.join(known)}"
            )
    for name, field in known.items():
        if name in value:
            yield from _type_violations(value[name], field.type, pointer(at, name), strict)
        elif field.required:
            yield Violation(pointer(at, name), "is missing")


def _as_violation(text: str, at: str) -> Violation:
    """msgspec's message (`Expected `str`, got `int` - at `$.a[3]``) as a pointer and a rule."""
    position = _POSITION.search(text)
    for name, index in _STEP.findall(position["steps"]) if position else ():
        at = pointer(at, name or index)
    rule = _POSITION.sub("", text).replace("Expected", "must be").replace(", got", ", is")
    return Violation(at, rule)
