"""What every search index promises, on the fake and on a real OpenSearch."""

import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pytest
from msgspec.structs import replace
from opensearchpy import OpenSearch

from chalicelib.adapters.opensearch import index as index_adapter
from chalicelib.adapters.opensearch.index import OpenSearchIndex
from chalicelib.adapters.opensearch.mapping import migrate
from chalicelib.domain.errors import InvalidError, UnavailableError
from chalicelib.domain.models import Message
from chalicelib.domain.queue_records import Document, RefusedDocument
from chalicelib.domain.search import Query, SearchPage, parse_query
from chalicelib.domain.text import fold, folds_beyond_case
from chalicelib.usecases.ports import SearchIndex
from chalicelib.usecases.search import remove_from_index
from tests.contract.conftest import part_url
from tests.fakes.search_index import FakeSearchIndex

NOW = "2026-09-21T14:13:20.000Z"


@dataclass(frozen=True)
class Engine:
    """An index, and a function that makes its documents visible at once."""

    index: SearchIndex
    refresh: Callable[[], Any]


class Chat:
    """A new application, so that tests can share an index."""

    def __init__(self, engine: Engine, token: str = "") -> None:
        self.index, self._refresh = engine.index, engine.refresh
        self.token = token or secrets.token_hex(8)

    def put(self, *messages: Message, chat: int = 1) -> list[RefusedDocument]:
        refused = self.index.index([self.document(m, chat) for m in messages])
        self._refresh()
        return refused

    def document(self, message: Message, chat: int = 1) -> Document:
        return Document(token=self.token, chat=chat, message=message)

    def put_bodies(self, *bodies: str) -> None:
        self.put(*(text_message(number, body) for number, body in enumerate(bodies, 1)))

    def search(self, q: str, **others: Any) -> SearchPage:
        defaults: dict[str, Any] = {"chat": None, "limit": 100, "sort": "number"}
        return self.index.search(
            Query(token=self.token, terms=parse_query(q), **{**defaults, **others})
        )

    def numbers(self, q: str, **others: Any) -> list[int]:
        return [hit.message.number for hit in self.search(q, **others).hits]

    def purge(self, chat: int | None = None) -> None:
        remove_from_index(self.index, self.token, None if chat is None else [chat])
        self._refresh()


def text_message(number: int, body: str = "hello", revision: int = 1, **others: Any) -> Message:
    return Message(number=number, revision=revision, body=body, **{"created_at": NOW, **others})


def deleted(number: int, revision: int) -> Message:
    return text_message(number, "", revision, deleted_at=NOW)


