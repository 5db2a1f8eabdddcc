"""The types that type checkers infer for both clients. `make check` checks this file, and no test runs it."""

from collections.abc import AsyncIterator, Iterator
from typing import assert_type

from ordinal_client import AsyncClient, ChatDetail, Client, Message, Page, SearchHit, SearchPage


def sync(client: Client) -> None:
    assert_type(client.create_chat("a title", idempotency_key="k"), ChatDetail)
    assert_type(client.list_messages(1, before=7), Page[Message])
    assert_type(client.messages(1, after=0), Iterator[Message])
    assert_type(client.search_messages("q"), SearchPage)
    assert_type(client.search_hits("q"), Iterator[SearchHit])
    assert_type(client.chat_search_hits(1, "q"), Iterator[SearchHit])
    client.delete_application()
    client.create_chat(titel="a title")  # type: ignore[call-arg]
    client.get_message("1", 2)  # type: ignore[arg-type]


async def not_sync(client: AsyncClient) -> None:
    assert_type(await client.create_chat("a title", idempotency_key="k"), ChatDetail)
    assert_type(await client.list_messages(1, before=7), Page[Message])
    assert_type(client.messages(1, after=0), AsyncIterator[Message])
    assert_type(await client.search_messages("q"), SearchPage)
    assert_type(client.search_hits("q"), AsyncIterator[SearchHit])
    await client.delete_application()
    await client.create_chat(titel="a title")  # type: ignore[call-arg]
    await client.get_message("1", 2)  # type: ignore[arg-type]
