"""Hostile input in every field is refused with a clear 4xx, or stored and returned exactly."""

import json
import socket
from itertools import batched
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import pytest

from tests.e2e.conftest import Application, Stack, in_parallel, wait_until
from tests.e2e.naughty import naughty_strings

STRINGS = naughty_strings()
SENDABLE = [s for s in STRINGS if s.strip()]
CLIENTS = 8


def as_message(text: str) -> dict[str, Any]:
    """A message with the text in each of its fields."""
    return {"body": text, "sender": text[:255], "metadata": {text[:500]: [text[:500], None]}}


def refused(response: httpx.Response, *statuses: int) -> bool:
    """Whether the response is a problem with one of these statuses and with a detail."""
    assert response.status_code in statuses, (response.status_code, response.text)
    problem = response.json()
    assert response.headers["content-type"] == "application/problem+json"
    return problem["status"] == response.status_code and bool(problem["detail"])


@pytest.fixture(scope="module")
def filled(stack: Stack) -> Any:
    """A chat with a message for each string, by number."""
    application = stack.new_application("hostile input")
    chat = application.new_chat()
    for texts in batched(SENDABLE, 100):
        application.post(f"{chat}/messages/batch", {"messages": [as_message(s) for s in texts]})
    yield application, chat
    application.close()


def sent(message: dict[str, Any]) -> dict[str, Any]:
    return {name: message[name] for name in ("body", "sender", "metadata")}


def test_every_string_is_returned_exactly(filled: tuple[Application, str]) -> None:
    application, chat = filled
    expected = [as_message(s) for s in SENDABLE]
    listing = f"{chat}/messages?after=0&limit=100"
    assert [sent(m) for m in application.all(listing)] == expected
    wait_until(
        "all to be persisted",
        lambda: application.get(chat)["messages_count"] == len(SENDABLE),
    )
    assert [sent(m) for m in application.all(listing)] == expected


def test_every_string_is_a_title_and_a_name(application: Application) -> None:
    titles = [s[:255] for s in SENDABLE if s[:255].strip()]
    path = f"{application.path}/chats"

    def create(i: int) -> tuple[str, str]:
        body = {"title": titles[i], "metadata": {"text": titles[i]}}
        return titles[i], application.post(path, body)["title"]

    assert all(a == b for a, b in in_parallel(CLIENTS, create, range(len(titles))))
    chats = application.all(f"{path}?limit=100")
    assert sorted(c["title"] for c in chats) == sorted(titles)
    assert all(c["metadata"] == {"text": c["title"]} for c in chats)
    for name in titles[::25]:
        assert application("PATCH", application.path, {"name": name}).json()["name"] == name
        assert application.get(application.path)["name"] == name


def test_every_string_is_text_to_the_search(filled: tuple[Application, str]) -> None:
    """A search for the string finds its message, or is refused with a violation of `q`."""
    application, chat = filled
    wait_until(
        "the last one to be searchable",
        lambda: application.get(f"{chat}/messages/search?q=etc/passwd&sort=number")["total"],
    )

    def problem_with(i: int) -> str | None:
        text = STRINGS[i]
        response = application("GET", f"{chat}/messages/search?q={quote(text)}&limit=100")
        if response.status_code == 200:
            page = response.json()
            numbers = [m["number"] for m in page["items"]]
            is_hit = SENDABLE.index(text) + 1 in numbers or page["total"] > 100
            return None if is_hit else f"{text!r} is not found"
        refused(response, 422)
        [violation] = response.json()["errors"]
        return None if violation["pointer"] == "q" else f"{text!r}: {violation}"

    problems = in_parallel(CLIENTS, problem_with, range(len(STRINGS)))
    assert [problem for problem in problems if problem] == []


def test_every_string_in_a_parameter_is_text_or_refused(filled: tuple[Application, str]) -> None:
    application, chat = filled

    def check(i: int) -> None:
        text = quote(STRINGS[i], safe="")
        by_sender = application("GET", f"{application.path}/search?q=a&sender={text}")
        assert by_sender.status_code == 200 or refused(by_sender, 422)
        for name in ("limit", "before", "after"):
            response = application("GET", f"{chat}/messages?{name}={text}")
            assert response.status_code == 200 or refused(response, 422)
        for name in ("cursor", "from", "to", "sort"):
            response = application("GET", f"{chat}/messages/search?q=a&{name}={text}")
            assert refused(response, 422), (name, STRINGS[i])

    in_parallel(CLIENTS, check, range(0, len(STRINGS), 4))


def test_every_string_as_an_idempotency_key_is_accepted_or_refused(
    application: Application,
) -> None:
    chat = application.new_chat()
    made: dict[str, int] = {}
    for text in STRINGS[::4]:
        try:
            key = text.encode("latin-1").decode("latin-1")
            response = application(
                "POST", f"{chat}/messages", {"body": "x"}, **{"Idempotency-Key": key}
            )
        except (httpx.LocalProtocolError, UnicodeEncodeError):
            continue  # no client can send it
        if response.status_code == 202:
            number = response.json()["number"]
            assert made.setdefault(key.strip(), number) == number
        else:
            refused(response, 422)
    assert len(set(made.values())) == len(made) > 20


