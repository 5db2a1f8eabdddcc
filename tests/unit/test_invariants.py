"""The checker of the promises: an ordinary history breaks no rule, and each rule can fail."""

from typing import Any

import pytest
from msgspec.structs import replace

from tests.invariants.check import broken
from tests.invariants.history import (
    GONE,
    TWO_PRIMARIES,
    Attempt,
    History,
    Loss,
    ShownPage,
    Span,
)
from tests.invariants.stored import Stored, StoredChat, StoredMessage

T = "an application"


class Story:
    """Chat 1 with the messages 1 to 3: posted, edited, deleted. Everything is stored and indexed."""

    def __init__(self) -> None:
        self.history = History()
        self.chat = self.did("chat", None, (1, 1, 1), texts=("title",))
        self.post = self.did("post", 1, (1, 2, 10), texts=("a", "b"))
        self.edit = self.did("edit", 1, (1, 1, 12), number=1, texts=("a2",))
        self.third = self.did("post", 1, (3, 3, 13), texts=("c",), key="k")
        self.did("delete", 1, (3, 3, 14), number=3)
        messages = {
            1: StoredMessage(12, "a2"),
            2: StoredMessage(11, "b"),
            3: StoredMessage(14, "", True),
        }
        self.row = StoredChat(1, "title", False, 2, messages, [])
        indexed = {(T, 1, 1): (12, "a2"), (T, 1, 2): (11, "b")}
        self.stored = Stored({(T, 1): self.row}, {T: 1}, indexed)

    def did(
        self, kind: Any, chat: int | None, numbers: tuple[int, int, int] | None, **fields: Any
    ) -> Attempt:
        attempt = self.history.start("ann", kind, T, chat, **fields)
        if numbers:
            self.history.acknowledge(attempt, *numbers)
        return attempt

    def holds(self, number: int, revision: int, body: str) -> None:
        """Store and index this version of message `number`."""
        self.row.messages[number] = StoredMessage(revision, body)
        self.stored.indexed[T, 1, number] = (revision, body)
        self.row.messages_count = sum(not m.deleted for m in self.row.messages.values())

    def broken(self) -> set[str]:
        return {violation.split(":")[0] for violation in broken(self.history, self.stored)}


@pytest.fixture
def story() -> Story:
    return Story()


def test_an_ordinary_history_breaks_nothing(story: Story) -> None:
    assert broken(story.history, story.stored) == []


def test_a_number_for_two_requests(story: Story) -> None:
    story.did("post", 1, (2, 2, 15), texts=("x",))
    assert "numbers_issued_twice" in story.broken()
    story.did("chat", None, (1, 1, 9), texts=("another",))
    assert (
        sum("numbers_issued" in violation for violation in broken(story.history, story.stored)) == 2
    )


def test_a_revision_for_two_versions(story: Story) -> None:
    story.did("edit", 1, (2, 2, 12), number=2, texts=("b2",))
    assert "revisions_issued_twice" in story.broken()


def test_a_retry_with_another_response(story: Story) -> None:
    story.did("post", 1, (3, 3, 13), texts=("c",), key="k")
    assert story.broken() == set()
    story.did("post", 1, (4, 4, 15), texts=("c",), key="k")
    story.holds(4, 15, "c")
    assert story.broken() == {"retries_with_another_response"}


def test_a_retry_after_a_loss_is_a_new_request(story: Story) -> None:
    story.history.record_loss("wiped")
    story.did("post", 1, (4, 4, 15), texts=("c",), key="k")
    story.holds(4, 15, "c")
    assert story.broken() == set()


def test_a_read_that_went_backwards(story: Story) -> None:
    read = story.history.record_read
    read(story.history.now(), "bob", T, 1, 1, 10)
    read(story.history.now(), "ann", T, 1, 1, 12)
    read(story.history.now(), "ann", T, 1, 3, GONE)
    assert story.broken() == set()
    read(story.history.now(), "ann", T, 1, 3, None)
    assert story.broken() == {"backward_reads"}


