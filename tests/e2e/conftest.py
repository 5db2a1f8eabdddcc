"""The deployed stack, as a client and as an operator sees it."""

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
    """The condition's value, as soon as it is true; fails after `seconds`."""
    until = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < until, f"waited {seconds} s for {what}"
        time.sleep(0.1)  # the pause between two looks, not the wait itself
    return value


class Api:
    """Requests to the base URL with one credential. 503 is answered by trying again, as clients do."""

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
            answer = self._client.request(method, path, json=body, headers=headers)
            if answer.status_code != 503 or time.monotonic() > until:
                return answer
            time.sleep(float(answer.headers.get("Retry-After", "1")))

    def send(self, method: str, path: str, content: bytes) -> httpx.Response:
        """Bytes, as they are, said to be JSON."""
        headers = {"Content-Type": "application/json"}
        return self._client.request(method, path, content=content, headers=headers)

    def get(self, path: str) -> Any:
        answer = self("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, body: Any, **headers: str) -> Any:
        answer = self("POST", path, body, **headers)
        assert answer.status_code in (201, 202), answer.text
        return answer.json()

    def all(self, path: str) -> list[Any]:
        """All items of a list, page by page."""
        items: list[Any] = []
        while path:
            page = self.get(path)
            items += page["items"]
            path = page["next"]
        return items

    def close(self) -> None:
        self._client.close()


class Application(Api):
    """A tenant of its own for one test."""

    def __init__(self, base_url: str, made: dict[str, str]) -> None:
        super().__init__(base_url, made["secret_key"])
        self.token, self.key = made["token"], made["secret_key"]
        self.path = f"/applications/{self.token}"

    def new_chat(self, title: str = "a chat") -> str:
        """The path of a new chat."""
        return f"{self.path}/chats/{self.post(f'{self.path}/chats', {'title': title})['number']}"


class Stack:
    """What an operator can reach: the addresses in the stack file."""

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
        [found] = [m for m in mappings if m["FunctionArn"].endswith(f"-{function}")]
        return dict(found)

    @contextmanager
    def stopped(self, function: str) -> Iterator[None]:
        """The worker takes no records meanwhile."""
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
        """Call a function at once."""
        names = [f["FunctionName"] for f in self.functions.list_functions()["Functions"]]
        [name] = [n for n in names if n.endswith(f"-{function}")]
        event = json.dumps(self.schedule_event()).encode()
        answer = self.functions.invoke(FunctionName=name, Payload=event)
        assert "FunctionError" not in answer, answer["Payload"].read()
        return json.loads(answer["Payload"].read())

    def schedule_event(self) -> dict[str, Any]:
        """What a rule of EventBridge calls a function with."""
        names = ("version", "account", "region", "detail-type", "source", "time", "id")
        return dict.fromkeys(names, "0") | {"detail": {}, "resources": []}

    def dead(self, queue: str) -> int:
        """How many records are in a queue's dead-letter queue."""
        answer = self.sqs.get_queue_attributes(
            QueueUrl=self.file["queues"][f"{queue}-dead"],
            AttributeNames=["ApproximateNumberOfMessages"],
        )
        return int(answer["Attributes"]["ApproximateNumberOfMessages"])

    def new_application(self, name: str) -> Application:
        admin = Api(self.base_url, self.file["admin_key"])
        made = admin.post("/applications", {"name": name})
        admin.close()
        return Application(self.base_url, made)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What looks back at all calls comes last."""
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
    """The results of `work` for each item, done by so many clients at once."""
    with ThreadPoolExecutor(clients) as pool:
        return list(pool.map(work, items))
