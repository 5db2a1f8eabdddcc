"""`python -m infra.deploy.destroy` removes a stage. Stacks that hold data stay without `--with-data`."""

import argparse
import re
import sys
from pathlib import Path
from typing import Any

from infra.deploy.aws import aws_client
from infra.deploy.chalice import chalice
from infra.deploy.chalice_state import write_chalice_state
from infra.deploy.environment import deploy_target, function_environment
from infra.deploy.settings import DeploySettings, read_settings
from infra.deploy.stacks import (
    FOLDER,
    StackFailedError,
    apply_template,
    delete_stack,
    final_state,
    stack_name,
    stack_outputs,
    templates_of,
)
from infra.deploy.staging import stage_project

PROJECT = Path(__file__).resolve().parents[2]
WITHOUT_DATA = "the functions, the API, the alarms and the logs"
DATA = "ALL DATA: the messages, the records on the queues, the keys"


def main() -> None:
    """Ask for the name of the stage, then remove it."""
    arguments = _parse()
    settings = read_settings(arguments.stage)
    removed = f"{WITHOUT_DATA}, AND {DATA}" if arguments.with_data else WITHOUT_DATA
    print(f"This removes {removed} of the stage {settings.stage} in {_account(settings)}.")
    if input("Type the name of the stage to remove it: ").strip() != settings.stage:
        sys.exit("Nothing was removed.")
    destroy(settings, arguments.project, arguments.work, arguments.with_data)
    names = [template.name for template in templates_of(settings)]
    remaining = [] if arguments.with_data else names[:-1]
    print(f"Removed. These stacks remain: {', '.join(remaining) or 'none'}.")


def destroy(settings: DeploySettings, project: Path, work: Path, with_data: bool) -> None:
    """Remove the functions first, then the stacks. It can run again after it was cut short."""
    cloud = aws_client(settings, "cloudformation")
    stacks = {
        template.name: stack_name(settings, template.name) for template in templates_of(settings)
    }
    outputs: dict[str, str] = {}
    for stack in stacks.values():
        outputs |= stack_outputs(cloud, stack) if final_state(cloud, stack) else {}
    if outputs:
        target = deploy_target(settings, outputs)
        variables = function_environment(settings, outputs)
        copy = stage_project(project, work, settings, target, variables)
        if write_chalice_state(settings, copy):
            chalice(copy, settings, variables, "delete", "--stage", settings.stage)
    delete_stack(cloud, stacks.pop("monitoring"))
    if with_data:
        for template, stack in reversed(stacks.items()):
            if final_state(cloud, stack):
                allow_deletion(cloud, template, stack)
                delete_stack(cloud, stack)


def allow_deletion(cloud: Any, template: str, stack: str) -> None:
    """Update the stack so that its deletion deletes its data too. MySQL leaves a final snapshot."""
    [description] = cloud.describe_stacks(StackName=stack)["Stacks"]
    parameters = {p["ParameterKey"]: p["ParameterValue"] for p in description.get("Parameters", [])}
    cloud.update_termination_protection(StackName=stack, EnableTerminationProtection=False)
    body = without_retention((FOLDER / f"{template}.yaml").read_text())
    apply_template(cloud, stack, body, parameters)


def without_retention(body: str) -> str:
    """The template in a form in which no resource outlives the stack.

    CloudFormation accepts another DeletionPolicy only together with another change. So the template gets a
    resource that does nothing.
    """
    mysql = re.compile(r"(AWS::RDS::DBInstance\n +DeletionPolicy: )RetainExceptOnCreate")
    body = mysql.sub(r"\1Snapshot", body)
    body = body.replace("DeletionPolicy: RetainExceptOnCreate", "DeletionPolicy: Delete")
    body = body.replace("DeletionProtection: true", "DeletionProtection: false")
    extra = "  Removal:\n    Type: AWS::CloudFormation::WaitConditionHandle\n\n"
    return body.replace("\nResources:\n", f"\nResources:\n{extra}", 1)


def _account(settings: DeploySettings) -> str:
    account = aws_client(settings, "sts").get_caller_identity()["Account"]
    return f"account {account}, {settings.endpoint_url or settings.region}"


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m infra.deploy.destroy", description=__doc__)
    parser.add_argument("--stage", required=True)
    parser.add_argument("--with-data", action="store_true", help="remove the stores and keys too")
    parser.add_argument("--project", type=Path, default=PROJECT, help="the working copy")
    parser.add_argument("--work", type=Path, default=PROJECT / "var/deploy", help="scratch folder")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except StackFailedError as error:
        sys.exit(str(error))