def test_a_deleted_chat_may_be_listed_as_empty(story: Story) -> None:
    story.did("delete_chat", 1, None)
    story.history.record_read(story.history.now(), "ann", T, 1, 1, None)
    assert story.broken() == set()
    story.history.record_read(story.history.now(), "ann", T, 1, 1, 11)
    assert story.broken() == {"backward_reads"}


def test_a_loss_excuses_backward_reads_of_earlier_versions_and_not_of_later_ones(
    story: Story,
) -> None:
    loss = story.history.record_loss("two primaries", lasting=True)
    story.history.record_read(story.history.now(), "ann", T, 1, 1, None)
    story.history.end_loss(loss)
    assert story.broken() == set()
    story.did("edit", 1, (1, 1, 15), number=1, texts=("a3",))
    story.holds(1, 15, "a3")
    story.history.record_read(story.history.now(), "ann", T, 1, 1, 12)
    assert story.broken() == {"backward_reads"}


def test_a_page_that_skips_a_message(story: Story) -> None:
    story.history.record_page(ShownPage("ann", T, 1, 0, (1, 2)))
    story.history.record_page(ShownPage("ann", T, 1, 1, ()))
    assert story.broken() == set()
    story.history.record_page(ShownPage("ann", T, 1, 0, (2,)))
    assert story.broken() == {"pages_with_a_gap"}
    story.history.record_loss("wiped")
    assert story.broken() == set()


def test_a_page_may_leave_out_a_deleted_message(story: Story) -> None:
    story.did("post", 1, (4, 4, 15), texts=("d",))
    story.holds(4, 15, "d")
    story.history.record_page(ShownPage("ann", T, 1, 1, (2, 4)))
    assert story.broken() == set()


def test_a_refusal_while_nothing_fails(story: Story) -> None:
    story.history.record_refusal("ann's post was refused")
    assert story.broken() == set()
    story.history.is_faultless = True
    assert story.broken() == {"refused_without_a_fault"}


def test_an_edit_with_a_revision_below_that_of_an_earlier_read(story: Story) -> None:
    story.history.record_read(story.history.now(), "ann", T, 1, 2, 30)
    story.did("edit", 1, (2, 2, 20), number=2, texts=("b2",))
    story.holds(2, 20, "b2")
    assert "edits_older_than_reads" in story.broken()
    story.history.losses.append(Loss("two primaries", 0, None))
    assert "edits_older_than_reads" not in story.broken()


def test_a_chat_that_is_not_stored(story: Story) -> None:
    story.did("chat", None, (2, 2, 2), texts=("second",))
    assert "lost_chats" in story.broken()
    story.stored.chats[T, 2] = StoredChat(0)
    story.stored.chats_count[T] = 2
    assert "lost_chats" in story.broken()
    story.stored.chats[T, 2] = StoredChat(2, "second")
    assert story.broken() == set()
    story.stored.chats[T, 2].title = "first"
    assert story.broken() == {"lost_chats"}


def test_a_chat_that_is_not_deleted_or_that_nobody_deleted(story: Story) -> None:
    story.row.deleted, story.stored.chats_count[T], story.stored.indexed = True, 0, {}
    assert story.broken() == {"lost_chats"}
    story.did("delete_chat", 1, None)
    assert story.broken() == set()
    story.did("delete_chat", 1, (1, 1, 2))
    assert story.broken() == set()
    story.row.deleted, story.stored.chats_count[T] = False, 1
    assert "lost_chats" in story.broken()


def test_a_message_that_is_not_stored(story: Story) -> None:
    story.did("post", 1, (4, 4, 15), texts=("d",))
    assert story.broken() == {"lost_messages"}


def test_a_message_under_another_number(story: Story) -> None:
    story.row.messages[2] = replace(story.row.messages[2], body="a")
    story.stored.indexed[T, 1, 2] = (11, "a")
    assert "lost_messages" in story.broken()


