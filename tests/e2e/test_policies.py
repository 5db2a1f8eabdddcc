"""The policies of the functions, compared with the calls that the functions make.

LocalStack records each call of a function. Some calls happen only with the settings of production, so copies
of the functions with these settings run here (`in_production.py`). They make each call that a policy must
allow, so that this module gives the same result alone and after other tests.
"""

import json
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

import pytest

from chalicelib.domain.queue_records import Document, DocumentsRecord, PurgeRecord
from tests.bench.api import event
from tests.bench.pipeline import event_of
from tests.contract.factories import NOW, chat, chats, message, messages
from tests.e2e.conftest import Stack, wait_until
from tests.e2e.in_production import (
    OWNER_SECRET,
    OWNER_SECRET_ON_AWS,
    SUFFIX,
    Production,
    in_production,
)
from tests.unit.test_functions import FUNCTIONS, WORKERS, listed, statements

# The API of SQS has these calls, which a policy allows by another name.
PERMISSION = {
    "SendMessageBatch": "SendMessage",
    "ChangeMessageVisibilityBatch": "ChangeMessageVisibility",
}
# Lambda's poller makes these calls with the role of the function, outside of the function.
BY_THE_POLLER = {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"}
# Lambda itself makes these calls with the role of the function: for its logs and for its network interface.
BY_LAMBDA = {
    "logs:CreateLogStream",
    "logs:PutLogEvents",
    "ec2:CreateNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DeleteNetworkInterface",
    "ec2:AssignPrivateIpAddresses",
    "ec2:UnassignPrivateIpAddresses",
}
# Secrets Manager decrypts a secret with the permission of its reader.
BY_SECRETS_MANAGER = ("kms:Decrypt", "key/*")
# Permissions that are used only after minutes. No test here waits for this.
NOT_CALLED = {
    ("repair_pending", "sqs:SendMessage", "chats"): "a chat that was not sent a minute ago",
    ("repair_pending", "sqs:SendMessage", "messages"): "a message that was not sent a minute ago",
    ("purge_deleted", "sqs:SendMessage", "search"): "a chat that was deleted 15 minutes ago",
}
TASKS = ("measure_backlog", "repair_pending", "purge_deleted", "release_idle_leases")
UNREADABLE = "not a record: tests/e2e/test_policies.py"

type Call = tuple[str, str, str]


@pytest.fixture(scope="module")
def calls(stack: Stack) -> Iterator[set[Call]]:
    """All calls of the functions: the function, the action, and the end of the name of the resource."""
    with in_production(stack, FUNCTIONS) as production:
        _use_secrets_and_index(production)
        _fail_records(production)
        _delete_dead_letters(stack)
        yield _recorded(stack) | production.proxy.calls


def _use_secrets_and_index(production: Production) -> None:
    """Each function uses its secrets, its queues, and the index."""
    call, admin_key = production.call, production.stack.file["admin_key"]
    # The first two calls find no index. In the second one another migration creates the index first.
    production.proxy.statuses["migrate", "HEAD"] = [404, 404]
    production.proxy.statuses["migrate", "PUT"] = [200, 400, 200]
    for _ in range(3):
        call("migrate", {})

    def request(api_event: dict[str, Any]) -> Any:
        response = call("api_handler", api_event)
        assert response["statusCode"] < 300, response
        return json.loads(response["body"])

    def new_application() -> tuple[str, str]:
        made = request(event("POST", "/applications", None, admin_key, {"name": "x"}))
        token, key = made["token"], made["secret_key"]
        chats_path = "/applications/{token}/chats"
        request(event("POST", chats_path, {"token": token}, key, {"title": "x"}))
        return token, key

    token, key = new_application()
    in_chat = {"token": token, "chat": "1"}
    messages_path = "/applications/{token}/chats/{chat}/messages"
    request(event("POST", messages_path, in_chat, key, {"body": "x"}))
    # Another application, so that the records below do not contradict this message.
    token, key = new_application()
    search_path = "/applications/{token}/search"
    request(event("GET", search_path, {"token": token}, key, None, {"q": "x"}))
    request(event("GET", "/health/ready"))
    for worker, records in _records(token).items():
        assert call(worker, event_of(records)) == {"batchItemFailures": []}, worker
    for task in TASKS:
        call(task, production.stack.schedule_event())


def _records(token: str) -> dict[str, list[Any]]:
    """Records that each worker processes."""
    return {
        "accept_inbox": [
            {"type": "chat.create", "token": token, "title": "x", "key": "a"},
            {"type": "message.create", "token": token, "chat": 1, "body": "x", "key": "b"},
        ],
        "persist_chats": [
            chats(token, chat(1), chat(3)),
            chats(token, chat(3, 2, deleted_at=NOW)),
        ],
        "persist_messages": [messages(token, message(1))],
        "index_messages": [
            DocumentsRecord(documents=[Document(token=token, chat=1, message=message(1))]),
            PurgeRecord(token=token),
        ],
    }


def _fail_records(production: Production) -> None:
    """Each worker dead-letters a record, and then fails records while no store responds."""
    token = "f" * 30
    for worker, records in _records(token).items():
        unreadable = event_of(records[:1])
        unreadable["Records"][0]["body"] = UNREADABLE
        assert production.call(worker, unreadable) == {"batchItemFailures": []}, worker
        production.take_stores_away(worker)
        response = production.call(worker, event_of(records[:1]))
        assert len(response["batchItemFailures"]) == 1, worker


def _delete_dead_letters(stack: Stack) -> None:
    """Delete the records that these tests put into the dead-letter queues."""
    for worker in WORKERS.values():
        url = stack.file["queues"][f"{worker.queue.removeprefix('ordinal-local-')}-dead-letters"]

        def deleted(url: str = url) -> bool:
            response = stack.sqs.receive_message(
                QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=1
            )
            ours = [m for m in response.get("Messages", []) if m["Body"] == UNREADABLE]
            for letter in ours:
                stack.sqs.delete_message(QueueUrl=url, ReceiptHandle=letter["ReceiptHandle"])
            return bool(ours)

        wait_until(f"the dead letter in {url}", deleted)


def _recorded(stack: Stack) -> set[Call]:
    """The calls that LocalStack has recorded."""
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
    """The end of the name of a queue or a secret, or a path of the index."""
    name = resource.rpartition(":")[2].replace(OWNER_SECRET, OWNER_SECRET_ON_AWS)
    for stage in ("STAGE", "test"):
        name = name.removeprefix(f"domain/ordinal-{stage}/").removeprefix(f"ordinal-{stage}-")
    return name


def permissions() -> set[Call]:
    """What the policies allow: calls of the functions, and of Secrets Manager for the functions."""
    return {
        (function, action, _end(resource))
        for function in FUNCTIONS
        for statement in statements(function)
        if statement["Effect"] == "Allow"
        for action in listed(statement["Action"])
        if action not in BY_LAMBDA
        for resource in listed(statement["Resource"])
    }


def matches(call: Call, permission: Call) -> bool:
    return all(map(fnmatchcase, call, permission))


def test_every_call_of_a_function_is_allowed(calls: set[Call]) -> None:
    assert {function for function, _, _ in calls} == set(FUNCTIONS)
    assert {action.partition(":")[0] for _, action, _ in calls} == {"sqs", "secretsmanager", "es"}
    allowed = permissions()
    assert not [
        call for call in calls if not any(matches(call, permission) for permission in allowed)
    ]


def test_a_function_may_decrypt_secrets_exactly_if_it_reads_secrets(calls: set[Call]) -> None:
    readers = {function for function, action, _ in calls if action.startswith("secretsmanager:")}
    decrypting = {permission for permission in permissions() if permission[1].startswith("kms:")}
    assert decrypting == {(function, *BY_SECRETS_MANAGER) for function in readers}


@pytest.mark.parametrize("service", ["es", "secretsmanager"])
def test_no_policy_allows_more_of_a_service_than_the_functions_call(
    service: str, calls: set[Call]
) -> None:
    allowed = {
        permission for permission in permissions() if permission[1].startswith(f"{service}:")
    }
    assert allowed
    assert not {
        permission for permission in allowed if not any(matches(call, permission) for call in calls)
    }


def test_no_policy_allows_more_of_the_queues_than_the_functions_call(calls: set[Call]) -> None:
    by_the_poller = {
        (name, action, worker.queue.removeprefix("ordinal-local-"))
        for name, worker in WORKERS.items()
        for action in BY_THE_POLLER
    }
    allowed = {permission for permission in permissions() if permission[1].startswith("sqs:")}
    assert set(NOT_CALLED) <= allowed
    assert allowed - calls - by_the_poller - set(NOT_CALLED) == set()


def test_no_policy_allows_a_service_that_these_tests_do_not_check() -> None:
    services = {action.partition(":")[0] for _, action, _ in permissions()}
    assert services == {"sqs", "secretsmanager", "es", "kms"}
