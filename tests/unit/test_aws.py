"""Signed calls: the signature is botocore's, and a lost call is sent once more."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.adapters.aws import AwsError, NoResponseError, Service, Signer

HEADERS = {"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": "AmazonSQS.SendMessage"}


@given(body=st.binary(), token=st.one_of(st.just(""), st.text("abcXYZ019+/=", min_size=1)))
def test_a_request_is_signed_as_botocore_signs_it(body: bytes, token: str) -> None:
    host, keys = "sqs.eu-west-1.amazonaws.com", ("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG")
    request = AWSRequest("POST", f"https://{host}/", dict(HEADERS), body)
    SigV4Auth(Credentials(*keys, token or None), "sqs", "eu-west-1").add_auth(request)
    at = request.headers["X-Amz-Date"]
    ours = Signer("sqs", "eu-west-1", *keys, token).signed({**HEADERS, "Host": host}, body, at)
    assert ours["Authorization"] == request.headers["Authorization"]
    assert ours.get("X-Amz-Security-Token") == request.headers.get("X-Amz-Security-Token")


class Script:
    """The responses of a server, call by call: a status and a body, or None for a closed connection."""

    def __init__(self, *responses: tuple[int, str] | None, close: bool = False) -> None:
        self.responses = list(responses)
        self.close = close
        self.connections: list[object] = []
        self.targets: list[str] = []


@contextmanager
def server(script: Script, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            script.connections.append(self.client_address)
            script.targets.append(self.headers["X-Amz-Target"])
            response = script.responses.pop(0)
            if response is None:
                self.close_connection = True
                return
            self.send_response(response[0])
            self.send_header("Content-Length", str(len(response[1].encode())))
            if script.close:
                self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(response[1].encode())

        def log_message(self, *words: object) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listening.serve_forever)
    thread.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{listening.server_port}")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, "test")
    service = Service("sqs", "AmazonSQS.", json="1.0")
    try:
        yield service
    finally:
        service.close()
        listening.shutdown()
        thread.join()
        listening.server_close()


def test_one_connection_serves_many_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script((200, '{"a":1}'), (200, ""), (400, '{"__type":"x#Refused"}'), (200, "{}"))
    with server(script, monkeypatch) as service:
        assert service.call("One", {}) == {"a": 1}
        assert service.call("Two", {}) == {}
        with pytest.raises(AwsError):
            service.call("Three", {})
        service.call("Four", {})
    assert len(set(script.connections)) == 1
    assert script.targets == [f"AmazonSQS.{name}" for name in ("One", "Two", "Three", "Four")]


def test_a_lost_connection_is_opened_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    script = Script((200, "{}"), None, (200, '{"a":2}'))
    with server(script, monkeypatch) as service:
        service.call("One", {})
        assert service.call("Two", {}) == {"a": 2}
    assert len(set(script.connections)) == 2


def test_a_server_that_closes_after_each_response_gets_each_request_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    script = Script((200, "{}"), (200, "{}"), close=True)
    with server(script, monkeypatch) as service:
        service.call("One", {})
        service.call("Two", {})
    assert script.targets == ["AmazonSQS.One", "AmazonSQS.Two"]


def test_a_failed_call_is_sent_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script((200, "<html>"), (503, '{"__type":"Busy","message":"later"}'))
    with (
        server(script, monkeypatch) as service,
        pytest.raises(NoResponseError, match="Busy: later"),
    ):
        service.call("One", {})
    assert not script.responses


def test_a_refusal_raises_an_error_with_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script((400, '{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"no"}'))
    with server(script, monkeypatch) as service, pytest.raises(AwsError) as refused:
        service.call("One", {})
    assert not isinstance(refused.value, NoResponseError)
    assert (refused.value.code, str(refused.value)) == (
        "QueueDoesNotExist",
        "QueueDoesNotExist: no",
    )


def test_missing_credentials_raise_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    with pytest.raises(AwsError, match="NoCredentials"):
        Service("sqs", "AmazonSQS.", json="1.0").call("One", {})


def test_a_service_that_is_down_raises_no_response_error(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(NoResponseError):
        Service("sqs", "AmazonSQS.", json="1.0").call("One", {})
