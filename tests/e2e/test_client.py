"""The Python client on the deployed stack, for sync and for async code."""

import asyncio

import httpx
import pytest
from ordinal_client import (
    AsyncClient,
    Client,
    ForbiddenError,
    GoneError,
    NewMessage,
    NotFoundError,
    RevisionMismatchError,
    UnauthenticatedError,
)

from tests.e2e.conftest import Application, Stack, wait_until


class LosesResponses(httpx.BaseTransport):
    """Loses the response to the first attempt of every write, after the service has sent it."""

    def __init__(self) -> None:
        self._inner = httpx.HTTPTransport()
        self._lost: set[str] = set()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = self._inner.handle_request(request)
        key = request.headers.get("Idempotency-Key")
        if key and key not in self._lost:
            self._lost.add(key)
            response.close()
            raise httpx.ReadError("simulated", request=request)
        return response

    def close(self) -> None:
        self._inner.close()


def client_of(application: Application, stack: Stack) -> Client:
    return Client(stack.base_url, application.key, application.token)


def test_an_application_lives_and_ends(stack: Stack) -> None:
    with Client(stack.base_url, stack.file["admin_key"]) as admin:
        made = admin.create_application("of the client")
        assert made.token in {a.token for a in admin.applications(limit=100)}
        assert admin.rename_application("renamed", made.token).name == "renamed"
        with Client(stack.base_url, made.secret_key, made.token) as client:
            assert client.get_application().name == "renamed"
            client.delete_application()
        with pytest.raises(NotFoundError):
            admin.get_application(made.token)
        assert admin.get_health().status == "ok"
        assert set(admin.get_readiness().parts) == {"redis", "mysql", "sqs", "opensearch"}


def test_a_chat_is_written_read_edited_searched_and_deleted(
    stack: Stack, application: Application
) -> None:
    with client_of(application, stack) as client:
        chat = client.create_chat("a chat", {"colour": "blue"}).number
        first = client.create_message(chat, "one kingfisher", sender="ann")
        batch = client.create_messages(chat, [NewMessage(f"heron {n}") for n in range(2, 251)])
        assert (first.number, batch.first, batch.last) == (1, 2, 250)
        forth = [m.number for m in client.messages(chat, after=0, limit=100)]
        assert forth == list(range(1, 251))
        assert [m.number for m in client.messages(chat)] == forth[::-1]

        edited = client.edit_message(chat, 1, body="two kingfishers", if_match=first.revision)
        assert edited.edited_at
        assert client.get_message(chat, 1) == edited
        with pytest.raises(RevisionMismatchError):
            client.edit_message(chat, 1, body="three", if_match=first.revision)
        wait_until("the index", lambda: client.search_messages("two kingfishers").total == 1)
        [hit] = client.chat_search_hits(chat, "kingfisher")
        assert (hit.chat, hit.number, hit.body) == (chat, 1, "two kingfishers")

        assert client.delete_message(chat, 2).number == 2
        with pytest.raises(GoneError):
            client.get_message(chat, 2)
        assert client.edit_chat(chat, title=None).title is None
        client.delete_chat(chat)
        with pytest.raises(GoneError):
            client.get_chat(chat)


def test_messages_whose_responses_are_lost_are_created_once(
    stack: Stack, application: Application
) -> None:
    credential = (stack.base_url, application.key, application.token)
    with Client(*credential, transport=LosesResponses()) as client:
        chat = client.create_chat("a chat").number
        numbers = [client.create_message(chat, f"message {n}").number for n in range(1, 6)]
        assert numbers == [1, 2, 3, 4, 5]
        assert [c.number for c in client.chats()] == [chat] == [1]
        assert [m.number for m in client.messages(chat, after=0)] == numbers


def test_another_applications_key_is_refused(stack: Stack, application: Application) -> None:
    with Client(stack.base_url, "ok_1_x", application.token) as stranger:
        with pytest.raises((UnauthenticatedError, ForbiddenError)) as refused:
            stranger.get_application()
        assert refused.value.type.startswith("urn:ordinal:problem:")


def test_many_write_at_once_in_async_code(stack: Stack, application: Application) -> None:
    async def write() -> tuple[list[int], list[int]]:
        async with AsyncClient(stack.base_url, application.key, application.token) as client:
            chat = (await client.create_chat("a chat")).number
            posted = await asyncio.gather(
                *(client.create_message(chat, f"message {n}") for n in range(20))
            )
            read = [message.number async for message in client.messages(chat, after=0, limit=7)]
            return [message.number for message in posted], read

    posted, read = asyncio.run(write())
    assert sorted(posted) == read == list(range(1, 21))
