"""`python -m infra.deploy.destroy`: take a stage away; what holds data stays, unless that is told too."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Any

from infra.deploy.aws import aws_client
from infra.deploy.chalice import chalice
from infra.deploy.environment import environment, place_of
from infra.deploy.notes import write_notes
from infra.deploy.settings import DeploySettings, read_settings
from infra.deploy.stacks import (
    FOLDER,
    StackFailedError,
    change_stack,
    delete_stack,
    outputs,
    settled,
    stack_name,
    wanted,
)
from infra.deploy.staging import stage_project

PROJECT = Path(__file__).resolve().parents[2]
WHAT_GOES = "the functions, the API, the alarms and the logs"
DATA_TOO = "AND EVERYTHING THAT IS STORED: messages, records on the queues, keys"


def main() -> None:
    """Ask, then do it."""
    arguments = _parse()
    settings = read_settings(arguments.stage)
    goes = f"{WHAT_GOES}, {DATA_TOO}" if arguments.with_data else WHAT_GOES
    print(f"This removes {goes} of the stage {settings.stage} in {_where(settings)}.")
    if input("Type the name of the stage to go on: ").strip() != settings.stage:
        sys.exit("Nothing was removed.")
    destroy(settings, arguments.project, arguments.work, arguments.with_data)
    kept = [] if arguments.with_data else [one.name for one in wanted(settings)][:-1]
    print(f"Removed. Still there: {', '.join(kept) or 'nothing'}.")


def destroy(settings: DeploySettings, project: Path, work: Path, with_data: bool) -> None:
    """Functions first, then what they ran on. It may be run again after it was cut short."""
    cloud = aws_client(settings, "cloudformation")
    names = {one.name: stack_name(settings, one.name) for one in wanted(settings)}
    known: dict[str, str] = {}
    for name in names.values():
        known |= outputs(cloud, name) if settled(cloud, name) else {}
    if known:
        place, variables = place_of(settings, known), environment(settings, known)
        copy = stage_project(project, work, settings, place, variables)
        if write_notes(settings, copy):
            chalice(copy, settings, variables, "delete", "--stage", settings.stage)
    delete_stack(cloud, names.pop("watch"))
    if with_data:
        for template, name in reversed(names.items()):
            if settled(cloud, name):
                give_up(cloud, template, name)
                delete_stack(cloud, name)


def give_up(cloud: Any, template: str, name: str) -> None:
    """Let go of what the stack would keep; MySQL leaves a last snapshot."""
    [stack] = cloud.describe_stacks(StackName=name)["Stacks"]
    parameters = {p["ParameterKey"]: p["ParameterValue"] for p in stack.get("Parameters", [])}
    cloud.update_termination_protection(StackName=name, EnableTerminationProtection=False)
    body = without_retention((FOLDER / f"{template}.yaml").read_text())
    change_stack(cloud, name, body, parameters)


def without_retention(body: str) -> str:
    """The template with nothing in it that outlives the stack.

    CloudFormation takes another DeletionPolicy only with another change: hence the resource that does
    nothing.
    """
    mysql = re.compile(r"(AWS::RDS::DBInstance\n +DeletionPolicy: )RetainExceptOnCreate")
    body = mysql.sub(r"\1Snapshot", body)
    body = body.replace("DeletionPolicy: RetainExceptOnCreate", "DeletionPolicy: Delete")
    body = body.replace("DeletionProtection: true", "DeletionProtection: false")
    last = "  Removal:\n    Type: AWS::CloudFormation::WaitConditionHandle\n\n"
    return body.replace("\nResources:\n", f"\nResources:\n{last}", 1)


def _where(settings: DeploySettings) -> str:
    account = aws_client(settings, "sts").get_caller_identity()["Account"]
    return f"account {account}, {settings.endpoint_url or settings.region}"


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m infra.deploy.destroy", description=__doc__)
    parser.add_argument("--stage", required=True)
    parser.add_argument("--with-data", action="store_true", help="the stores and the keys too")
    parser.add_argument("--project", type=Path, default=PROJECT, help="the working copy")
    parser.add_argument("--work", type=Path, default=PROJECT / "var/deploy", help="scratch folder")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except StackFailedError as error:
        sys.exit(str(error))
