"""What schemathesis must know about this API apart from the document."""

import uuid

import schemathesis

_HIGHEST = {"chat": 20, "number": 9}


@schemathesis.hook
def before_call(
    context: schemathesis.HookContext, case: schemathesis.Case, kwargs: dict[str, object]
) -> None:
    """Change valid requests so that they name existing resources. No schema can describe this.

    Numbers are those of chats and messages that may exist, and are integers. An Idempotency-Key is new, and
    no message is from the future.
    """
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    if case.headers and "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = str(uuid.uuid4())
    for name, highest in _HIGHEST.items():
        if isinstance(number := (case.path_parameters or {}).get(name), int) and number > 100:
            case.path_parameters[name] = number % highest + 1
    if isinstance(case.body, dict):
        for name in ("number", "overlap_seconds"):
            if isinstance(number := case.body.get(name), float):
                case.body[name] = int(number)
        for message in (case.body, *case.body.get("messages", ())):
            if message.get("created_at") is not None:
                message["created_at"] = "2026-01-31T12:00:00Z"
