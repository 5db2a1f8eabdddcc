"""What must never slip in the CloudFormation templates. cfn-lint and checkov look at the rest."""

import json
import re
from typing import Any

import pytest

from app import app
from chalicelib.settings import QUEUES
from tests.unit.cloud_templates import FOLDER, of_type, template

TEMPLATES = sorted(file.stem for file in FOLDER.glob("*.yaml"))
KEPT = {
    "AWS::ElastiCache::ReplicationGroup",
    "AWS::KMS::Key",
    "AWS::OpenSearchService::Domain",
    "AWS::RDS::DBInstance",
    "AWS::SecretsManager::Secret",
    "AWS::SQS::Queue",
}
FUNCTIONS = {"", *(f"-{one.name}" for one in [*app.event_sources, *app.pure_lambda_functions])}


def queue(name: str) -> dict[str, Any]:
    found = of_type("queues", "AWS::SQS::Queue").values()
    wanted = {"Fn::Sub": f"ordinal-${{Stage}}-{name}"}
    return next(one for one in found if one["QueueName"] == wanted)


@pytest.mark.parametrize("name", TEMPLATES)
def test_what_holds_data_outlives_its_stack(name: str) -> None:
    for key, resource in template(name)["Resources"].items():
        if resource["Type"] in KEPT:
            kept = resource["DeletionPolicy"], resource["UpdateReplacePolicy"]
            assert kept == ("RetainExceptOnCreate", "Retain"), key


@pytest.mark.parametrize("name", QUEUES)
def test_every_queue_has_a_dead_letter_queue_that_only_it_may_use(name: str) -> None:
    one, dead = queue(name), queue(f"{name}-dead")
    resources = template("queues")["Resources"]
    target, attribute = one["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"]
    assert resources[target]["Properties"] == dead
    assert attribute == "Arn"
    [source] = dead["RedriveAllowPolicy"]["sourceQueueArns"]
    assert source["Fn::Sub"].endswith(f":ordinal-${{Stage}}-{name}")


@pytest.mark.parametrize("name", [*QUEUES, *(f"{one}-dead" for one in QUEUES)])
def test_every_queue_keeps_records_as_long_as_can_be_and_encrypted(name: str) -> None:
    one = queue(name)
    assert one["MessageRetentionPeriod"] == 14 * 24 * 3600
    assert one["MaximumMessageSize"] == 1024 * 1024
    assert one["SqsManagedSseEnabled"] is True


def test_no_queue_is_spoken_to_in_clear() -> None:
    [policy] = of_type("queues", "AWS::SQS::QueuePolicy").values()
    assert {one["Ref"] for one in policy["Queues"]} == set(of_type("queues", "AWS::SQS::Queue"))
    [statement] = policy["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Principal"], statement["Action"]) == (
        "Deny",
        "*",
        "sqs:*",
    )
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_valkey_evicts_nothing_and_keeps_every_write_over_a_failover() -> None:
    [redis] = of_type("data", "AWS::ElastiCache::ReplicationGroup").values()
    [parameters] = of_type("data", "AWS::ElastiCache::ParameterGroup").values()
    assert parameters["Properties"] == {"cluster-enabled": "yes", "maxmemory-policy": "noeviction"}
    assert (redis["Engine"], redis["EngineVersion"], redis["Durability"]) == (
        "valkey",
        "9.0",
        "sync",
    )
    assert redis["MultiAZEnabled"]
    assert redis["AutomaticFailoverEnabled"]
    assert redis["TransitEncryptionEnabled"]
    assert redis["TransitEncryptionMode"] == "required"
    assert redis["AtRestEncryptionEnabled"]


def test_an_old_state_of_valkey_can_never_be_brought_back() -> None:
    [redis] = of_type("data", "AWS::ElastiCache::ReplicationGroup").values()
    assert redis["SnapshotRetentionLimit"] == 0
    assert not {"SnapshotName", "SnapshotArns"} & set(redis)


def test_mysql_takes_no_connection_in_clear_and_is_backed_up() -> None:
    [mysql] = of_type("data", "AWS::RDS::DBInstance").values()
    [parameters] = of_type("data", "AWS::RDS::DBParameterGroup").values()
    assert parameters["Parameters"]["require_secure_transport"] == "1"
    assert mysql["EngineVersion"].startswith("8.4")
    for wanted in ("MultiAZ", "StorageEncrypted", "DeletionProtection", "ManageMasterUserPassword"):
        assert mysql[wanted] is True
    assert mysql["BackupRetentionPeriod"] >= 7
    assert mysql["PubliclyAccessible"] is False
    assert "MasterUserPassword" not in mysql


