"""Compares what the clients saw with what is stored, and names the broken promises."""

from collections.abc import Callable, Iterator

from tests.invariants.change_feed import backward_changes, wrong_copies
from tests.invariants.consistency import (
    leftovers,
    missing_numbers,
    skipped_without_a_loss,
    wrong_counts,
    wrong_documents,
    wrong_unread_counts,
)
from tests.invariants.durability import (
    edits_applied_twice,
    lost_chats,
    lost_edits,
    lost_from_the_inbox,
    lost_messages,
    texts_stored_twice,
    unsent_texts,
)
from tests.invariants.history import History
from tests.invariants.responses import (
    accepted_under_a_replaced_key,
    backward_markers,
    backward_reads,
    edits_older_than_reads,
    numbers_issued_twice,
    pages_with_a_gap,
    refused_without_a_fault,
    retries_with_another_response,
    revisions_issued_twice,
)
from tests.invariants.stored import Stored

Rule = Callable[[History, Stored], Iterator[str]]

_RULES: tuple[Rule, ...] = (
    numbers_issued_twice,
    revisions_issued_twice,
    retries_with_another_response,
    accepted_under_a_replaced_key,
    backward_reads,
    edits_older_than_reads,
    pages_with_a_gap,
    refused_without_a_fault,
    lost_chats,
    lost_messages,
    lost_edits,
    lost_from_the_inbox,
    edits_applied_twice,
    texts_stored_twice,
    unsent_texts,
    missing_numbers,
    skipped_without_a_loss,
    wrong_counts,
    wrong_documents,
    wrong_copies,
    backward_changes,
    backward_markers,
    wrong_unread_counts,
    leftovers,
)


# The other rules need rows, and a deleted application has none.
_RULES_AFTER_DELETION: tuple[Rule, ...] = (
    numbers_issued_twice,
    revisions_issued_twice,
    retries_with_another_response,
    accepted_under_a_replaced_key,
    refused_without_a_fault,
    backward_markers,
    wrong_documents,
    leftovers,
)


def broken(history: History, stored: Stored) -> list[str]:
    """One sentence for each violation: the name of the rule, a colon, and what happened.

    Read `stored` when the system is quiescent. Before that, write to each live chat after the last loss,
    so that the skipped numbers are recorded.
    """
    rules = _RULES_AFTER_DELETION if stored.is_gone else _RULES
    return [
        f"{rule.__name__}: {violation}" for rule in rules for violation in rule(history, stored)
    ]
