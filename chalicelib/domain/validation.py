"""JSON or text as a type of `requests.py`, or an error that names every broken rule and its field.

msgspec stops at the first error. Only then the value is checked again, field by field.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Annotated, Any, get_args, get_origin

import msgspec

from chalicelib.domain.errors import InvalidError, Violation

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
    raise invalid(_violations(raw, kind, "", strict=True))


def from_text[T](values: Mapping[str, str], kind: type[T]) -> T:
    """Parameters as a value of the type. Raises `InvalidError` with the name of each invalid one."""
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError:
        violations = _violations(values, kind, "", strict=False)
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


def _violations(value: Any, kind: Any, at: str, strict: bool) -> Iterator[Violation]:
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
            yield from _violations(item, item_kind, f"{at}/{i}", strict)
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
            yield from _violations(value[name], field.type, pointer(at, name), strict)
        elif field.required:
            yield Violation(pointer(at, name), "is missing")


def _as_violation(text: str, at: str) -> Violation:
    """msgspec's message (`Expected `str`, got `int` - at `$.a[3]``) as a pointer and a rule."""
    position = _POSITION.search(text)
    for name, index in _STEP.findall(position["steps"]) if position else ():
        at = pointer(at, name or index)
    rule = _POSITION.sub("", text).replace("Expected", "must be").replace(", got", ", is")
    return Violation(at, rule)