@pytest.mark.parametrize(
    "metadata",
    [
        '{"n": 12345678901234567890}',
        '{"n": -9223372036854775809}',
        '{"n": 0.1, "m": 1e308, "z": -0.0}',
        '{"n": 100000000000000000000000000000}',
        '{"": "", " ": [[[[[[[[]]]]]]]], "\\u0000": "\\u0000"}',
        '{"a": {"b": {"c": [true, false, null, 1, "1", {}]}}}',
    ],
)
def test_unusual_metadata_is_returned_exactly(application: Application, metadata: str) -> None:
    chat = application.new_chat()
    content = f'{{"body": "x", "metadata": {metadata}}}'.encode()
    response = application.send("POST", f"{chat}/messages", content)
    assert response.status_code == 202, response.text
    assert application.get(f"{chat}/messages/1")["metadata"] == json.loads(metadata)
    wait_until("it to be persisted", lambda: application.get(chat)["messages_count"] == 1)
    assert application.get(f"{chat}/messages/1")["metadata"] == json.loads(metadata)


@pytest.mark.parametrize(
    "content",
    [
        b'{"body": "\\ud800"}',
        b'{"body": "x", "sender": "\\udfff"}',
        b'{"body": "x", "metadata": {"\\ud83d": 1}}',
        b'{"body": "\xed\xa0\x80"}',
        b'{"body": "x", "metadata": {"n": 1e400}}',
        b'{"body": "x", "metadata": {"n": NaN}}',
        b'{"body": "x", "metadata": ' + b'{"a":' * 5_000 + b"1" + b"}" * 5_001,
        b'{"body": "x", "metadata": {"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}",
        b"[" * 100_000,
        b'{"body": "' + b"x" * 1_000_000 + b'"}',
        b'{"body": "x", "metadata": {"a": "' + b"x" * 1_000_000 + b'"}}',
        b'{"body": "x", "' + b"k" * 1_000_000 + b'": 1}',
        b'{"body": {"$gt": ""}}',
        b'{"body": ["x"]}',
        b'{"body": "x", "number": 7}',
        b'{"body": "x", "revision": 7, "token": "f"}',
        b'{"body": "x"} {"body": "y"}',
        b'{"body": "x",}',
        b"\x00",
        b"",
        b"null",
        b"7",
    ],
    ids=lambda content: content[:40].decode(errors="replace"),
)
def test_a_malformed_body_is_refused_and_nothing_is_stored(
    application: Application, content: bytes
) -> None:
    chat = application.new_chat()
    for method, path in (
        ("POST", f"{chat}/messages"),
        ("PATCH", chat),
        ("PATCH", application.path),
    ):
        assert refused(application.send(method, path, content), 422)
    assert application.all(f"{chat}/messages") == []


def test_a_body_of_megabytes_is_refused(application: Application) -> None:
    chat = application.new_chat()
    message = {"body": "x" * 20_000}
    content = json.dumps({"messages": [message] * 501}).encode()
    assert refused(application.send("POST", f"{chat}/messages/batch", content), 413)
    assert application.all(f"{chat}/messages") == []


@pytest.mark.parametrize(
    "path",
    [
        "/chats/1%00",
        "/chats/%2e%2e%2f",
        "/chats/1%0d%0aX-Injected:%20yes",
        "/chats/-1",
        "/chats/1e3",
        "/chats/0x10",
        "/chats/%D9%A1",
        "/chats/9007199254740993",
        "/chats/" + "9" * 2_000,
        "/chats/1/messages/1%20OR%201=1",
        "/chats/1/messages/%27",
    ],
)
def test_a_malformed_path_is_refused(application: Application, path: str) -> None:
    application.new_chat()
    for method in ("GET", "DELETE"):
        assert refused(application(method, application.path + path), 404, 405, 422)


@pytest.mark.parametrize(
    "token", ["%27%20OR%201", "f" * 29, "f" * 3_000, "%00", "*", "{t}", "..%2f"]
)
def test_a_malformed_token_is_refused(application: Application, token: str) -> None:
    assert refused(application("GET", f"/applications/{token}/chats"), 401, 404)


def test_headers_cannot_be_injected(stack: Stack, application: Application) -> None:
    """Text after a line feed in a request becomes no header of the response."""
    chat = application.new_chat()
    url = urlsplit(stack.base_url)
    body = '{"body": "x\\r\\nX-Injected: yes"}'
    request = (
        f"POST {url.path}{chat}/messages HTTP/1.1\r\nHost: {url.netloc}\r\n"
        f"Authorization: Bearer {application.key}\r\nContent-Type: application/json\r\n"
        f"Idempotency-Key: a\r\nX-Injected: yes\r\nIf-Match: x\r\nConnection: close\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    )
    with socket.create_connection((url.hostname, url.port), timeout=60) as connection:
        connection.sendall(request.encode())
        response = b"".join(iter(lambda: connection.recv(65_536), b""))
    head, _, content = response.partition(b"\r\n\r\n")
    assert b" 202 " in head.split(b"\r\n")[0]
    assert b"x-injected" not in head.lower()
    assert b"X-Injected: yes" in content
