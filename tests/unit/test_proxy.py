"""The proxy that the fault program puts before each service behaves as its mode says."""

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.faults.duplicate_delivery import send_again
from tests.faults.proxy import Mode, Proxy


class Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        try:
            while chunk := self.request.recv(65536):
                self.server.seen += chunk  # type: ignore[attr-defined]
                self.request.sendall(self.server.greeting + chunk)  # type: ignore[attr-defined]
        except ConnectionError:
            return


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, greeting: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Echo)
        self.greeting, self.seen = greeting, b""
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def port(self) -> int:
        return int(self.server_address[1])


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server(b"")
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    with closing(Proxy(_free_port(), server.port)) as proxy:
        yield proxy


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _connect(proxy: Proxy, timeout_seconds: float = 5.0) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=timeout_seconds)


def _send(connection: socket.socket, text: bytes) -> bytes:
    connection.sendall(text)
    return connection.recv(65536)


def _is_reset(connection: socket.socket) -> bool:
    try:
        return _send(connection, b"anybody?") == b""
    except ConnectionError:
        return True


def test_data_passes_in_both_directions(proxy: Proxy) -> None:
    with _connect(proxy) as connection:
        assert _send(connection, b"hello") == b"hello"


def test_a_refusing_proxy_resets_open_connections_and_accepts_no_new_one(proxy: Proxy) -> None:
    with _connect(proxy) as connection:
        assert _send(connection, b"before") == b"before"
        proxy.set(Mode.REFUSE)
        assert _is_reset(connection)
    with pytest.raises(ConnectionError):
        _connect(proxy)
    proxy.set(Mode.PASS)
    with _connect(proxy) as connection:
        assert _send(connection, b"after") == b"after"


def test_a_hanging_proxy_accepts_connections_and_forwards_everything_in_the_end(
    proxy: Proxy,
) -> None:
    proxy.set(Mode.HANG)
    with _connect(proxy, 0.2) as connection:
        with pytest.raises(TimeoutError):
            _send(connection, b"late")
        connection.settimeout(5.0)
        proxy.set(Mode.PASS)
        assert connection.recv(100) == b"late"


def test_a_resetting_proxy_ends_every_connection(proxy: Proxy) -> None:
    proxy.set(Mode.RESET)
    with _connect(proxy) as connection:
        responses = []
        try:
            while response := _send(connection, b"x" * 1000):
                responses.append(response)
        except ConnectionError:
            pass
        assert len(b"".join(responses)) <= 20_000


def test_a_slow_proxy_forwards_everything(proxy: Proxy) -> None:
    proxy.set(Mode.SLOW, 0.01)
    with _connect(proxy) as connection:
        assert _send(connection, b"slowly") == b"slowly"


def test_a_mute_proxy_forwards_requests_and_drops_responses(proxy: Proxy, server: Server) -> None:
    proxy.set(Mode.MUTE)
    with _connect(proxy, 0.2) as connection, pytest.raises(TimeoutError):
        _send(connection, b"sent")
    assert server.seen == b"sent"


def test_a_proxy_can_be_pointed_to_another_server(proxy: Proxy) -> None:
    other = Server(b"other: ")
    try:
        with _connect(proxy) as connection:
            assert _send(connection, b"a") == b"a"
        proxy.point_to(other.port)
        with _connect(proxy) as connection:
            assert _send(connection, b"b") == b"other: b"
    finally:
        other.shutdown()
        other.server_close()


def test_a_proxy_without_a_target_resets_its_clients() -> None:
    with closing(Proxy(_free_port(), _free_port())) as proxy, _connect(proxy) as connection:
        assert _is_reset(connection)


def test_a_request_that_sends_records_is_sent_twice(server: Server) -> None:
    request = (
        b"POST / HTTP/1.1\r\nX-Amz-Target: AmazonSQS.SendMessage\r\nContent-Length: 2\r\n\r\n{}"
    )
    server.greeting = b"HTTP/1.1 200 OK\r\n\r\n"
    with closing(Proxy(_free_port(), server.port, send_again)) as proxy:
        with _connect(proxy) as connection:
            _send(connection, request)
        assert server.seen == request * 2


def test_a_request_that_only_reads_is_sent_once(server: Server) -> None:
    request = (
        b"POST / HTTP/1.1\r\nX-Amz-Target: AmazonSQS.ListQueues\r\nContent-Length: 2\r\n\r\n{}"
    )
    with closing(Proxy(_free_port(), server.port, send_again)) as proxy:
        with _connect(proxy) as connection:
            _send(connection, request)
        assert server.seen == request
