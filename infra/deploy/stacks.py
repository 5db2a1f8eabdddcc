"""The CloudFormation stacks of a stage: created, updated, or repaired after a run that was cut short.

CloudFormation goes on by itself after the deployment was killed, so the next run waits for its end. If the
creation of a stack failed, the next run deletes the stack and creates it again. If an update failed,
CloudFormation has rolled it back, and the next run updates again.
"""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from infra.deploy.aws import aws_client
from infra.deploy.settings import DeploySettings

FOLDER = Path(__file__).resolve().parents[1] / "cloud"
TIMEOUT_SECONDS = 3 * 3600.0
NO_CHANGES = "No updates are to be performed"  # the words of CloudFormation


@dataclass(frozen=True)
class Template:
    """A file of `infra/cloud`. Its parameters are outputs of the templates before it, or settings."""

    name: str
    parameters: tuple[str, ...]
    on_localstack: bool = False
    holds_data: bool = False


STORES = ("MysqlInstanceId", "MysqlMaxConnections", "OpensearchDomainName")
SECURITY_GROUPS = ("RedisSecurityGroupId", "MysqlSecurityGroupId", "OpensearchSecurityGroupId")
# LocalStack's open edition has no ElastiCache and no RDS, so nothing there needs a network.
TEMPLATES = (
    Template("secrets", (), holds_data=True),
    Template("network", ("EncryptionKeyArn",)),
    Template(
        "data",
        ("EncryptionKeyArn", "RedisPasswordSecretArn", "SubnetIds", *SECURITY_GROUPS),
        holds_data=True,
    ),
    Template("queues", (), on_localstack=True, holds_data=True),
    Template("monitoring", ("EncryptionKeyArn", *STORES, "AlarmEmail"), on_localstack=True),
)


class StackFailedError(Exception):
    """CloudFormation failed. The message names the resource and the reason."""


def templates_of(settings: DeploySettings) -> list[Template]:
    """The templates of the stage in their order."""
    return [template for template in TEMPLATES if template.on_localstack or not settings.local]


def stack_name(settings: DeploySettings, template: str) -> str:
    """The name of the stack that a template makes."""
    return f"ordinal-{settings.stage}-{template}"


def create_or_update_stack(
    settings: DeploySettings, template: Template, known_outputs: Mapping[str, str]
) -> dict[str, str]:
    """Create the stack of a template, or update it. Returns its outputs. Raises `StackFailedError`."""
    body = (FOLDER / f"{template.name}.yaml").read_text()
    parameters = {"Stage": settings.stage}
    parameters |= {
        name: known_outputs[name] for name in template.parameters if known_outputs.get(name)
    }
    cloud, name = aws_client(settings, "cloudformation"), stack_name(settings, template.name)
    apply_template(
        cloud, name, body, parameters, protect=template.holds_data and not settings.local
    )
    return stack_outputs(cloud, name)


def apply_template(
    cloud: Any, name: str, body: str, parameters: Mapping[str, str], protect: bool = False
) -> None:
    """Create or update the stack from its present state, whatever this is. Raises `StackFailedError`."""
    request = {
        "StackName": name,
        "TemplateBody": body,
        "Parameters": [
            {"ParameterKey": k, "ParameterValue": v} for k, v in sorted(parameters.items())
        ],
        "Capabilities": ["CAPABILITY_IAM"],
    }
    state = final_state(cloud, name)
    if state in ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED"):
        delete_stack(cloud, name)
        state = ""
    if state == "UPDATE_ROLLBACK_FAILED":
        cloud.continue_update_rollback(StackName=name)
        final_state(cloud, name)
    if not state:
        cloud.create_stack(**request, EnableTerminationProtection=protect)
    else:
        try:
            cloud.update_stack(**request)
        except ClientError as error:
            if NO_CHANGES not in str(error):
                raise
    if final_state(cloud, name) not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
        raise StackFailedError(f"{name}: {_reason(cloud, name)}")


def delete_stack(cloud: Any, name: str) -> None:
    """Delete a stack. Resources that its template retains stay. Raises `StackFailedError`."""
    if final_state(cloud, name):
        cloud.delete_stack(StackName=name)
        if final_state(cloud, name):
            raise StackFailedError(f"{name} could not be deleted: {_reason(cloud, name)}")


def final_state(cloud: Any, name: str) -> str:
    """Wait until CloudFormation has finished. Returns the state of the stack, empty if there is no stack.

    Raises `StackFailedError` after three hours.
    """
    deadline, pause_seconds = time.monotonic() + TIMEOUT_SECONDS, 0.1
    while (state := _state(cloud, name)).endswith("_IN_PROGRESS"):
        if time.monotonic() > deadline:
            raise StackFailedError(f"{name} has been {state} for three hours.")
        time.sleep(pause_seconds)
        pause_seconds = min(pause_seconds * 1.5, 10.0)
    return "" if state == "DELETE_COMPLETE" else state


def stack_outputs(cloud: Any, name: str) -> dict[str, str]:
    """The outputs of a stack by their names."""
    [stack] = cloud.describe_stacks(StackName=name)["Stacks"]
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}


def _state(cloud: Any, name: str) -> str:
    try:
        [stack] = cloud.describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        if "does not exist" in str(error):
            return ""
        raise
    return str(stack["StackStatus"])


def _reason(cloud: Any, name: str) -> str:
    events = cloud.describe_stack_events(StackName=name)["StackEvents"]
    return "; ".join(_failures(events)) or f"its state is {_state(cloud, name)}"


def _failures(events: Iterable[Mapping[str, Any]]) -> list[str]:
    failed = [event for event in events if event.get("ResourceStatus", "").endswith("_FAILED")]
    return [
        f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', 'no reason given')}"
        for event in failed[:5]
    ]
