"""Making Chalice's notes and LocalStack's state agree before a deployment.

Chalice notes what it has deployed in a file. LocalStack forgets everything at a restart, so the
notes may speak of what is gone; or the notes are gone (a new container) and the functions are
there. In both cases `chalice deploy` fails. So: notes that are wrong are dropped, and what has no
notes is removed. This is for LocalStack only; the endpoint is always given.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from infra.deploy.aws import aws_client
from infra.deploy.chalice import deployed_resources
from infra.deploy.settings import DeploySettings


def reconcile(settings: DeploySettings, copy: Path, app_name: str) -> None:
    """Drop wrong notes, then remove what no notes speak of."""
    notes = copy / ".chalice/deployed" / f"{settings.stage}.json"
    if notes.exists() and not _is_true(settings, deployed_resources(copy, settings.stage)):
        notes.unlink()
    if not notes.exists():
        _remove_leftovers(settings, f"{app_name}-{settings.stage}")


def _is_true(settings: DeploySettings, resources: list[dict[str, Any]]) -> bool:
    functions = aws_client(settings, "lambda")
    gateway = aws_client(settings, "apigateway")
    try:
        for resource in resources:
            if resource["resource_type"] == "lambda_function":
                functions.get_function_configuration(FunctionName=resource["lambda_arn"])
            if resource["resource_type"] == "sqs_event":
                functions.get_event_source_mapping(UUID=resource["event_uuid"])
            if resource["resource_type"] == "rest_api":
                gateway.get_rest_api(restApiId=resource["rest_api_id"])
    except ClientError:
        return False
    return bool(resources)


def _remove_leftovers(settings: DeploySettings, prefix: str) -> None:
    functions = aws_client(settings, "lambda")
    for mapping in functions.list_event_source_mappings()["EventSourceMappings"]:
        if _is_ours(mapping["FunctionArn"].rpartition(":")[2], prefix):
            functions.delete_event_source_mapping(UUID=mapping["UUID"])
    for function in functions.list_functions()["Functions"]:
        if _is_ours(function["FunctionName"], prefix):
            functions.delete_function(FunctionName=function["FunctionName"])
    _remove_rules(aws_client(settings, "events"), prefix)
    _remove_apis(aws_client(settings, "apigateway"), prefix)
    _remove_roles(aws_client(settings, "iam"), prefix)


def _remove_rules(events: Any, prefix: str) -> None:
    for rule in events.list_rules(NamePrefix=prefix)["Rules"]:
        name = rule["Name"]
        targets = [one["Id"] for one in events.list_targets_by_rule(Rule=name)["Targets"]]
        if targets:
            events.remove_targets(Rule=name, Ids=targets)
        events.delete_rule(Name=name)


def _remove_apis(gateway: Any, prefix: str) -> None:
    app_name = prefix.rpartition("-")[0]
    stage = prefix.rpartition("-")[2]
    for api in gateway.get_rest_apis(limit=500)["items"]:
        # Chalice names the API after the application only; its stage is in the policy tag.
        tags = api.get("tags") or {}
        belongs = tags.get("aws-chalice", f"stage={stage}:").find(f"stage={stage}:") >= 0
        if api["name"] == app_name and belongs:
            gateway.delete_rest_api(restApiId=api["id"])


def _remove_roles(iam: Any, prefix: str) -> None:
    for role in iam.list_roles()["Roles"]:
        name = role["RoleName"]
        if _is_ours(name, prefix):
            for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]:
                iam.delete_role_policy(RoleName=name, PolicyName=policy)
            iam.delete_role(RoleName=name)


def _is_ours(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(f"{prefix}-")