@pytest.mark.parametrize(("revision", "body"), [(10, "a"), (12, "a"), (12, "b"), (20, "a2")])
def test_a_version_that_is_not_the_newest(story: Story, revision: int, body: str) -> None:
    story.holds(1, revision, body)
    assert "lost_messages" in story.broken()


def test_only_an_unknown_outcome_may_have_written_a_newer_version(story: Story) -> None:
    story.did("edit", 1, None, number=1, texts=("a3",))
    story.holds(1, 20, "a3")
    assert story.broken() == set()
    story.holds(2, 21, "a3")
    assert "lost_messages" in story.broken()


def test_a_deletion_is_final(story: Story) -> None:
    story.did("edit", 1, (3, 3, 20), number=3, texts=("c2",))
    story.holds(3, 20, "c2")
    assert story.broken() == {"lost_messages"}


def test_a_deletion_without_a_revision_in_its_response_is_final(story: Story) -> None:
    story.did("delete", 1, (2, 2, None), number=2)  # type: ignore[arg-type]
    story.did("edit", 1, None, number=2, texts=("b2",))
    story.holds(2, 20, "b2")
    assert story.broken() == {"lost_messages"}
    story.row.messages[2] = StoredMessage(21, "", True)
    del story.stored.indexed[T, 1, 2]
    story.row.messages_count = 1
    assert story.broken() == set()


def test_an_edit_that_was_overwritten_unseen(story: Story) -> None:
    story.did("edit", 1, (1, 1, 15), number=1, texts=("a3",))
    story.holds(1, 15, "a3")
    story.row.messages[1] = StoredMessage(15, "a3", edits=("a2", "a3"))
    assert story.broken() == set()
    story.row.messages[1] = StoredMessage(15, "a3", edits=("a3",))
    assert story.broken() == {"lost_edits"}
    story.history.losses.append(Loss("wiped", story.edit.began, story.edit.began))
    assert story.broken() == set()


def test_an_edit_that_was_made_twice(story: Story) -> None:
    for _ in range(2):
        story.did("edit", 1, None, number=1, texts=("a3",), key="e")
    story.row.messages[1] = StoredMessage(16, "a3", edits=("a2", "a3", "a3"))
    story.stored.indexed[T, 1, 1] = (16, "a3")
    assert story.broken() == {"edits_applied_twice"}
    story.history.record_loss("wiped")
    assert story.broken() == set()


def test_a_retry_is_as_old_as_its_first_try(story: Story) -> None:
    story.did("edit", 1, None, number=1, texts=("a3",), key="e")
    story.did("edit", 1, (1, 1, 17), number=1, texts=("a4",))
    story.holds(1, 17, "a4")
    story.history.record_read(story.history.now(), "ann", T, 1, 1, 17)
    story.did("edit", 1, (1, 1, 16), number=1, texts=("a3",), key="e")
    assert story.broken() == set()
    story.did("edit", 1, (1, 1, 15), number=1, texts=("a5",), key="f")
    assert "edits_older_than_reads" in story.broken()


def test_a_text_that_is_stored_twice(story: Story) -> None:
    story.did("post", 1, None, texts=("d",), key="k2")
    story.holds(4, 20, "d")
    assert story.broken() == set()
    story.holds(5, 21, "d")
    assert story.broken() == {"texts_stored_twice"}
    story.history.record_loss("wiped")
    assert story.broken() == {"texts_stored_twice"}
    story.did("post", 1, None, texts=("d",), key="k2")
    assert story.broken() == set()


def test_a_text_that_nobody_sent_or_that_was_refused(story: Story) -> None:
    story.holds(4, 20, "d")
    assert story.broken() == {"unsent_texts"}
    attempt = story.did("post", 1, None, texts=("d",))
    assert story.broken() == set()
    story.history.refuse(attempt)
    assert story.broken() == {"unsent_texts"}


def test_a_missing_number(story: Story) -> None:
    story.did("post", 1, None, texts=("d",))
    story.holds(6, 20, "d")
    assert story.broken() == {"missing_numbers"}
    story.history.record_loss("wiped")
    story.row.skipped = [(4, 5)]
    assert story.broken() == set()
    story.row.skipped = [(3, 5)]
    assert story.broken() == {"missing_numbers"}