@pytest.fixture(scope="module", params=["fake", "opensearch"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    if request.param == "fake":
        yield Engine(FakeSearchIndex(), lambda: None)
        return
    url, alias = part_url("opensearch"), f"test-{secrets.token_hex(6)}"
    client = OpenSearch(url)
    migrate(url, alias)
    try:
        yield Engine(OpenSearchIndex(url, alias), lambda: client.indices.refresh(index=alias))
    finally:
        client.indices.delete(index=f"{alias}-v1")
        client.close()


@pytest.fixture
def chat(engine: Engine) -> Chat:
    return Chat(engine)


BODY = "Run (builtin) sudo apt-get Install the Überconfiguration of C++17 — now, 你好世界 😀👍🏽"


@pytest.mark.parametrize(
    "q",
    ["sudo", "now sudo run", '"sudo apt-get install"', '"apt get install"', "figurat",
     "uberconfiguration", "w", "gu", "überconfiguration", "u\u0308berconf", "UBER", "😀",
     "👍", "🏽", "好世", "你", "c++", "apt-get", "(builtin", "t-g", "c++1", '"C++17"', '"now"', "-",
     "+", '"好世"'],
)  # fmt: skip
def test_text_that_a_body_contains_has_a_hit(chat: Chat, q: str) -> None:
    chat.put_bodies("something else", BODY)
    assert chat.numbers(q) == [2]


@pytest.mark.parametrize(
    "q",
    ["sudoapt", "sudo zebra", '"install apt"', '"sudo install"', '"figurat"', "c--", "s*o",
     "apt?get", "世好", "builtin)(", '"sudo: apt-get"', "e-e", "ee", "enow"],
)  # fmt: skip
def test_text_that_a_body_does_not_contain_has_no_hits(chat: Chat, q: str) -> None:
    chat.put_bodies(BODY)
    assert chat.search(q) == SearchPage(hits=(), total=0, cursor=None)


def test_words_match_in_any_order_and_far_apart(chat: Chat) -> None:
    chat.put_bodies("first " + "between " * 500 + "last", "first only")
    assert chat.numbers("last first") == [1]


@pytest.mark.parametrize(
    ("written", "looked_for"),
    [("caf\u00e9", "cafe\u0301"), ("cafe\u0301", "caf\u00e9"), ("cafe\u0301", "cafe"),
     ("cafe", "CAFÉ"),
     ("\u304b\u3099", "\u304c"), ("\u1112\u1161\u11ab", "\ud55c"), ("\ud55c", "\u1112\u1161\u11ab"),
     ("ΟΔΟΣ", "οδος"), ("Straße", "strasse"), ("don’t", "don't"), ("мой", "МОЙ")],
)  # fmt: skip
def test_spelling_of_accents_and_case_does_not_matter(
    chat: Chat, written: str, looked_for: str
) -> None:
    chat.put_bodies(f"before {written} after")
    assert chat.numbers(looked_for) == [1]
    assert chat.numbers(f'"{looked_for} after"') == [1]
    assert chat.search(looked_for).hits[0].message.body == f"before {written} after"


HOSTILE = [
    "*", "?", "a*", "~", "body:x", "token:*", "_exists_:body", "AND", "OR NOT", "(", ")", "((((",
     "{!x}",
    '"\u0301 x"',
    "{", "[a TO b]", "\\", "\\\\", "/.*/", "^2", '"', '""x', '"\\"', "'", "' OR 1=1 --", "<script>",
    "&&", "||", "!", "\x00", "a\x00b", "\x1b[0m", "\u202e", "\ufeff", "\u200d", "%", "%00",
     "${jndi:x}",
    '{"match_all":{}}', "x" * 255, "( " * 20, "ab " * 166, "aa" * 127, '"' + "a " * 127 + '"',
]  # fmt: skip


@pytest.mark.parametrize("q", HOSTILE, ids=range(len(HOSTILE)))
def test_nothing_that_is_typed_is_syntax(chat: Chat, q: str) -> None:
    chat.put_bodies("an ordinary message", f"before {q} after")
    assert chat.numbers(q)[:1] == [2]
    if not fold(q.split()[0]).strip('" ').isalnum():
        assert chat.search(q).total == 1


def test_the_longest_allowed_query_succeeds(chat: Chat) -> None:
    chat.put_bodies("x" * 250 + " " + "y" * 249)
    assert chat.numbers("x" * 250 + " " + "y" * 249) == [1]


def test_a_body_without_spaces_is_found_by_any_part(chat: Chat) -> None:
    body = "".join(f"{number:05d}" for number in range(4000))
    chat.put_bodies(body)
    assert all(chat.numbers(body[at : at + 20]) == [1] for at in (0, 245, 250, 9_990, 19_980))
    assert chat.numbers(body[250:505]) == [1]
    assert chat.numbers("0000100003") == []


def test_a_message_is_read_from_a_hit_as_it_was_indexed(chat: Chat) -> None:
    metadata = {"a": [1, 2.5, None, {"b": "ü"}], "mapping": {"x.y": "2020-01-01"}, "big": 2**53}
    message = text_message(
        7, "cafe\u0301 \x00 <b>", 2**40, sender="Ann", metadata=metadata, edited_at=NOW
    )
    assert chat.put(message, text_message(8, "cafe", metadata={"a": "another type"})) == []
    assert [hit.message for hit in chat.search("cafe", chat=1).hits][1] == message


def test_sender_chat_and_time_narrow_the_search(chat: Chat) -> None:
    times = [f"2026-01-0{day}T00:00:00.000Z" for day in range(1, 5)]
    chat.put(*(text_message(n, sender="Ann", created_at=at) for n, at in enumerate(times, 1)))
    chat.put(text_message(9, sender="ann"), chat=2)
    assert chat.numbers("hello", sender="ann") == [9]
    assert chat.numbers("hello", chat=2) == [9]
    assert chat.numbers("hello", created_from=times[1], created_to=times[3]) == [3, 2]
    assert chat.numbers("hello", sender="nobody") == []


def test_messages_of_another_application_are_neither_hits_nor_counted(
    chat: Chat, engine: Engine
) -> None:
    other = Chat(engine)
    other.put(*(text_message(number) for number in range(1, 6)))
    chat.put(text_message(1))
    assert chat.search("hello").total == 1
    foreign = other.search("hello", limit=2).cursor
    page = chat.search("hello", cursor=foreign)
    assert page.total == 1
    assert {hit.message.number for hit in page.hits} <= {1}
    assert Chat(engine, chat.token[:-1]).search("hello").total == 0


def test_relevance_puts_whole_words_first_and_then_the_newest(chat: Chat) -> None:
    later = "2026-09-21T14:13:20.001Z"
    chat.put(
        text_message(1, "cat and dog"), text_message(2, "category of dogma", created_at=later),
        text_message(3, "the dog and a category", created_at=later),
        text_message(4, "dog, cat!", created_at=later),
        text_message(5, "cats, dogs", created_at=later), text_message(6, "dog cat cat"),
    )  # fmt: skip
    assert chat.numbers("cat dog", sort="relevance") == [4, 6, 1, 3, 5, 2]
    assert chat.numbers("cat dog", sort="number") == [6, 5, 4, 3, 2, 1]


@pytest.mark.parametrize("sort", ["relevance", "number"])
@pytest.mark.parametrize("limit", [1, 7, 100])
def test_pages_contain_each_hit_exactly_once(chat: Chat, sort: str, limit: int) -> None:
    for number in (1, 2):
        chat.put(
            *(text_message(n, "page" if n % 3 else "pages") for n in range(1, 21)), chat=number
        )
    seen: list[tuple[int, int]] = []
    cursor: str | None = None
    while True:
        page = chat.search("page", sort=sort, limit=limit, cursor=cursor)
        assert page.total == 40
        seen += [(hit.chat, hit.message.number) for hit in page.hits]
        if (cursor := page.cursor) is None:
            break
    assert len(seen) == 40
    assert set(seen) == {(c, n) for c in (1, 2) for n in range(1, 21)}
    if sort == "number":
        assert seen == sorted(seen, reverse=True)


def test_a_cursor_of_another_search_is_invalid(chat: Chat) -> None:
    chat.put(*(text_message(number) for number in range(1, 4)))
    good = chat.search("hello", limit=1).cursor
    assert good is not None
    broken = ["", "x", "%%", "é", good[:-3], good + "AAAA", "bnVsbA", "WyJudW1iZXIiLFsxZTMwLDFdXQ",
              "WyJudW1iZXIiLFsxXV0", "WyJudW1iZXIiLFtudWxsLDFdXQ"]  # fmt: skip
    for cursor in broken:
        with pytest.raises(InvalidError, match="cursor"):
            chat.search("hello", cursor=cursor)
    with pytest.raises(InvalidError, match="sorted by number"):
        chat.search("hello", sort="relevance", cursor=good)


def test_an_older_version_changes_nothing(chat: Chat) -> None:
    chat.put(text_message(1, "newer", 5))
    assert chat.put(text_message(1, "older", 4)) == []
    assert (chat.numbers("newer"), chat.numbers("older")) == ([1], [])


def test_the_newest_of_several_versions_in_one_call_is_indexed(chat: Chat) -> None:
    assert (
        chat.put(
            text_message(1, "second", 2), text_message(1, "first", 1), text_message(1, "third", 3)
        )
        == []
    )
    assert chat.search("third").total == 1
    assert chat.search("first").total == chat.search("second").total == 0


def test_a_deleted_message_stays_deleted_when_an_older_version_arrives_late(chat: Chat) -> None:
    chat.put(text_message(1, "hello", 1))
    chat.put(deleted(1, 3))
    assert chat.put(text_message(1, "hello edited", 2)) == []
    assert chat.search("hello").total == 0


def test_the_same_version_twice_is_one_message(chat: Chat) -> None:
    assert chat.put(text_message(1)) == chat.put(text_message(1)) == []
    assert chat.search("hello").total == 1


def test_highlights_are_safe_to_show(chat: Chat) -> None:
    chat.put_bodies("<script>alert('x')</script> & more")
    (hit,) = chat.search("script alert").hits
    assert hit.highlight == (
        "&lt;<em>script</em>&gt;<em>alert</em>(&#x27;x&#x27;)&lt;/<em>script</em>&gt; &amp; more"
    )


def test_highlights_surround_parts_and_phrases(chat: Chat) -> None:
    chat.put_bodies("x " * 300 + "restarting the print server" + " y" * 300)
    (hit,) = chat.search('"print server" start').hits
    assert hit.highlight is not None
    assert "re<em>start</em>ing the <em>print server</em>" in hit.highlight


def test_purging_a_chat_leaves_other_chats(chat: Chat, engine: Engine) -> None:
    other = Chat(engine)
    for application in (chat, other):
        application.put(text_message(1), text_message(2), chat=1)
        application.put(text_message(3), chat=2)
    chat.purge(1)
    assert (chat.numbers("hello"), other.numbers("hello")) == ([3], [3, 2, 1])


def test_purging_an_application_leaves_other_applications(chat: Chat, engine: Engine) -> None:
    other = Chat(engine)
    other.put(text_message(1))
    chat.put(text_message(1), deleted(2, 1))
    chat.put(text_message(3), chat=2)
    chat.purge()
    assert (chat.search("hello").total, other.search("hello").total) == (0, 1)
    chat.purge()


def test_a_purge_removes_documents_that_were_just_indexed(chat: Chat) -> None:
    chat.index.index([chat.document(text_message(1))])
    chat.purge(1)
    assert chat.search("hello").total == 0


def test_a_purge_in_several_steps_removes_everything(
    chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chalicelib.adapters.opensearch.index.MAX_PURGE_DOCUMENTS", 3)
    chat.put(*(text_message(number) for number in range(1, 11)))
    chat.purge(1)
    assert chat.search("hello").total == 0


def test_a_refused_document_does_not_stop_its_neighbours(chat: Chat) -> None:
    bad = text_message(2, created_at="yesterday")
    half = text_message(3, "half a character \ud83d")
    refused = chat.put(text_message(1), bad, half, text_message(4))
    assert sorted(item.document.message.number for item in refused) == [2, 3]
    assert all(item.reason for item in refused)
    assert chat.numbers("hello") == [4, 1]


def test_many_large_documents_are_indexed_in_one_call(chat: Chat) -> None:
    bodies = [f"{number} " + "x" * 19_000 for number in range(150)]
    chat.put_bodies(*bodies)
    assert chat.search("xxxx", limit=1).total == 150


@pytest.mark.parametrize("length", [5, 20_000])
def test_pages_of_a_high_limit_contain_each_hit_exactly_once(chat: Chat, length: int) -> None:
    body = "page " + (length - 5) * "x"
    for first in (1, 61):
        chat.put(*(text_message(n, body) for n in range(first, first + 60)))
    seen: list[int] = []
    cursor: str | None = None
    while True:
        page = chat.search("page", limit=100, cursor=cursor)
        assert page.total == 120
        seen += [hit.message.number for hit in page.hits]
        if (cursor := page.cursor) is None:
            break
    assert seen == [*range(120, 0, -1)]


@pytest.mark.parametrize("setting", ["SEARCH_TIMEOUT", "SEARCH_CANCEL_AFTER"])
def test_opensearch_stops_a_search_that_takes_too_long(
    monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    url, alias = part_url("opensearch"), f"test-{secrets.token_hex(6)}"
    migrate(url, alias)
    with closing(OpenSearch(url)) as client:
        try:
            chat = Chat(
                Engine(OpenSearchIndex(url, alias), lambda: client.indices.refresh(index=alias))
            )
            for first in range(0, 10_000, 1_000):
                chat.put(*(text_message(first + n) for n in range(1_000)))
            assert chat.search("hello").total == 10_000
            monkeypatch.setattr(index_adapter, setting, "300ms")
            slow = {"script": {"script": {"source": SLOW_SCRIPT}}}
            monkeypatch.setattr(index_adapter, "_filters", lambda query: [slow])
            started = time.monotonic()
            with pytest.raises(UnavailableError, match="search_phase_execution_exception"):
                chat.search("hello")
            assert time.monotonic() - started < 4
        finally:
            client.indices.delete(index=f"{alias}-v1")


# It takes about a millisecond for each document.
SLOW_SCRIPT = "long sum = 0; for (int i = 0; i < 200000; i++) { sum += i % 7; } return sum >= 0;"


def test_a_ping_succeeds_if_the_index_exists(chat: Chat) -> None:
    chat.index.ping()


def test_indexing_nothing_does_nothing(chat: Chat) -> None:
    assert chat.index.index([]) == []


@pytest.fixture(params=["fake", "opensearch"])
def unmigrated(request: pytest.FixtureRequest) -> SearchIndex:
    if request.param == "fake":
        return FakeSearchIndex(migrated=False)
    return OpenSearchIndex(part_url("opensearch"), f"test-{secrets.token_hex(6)}")


def test_a_missing_index_is_unavailable_and_never_created_by_a_write(
    unmigrated: SearchIndex,
) -> None:
    document = Document(token="t", chat=1, message=text_message(1))
    query = Query(token="t", chat=1, terms=parse_query("hello"), limit=1)
    for call in (
        lambda: unmigrated.index([document]),
        lambda: unmigrated.purge("t", [1]),
        unmigrated.refresh,
        lambda: unmigrated.search(query),
        unmigrated.ping,
    ) * 2:
        with pytest.raises(UnavailableError):
            call()


def test_a_server_that_is_down_is_unavailable() -> None:
    index = OpenSearchIndex("http://user:pass@127.0.0.1:9")
    with pytest.raises(UnavailableError):
        index.index([Document(token="t", chat=1, message=text_message(1))])


def test_migrations_may_run_again_and_at_once() -> None:
    url, alias = part_url("opensearch"), f"test-{secrets.token_hex(6)}"
    client = OpenSearch(url)
    try:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: migrate(url, alias), range(8)))
        index = OpenSearchIndex(url, alias)
        assert index.index([Document(token="t", chat=1, message=text_message(1))]) == []
        assert migrate(url, alias) == f"{alias} exists"
        assert list(client.indices.get_alias(name=alias)) == [f"{alias}-v1"]
    finally:
        client.indices.delete(index=f"{alias}-v1")
        client.close()


def test_the_index_folds_every_character_as_python_does() -> None:
    url, alias = part_url("opensearch"), f"test-{secrets.token_hex(6)}"
    client = OpenSearch(url)
    migrate(url, alias)
    letters = [*folds_beyond_case(), *"ABCXYZÀЖΩҐԱႠ😀𝐀Ⅷⓐ"]
    try:
        for at in range(0, len(letters), 200):
            text = "|".join(letters[at : at + 200])
            body = {"analyzer": "whole", "text": text}
            (token,) = client.indices.analyze(index=alias, body=body)["tokens"]
            assert token["token"] == fold(text)
    finally:
        client.indices.delete(index=f"{alias}-v1")
        client.close()


def test_a_replaced_word_is_not_searchable_any_more(chat: Chat) -> None:
    first = text_message(1, "before")
    chat.put(first)
    chat.put(replace(first, body="after", revision=2, edited_at=NOW))
    assert (chat.numbers("before"), chat.numbers("after")) == ([], [1])
