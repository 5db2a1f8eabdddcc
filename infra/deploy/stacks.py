"""The CloudFormation stacks: made, brought up to date, or mended where an earlier run was cut short.

CloudFormation goes on by itself when whoever asked is killed, so the next run waits for what is under
way. What failed at its making has left nothing behind, and is made again; what failed at a change was
turned back, and is changed again.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from infra.deploy.aws import aws_client
from infra.deploy.settings import DeploySettings

FOLDER = Path(__file__).resolve().parents[1] / "cloud"
PATIENCE_SECONDS = 3 * 3600.0
NOTHING_TO_DO = "No updates are to be performed"


@dataclass(frozen=True)
class Template:
    """A file of `infra/cloud`, and what it is told: outputs of those before it, or settings."""

    name: str
    parameters: tuple[str, ...]
    on_localstack: bool = False
    holds_data: bool = False


STORES = ("MysqlInstance", "MysqlConnections", "OpensearchDomain")
GROUPS = ("RedisGroupId", "MysqlGroupId", "OpensearchGroupId")
# LocalStack's open edition has no ElastiCache and no RDS, and so nothing that needs a network.
TEMPLATES = (
    Template("secrets", (), holds_data=True),
    Template("network", ("EncryptionKeyArn",)),
    Template(
        "data", ("EncryptionKeyArn", "RedisPasswordArn", "SubnetIds", *GROUPS), holds_data=True
    ),
    Template("queues", (), on_localstack=True, holds_data=True),
    Template("watch", ("EncryptionKeyArn", *STORES, "AlarmEmail"), on_localstack=True),
)


class StackFailedError(Exception):
    """CloudFormation could not do it; the message says which resource, and why."""


def wanted(settings: DeploySettings) -> list[Template]:
    """The templates that are deployed there, in their order."""
    return [one for one in TEMPLATES if one.on_localstack or not settings.local]


def stack_name(settings: DeploySettings, template: str) -> str:
    """The name of the stack that a template makes."""
    return f"ordinal-{settings.stage}-{template}"


def put_stack(
    settings: DeploySettings, template: Template, known: Mapping[str, str]
) -> dict[str, str]:
    """Make a stack, or bring it up to date. Returns its outputs.

    Raises:
        StackFailedError: it came out otherwise.
    """
    body = (FOLDER / f"{template.name}.yaml").read_text()
    given = {"Stage": settings.stage}
    given |= {name: known[name] for name in template.parameters if known.get(name)}
    cloud, name = aws_client(settings, "cloudformation"), stack_name(settings, template.name)
    change_stack(cloud, name, body, given, protect=template.holds_data and not settings.local)
    return outputs(cloud, name)


def change_stack(
    cloud: Any, name: str, body: str, parameters: Mapping[str, str], protect: bool = False
) -> None:
    """Make the stack what the template says, whatever state it is in."""
    request = {
        "StackName": name,
        "TemplateBody": body,
        "Parameters": [
            {"ParameterKey": k, "ParameterValue": v} for k, v in sorted(parameters.items())
        ],
        "Capabilities": ["CAPABILITY_IAM"],
    }
    state = settled(cloud, name)
    if state in ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED"):
        delete_stack(cloud, name)
        state = ""
    if state == "UPDATE_ROLLBACK_FAILED":
        cloud.continue_update_rollback(StackName=name)
        settled(cloud, name)
    if not state:
        cloud.create_stack(**request, EnableTerminationProtection=protect)
    else:
        try:
            cloud.update_stack(**request)
        except ClientError as error:
            if NOTHING_TO_DO not in str(error):
                raise
    if settled(cloud, name) not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
        raise StackFailedError(f"{name}: {_reason(cloud, name)}")


def delete_stack(cloud: Any, name: str) -> None:
    """Delete a stack; what its template retains stays. Raises `StackFailedError`."""
    if settled(cloud, name):
        cloud.delete_stack(StackName=name)
        if settled(cloud, name):
            raise StackFailedError(f"{name} could not be deleted: {_reason(cloud, name)}")


def settled(cloud: Any, name: str) -> str:
    """The state of a stack once nothing is under way; empty where there is none.

    Raises:
        StackFailedError: it takes longer than any of it should.
    """
    until, pause = time.monotonic() + PATIENCE_SECONDS, 0.1
    while (state := _state(cloud, name)).endswith("_IN_PROGRESS"):
        if time.monotonic() > until:
            raise StackFailedError(f"{name} has been {state} for hours.")
        time.sleep(pause)
        pause = min(pause * 1.5, 10.0)
    return "" if state == "DELETE_COMPLETE" else state


def outputs(cloud: Any, name: str) -> dict[str, str]:
    """What a stack gives to those after it."""
    [stack] = cloud.describe_stacks(StackName=name)["Stacks"]
    return {one["OutputKey"]: one["OutputValue"] for one in stack.get("Outputs", [])}


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
    return "; ".join(_told(events)) or f"it ended as {_state(cloud, name)}"


def _told(events: Iterable[Mapping[str, Any]]) -> list[str]:
    failed = [one for one in events if one.get("ResourceStatus", "").endswith("_FAILED")]
    return [
        f"{one['LogicalResourceId']}: {one.get('ResourceStatusReason', 'no reason given')}"
        for one in failed[:5]
    ]
