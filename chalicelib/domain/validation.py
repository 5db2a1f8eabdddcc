"""From JSON or text to a type of `requests.py`, or an error that names every fault with its place.

msgspec stops at the first fault; only where there is one, the value is gone through field by field.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Annotated, Any, get_args, get_origin

import msgspec

from chalicelib.domain.errors import InvalidError, Violation

MAX_FAULTS = 100

_PLACE = re.compile(r" - at `\$(?P<steps>[^`]*)`$")
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+)\]")
_ESCAPES = str.maketrans({"~": "~0", "/": "~1"})


def decode[T](data: bytes, kind: type[T]) -> T:
    """A JSON text as a value of the type. Raises `InvalidError` with the JSON pointer of each fault."""
    try:
        try:
            return msgspec.json.decode(data, type=kind)
        except msgspec.ValidationError:
            raw = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise InvalidError("", f"must be JSON in UTF-8: {error}") from None
    except RecursionError:
        raise InvalidError("", "must not be nested so deeply") from None
    raise invalid(_faults(raw, kind, "", strict=True))


def from_text[T](values: Mapping[str, str], kind: type[T]) -> T:
    """Parameters as a value of the type. Raises `InvalidError` with the name of each faulty one."""
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError:
        faults = _faults(values, kind, "", strict=False)
    raise invalid(Violation(fault.pointer.removeprefix("/"), fault.rule) for fault in faults)


def invalid(faults: Iterator[Violation]) -> InvalidError:
    """One error for the faults, of which there is at least one; those beyond 100 are left out."""
    first, *others = islice(faults, MAX_FAULTS)
    return InvalidError(first.pointer, first.rule, *others)


def pointer(at: str, name: str) -> str:
    """The JSON pointer (RFC 6901) of a member of what is at `at`."""
    return f"{at}/{name.translate(_ESCAPES)}"


def _faults(value: Any, kind: Any, at: str, strict: bool) -> Iterator[Violation]:
    try:
        msgspec.convert(value, kind, strict=strict)
    except msgspec.ValidationError as error:
        inner = list(islice(_inner_faults(value, kind, at, strict), MAX_FAULTS))
        yield from inner or [_as_fault(str(error), at)]
    except RecursionError:
        yield Violation(at, "must not be nested so deeply")


def _inner_faults(value: Any, kind: Any, at: str, strict: bool) -> Iterator[Violation]:
    """The faults of what is inside an object or an array, where the type says what belongs there."""
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if get_origin(kind) is list and isinstance(value, list):
        [item_kind] = get_args(kind)
        for i, item in enumerate(value):
            yield from _faults(item, item_kind, f"{at}/{i}", strict)
    elif isinstance(kind, type) and issubclass(kind, msgspec.Struct) and isinstance(value, Mapping):
        yield from _field_faults(value, msgspec.structs.fields(kind), at, strict)


def _field_faults(
    value: Mapping[str, Any], fields: Sequence[msgspec.structs.FieldInfo], at: str, strict: bool
) -> Iterator[Violation]:
    known = {field.encode_name: field for field in fields}
    for name in value:
        if name not in known:
            yield Violation(pointer(at, name), f"is not known here; known are: {', '.join(known)}")
    for name, field in known.items():
        if name in value:
            yield from _faults(value[name], field.type, pointer(at, name), strict)
        elif field.required:
            yield Violation(pointer(at, name), "is missing")


def _as_fault(text: str, at: str) -> Violation:
    """msgspec's message (`Expected `str`, got `int` - at `$.a[3]``) as a pointer and a rule."""
    place = _PLACE.search(text)
    for name, index in _STEP.findall(place["steps"]) if place else ():
        at = pointer(at, name or index)
    rule = _PLACE.sub("", text).replace("Expected", "must be").replace(", got", ", is")
    return Violation(at, rule)
