"""The deployed stack, for tests in the role of a client or of an operator."""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from chalicelib.adapters.mysql.store import MySqlStore
from tests.aws_clients import local_client

ROOT = Path(__file__).parents[2]
STACK_FILE = ROOT / "var" / "test" / "stack.json"
_REQUEST_SECONDS = 60


def wait_until[T](what: str, condition: Callable[[], T], seconds: float = 60) -> T:
    """Wait until the condition is true, and return its value. Fails after `seconds`."""
    until = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < until, f"waited {seconds} s for {what}"
        time.sleep(0.1)  # the pause between two checks
    return value


class Api:
    """Requests to the base URL with one credential. After a 503 it repeats the request, as clients do."""

    def __init__(self, base_url: str, key: str) -> None:
        self._client = httpx.Client(
            base_url=base_url,
            headers={"Authorization": f"Bearer {key}"},
            timeout=_REQUEST_SECONDS,
            limits=httpx.Limits(max_connections=32, max_keepalive_connections=32),
        )

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        until = time.monotonic() + _REQUEST_SECONDS
        while True:
            response = self._client.request(method, path, json=body, headers=headers)
            if response.status_code != 503 or time.monotonic() > until:
                return response
            time.sleep(float(response.headers.get("Retry-After", "1")))

    def send(self, method: str, path: str, content: bytes) -> httpx.Response:
        """Send these bytes as JSON, valid or not."""
        headers = {"Content-Type": "application/json"}
        return self._client.request(method, path, content=content, headers=headers)

    def get(self, path: str) -> Any:
        response = self("GET", path)
        assert response.status_code == 200, response.text
        return response.json()

    def post(self, path: str, body: Any, **headers: str) -> Any:
        response = self("POST", path, body, **headers)
        assert response.status_code in (201, 202), response.text
        return response.json()

    def all(self, path: str) -> list[Any]:
        """All items of a list, from all its pages."""
        items: list[Any] = []
        while path:
            page = self.get(path)
            items += page["items"]
            path = page["next"]
        return items

    def close(self) -> None:
        self._client.close()


class Application(Api):
    """A new application for one test."""

    def __init__(self, base_url: str, created: dict[str, str]) -> None:
        super().__init__(base_url, created["secret_key"])
        self.token, self.key = created["token"], created["secret_key"]
        self.path = f"/applications/{self.token}"

    def new_chat(self, title: str = "a chat") -> str:
        """Create a chat. Returns its path."""
        return f"{self.path}/chats/{self.post(f'{self.path}/chats', {'title': title})['number']}"


class Stack:
    """The services whose addresses are in the stack file."""

    def __init__(self) -> None:
        self.file: dict[str, Any] = json.loads(STACK_FILE.read_text())
        self.base_url: str = self.file["base_url"]
        self.logs = STACK_FILE.parent / "logs"
        self.store = MySqlStore(self.file["mysql"]["url"])
        self.functions = local_client(self.file["aws"]["url"], "lambda")
        self.sqs = local_client(self.file["aws"]["url"], "sqs")

    def mapping(self, function: str) -> dict[str, Any]:
        """The event source mapping of a worker."""
        mappings = self.functions.list_event_source_mappings()["EventSourceMappings"]
        [mapping] = [m for m in mappings if m["FunctionArn"].endswith(f"-{function}")]
        return dict(mapping)

    @contextmanager
    def stopped(self, function: str) -> Iterator[None]:
        """The worker receives no records during the block."""
        uuid = self.mapping(function)["UUID"]
        self._enable(uuid, False)
        try:
            yield
        finally:
            self._enable(uuid, True)

    def _enable(self, uuid: str, enabled: bool) -> None:
        self.functions.update_event_source_mapping(UUID=uuid, Enabled=enabled)
        state = "Enabled" if enabled else "Disabled"
        wait_until(
            f"the mapping to be {state}",
            lambda: self.functions.get_event_source_mapping(UUID=uuid)["State"] == state,
        )

    def invoke(self, function: str) -> Any:
        """Invoke a function and wait for its result."""
        names = [f["FunctionName"] for f in self.functions.list_functions()["Functions"]]
        [name] = [n for n in names if n.endswith(f"-{function}")]
        event = json.dumps(self.schedule_event()).encode()
        response = self.functions.invoke(FunctionName=name, Payload=event)
        assert "FunctionError" not in response, response["Payload"].read()
        return json.loads(response["Payload"].read())

    def schedule_event(self) -> dict[str, Any]:
        """The event of a schedule of EventBridge."""
        names = ("version", "account", "region", "detail-type", "source", "time", "id")
        return dict.fromkeys(names, "0") | {"detail": {}, "resources": []}

    def dead(self, queue: str) -> int:
        """The number of records in a queue's dead-letter queue."""
        response = self.sqs.get_queue_attributes(
            QueueUrl=self.file["queues"][f"{queue}-dead-letters"],
            AttributeNames=["ApproximateNumberOfMessages"],
        )
        return int(response["Attributes"]["ApproximateNumberOfMessages"])

    def new_application(self, name: str) -> Application:
        admin = Api(self.base_url, self.file["admin_key"])
        created = admin.post("/applications", {"name": name})
        admin.close()
        return Application(self.base_url, created)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run `test_policies.py` last, because it checks the calls of all other tests."""
    items.sort(key=lambda item: item.path.name == "test_policies.py")


@pytest.fixture(scope="session")
def stack() -> Stack:
    if not STACK_FILE.exists():
        pytest.skip("no deployed stack: `make test` starts one")
    return Stack()


@pytest.fixture
def application(stack: Stack, request: pytest.FixtureRequest) -> Iterator[Application]:
    application = stack.new_application(request.node.name[:255])
    yield application
    application.close()


def in_parallel[T](clients: int, work: Callable[[int], T], items: range) -> list[T]:
    """The results of `work` for all items, with this number of calls at once."""
    with ThreadPoolExecutor(clients) as pool:
        return list(pool.map(work, items))
