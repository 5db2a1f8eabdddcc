"""Rules for the CloudFormation templates. cfn-lint and checkov check the rest."""

import json
import re
from typing import Any

import pytest

from app import app
from chalicelib.domain import metrics
from chalicelib.settings import QUEUES
from tests.unit.cloud_templates import FOLDER, of_type, template

# The order in which the stacks are deployed.
ORDER = ("secrets", "network", "data", "queues", "monitoring")
RETAINED = {
    "AWS::ElastiCache::ReplicationGroup": "data",
    "AWS::KMS::Key": "secrets",
    "AWS::OpenSearchService::Domain": "data",
    "AWS::RDS::DBInstance": "data",
    "AWS::SecretsManager::Secret": "secrets",
    "AWS::SQS::Queue": "queues",
}
FUNCTIONS = {
    "",
    *(f"-{function.name}" for function in [*app.event_sources, *app.pure_lambda_functions]),
}


def queue(name: str) -> dict[str, Any]:
    queues = of_type("queues", "AWS::SQS::Queue").values()
    full_name = {"Fn::Sub": f"ordinal-${{Stage}}-{name}"}
    return next(properties for properties in queues if properties["QueueName"] == full_name)


def test_the_order_names_every_template() -> None:
    assert {file.stem for file in FOLDER.glob("*.yaml")} == set(ORDER)


@pytest.mark.parametrize("resource_type", RETAINED)
def test_every_resource_with_data_outlives_its_stack(resource_type: str) -> None:
    resources = [
        (name, key, resource)
        for name in ORDER
        for key, resource in template(name)["Resources"].items()
        if resource["Type"] == resource_type
    ]
    assert {name for name, _, _ in resources} == {RETAINED[resource_type]}
    for _, key, resource in resources:
        policies = resource["DeletionPolicy"], resource["UpdateReplacePolicy"]
        assert policies == ("RetainExceptOnCreate", "Retain"), key


@pytest.mark.parametrize("name", QUEUES)
def test_every_queue_has_a_dead_letter_queue_of_its_own(name: str) -> None:
    dead_letter_queue = queue(f"{name}-dead-letters")
    resources = template("queues")["Resources"]
    target, attribute = queue(name)["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"]
    assert resources[target]["Properties"] == dead_letter_queue
    assert attribute == "Arn"
    [source] = dead_letter_queue["RedriveAllowPolicy"]["sourceQueueArns"]
    assert source["Fn::Sub"].endswith(f":ordinal-${{Stage}}-{name}")


@pytest.mark.parametrize("name", [*QUEUES, *(f"{queue}-dead-letters" for queue in QUEUES)])
def test_every_queue_is_encrypted_and_retains_records_for_the_longest_time(name: str) -> None:
    properties = queue(name)
    assert properties["MessageRetentionPeriod"] == 14 * 24 * 3600
    assert properties["MaximumMessageSize"] == 1024 * 1024
    assert properties["SqsManagedSseEnabled"] is True


def test_every_queue_refuses_connections_without_tls() -> None:
    [policy] = of_type("queues", "AWS::SQS::QueuePolicy").values()
    queues = {reference["Ref"] for reference in policy["Queues"]}
    assert queues == set(of_type("queues", "AWS::SQS::Queue"))
    [statement] = policy["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Principal"], statement["Action"]) == (
        "Deny",
        "*",
        "sqs:*",
    )
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_valkey_evicts_nothing_and_loses_no_write_in_a_failover() -> None:
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


def test_an_old_snapshot_of_valkey_cannot_be_restored() -> None:
    [redis] = of_type("data", "AWS::ElastiCache::ReplicationGroup").values()
    assert redis["SnapshotRetentionLimit"] == 0
    assert not {"SnapshotName", "SnapshotArns"} & set(redis)


def test_mysql_refuses_connections_without_tls_and_has_backups() -> None:
    [mysql] = of_type("data", "AWS::RDS::DBInstance").values()
    [parameters] = of_type("data", "AWS::RDS::DBParameterGroup").values()
    assert parameters["Parameters"]["require_secure_transport"] == "1"
    assert mysql["EngineVersion"].startswith("8.4")
    for name in ("MultiAZ", "StorageEncrypted", "DeletionProtection", "ManageMasterUserPassword"):
        assert mysql[name] is True
    assert mysql["BackupRetentionPeriod"] >= 7
    assert mysql["PubliclyAccessible"] is False
    assert "MasterUserPassword" not in mysql


def test_the_functions_connect_to_the_stores_by_tls_only() -> None:
    outputs = template("data")["Outputs"]
    urls = {name: outputs[name]["Value"]["Fn::Sub"] for name in outputs if name.endswith("Url")}
    assert urls["RedisUrl"].startswith("rediss+cluster://")
    assert urls["MysqlUrl"].endswith("?ssl_ca=rds")
    assert urls["OpensearchUrl"].startswith("https://")
    assert len(urls) == 3


def test_opensearch_is_private_and_encrypted() -> None:
    [domain] = of_type("data", "AWS::OpenSearchService::Domain").values()
    assert domain["VPCOptions"]["SubnetIds"]
    assert domain["EncryptionAtRestOptions"]["Enabled"]
    assert domain["NodeToNodeEncryptionOptions"]["Enabled"]
    assert domain["DomainEndpointOptions"]["EnforceHTTPS"]
    assert "TLS-1-2" in domain["DomainEndpointOptions"]["TLSSecurityPolicy"]


