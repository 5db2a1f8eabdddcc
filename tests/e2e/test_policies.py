"""The functions' rights, held against what they have called in all these tests.

LocalStack writes down each call of a function. For what the functions call on AWS alone, copies of them are
set up as in production here (`in_production.py`): secrets by their names, an index that is asked by rights.
"""

import json
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

import pytest

from chalicelib.domain.queue_records import Document, DocumentsRecord, PurgeRecord
from tests.bench.api import event
from tests.bench.pipeline import event_of
from tests.contract.states import chat, chats, message, messages
from tests.e2e.conftest import Stack
from tests.e2e.in_production import (
    OWNER_SECRET,
    OWNER_SECRET_ON_AWS,
    SUFFIX,
    Production,
    in_production,
)
from tests.unit.test_functions import FUNCTIONS, WORKERS, listed, statements

# An API of SQS that is a permission of another name.
PERMISSION = {
    "SendMessageBatch": "SendMessage",
    "ChangeMessageVisibilityBatch": "ChangeMessageVisibility",
}
# Lambda's own poller takes and deletes records, with the role of the function but not in it.
BY_THE_POLLER = {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"}
# Lambda itself uses these, with the role of the function: to write down what it prints, and to put it into
# the network.
BY_LAMBDA = {
    "logs:CreateLogStream",
    "logs:PutLogEvents",
    "ec2:CreateNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DeleteNetworkInterface",
    "ec2:AssignPrivateIpAddresses",
    "ec2:UnassignPrivateIpAddresses",
}
# Secrets Manager itself decrypts, in the name of who asks it for a secret.
BY_SECRETS_MANAGER = ("kms:Decrypt", "key/*")
# A right that no test uses, because what needs it does not happen in them.
NOT_SEEN = {
    ("persist_chats", "sqs:SendMessage", "chats-dead"): "a chat that MySQL refuses for good",
    ("persist_chats", "sqs:ChangeMessageVisibility", "chats"): "MySQL is away just then",
    ("accept_inbox", "sqs:ChangeMessageVisibility", "inbox"): "Redis or MySQL is away just then",
    ("index_messages", "sqs:SendMessage", "search-dead"): "a document that OpenSearch refuses",
    ("repair_pending", "sqs:SendMessage", "chats"): "a chat whose sending failed",
    ("repair_pending", "sqs:SendMessage", "search"): "a chat deleted a quarter of an hour ago",
}
WHERE_MOST_IS_CALLED = {
    "test_hanging_parts.py",
    "test_inbox.py",
    "test_poison.py",
    "test_whole_way.py",
}

type Call = tuple[str, str, str]


@pytest.fixture(scope="module")
def calls(stack: Stack) -> Iterator[set[Call]]:
    """Function, permission, and the end of the name of what it was for."""
    with in_production(stack, FUNCTIONS) as production:
        _call_all(production)
        yield _noted(stack) | production.proxy.asked


def _call_all(production: Production) -> None:
    """Each function does what needs its secrets, and all that it asks of the index."""
    call, admin_key = production.call, production.stack.file["admin_key"]
    # The first two times there is no index yet, and the second time another migration is faster.
    production.proxy.instead["migrate", "HEAD"] = [404, 404]
    production.proxy.instead["migrate", "PUT"] = [200, 400, 200]
    for _ in range(3):
        call("migrate", {})

    def ask(request: dict[str, Any]) -> Any:
        answer = call("api_handler", request)
        assert answer["statusCode"] < 300, answer
        return json.loads(answer["body"])

    made = ask(event("POST", "/applications", None, admin_key, {"name": "x"}))
    token, key = made["token"], made["secret_key"]
    of_token = {"token": token}
    ask(event("POST", "/applications/{token}/chats", of_token, key, {"title": "x"}))
    ask(event("GET", "/applications/{token}/search", of_token, key, None, {"q": "x"}))
    ask(event("GET", "/health/ready"))
    records: dict[str, list[Any]] = {
        "accept_inbox": [{"type": "chat.create", "token": token, "title": "x", "key": "k"}],
        "persist_chats": [chats(token, chat(1))],
        "persist_messages": [messages(token, message(1))],
        "index_messages": [
            DocumentsRecord(documents=[Document(token=token, chat=1, message=message(1))]),
            PurgeRecord(token=token),
        ],
    }
    for worker, some in records.items():
        assert call(worker, event_of(some)) == {"batchItemFailures": []}, worker
    call("repair_pending", production.stack.schedule_event())


def _noted(stack: Stack) -> set[Call]:
    """What LocalStack has written down."""
    calls = set()
    for line in (stack.logs / "calls.ndjson").read_text().splitlines():
        function, action, resource = json.loads(line)
        if function.startswith("ordinal-test"):
            service, _, operation = action.partition(":")
            permission = f"{service}:{PERMISSION.get(operation, operation)}"
            name = function.removeprefix("ordinal-test").removeprefix("-").removesuffix(SUFFIX)
            calls.add((name or "api_handler", permission, _end(resource)))
    return calls


def _end(resource: str) -> str:
    """The end of the name of a queue, a secret, a path of the index."""
    name = resource.rpartition(":")[2].replace(OWNER_SECRET, OWNER_SECRET_ON_AWS)
    for stage in ("STAGE", "test"):
        name = name.removeprefix(f"domain/ordinal-{stage}/").removeprefix(f"ordinal-{stage}-")
    return name


def allowed() -> set[Call]:
    """What the functions' own code may do, and Secrets Manager for it."""
    return {
        (function, action, _end(resource))
        for function in FUNCTIONS
        for one in statements(function)
        if one["Effect"] == "Allow"
        for action in listed(one["Action"])
        if action not in BY_LAMBDA
        for resource in listed(one["Resource"])
    }


def matches(call: Call, right: Call) -> bool:
    return all(map(fnmatchcase, call, right))


def test_every_call_of_a_function_is_allowed(calls: set[Call]) -> None:
    assert {function for function, _, _ in calls} == set(FUNCTIONS)
    assert {action.partition(":")[0] for _, action, _ in calls} == {"sqs", "secretsmanager", "es"}
    rights = allowed()
    assert not [call for call in calls if not any(matches(call, right) for right in rights)]


def test_who_reads_secrets_and_nobody_else_may_have_them_decrypted(calls: set[Call]) -> None:
    readers = {function for function, action, _ in calls if action.startswith("secretsmanager:")}
    assert {right for right in allowed() if right[1].startswith("kms:")} == {
        (function, *BY_SECRETS_MANAGER) for function in readers
    }


@pytest.mark.parametrize("service", ["es", "secretsmanager"])
def test_nothing_is_allowed_of_a_service_that_was_never_called(
    service: str, calls: set[Call]
) -> None:
    rights = {right for right in allowed() if right[1].startswith(f"{service}:")}
    assert rights
    assert not {right for right in rights if not any(matches(call, right) for call in calls)}


def test_nothing_is_allowed_of_the_queues_that_was_never_called(
    calls: set[Call], request: pytest.FixtureRequest
) -> None:
    if not {item.path.name for item in request.session.items} >= WHERE_MOST_IS_CALLED:
        pytest.skip("says something only after the other tests of this folder")
    by_the_poller = {
        (worker, action, one.queue.removeprefix("ordinal-local-"))
        for worker, one in WORKERS.items()
        for action in BY_THE_POLLER
    }
    rights = {right for right in allowed() if right[1].startswith("sqs:")}
    assert rights - calls - by_the_poller - set(NOT_SEEN) == set()


def test_no_right_is_to_a_service_that_nothing_here_looks_at() -> None:
    services = {action.partition(":")[0] for _, action, _ in allowed()}
    assert services == {"sqs", "secretsmanager", "es", "kms"}
