"""What a deployment decides before it touches anything."""

import json
from pathlib import Path

import pytest

from infra.deploy import staging
from infra.deploy.destroy import without_retention
from infra.deploy.environment import FROM_STACKS, environment
from infra.deploy.queues import MAX_RECEIVE_COUNT, OUTPUTS, VISIBILITY_TIMEOUT_SECONDS
from infra.deploy.settings import DeploySettings, read_settings
from infra.deploy.stacks import FOLDER, TEMPLATES, wanted
from infra.deploy.staging import Place, fill_in, stage_config, stage_project
from tests.unit.cloud_templates import template

ROOT = Path(__file__).parents[2]
CONFIG = json.loads((ROOT / ".chalice/config.json").read_text())
AWS = DeploySettings("prod2", "", "eu-west-1", "", "", {})
LOCALSTACK = DeploySettings("test", "http://localhost:4566", "us-east-1", "", "", {})
NETWORK = Place("aws", "eu-west-1", "123456789012", ["subnet-1", "subnet-2"], ["sg-1"])


def test_a_stage_of_localstack_never_goes_to_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    for stage in ("local", "test", "faults", "bench"):
        with pytest.raises(SystemExit, match="AWS_ENDPOINT_URL must be set"):
            read_settings(stage)


def test_a_stage_of_aws_never_goes_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://localhost:4566")
    with pytest.raises(SystemExit, match="prod is a stage for AWS itself"):
        read_settings("prod")


@pytest.mark.parametrize("stage", ["Prod", "prod-eu", "prod_eu", "", "2nd", "x" * 17])
def test_a_stage_has_a_name_that_every_part_takes(stage: str) -> None:
    with pytest.raises(SystemExit, match="A stage is named like"):
        read_settings(stage)


def test_another_stage_of_aws_is_made_like_prod() -> None:
    config = stage_config(CONFIG, AWS, NETWORK, {"ORDINAL_STAGE": "prod2"})
    [(name, stage)] = config["stages"].items()
    assert (name, stage["api_gateway_stage"]) == ("prod2", "prod2")
    assert stage["subnet_ids"] == NETWORK.subnet_ids
    assert stage["security_group_ids"] == NETWORK.security_group_ids
    assert stage["lambda_functions"] == CONFIG["stages"]["prod"]["lambda_functions"]
    assert stage["environment_variables"]["ORDINAL_STAGE"] == "prod2"
    assert stage["environment_variables"]["ORDINAL_REDIS_KEEPS_WRITES"] == "1"


def test_on_localstack_a_stage_is_made_like_local_and_has_no_network() -> None:
    config = stage_config(CONFIG, LOCALSTACK, Place("aws", "us-east-1", "0", [], []), {})
    stage = config["stages"]["test"]
    assert "subnet_ids" not in stage
    assert "lambda_functions" not in stage
    assert stage["api_gateway_stage"] == "api"


def test_a_package_is_built_anew_when_it_is_built_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "RUN_CHALICE", tmp_path / "run_chalice.py")
    place, seen = Place("aws", "eu-west-1", "123456789012", [], []), []
    for how in ("one way", "another way", "one way"):
        (tmp_path / "run_chalice.py").write_text(how)
        settings = DeploySettings("local", "http://127.0.0.1:4566", "eu-west-1", "", "", {})
        copy = stage_project(FOLDER.parents[1], tmp_path, settings, place, {})
        seen.append((copy / "requirements.txt").read_text())
    assert seen[0] == seen[2] != seen[1]


def test_a_policy_names_this_stage_region_account_and_partition() -> None:
    china = Place("aws-cn", "cn-north-1", "123456789012", [], [])
    text = fill_in('"arn:aws:sqs:REGION:ACCOUNT:ordinal-STAGE-chats"', "prod2", china)
    assert text == '"arn:aws-cn:sqs:cn-north-1:123456789012:ordinal-prod2-chats"'


def test_the_functions_are_told_the_names_of_secrets_only() -> None:
    known = {output: f"the {output}" for output in (*FROM_STACKS.values(), *OUTPUTS)}
    told = environment(AWS, known)
    assert told["ORDINAL_MASTER_KEY"] == "the MasterKeyArn"
    assert told["ORDINAL_CHATS_DEAD_QUEUE_URL"] == "the ChatsDeadQueueUrl"


def test_the_stacks_take_what_their_templates_say() -> None:
    for one in TEMPLATES:
        parameters = template(one.name)["Parameters"]
        needed = {name for name, of in parameters.items() if "Default" not in of}
        assert needed <= {"Stage", *one.parameters} <= set(parameters), one.name


def test_localstack_is_given_the_queues_and_the_alarms() -> None:
    assert [one.name for one in wanted(LOCALSTACK)] == ["queues", "watch"]
    assert list(wanted(AWS)) == list(TEMPLATES)


def test_the_queues_are_those_that_the_simulation_plays_with() -> None:
    parameters = template("queues")["Parameters"]
    assert parameters["VisibilityTimeoutSeconds"]["Default"] == VISIBILITY_TIMEOUT_SECONDS
    assert parameters["MaxReceiveCount"]["Default"] == MAX_RECEIVE_COUNT


@pytest.mark.parametrize("name", [one.name for one in TEMPLATES if one.holds_data])
def test_what_is_to_go_is_retained_no_more(name: str) -> None:
    before = (FOLDER / f"{name}.yaml").read_text()
    after = without_retention(before)
    assert "RetainExceptOnCreate" in before
    assert "RetainExceptOnCreate" not in after
    assert "DeletionProtection: true" not in after
    assert after.count("DeletionPolicy: Snapshot") == (1 if name == "data" else 0)
