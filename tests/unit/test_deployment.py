"""The decisions of a deployment before it calls AWS."""

import json
import re
from pathlib import Path

import pytest

from infra.deploy import staging
from infra.deploy.destroy import without_retention
from infra.deploy.environment import FROM_STACKS, function_environment
from infra.deploy.queues import MAX_RECEIVE_COUNT, OUTPUTS, VISIBILITY_TIMEOUT_SECONDS
from infra.deploy.settings import DeploySettings, read_settings
from infra.deploy.stacks import FOLDER, TEMPLATES, templates_of
from infra.deploy.staging import DeployTarget, fill_in, stage_config, stage_project
from tests.unit.cloud_templates import template

ROOT = Path(__file__).parents[2]
CONFIG = json.loads((ROOT / ".chalice/config.json").read_text())
AWS = DeploySettings("prod2", "", "eu-west-1", "", "", {})
LOCALSTACK = DeploySettings("test", "http://localhost:4566", "us-east-1", "", "", {})
TARGET = DeployTarget("aws", "eu-west-1", "123456789012", ["subnet-1", "subnet-2"], ["sg-1"])


def test_a_stage_of_localstack_cannot_reach_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    for stage in ("local", "test", "faults", "bench"):
        with pytest.raises(SystemExit, match="needs AWS_ENDPOINT_URL"):
            read_settings(stage)


def test_a_stage_of_aws_cannot_reach_localstack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://localhost:4566")
    with pytest.raises(SystemExit, match="prod is a stage of AWS itself"):
        read_settings("prod")


@pytest.mark.parametrize("stage", ["Prod", "prod-eu", "prod_eu", "", "2nd", "x" * 17])
def test_a_name_that_not_every_service_accepts_is_refused(stage: str) -> None:
    with pytest.raises(SystemExit, match="is not the name of a stage"):
        read_settings(stage)


def test_another_stage_of_aws_is_like_prod() -> None:
    config = stage_config(CONFIG, AWS, TARGET, {"ORDINAL_STAGE": "prod2"})
    [(name, stage)] = config["stages"].items()
    assert (name, config["api_gateway_stage"]) == ("prod2", "v1")
    assert stage["subnet_ids"] == TARGET.subnet_ids
    assert stage["security_group_ids"] == TARGET.security_group_ids
    assert stage["lambda_functions"] == CONFIG["stages"]["prod"]["lambda_functions"]
    assert stage["environment_variables"]["ORDINAL_STAGE"] == "prod2"
    assert stage["environment_variables"]["ORDINAL_REDIS_KEEPS_WRITES"] == "1"


def test_a_stage_of_localstack_is_like_local_and_has_no_network() -> None:
    config = stage_config(CONFIG, LOCALSTACK, DeployTarget("aws", "us-east-1", "0", [], []), {})
    stage = config["stages"]["test"]
    assert "subnet_ids" not in stage
    assert "lambda_functions" not in stage
    assert config["api_gateway_stage"] == "v1"


def test_a_change_of_the_way_in_which_a_package_is_built_builds_a_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "RUN_CHALICE", tmp_path / "run_chalice.py")
    target, requirements = DeployTarget("aws", "eu-west-1", "123456789012", [], []), []
    for code in ("one way", "another way", "one way"):
        (tmp_path / "run_chalice.py").write_text(code)
        settings = DeploySettings("local", "http://127.0.0.1:4566", "eu-west-1", "", "", {})
        copy = stage_project(ROOT, tmp_path, settings, target, {})
        requirements.append((copy / "requirements.txt").read_text())
    assert requirements[0] == requirements[2] != requirements[1]


def test_a_policy_names_this_stage_region_account_and_partition() -> None:
    china = DeployTarget("aws-cn", "cn-north-1", "123456789012", [], [])
    text = fill_in('"arn:aws:sqs:REGION:ACCOUNT:ordinal-STAGE-chats"', "prod2", china)
    assert text == '"arn:aws-cn:sqs:cn-north-1:123456789012:ordinal-prod2-chats"'


def test_no_policy_contains_a_placeholder(tmp_path: Path) -> None:
    copy = stage_project(ROOT, tmp_path, AWS, TARGET, {})
    policies = [file.read_text() for file in (copy / ".chalice").glob("policy-*.json")]
    assert len(policies) == len(CONFIG["lambda_functions"])
    assert not re.findall(r"REGION\b|ACCOUNT\b|-STAGE", "".join(policies))


def test_the_environment_of_the_functions_holds_only_the_names_of_secrets() -> None:
    outputs = {output: f"the {output}" for output in (*FROM_STACKS.values(), *OUTPUTS)}
    variables = function_environment(AWS, outputs)
    for name in ("MASTER_KEY", "ADMIN_KEY", "REDIS_PASSWORD", "MYSQL_PASSWORD", "MYSQL_OWNER"):
        assert re.fullmatch(r"the \w+SecretArn", variables[f"ORDINAL_{name}"])
    assert variables["ORDINAL_CHATS_DEAD_LETTER_QUEUE_URL"] == "the ChatsDeadLetterQueueUrl"


def test_every_value_of_the_functions_is_an_output_of_a_template() -> None:
    outputs = {output for stack in TEMPLATES for output in template(stack.name)["Outputs"]}
    assert {*FROM_STACKS.values(), *OUTPUTS, "SubnetIds", "FunctionsSecurityGroupId"} <= outputs


def test_each_stack_gets_the_required_parameters_of_its_template() -> None:
    for stack in TEMPLATES:
        parameters = template(stack.name)["Parameters"]
        needed = {name for name in parameters if "Default" not in parameters[name]}
        assert needed <= {"Stage", *stack.parameters} <= set(parameters), stack.name


def test_localstack_gets_the_queues_and_the_monitoring() -> None:
    names = [stack.name for stack in templates_of(LOCALSTACK)]
    assert names == ["queues", "monitoring"]
    assert list(templates_of(AWS)) == list(TEMPLATES)


def test_the_simulation_has_the_same_queue_settings_as_the_template() -> None:
    parameters = template("queues")["Parameters"]
    assert parameters["VisibilityTimeoutSeconds"]["Default"] == VISIBILITY_TIMEOUT_SECONDS
    assert parameters["MaxReceiveCount"]["Default"] == MAX_RECEIVE_COUNT


@pytest.mark.parametrize("name", ["secrets", "data", "queues"])
def test_a_stack_that_is_destroyed_retains_nothing(name: str) -> None:
    assert name in [stack.name for stack in TEMPLATES if stack.holds_data]
    before = (FOLDER / f"{name}.yaml").read_text()
    after = without_retention(before)
    assert "RetainExceptOnCreate" in before
    assert "RetainExceptOnCreate" not in after
    assert "DeletionProtection: true" not in after
    assert after.count("DeletionPolicy: Snapshot") == (1 if name == "data" else 0)