def test_numbers_skipped_without_a_loss(story: Story) -> None:
    story.row.skipped = [(4, 13)]
    assert story.broken() == {"skipped_without_a_loss"}
    story.row.skipped = []
    story.stored.chats[T, 3], story.stored.chats_count[T] = StoredChat(5), 2
    assert story.broken() == {"skipped_without_a_loss"}
    story.history.record_loss("wiped")
    assert story.broken() == set()


def test_wrong_counts(story: Story) -> None:
    story.row.messages_count = 3
    assert story.broken() == {"wrong_counts"}
    story.row.messages_count = 2
    story.stored.chats_count[T] = 2
    assert story.broken() == {"wrong_counts"}


@pytest.mark.parametrize("document", [(12, "a"), (11, "a2"), None])
def test_an_index_that_differs_from_mysql(story: Story, document: tuple[int, str] | None) -> None:
    if document:
        story.stored.indexed[T, 1, 1] = document
    else:
        del story.stored.indexed[T, 1, 1]
    assert story.broken() == {"wrong_documents"}


def test_documents_of_deleted_messages_and_chats(story: Story) -> None:
    story.stored.indexed[T, 1, 3] = (13, "c")
    assert story.broken() == {"wrong_documents"}
    del story.stored.indexed[T, 1, 3]
    story.did("delete_chat", 1, None)
    story.row.deleted, story.stored.chats_count[T] = True, 0
    assert story.broken() == {"wrong_documents"}


@pytest.mark.parametrize("name", ["pending", "due", "queued", "dead"])
def test_a_leftover(story: Story, name: str) -> None:
    setattr(story.stored, name, ["something"])
    assert story.broken() == {"leftovers"}


def followed(story: Story, changes: list[tuple[int, int, str | None]]) -> None:
    copy = story.history.copy_of("bob", T, 1)
    story.history.record_changes(copy, copy.since, changes, f"{int(copy.since) + 1}")


def test_a_copy_that_differs_from_the_store(story: Story) -> None:
    followed(story, [(1, 10, "a"), (2, 11, "b"), (3, 13, "c")])
    assert story.broken() == {"wrong_copies"}
    followed(story, [(1, 12, "a2"), (3, 14, None)])
    assert story.broken() == set()
    followed(story, [(4, 15, "a text that is not stored")])
    assert story.broken() == {"wrong_copies"}
    story.did("delete_chat", 1, None)
    story.row.deleted = True
    assert "wrong_copies" not in story.broken()


def test_a_late_response_changes_no_copy(story: Story) -> None:
    copy = story.history.copy_of("bob", T, 1)
    followed(story, [(1, 12, "a2"), (2, 11, "b"), (3, 14, None)])
    story.history.record_changes(copy, "0", [(1, 10, "a")], "1")
    assert story.broken() == set()


def test_a_change_feed_with_an_older_version(story: Story) -> None:
    followed(story, [(1, 12, "a2"), (2, 11, "b"), (3, 14, None)])
    followed(story, [(1, 10, "a")])
    assert story.broken() == {"backward_changes", "wrong_copies"}


def enqueued(story: Story, chat: int | None, text: str) -> Attempt:
    attempt = story.did("chat" if chat is None else "post", chat, None, texts=(text,), key=text)
    story.history.enqueue(attempt)
    return attempt


def test_a_record_of_the_inbox_is_stored_once(story: Story) -> None:
    enqueued(story, 1, "d")
    enqueued(story, 1, "d")
    assert story.broken() == {"lost_from_the_inbox"}
    story.holds(4, 15, "d")
    story.row.messages[4] = replace(story.row.messages[4], key="d")
    assert story.broken() == set()
    story.row.messages[5] = StoredMessage(16, "edited", key="d")
    story.stored.indexed[T, 1, 5] = (16, "edited")
    story.row.messages_count = 4
    story.did("edit", 1, (5, 5, 16), number=5, texts=("edited",))
    assert story.broken() == {"lost_from_the_inbox"}
    story.history.record_loss("wiped")
    assert story.broken() == set()


