"""`python -m infra.deploy`: from nothing but running services to a base URL."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from infra.deploy.chalice import app_name, chalice_deploy, deployed_resources, gateway_stage
from infra.deploy.gateway_answers import put_gateway_answers
from infra.deploy.leftovers import reconcile
from infra.deploy.partial_batches import PartialBatchesOffError, switch_on_partial_batches
from infra.deploy.queues import create_queues, queue_variables
from infra.deploy.settings import DeploySettings, read_settings
from infra.deploy.staging import keep_packages, restore_packages, stage_project

PROJECT = Path(__file__).resolve().parents[2]
MIGRATIONS = ("chalicelib.adapters.mysql.migrate", "chalicelib.adapters.opensearch.migrate")
_started = time.monotonic()


def main() -> None:
    """Deploy, print the base URL, and write it down where `--result` says."""
    arguments = _parse()
    settings = read_settings()
    deployed = deploy(settings, arguments.project, arguments.work, arguments.cache)
    if arguments.public_url:
        path = deployed["base_url"].removeprefix(settings.endpoint_url)
        deployed["base_url"] = arguments.public_url.rstrip("/") + path
    if arguments.result:
        arguments.result.parent.mkdir(parents=True, exist_ok=True)
        arguments.result.write_text(json.dumps(deployed, indent=2))
    _say("deployed")
    print(_hint(deployed["base_url"], settings.admin_key), flush=True)


def deploy(settings: DeploySettings, project: Path, work: Path, cache: Path) -> dict[str, Any]:
    """Queues, tables and mapping, then the functions: nothing runs before what it needs."""
    _say("queues")
    queues = create_queues(settings)
    for migration in MIGRATIONS:
        _say(migration)
        _migrate(migration, settings, project)
    _say("copy of the project")
    variables = settings.for_functions() | queue_variables(queues)
    copy = stage_project(project, work, settings.stage, variables)
    restore_packages(copy, cache)
    reconcile(settings, copy, app_name(copy))
    _say("chalice deploy")
    chalice_deploy(copy, settings.stage, variables)
    keep_packages(copy, cache)
    resources = deployed_resources(copy, settings.stage)
    arns = (one["lambda_arn"] for one in resources if "lambda_arn" in one)
    functions = list(dict.fromkeys(arn.rpartition(":")[2] for arn in arns))
    _say("partial batch responses")
    count = switch_on_partial_batches(settings, functions)
    expected = sum(one["resource_type"] == "sqs_event" for one in resources)
    if count != expected:
        raise PartialBatchesOffError(f"{expected} queues trigger functions, {count} were found.")
    _say(f"partial batch responses are on for {count} queues")
    api = next(one["rest_api_id"] for one in resources if one["resource_type"] == "rest_api")
    stage = gateway_stage(copy, settings.stage)
    _say("API Gateway's own answers")
    put_gateway_answers(settings, api, stage)
    base_url = f"{settings.endpoint_url}/_aws/execute-api/{api}/{stage}"
    return {"base_url": base_url, "queues": queues, "functions": functions}


def _migrate(module: str, settings: DeploySettings, project: Path) -> None:
    environment = {**os.environ, **settings.for_functions()}
    done = subprocess.run([sys.executable, "-m", module], cwd=project, env=environment)
    if done.returncode != 0:
        sys.exit(f"{module} ended with {done.returncode}.")


def _hint(base: str, key: str) -> str:
    authorization = f"-H 'Authorization: Bearer {key}'"
    return (
        f"\nBase URL   {base}\nAdmin key  {key}\n\n"
        f"curl -s -X POST {base}/applications {authorization} "
        "-H 'Content-Type: application/json' -d '{\"name\": \"demo\"}'\n"
        f"curl -s {base}/applications {authorization}\n"
    )


def _say(text: str) -> None:
    print(f"[{time.monotonic() - _started:6.1f} s] {text}", flush=True)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m infra.deploy", description=__doc__)
    parser.add_argument("--project", type=Path, default=PROJECT, help="the working copy")
    parser.add_argument("--work", type=Path, default=PROJECT / "var/deploy", help="scratch folder")
    parser.add_argument("--cache", type=Path, default=PROJECT / "var/cache/deployments")
    parser.add_argument("--public-url", help="where the endpoint is for people, if elsewhere")
    parser.add_argument("--result", type=Path, help="write the outcome here, as JSON")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except PartialBatchesOffError as error:
        sys.exit(str(error))