def test_the_network_has_no_way_out() -> None:
    types = {resource["Type"] for resource in template("network")["Resources"].values()}
    assert not types & {"AWS::EC2::InternetGateway", "AWS::EC2::NatGateway", "AWS::EC2::Route"}
    subnets = of_type("network", "AWS::EC2::Subnet").values()
    assert not any(subnet.get("MapPublicIpOnLaunch") for subnet in subnets)
    zones = {json.dumps(subnet["AvailabilityZone"]) for subnet in subnets}
    assert len(zones) == 2


def test_only_the_functions_can_reach_the_stores() -> None:
    for group in of_type("network", "AWS::EC2::SecurityGroup").values():
        assert "SecurityGroupIngress" not in group
    for rule in of_type("network", "AWS::EC2::SecurityGroupIngress").values():
        assert rule["SourceSecurityGroupId"] == {"Ref": "FunctionsSecurityGroup"}


def test_secrets_manager_generates_the_secrets_and_one_template_resolves_one_of_them() -> None:
    for secret in of_type("secrets", "AWS::SecretsManager::Secret").values():
        assert "SecretString" not in secret
        assert secret["KmsKeyId"]
    texts = "".join(file.read_text() for file in FOLDER.glob("*.yaml"))
    resolved = re.findall(r"\{\{resolve:.*", texts)
    assert resolved == ['{{resolve:secretsmanager:${RedisPasswordSecretArn}}}"]']


def test_every_function_has_an_encrypted_log_group_with_a_retention() -> None:
    groups = of_type("monitoring", "AWS::Logs::LogGroup").values()
    names = {f"/aws/lambda/ordinal-${{Stage}}{suffix}" for suffix in FUNCTIONS}
    assert {group["LogGroupName"]["Fn::Sub"] for group in groups} == names
    assert all(group["RetentionInDays"] and group["KmsKeyId"] for group in groups)


def test_every_queue_has_an_alarm_and_so_has_its_dead_letter_queue() -> None:
    alarms = of_type("monitoring", "AWS::CloudWatch::Alarm").values()
    watched = {
        (alarm["MetricName"], alarm["Dimensions"][0]["Value"]["Fn::Sub"])
        for alarm in alarms
        if alarm.get("Namespace") == "AWS/SQS"
    }
    assert watched == {
        *(("ApproximateAgeOfOldestMessage", f"ordinal-${{Stage}}-{name}") for name in QUEUES),
        *(
            ("ApproximateNumberOfMessagesVisible", f"ordinal-${{Stage}}-{name}-dead-letters")
            for name in QUEUES
        ),
    }


@pytest.mark.parametrize("metric", ["Errors", "Throttles"])
def test_an_alarm_includes_every_function_but_migrate(metric: str) -> None:
    alarm = of_type("monitoring", "AWS::CloudWatch::Alarm")[f"Function{metric}"]
    watched = {
        query["MetricStat"]["Metric"]["Dimensions"][0]["Value"]["Fn::Sub"]
        for query in alarm["Metrics"]
        if "MetricStat" in query
    }
    assert watched == {f"ordinal-${{Stage}}{suffix}" for suffix in FUNCTIONS - {"-migrate"}}


def test_every_alarm_has_a_description_and_notifies_a_topic() -> None:
    for name, alarm in of_type("monitoring", "AWS::CloudWatch::Alarm").items():
        assert len(alarm["AlarmDescription"]) > 20, name
        assert alarm["AlarmActions"] == [{"Ref": "AlarmTopic"}], name


def test_the_alarm_of_the_api_has_the_dimensions_that_the_api_is_deployed_with() -> None:
    dimensions = of_type("monitoring", "AWS::CloudWatch::Alarm")["Api5xxErrors"]["Dimensions"]
    config = json.loads((FOLDER.parents[1] / ".chalice/config.json").read_text())
    assert dimensions == [
        {"Name": "ApiName", "Value": {"Fn::Sub": "ordinal-${Stage}"}},
        {"Name": "Stage", "Value": config["api_gateway_stage"]},
    ]


def test_the_dashboard_is_json_and_its_widgets_do_not_overlap() -> None:
    corners = [(widget["x"], widget["y"]) for widget in dashboard()["widgets"]]
    assert len(corners) == 15
    assert len(set(corners)) == len(corners)


def test_alarms_and_dashboard_name_metrics_of_ordinal_that_exist() -> None:
    names = {
        alarm["MetricName"]
        for alarm in of_type("monitoring", "AWS::CloudWatch::Alarm").values()
        if alarm.get("Namespace") == metrics.NAMESPACE
    }
    names |= {
        metric[1]
        for widget in dashboard()["widgets"]
        for metric in widget["properties"]["metrics"]
        if metric[0] == metrics.NAMESPACE
    }
    assert len(names) > 5
    assert names <= {metric.name for metric in metrics.ALL}


def dashboard() -> Any:
    [properties] = of_type("monitoring", "AWS::CloudWatch::Dashboard").values()
    return json.loads(re.sub(r"\$\{[^}]+\}", "x", properties["DashboardBody"]["Fn::Sub"]))


def test_each_template_uses_only_outputs_of_earlier_ones() -> None:
    available = {"Stage"}
    for name in ORDER:
        parameters = template(name)["Parameters"]
        needed = {parameter for parameter in parameters if "Default" not in parameters[parameter]}
        assert needed <= available, name
        available |= set(template(name)["Outputs"])
