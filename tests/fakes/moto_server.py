"""Moto as a server in this process, for code that calls AWS without boto3."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.request import Request, urlopen

from moto.server import ThreadedMotoServer


@contextmanager
def moto_server() -> Iterator[str]:
    """The URL of an empty server."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        url = f"http://{host}:{port}"
        urlopen(
            Request(f"{url}/moto-api/reset", method="POST")
        ).close()  # moto's data belongs to the process
        yield url
    finally:
        server.stop()
