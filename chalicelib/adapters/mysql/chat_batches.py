"""What the records of an invocation bring for each application, before MySQL is asked."""

from collections.abc import Iterable

import msgspec

from chalicelib.adapters.mysql.ceilings import newest
from chalicelib.domain.records import Chat, ChatsRecord, Lease


class States(msgspec.Struct):
    """All states of one chat in the batch."""

    states: list[Chat] = []

    @property
    def deleted(self) -> bool:
        return any(state.deleted_at is not None for state in self.states)

    @property
    def revision(self) -> int:
        return max(state.revision for state in self.states)

    def leases(self) -> list[Lease]:
        """Each state carries the first lease of the chat's messages until its row is there."""
        return [state.messages_lease for state in self.states if state.messages_lease]

    def to_insert(self) -> Chat:
        """The state for a row that this batch makes."""
        return msgspec.structs.replace(self.to_update(0), messages_lease=newest(self.leases()))

    def to_update(self, stored_revision: int) -> Chat:
        """The state that wins: a deletion if there is one, or else the newest."""
        winner = max(self.states, key=lambda state: (state.deleted_at is not None, state.revision))
        revision = max(stored_revision, self.revision)
        return msgspec.structs.replace(winner, revision=revision)


class Batch(msgspec.Struct):
    """The states of each chat of an application, and the leases they were numbered under."""

    chats: dict[int, States] = {}
    leases: set[Lease] = set()


def gather(records: Iterable[ChatsRecord]) -> dict[str, Batch]:
    """Sort the states by application and number."""
    batches: dict[str, Batch] = {}
    for record in records:
        for chat in record.chats:
            batch = batches.setdefault(record.token, Batch())
            batch.leases.add(record.lease)
            batch.chats.setdefault(chat.number, States()).states.append(chat)
    return batches
