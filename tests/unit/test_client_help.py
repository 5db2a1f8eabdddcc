"""`help()`, `inspect` and an editor show the signatures and docstrings of the client's methods."""

import inspect
import pydoc
import re
import typing
from collections.abc import AsyncIterator, Iterator
from typing import Any

import ordinal_client
import pytest
from ordinal_client import AsyncClient, Client, Message, ProblemError, SearchHit

from tests.unit.client_sides import URL
from tests.unit.test_client_requests import CALLS, OPERATIONS

BOTH = pytest.mark.parametrize("client", [Client, AsyncClient])
METHODS = sorted(name for name in dir(Client) if not name.startswith("_"))
CALLED = sorted({call[0] for call in CALLS.values()})
ITERATORS = {
    "applications": "list_applications",
    "chats": "list_chats",
    "messages": "list_messages",
    "search_hits": "search_messages",
    "chat_search_hits": "search_chat_messages",
    "read_markers": "list_read_markers",
}
# `Client` names the errors of the other statuses: every method can raise them.
ERRORS_OF_METHODS = {
    404: "NotFoundError",
    409: "ConflictError",
    410: "GoneError",
    412: "RevisionMismatchError",
}


def parameters_of(method: Any) -> list[str]:
    return list(inspect.signature(method).parameters)


@BOTH
def test_a_signature_has_the_parameters_and_the_return_type_of_its_method(
    client: type[Client | AsyncClient],
) -> None:
    method = client(URL, "key").create_message
    signature = inspect.signature(method)
    assert list(signature.parameters) == [
        "chat",
        "body",
        "sender",
        "metadata",
        "created_at",
        "idempotency_key",
    ]
    assert signature.return_annotation is Message
    assert typing.get_type_hints(method)["return"] is Message
    assert parameters_of(client.create_message) == ["self", *signature.parameters]
    assert inspect.signature(client.delete_application).return_annotation is None


@pytest.mark.parametrize("name", CALLED)
def test_methods_are_coroutine_functions_on_the_async_client_only(name: str) -> None:
    assert inspect.iscoroutinefunction(getattr(AsyncClient, name))
    assert inspect.iscoroutinefunction(getattr(AsyncClient(URL, "key"), name))
    assert not inspect.iscoroutinefunction(getattr(Client, name))


@pytest.mark.parametrize("name", ITERATORS)
def test_an_iterator_has_the_parameters_of_its_list_and_its_own_name(name: str) -> None:
    for client in (Client, AsyncClient):
        iterator = getattr(client, name)
        assert iterator.__name__ == name
        assert parameters_of(iterator) == parameters_of(getattr(client, ITERATORS[name]))
        assert f"`{ITERATORS[name]}`" in (inspect.getdoc(iterator) or "")


def test_an_iterator_shows_the_type_of_its_items() -> None:
    for client, kind in ((Client, Iterator), (AsyncClient, AsyncIterator)):
        assert inspect.signature(client.messages).return_annotation == kind[Message]
        assert inspect.signature(client.search_hits).return_annotation == kind[SearchHit]


@BOTH
def test_help_shows_each_method_with_signature_and_docstring(
    client: type[Client | AsyncClient],
) -> None:
    text = pydoc.plain(pydoc.render_doc(client))
    for name in METHODS:
        assert re.search(rf"^ \|  (async )?{name}\(", text, re.MULTILINE), name
    assert "object at 0x" not in text
    assert "-> ordinal_client.request.Request" not in text
    method = pydoc.plain(pydoc.render_doc(client.create_message))
    assert "-> ordinal_client.models.Message" in method
    assert "Post a message to a chat." in method


@pytest.mark.parametrize("name", [*CALLED, "follow_changes"])
def test_a_docstring_documents_each_parameter_and_the_result(name: str) -> None:
    method = getattr(Client, name)
    doc = inspect.getdoc(method) or ""
    assert re.findall(r"^:param (\w+):", doc, re.MULTILINE) == parameters_of(method)[1:]
    assert (":returns:" in doc) == (inspect.signature(method).return_annotation is not None)


@pytest.mark.parametrize("operation", OPERATIONS, ids=" ".join)
def test_a_docstring_names_the_errors_that_the_api_documents(operation: tuple[str, str]) -> None:
    name = CALLS[operation][0]
    statuses = map(int, OPERATIONS[operation]["responses"])
    expected = {ERRORS_OF_METHODS[status] for status in statuses if status in ERRORS_OF_METHODS}
    named = re.findall(
        r"^:raises (\w+):", inspect.getdoc(getattr(Client, name)) or "", re.MULTILINE
    )
    assert set(named) == expected
    assert len(named) == len(expected)


def test_the_docstring_of_the_client_names_the_errors_of_every_method() -> None:
    doc = inspect.getdoc(Client) or ""
    of_some = {*ERRORS_OF_METHODS.values(), "ProblemError"}
    for error in [*ProblemError.__subclasses__(), *ordinal_client.OrdinalError.__subclasses__()]:
        assert (f"`{error.__name__}`" in doc) == (error.__name__ not in of_some)
