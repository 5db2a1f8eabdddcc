"""Holds what clients saw against what is stored, and says which promises were broken."""

from collections.abc import Callable, Iterator

from tests.promises.answers import (
    accepted_under_a_replaced_key,
    backward_reads,
    numbers_given_twice,
    older_than_what_was_read,
    retries_answered_otherwise,
    revisions_given_twice,
)
from tests.promises.calm import left_overs, wrong_counts, wrong_documents
from tests.promises.followed import backward_changes, wrong_copies
from tests.promises.history import History
from tests.promises.kept import (
    edits_made_twice,
    lost_chats,
    lost_edits,
    lost_from_the_inbox,
    lost_messages,
    strange_texts,
    texts_stored_twice,
)
from tests.promises.numbers import holes, skipped_without_a_loss
from tests.promises.readers import backward_markers, wrong_unread_counts
from tests.promises.stored import Stored

Rule = Callable[[History, Stored], Iterator[str]]

_RULES: tuple[Rule, ...] = (
    numbers_given_twice,
    revisions_given_twice,
    retries_answered_otherwise,
    accepted_under_a_replaced_key,
    backward_reads,
    older_than_what_was_read,
    lost_chats,
    lost_messages,
    lost_edits,
    lost_from_the_inbox,
    edits_made_twice,
    texts_stored_twice,
    strange_texts,
    holes,
    skipped_without_a_loss,
    wrong_counts,
    wrong_documents,
    wrong_copies,
    backward_changes,
    backward_markers,
    wrong_unread_counts,
    left_overs,
)


# What was promised of things that are there is not asked of a deleted application.
_OF_WHAT_IS_GONE: tuple[Rule, ...] = (
    numbers_given_twice,
    revisions_given_twice,
    retries_answered_otherwise,
    accepted_under_a_replaced_key,
    backward_markers,
    wrong_documents,
    left_overs,
)


def broken(history: History, stored: Stored) -> list[str]:
    """A sentence for each broken promise. `stored` is what is there once all is delivered and calm,
    and each live chat was written to after the last loss, so that what was skipped is noted."""
    rules = _OF_WHAT_IS_GONE if stored.is_gone else _RULES
    return [f"{rule.__name__}: {said}" for rule in rules for said in rule(history, stored)]
