"""`python -m infra.deploy` deploys a stage: to AWS, or to LocalStack and running stores."""

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from infra.deploy.aws import aws_client
from infra.deploy.chalice import chalice, gateway_stage
from infra.deploy.chalice_state import deployed_resources, write_chalice_state
from infra.deploy.environment import deploy_target, function_environment
from infra.deploy.gateway_responses import update_gateway_responses
from infra.deploy.migration import MigrationFailedError, migrate, update_migrate_function
from infra.deploy.partial_batch_responses import (
    PartialBatchResponsesOffError,
    enable_partial_batch_responses,
)
from infra.deploy.queues import queue_urls
from infra.deploy.service_roles import ensure_service_roles
from infra.deploy.settings import DeploySettings, read_settings
from infra.deploy.smoke import NotServingError, check_log_groups, wait_until_ready
from infra.deploy.stacks import (
    TEMPLATES,
    StackFailedError,
    create_or_update_stack,
    templates_of,
)
from infra.deploy.staging import restore_packages, save_packages, stage_project
from infra.deploy.throttles import update_throttles

PROJECT = Path(__file__).resolve().parents[2]
_started = time.monotonic()


def main() -> None:
    """Deploy, write the result to the file of `--result`, and print the base URL."""
    arguments = _parse()
    settings = read_settings(arguments.stage)
    result = deploy(settings, arguments.project, arguments.work, arguments.cache)
    if arguments.public_url:
        path = result["base_url"].removeprefix(settings.endpoint_url)
        result["base_url"] = arguments.public_url.rstrip("/") + path
    if arguments.result:
        arguments.result.parent.mkdir(parents=True, exist_ok=True)
        arguments.result.write_text(json.dumps(result, indent=2))
    _log("deployed")
    print(_usage(settings, result["base_url"]), flush=True)


def deploy(settings: DeploySettings, project: Path, work: Path, cache: Path) -> dict[str, Any]:
    """Deploy the stacks, the tables and the index, the functions, and check the result.

    It can run again at any time, also after it was killed at any point.
    """
    outputs = create_or_update_stacks(settings)
    target = deploy_target(settings, outputs)
    variables = function_environment(settings, outputs)
    _log("copy of the project")
    copy = stage_project(project, work, settings, target, variables)
    restore_packages(copy, cache)
    names = {resource["name"] for resource in write_chalice_state(settings, copy)}
    if "migrate" in names:
        _log("tables and index, by the new code of migrate")
        update_migrate_function(settings, copy, variables)
        _log(", ".join(migrate(settings)))
    _log("chalice deploy")
    chalice(copy, settings, variables, "deploy", "--stage", settings.stage)
    save_packages(copy, cache)
    if "migrate" not in names:
        _log("tables and index")
        _log(", ".join(migrate(settings)))
    resources = deployed_resources(settings)
    functions = [
        resource["lambda_arn"].rpartition(":")[2]
        for resource in resources
        if resource["resource_type"] == "lambda_function"
    ]
    count = enable_partial_batch_responses(settings, functions)
    expected = sum(resource["resource_type"] == "sqs_event" for resource in resources)
    if count != expected:
        raise PartialBatchResponsesOffError(
            f"{expected} queues should trigger functions, but {count} do."
        )
    _log(f"partial batch responses are on for {count} queues")
    check_log_groups(settings, functions)
    [api_id] = [
        resource["rest_api_id"] for resource in resources if resource["resource_type"] == "rest_api"
    ]
    stage = gateway_stage(copy)
    _log("responses of API Gateway itself")
    update_gateway_responses(settings, api_id, stage)
    update_throttles(settings, api_id, stage)
    base_url = _base_url(settings, api_id, stage)
    _log("waiting until the API is ready")
    wait_until_ready(base_url)
    return {"base_url": base_url, "queues": queue_urls(outputs), "functions": functions}


def create_or_update_stacks(settings: DeploySettings) -> dict[str, str]:
    """Create or update all stacks of the stage in their order. Returns their outputs."""
    outputs: dict[str, str] = {"AlarmEmail": settings.alarm_email}
    templates = templates_of(settings)
    if settings.local:
        missing = ", ".join(template.name for template in TEMPLATES if template not in templates)
        _log(f"no stacks {missing}: LocalStack's open edition has no ElastiCache and no RDS")
    else:
        ensure_service_roles(aws_client(settings, "iam"))
    for template in templates:
        _log(f"stack {template.name}")
        outputs |= create_or_update_stack(settings, template, outputs)
    return outputs


def _base_url(settings: DeploySettings, api_id: str, stage: str) -> str:
    if settings.local:
        return f"{settings.endpoint_url}/_aws/execute-api/{api_id}/{stage}"
    return f"https://{api_id}.execute-api.{settings.region}.amazonaws.com/{stage}"


def _usage(settings: DeploySettings, base_url: str) -> str:
    """The base URL, the admin key or the command that shows it, and two requests."""
    admin_key = settings.store_variables.get("ORDINAL_ADMIN_KEY", "$ADMIN_KEY")
    authorization = f"-H 'Authorization: Bearer {admin_key}'"
    if not settings.local:
        authorization = authorization.replace("'", '"')
    key_line = (
        f"Admin key  {admin_key}\n"
        if settings.local
        else f"ADMIN_KEY=$(aws secretsmanager get-secret-value --region {settings.region}"
        f" --secret-id ordinal-{settings.stage}-admin-key --query SecretString --output text)\n"
    )
    return (
        f"\nBase URL   {base_url}\n{key_line}\n"
        f"curl -s -X POST {base_url}/applications {authorization} "
        "-H 'Content-Type: application/json' -d '{\"name\": \"demo\"}'\n"
        f"curl -s {base_url}/applications {authorization}\n"
    )


def _log(text: str) -> None:
    print(f"[{time.monotonic() - _started:6.1f} s] {text}", flush=True)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m infra.deploy", description=__doc__)
    stage = os.environ.get("ORDINAL_STAGE") or "local"
    parser.add_argument(
        "--stage", default=stage, help="local, test, faults and bench are for LocalStack only"
    )
    parser.add_argument("--project", type=Path, default=PROJECT, help="the working copy")
    parser.add_argument("--work", type=Path, default=PROJECT / "var/deploy", help="scratch folder")
    parser.add_argument(
        "--cache",
        type=Path,
        default=PROJECT / "var/cache/deployments",
        help="packages of earlier deployments",
    )
    parser.add_argument(
        "--public-url",
        help="the endpoint that people use, if it is another one than the functions'",
    )
    parser.add_argument("--result", type=Path, help="write the result to this file, as JSON")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except (
        MigrationFailedError,
        NotServingError,
        PartialBatchResponsesOffError,
        StackFailedError,
    ) as error:
        sys.exit(str(error))