def test_opensearch_is_private_and_encrypted() -> None:
    [domain] = of_type("data", "AWS::OpenSearchService::Domain").values()
    assert domain["VPCOptions"]["SubnetIds"]
    assert domain["EncryptionAtRestOptions"]["Enabled"]
    assert domain["NodeToNodeEncryptionOptions"]["Enabled"]
    assert domain["DomainEndpointOptions"]["EnforceHTTPS"]
    assert "TLS-1-2" in domain["DomainEndpointOptions"]["TLSSecurityPolicy"]


def test_the_network_has_no_way_out() -> None:
    kinds = {one["Type"] for one in template("network")["Resources"].values()}
    assert not kinds & {"AWS::EC2::InternetGateway", "AWS::EC2::NatGateway", "AWS::EC2::Route"}
    subnets = of_type("network", "AWS::EC2::Subnet").values()
    assert not any(subnet.get("MapPublicIpOnLaunch") for subnet in subnets)
    zones = {json.dumps(subnet["AvailabilityZone"]) for subnet in subnets}
    assert len(zones) == 2


def test_the_stores_are_reached_by_the_functions_only() -> None:
    for group in of_type("network", "AWS::EC2::SecurityGroup").values():
        assert "SecurityGroupIngress" not in group
    for rule in of_type("network", "AWS::EC2::SecurityGroupIngress").values():
        assert rule["SourceSecurityGroupId"] == {"Ref": "FunctionsGroup"}


def test_secrets_are_made_by_secrets_manager_and_resolved_in_one_place() -> None:
    for secret in of_type("secrets", "AWS::SecretsManager::Secret").values():
        assert "SecretString" not in secret
        assert secret["KmsKeyId"]
    resolved = re.findall(r"\{\{resolve:.*", "".join(f.read_text() for f in FOLDER.glob("*.yaml")))
    assert resolved == ['{{resolve:secretsmanager:${RedisPasswordArn}}}"]']


def test_every_function_has_a_log_group_that_forgets() -> None:
    groups = of_type("watch", "AWS::Logs::LogGroup").values()
    wanted = {f"/aws/lambda/ordinal-${{Stage}}{suffix}" for suffix in FUNCTIONS}
    assert {group["LogGroupName"]["Fn::Sub"] for group in groups} == wanted
    assert all(group["RetentionInDays"] and group["KmsKeyId"] for group in groups)


def test_every_queue_is_watched_and_so_is_its_dead_letter_queue() -> None:
    alarms = of_type("watch", "AWS::CloudWatch::Alarm").values()
    watched = {
        (one["MetricName"], one["Dimensions"][0]["Value"]["Fn::Sub"])
        for one in alarms
        if one.get("Namespace") == "AWS/SQS"
    }
    stage = "ordinal-${Stage}"
    assert watched == {
        *(("ApproximateAgeOfOldestMessage", f"{stage}-{one}") for one in QUEUES),
        *(("ApproximateNumberOfMessagesVisible", f"{stage}-{one}-dead") for one in QUEUES),
    }


@pytest.mark.parametrize("metric", ["Errors", "Throttles"])
def test_every_function_but_the_one_that_migrates_is_watched(metric: str) -> None:
    metrics = of_type("watch", "AWS::CloudWatch::Alarm")[f"Function{metric}"]["Metrics"]
    watched = {
        one["MetricStat"]["Metric"]["Dimensions"][0]["Value"]["Fn::Sub"]
        for one in metrics
        if "MetricStat" in one
    }
    assert watched == {f"ordinal-${{Stage}}{suffix}" for suffix in FUNCTIONS - {"-migrate"}}


def test_every_alarm_says_what_it_means_and_tells_somebody() -> None:
    for name, alarm in of_type("watch", "AWS::CloudWatch::Alarm").items():
        assert len(alarm["AlarmDescription"]) > 20, name
        assert alarm["AlarmActions"] == [{"Ref": "Topic"}], name


def test_the_dashboard_is_json_once_its_names_are_filled_in() -> None:
    [dashboard] = of_type("watch", "AWS::CloudWatch::Dashboard").values()
    body = re.sub(r"\$\{[^}]+\}", "x", dashboard["DashboardBody"]["Fn::Sub"])
    assert len(json.loads(body)["widgets"]) == 12


def test_each_template_takes_only_what_an_earlier_one_gives() -> None:
    order = ("secrets", "network", "data", "queues", "watch")
    assert sorted(order) == TEMPLATES
    given = {"Stage"}
    for name in order:
        needed = {k for k, v in template(name).get("Parameters", {}).items() if "Default" not in v}
        assert needed <= given, name
        given |= set(template(name)["Outputs"])
