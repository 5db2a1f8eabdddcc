"""How the functions are set up: their rights, their limits, and what they are together for MySQL."""

import json
from pathlib import Path
from typing import Any

import pytest

from app import app
from infra.scaling.model import WORKERS, setting
from tests.unit.cloud_templates import template

FOLDER = Path(__file__).parents[2] / ".chalice"
FUNCTIONS = [
    "api_handler",
    *(one.name for one in [*app.event_sources, *app.pure_lambda_functions]),
]
# Operators, RDS itself, and processes that are ending while others have begun.
CONNECTIONS_LEFT_FREE = 50
# They cannot be narrower: Lambda makes and removes network interfaces that have no name yet, and the
# statement after it takes these rights from the code.
UNBOUNDED = {"LambdaJoinsTheNetwork", "ButNotTheCodeItself"}


def statements(function: str) -> list[dict[str, Any]]:
    policy = json.loads((FOLDER / setting(function, "iam_policy_file")).read_text())
    return list(policy["Statement"])


def listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def resources(function: str, action: str) -> set[str]:
    """The ends of what a function may do something to."""
    return {
        resource.rpartition(":")[2]
        for one in statements(function)
        if one["Effect"] == "Allow" and action in listed(one["Action"])
        for resource in listed(one["Resource"])
    }


def test_the_functions_together_never_need_more_connections_than_mysql_takes() -> None:
    processes = {name: setting(name, "reserved_concurrency") for name in FUNCTIONS}
    needed = sum(processes.values())
    taken = template("data")["Parameters"]["MysqlMaxConnections"]["Default"]
    assert needed + CONNECTIONS_LEFT_FREE <= taken


@pytest.mark.parametrize("worker", WORKERS)
def test_a_worker_is_given_records_only_where_a_process_is_free(worker: str) -> None:
    assert WORKERS[worker].maximum_concurrency == setting(worker, "reserved_concurrency")


@pytest.mark.parametrize("worker", WORKERS)
def test_records_stay_hidden_for_six_time_outs_and_the_window(worker: str) -> None:
    hidden = template("queues")["Parameters"]["VisibilityTimeoutSeconds"]["Default"]
    window = WORKERS[worker].maximum_batching_window_in_seconds
    assert hidden >= 6 * setting(worker, "lambda_timeout") + window


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_function_has_limits_and_rights_of_its_own(function: str) -> None:
    assert setting(function, "lambda_memory_size") >= 512
    assert setting(function, "lambda_timeout") >= 30
    assert setting(function, "lambda_architecture") == "arm64"
    assert setting(function, "autogen_policy") is False
    others = [setting(f, "iam_policy_file") for f in FUNCTIONS if f != function]
    assert setting(function, "iam_policy_file") not in others


@pytest.mark.parametrize("function", FUNCTIONS)
def test_no_right_is_wider_than_this_stage(function: str) -> None:
    for one in statements(function):
        for action in listed(one["Action"]):
            assert "*" not in action or one["Effect"] == "Deny", one["Sid"]
        for resource in listed(one["Resource"]):
            if one["Sid"] not in UNBOUNDED:
                assert ":REGION:ACCOUNT:" in resource, one["Sid"]
                assert "STAGE" in resource or "rds!db-" in resource or "Condition" in one


@pytest.mark.parametrize("worker", WORKERS)
def test_a_worker_takes_records_from_its_own_queue_only(worker: str) -> None:
    queue = WORKERS[worker].queue.replace("-local-", "-STAGE-")
    assert resources(worker, "sqs:ReceiveMessage") == {queue}
    assert f"{queue}-dead" in resources(worker, "sqs:SendMessage")


def test_only_the_api_reads_the_keys() -> None:
    for function in FUNCTIONS:
        read = " ".join(resources(function, "secretsmanager:GetSecretValue"))
        assert ("master-key" in read, "admin-key" in read) == (function == "api_handler",) * 2
        assert ("rds!" in read) == (function == "migrate")
