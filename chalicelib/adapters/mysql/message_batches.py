"""What the records of an invocation bring for each chat, before MySQL is asked."""

from collections import defaultdict
from collections.abc import Iterable

import msgspec

from chalicelib.domain.records import Lease, Message, MessagesRecord

ChatName = tuple[str, int]  # token, number


class Batch(msgspec.Struct):
    """The newest state of each number of a chat, and the leases they were numbered under."""

    newest: dict[int, Message] = {}
    leases: set[Lease] = set()


def gather(records: Iterable[MessagesRecord]) -> dict[ChatName, Batch]:
    """Sort the states by chat; of the same number, the newest revision stays."""
    batches: defaultdict[ChatName, Batch] = defaultdict(Batch)
    for record in (record for record in records if record.messages):
        batch = batches[record.token, record.chat]
        batch.leases.add(record.lease)
        for message in record.messages:
            held = batch.newest.get(message.number)
            if held is None or message.revision > held.revision:
                batch.newest[message.number] = message
    return batches
