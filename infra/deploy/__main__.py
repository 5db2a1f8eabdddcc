"""`python -m infra.deploy`: from an account, or LocalStack and running stores, to a base URL."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from infra.deploy.aws import aws_client
from infra.deploy.chalice import chalice, gateway_stage
from infra.deploy.environment import environment, place_of
from infra.deploy.gateway_answers import put_gateway_answers
from infra.deploy.migrating import MigrationFailedError, migrate, put_code_first
from infra.deploy.notes import deployed, write_notes
from infra.deploy.partial_batches import PartialBatchesOffError, switch_on_partial_batches
from infra.deploy.queues import queue_urls
from infra.deploy.service_roles import put_service_roles
from infra.deploy.settings import DeploySettings, read_settings
from infra.deploy.smoke import NotServingError, check_that_it_answers, check_the_logs
from infra.deploy.stacks import TEMPLATES, StackFailedError, put_stack, wanted
from infra.deploy.staging import keep_packages, restore_packages, stage_project

PROJECT = Path(__file__).resolve().parents[2]
_started = time.monotonic()


def main() -> None:
    """Deploy, print the base URL, and write it down where `--result` says."""
    arguments = _parse()
    settings = read_settings(arguments.stage)
    done = deploy(settings, arguments.project, arguments.work, arguments.cache)
    if arguments.public_url:
        path = done["base_url"].removeprefix(settings.endpoint_url)
        done["base_url"] = arguments.public_url.rstrip("/") + path
    if arguments.result:
        arguments.result.parent.mkdir(parents=True, exist_ok=True)
        arguments.result.write_text(json.dumps(done, indent=2))
    _say("deployed")
    print(_hint(settings, done["base_url"]), flush=True)


def deploy(settings: DeploySettings, project: Path, work: Path, cache: Path) -> dict[str, Any]:
    """Stacks, then tables and mapping, then the functions, then a look at all of it.

    It may be run again at any time, also after it was killed anywhere.
    """
    known = put_stacks(settings)
    place, variables = place_of(settings, known), environment(settings, known)
    _say("copy of the project")
    copy = stage_project(project, work, settings, place, variables)
    restore_packages(copy, cache)
    there = {one["name"] for one in write_notes(settings, copy)}
    if "migrate" in there:
        _say("tables and mapping, by the new code of migrate")
        put_code_first(settings, copy, variables)
        _say(", ".join(migrate(settings)))
    _say("chalice deploy")
    chalice(copy, settings, variables, "deploy", "--stage", settings.stage)
    keep_packages(copy, cache)
    if "migrate" not in there:
        _say("tables and mapping")
        _say(", ".join(migrate(settings)))
    resources = deployed(settings)
    arns = [one["lambda_arn"] for one in resources if one["resource_type"] == "lambda_function"]
    functions = [arn.rpartition(":")[2] for arn in arns]
    count = switch_on_partial_batches(settings, functions)
    expected = sum(one["resource_type"] == "sqs_event" for one in resources)
    if count != expected:
        raise PartialBatchesOffError(f"{expected} queues trigger functions, {count} were found.")
    _say(f"partial batch responses are on for {count} queues")
    check_the_logs(settings, functions)
    [api] = [one["rest_api_id"] for one in resources if one["resource_type"] == "rest_api"]
    stage = gateway_stage(copy, settings.stage)
    _say("API Gateway's own answers")
    put_gateway_answers(settings, api, stage)
    base_url = _base_url(settings, api, stage)
    _say("does it answer?")
    check_that_it_answers(base_url)
    return {"base_url": base_url, "queues": queue_urls(known), "functions": functions}


def put_stacks(settings: DeploySettings) -> dict[str, str]:
    """All stacks of the stage in their order. Returns what they give."""
    known: dict[str, str] = {"AlarmEmail": settings.alarm_email}
    templates = wanted(settings)
    if settings.local:
        left_out = ", ".join(one.name for one in TEMPLATES if one not in templates)
        _say(f"left out: {left_out} (LocalStack's open edition has no ElastiCache and no RDS)")
    else:
        put_service_roles(aws_client(settings, "iam"))
    for template in templates:
        _say(f"stack {template.name}")
        known |= put_stack(settings, template, known)
    return known


def _base_url(settings: DeploySettings, api: str, stage: str) -> str:
    if settings.local:
        return f"{settings.endpoint_url}/_aws/execute-api/{api}/{stage}"
    return f"https://{api}.execute-api.{settings.region}.amazonaws.com/{stage}"


def _hint(settings: DeploySettings, base: str) -> str:
    key = settings.given.get("ORDINAL_ADMIN_KEY", "$ADMIN_KEY")
    authorization = f"-H 'Authorization: Bearer {key}'"
    if not settings.local:
        authorization = authorization.replace("'", '"')
    ask = (
        f"Admin key  {key}\n"
        if settings.local
        else f"ADMIN_KEY=$(aws secretsmanager get-secret-value --region {settings.region}"
        f" --secret-id ordinal-{settings.stage}-admin-key --query SecretString --output text)\n"
    )
    return (
        f"\nBase URL   {base}\n{ask}\n"
        f"curl -s -X POST {base}/applications {authorization} "
        "-H 'Content-Type: application/json' -d '{\"name\": \"demo\"}'\n"
        f"curl -s {base}/applications {authorization}\n"
    )


def _say(text: str) -> None:
    print(f"[{time.monotonic() - _started:6.1f} s] {text}", flush=True)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m infra.deploy", description=__doc__)
    stage = os.environ.get("ORDINAL_STAGE") or "local"
    parser.add_argument("--stage", default=stage, help="its name; local and test are LocalStack's")
    parser.add_argument("--project", type=Path, default=PROJECT, help="the working copy")
    parser.add_argument("--work", type=Path, default=PROJECT / "var/deploy", help="scratch folder")
    parser.add_argument("--cache", type=Path, default=PROJECT / "var/cache/deployments")
    parser.add_argument("--public-url", help="where the endpoint is for people, if elsewhere")
    parser.add_argument("--result", type=Path, help="write the outcome here, as JSON")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except (
        MigrationFailedError,
        NotServingError,
        PartialBatchesOffError,
        StackFailedError,
    ) as error:
        sys.exit(str(error))
