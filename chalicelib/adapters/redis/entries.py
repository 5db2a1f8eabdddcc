"""States as the scripts take them, and pending entries as they give them back (see `common.lua`)."""

import msgspec

from chalicelib.domain.records import Chat, Lease, Message, Pending

_HEAD = b'{"number":0,"revision":0'


def fragment(draft: Message | Chat) -> bytes:
    """The JSON of a state from after its revision on; the script puts number and revision before it."""
    json = msgspec.json.encode(msgspec.structs.replace(draft, number=0, revision=0))
    return json.removeprefix(_HEAD)


def parse_entry(entry: bytes, kind: type[Message] | type[Chat]) -> Pending:
    """A pending entry as a value."""
    _, accepted_at_ms, holder, epoch, ceiling, json = entry.split(b"|", 5)
    return Pending(
        accepted_at_ms=int(accepted_at_ms),
        lease=Lease(holder.decode(), int(epoch), int(ceiling)),
        state=msgspec.json.decode(json, type=kind),
    )
