"""The API's errors (problem+json, RFC 9457) in words."""

import httpx
import msgspec

_SHOWN_CHARS = 200


class Fault(msgspec.Struct, frozen=True):
    """A field that breaks a rule."""

    pointer: str
    rule: str


class Problem(msgspec.Struct, frozen=True):
    """The service's own shape; `message` is what API Gateway says where the service did not answer."""

    title: str = ""
    detail: str = ""
    errors: tuple[Fault, ...] = ()
    message: str = ""


def in_words(response: httpx.Response) -> str:
    """Status, title, detail and the fields' faults of an answer that is not a success."""
    try:
        problem = msgspec.json.decode(response.content, type=Problem)
    except msgspec.DecodeError:
        problem = Problem(message=response.text[:_SHOWN_CHARS])
    said = ": ".join(filter(None, (problem.title or problem.message, problem.detail)))
    faults = [f"{f.pointer}: {f.rule}" for f in problem.errors]
    # A single fault is often the detail already.
    faults = [fault for fault in faults if fault not in said]
    return " ".join([str(response.status_code), said, *(f"[{fault}]" for fault in faults)]).rstrip()
