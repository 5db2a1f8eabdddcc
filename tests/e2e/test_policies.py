"""The functions' rights, held against what they have called in all these tests.

Of AWS, the functions call SQS on LocalStack; the rights to secrets and the index are for AWS alone, and
`tests/unit/test_functions.py` looks at them.
"""

import json
from fnmatch import fnmatchcase

import pytest

from tests.e2e.conftest import Stack
from tests.unit.test_functions import FUNCTIONS, WORKERS, listed, statements

# An API of SQS that is a permission of another name.
PERMISSION = {
    "SendMessageBatch": "SendMessage",
    "ChangeMessageVisibilityBatch": "ChangeMessageVisibility",
}
# Lambda's own poller takes and deletes records, with the role of the function but not in it.
BY_THE_POLLER = {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"}
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


def called(stack: Stack) -> set[Call]:
    """Function, permission and short name of a queue."""
    calls = set()
    log = stack.logs / "calls.ndjson"
    for line in log.read_text().splitlines():
        function, action, resource = json.loads(line)
        if not function.startswith("ordinal-test"):
            continue
        service, _, operation = action.partition(":")
        permission = f"{service}:{PERMISSION.get(operation, operation)}"
        name = function.removeprefix("ordinal-test").removeprefix("-") or "api_handler"
        calls.add((name, permission, resource.removeprefix("ordinal-test-")))
    return calls


def allowed() -> set[Call]:
    return {
        (function, action, resource.rpartition("ordinal-STAGE-")[2])
        for function in FUNCTIONS
        for one in statements(function)
        if one["Effect"] == "Allow"
        for action in listed(one["Action"])
        if action.startswith("sqs:")
        for resource in listed(one["Resource"])
    }


def test_every_call_of_a_function_is_allowed(stack: Stack) -> None:
    calls = called(stack)
    assert {function for function, _, _ in calls} >= {"api_handler", "persist_messages"}
    refused = [
        one for one in calls if not any(all(map(fnmatchcase, one, right)) for right in allowed())
    ]
    assert not refused


def test_nothing_is_allowed_that_was_never_called(
    stack: Stack, request: pytest.FixtureRequest
) -> None:
    if not {item.path.name for item in request.session.items} >= WHERE_MOST_IS_CALLED:
        pytest.skip("says something only after the other tests of this folder")
    calls = called(stack)
    by_the_poller = {
        (worker, action, one.queue.removeprefix("ordinal-local-"))
        for worker, one in WORKERS.items()
        for action in BY_THE_POLLER
    }
    assert allowed() - calls - by_the_poller - set(NOT_SEEN) == set()