def test_a_record_of_the_inbox_may_be_deleted_with_its_chat(story: Story) -> None:
    enqueued(story, 1, "d")
    story.did("delete_chat", 1, None)
    assert story.broken() == set()
    enqueued(story, None, "title of another")
    assert story.broken() == {"lost_from_the_inbox"}
    story.stored.chats[T, 2] = StoredChat(2, "title of another", key="title of another")
    story.stored.chats_count[T] = 2
    assert story.broken() == set()


def test_a_replaced_key_that_is_accepted(story: Story) -> None:
    began = story.history.now()
    story.third.replaced = (Span(began, story.history.now()),)
    assert story.broken() == {"accepted_under_a_replaced_key"}
    story.history.losses.append(Loss("wiped", began, began))
    assert "accepted_under_a_replaced_key" in story.broken()
    story.history.losses.append(Loss(TWO_PRIMARIES, began, began))
    assert "accepted_under_a_replaced_key" not in story.broken()
    story.third.replaced += (Span(story.history.now(), story.history.now()),)
    assert "accepted_under_a_replaced_key" in story.broken()


def test_a_marker_that_moves_back(story: Story) -> None:
    history = story.history
    early = history.now()
    history.record_marker(history.now(), "ann", T, 1, 2, 0)
    history.record_marker(early, "ann", T, 1, 1, 1)
    history.record_marker(history.now(), "bob", T, 1, 1, 1)
    story.stored.readers[T, "ann", 1] = (2, 0)
    assert story.broken() == set()
    history.record_marker(history.now(), "ann", T, 1, 1, 1)
    assert story.broken() == {"backward_markers"}
    history.markers.pop()
    story.stored.readers[T, "ann", 1] = (1, 1)
    assert story.broken() == {"backward_markers"}


@pytest.mark.parametrize(("number", "unread"), [(0, 2), (1, 1), (2, 0), (3, 0)])
def test_a_wrong_unread_count(story: Story, number: int, unread: int) -> None:
    story.stored.readers[T, "ann", 1] = (number, unread)
    assert story.broken() == set()
    story.stored.readers[T, "ann", 1] = (number, unread + 1)
    assert story.broken() == {"wrong_unread_counts"}


def test_a_chat_that_is_not_in_its_newest_version(story: Story) -> None:
    story.did("edit_chat", 1, (1, 1, 5), texts=("title 2",))
    assert story.broken() == {"lost_chats"}
    story.row.revision, story.row.title = 5, "title 2"
    assert story.broken() == set()
    story.row.title = "title"
    assert story.broken() == {"lost_chats"}
    story.did("edit_chat", 1, None, texts=("title 3",))
    story.row.title = "title 3"
    assert story.broken() == set()


def test_an_edit_of_a_chat_that_was_overwritten_unseen_or_made_twice(story: Story) -> None:
    edit = story.did("edit_chat", 1, (1, 1, 5), texts=("title 2",), key="e")
    story.row.revision, story.row.title = 5, "title 2"
    for edits, rule in [((), "lost_edits"), (("title 2",) * 2, "edits_applied_twice")]:
        story.row.edits = edits
        assert story.broken() == {rule}
    story.row.edits = ("title 2",)
    assert story.broken() == set()
    story.row.edits = ()
    story.history.losses.append(Loss("wiped", edit.began, edit.began))
    assert story.broken() == set()


@pytest.mark.parametrize("name", ["pending", "queued", "dead"])
def test_a_leftover_of_a_deleted_application(story: Story, name: str) -> None:
    gone = Stored(is_gone=True)
    assert broken(story.history, gone) == []
    setattr(gone, name, ["something"])
    assert broken(story.history, gone) == [f"leftovers: 1 {name}: something"]
    gone = Stored(is_gone=True, indexed={(T, 1, 1): (12, "a2")})
    [violation] = broken(story.history, gone)
    assert violation.startswith("wrong_documents")
