"""The settings of the functions: their policies, their limits, and their connections to MySQL."""

import json
from pathlib import Path
from typing import Any

import pytest

from app import app
from docs.cost_model.model import WORKERS, setting
from tests.unit.cloud_templates import template

FOLDER = Path(__file__).parents[2] / ".chalice"
FUNCTIONS = [
    "api_handler",
    *(function.name for function in [*app.event_sources, *app.pure_lambda_functions]),
]
# For operators, for RDS itself, and for old processes that end while new ones start.
SPARE_CONNECTIONS = 50
# Statements for all resources. Lambda creates and deletes network interfaces, and their names are not known
# before. The second statement denies the same actions to the code of the function.
UNBOUNDED = {"ManageNetworkInterfaces", "DenyNetworkInterfacesToCode"}


def statements(function: str) -> list[dict[str, Any]]:
    policy = json.loads((FOLDER / setting(function, "iam_policy_file")).read_text())
    return list(policy["Statement"])


def listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def resources(function: str, action: str) -> set[str]:
    """The names of the resources that a policy allows an action on."""
    return {
        resource.rpartition(":")[2]
        for statement in statements(function)
        if statement["Effect"] == "Allow" and action in listed(statement["Action"])
        for resource in listed(statement["Resource"])
    }


def test_all_functions_together_use_fewer_connections_than_mysql_allows() -> None:
    processes = {name: setting(name, "reserved_concurrency") for name in FUNCTIONS}
    needed = sum(processes.values())
    available = template("data")["Parameters"]["MysqlMaxConnections"]["Default"]
    assert needed + SPARE_CONNECTIONS <= available


@pytest.mark.parametrize("worker", WORKERS)
def test_lambda_gives_records_to_a_worker_only_if_a_process_is_free(worker: str) -> None:
    assert WORKERS[worker].maximum_concurrency == setting(worker, "reserved_concurrency")


@pytest.mark.parametrize("worker", WORKERS)
def test_the_visibility_timeout_is_six_timeouts_and_the_batching_window(worker: str) -> None:
    visibility_timeout = template("queues")["Parameters"]["VisibilityTimeoutSeconds"]["Default"]
    window = WORKERS[worker].maximum_batching_window_in_seconds
    assert visibility_timeout >= 6 * setting(worker, "lambda_timeout") + window


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_function_has_its_own_limits_and_policy(function: str) -> None:
    assert setting(function, "lambda_memory_size") >= 512
    assert setting(function, "lambda_timeout") >= 30
    assert setting(function, "lambda_architecture") == "arm64"
    assert setting(function, "autogen_policy") is False
    others = [setting(f, "iam_policy_file") for f in FUNCTIONS if f != function]
    assert setting(function, "iam_policy_file") not in others


@pytest.mark.parametrize("function", FUNCTIONS)
def test_no_policy_allows_more_than_resources_of_its_stage(function: str) -> None:
    for statement in statements(function):
        for action in listed(statement["Action"]):
            assert "*" not in action or statement["Effect"] == "Deny", statement["Sid"]
        for resource in listed(statement["Resource"]):
            if statement["Sid"] not in UNBOUNDED:
                assert ":REGION:ACCOUNT:" in resource, statement["Sid"]
                named = "STAGE" in resource or "rds!db-" in resource
                assert named or "Condition" in statement, statement["Sid"]


@pytest.mark.parametrize("worker", WORKERS)
def test_a_worker_receives_records_only_from_its_own_queue(worker: str) -> None:
    queue = WORKERS[worker].queue.replace("-local-", "-STAGE-")
    assert resources(worker, "sqs:ReceiveMessage") == {queue}
    assert f"{queue}-dead-letters" in resources(worker, "sqs:SendMessage")


def test_only_the_api_reads_the_keys() -> None:
    for function in FUNCTIONS:
        secrets = " ".join(resources(function, "secretsmanager:GetSecretValue"))
        assert ("master-key" in secrets, "admin-key" in secrets) == (function == "api_handler",) * 2
        assert ("rds!" in secrets) == (function == "migrate")
