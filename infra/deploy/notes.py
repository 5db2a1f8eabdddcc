"""Chalice's notes of what it has deployed, made anew from what there is.

Chalice keeps them in a file. On another machine there is no file, after LocalStack's restart it speaks of
what is gone, and a run that was killed half-way never wrote it; each time `chalice deploy` would fail, or
make a second API. So before every deployment the file is written from AWS itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from infra.deploy.aws import aws_client
from infra.deploy.settings import DeploySettings

APP = "ordinal"
API_HANDLER = "api_handler"


def write_notes(settings: DeploySettings, copy: Path) -> list[dict[str, Any]]:
    """Write the file for the stage; no file where nothing is deployed. Returns what is in it."""
    found = deployed(settings)
    file = copy / ".chalice/deployed" / f"{settings.stage}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    if found:
        notes = {"resources": found, "schema_version": "2.0", "backend": "api"}
        file.write_text(json.dumps(notes, indent=2))
    return found


def deployed(settings: DeploySettings) -> list[dict[str, Any]]:
    """What there is of this stage, in Chalice's words and in the order in which it makes it."""
    functions = _functions(settings)
    found = [*_roles(settings)]
    for name, arn in functions.items():
        found.append({"name": name, "resource_type": "lambda_function", "lambda_arn": arn})
    found += [*_queue_events(settings, functions), *_rules(settings)]
    if API_HANDLER in functions:
        found += _apis(settings, functions[API_HANDLER])
    return found


def function_name(settings: DeploySettings, name: str) -> str:
    """What Lambda calls a function."""
    return f"{APP}-{settings.stage}" + ("" if name == API_HANDLER else f"-{name}")


def _short(settings: DeploySettings, full: str) -> str | None:
    """The name of a function or role in this stage. No stage has a hyphen in it, and no function."""
    app, _, rest = full.partition("-")
    stage, _, name = rest.partition("-")
    return (
        (name or API_HANDLER) if (app, stage) == (APP, settings.stage) and "-" not in name else None
    )


def _functions(settings: DeploySettings) -> dict[str, str]:
    pages = aws_client(settings, "lambda").get_paginator("list_functions").paginate()
    return {
        name: one["FunctionArn"]
        for page in pages
        for one in page["Functions"]
        if (name := _short(settings, one["FunctionName"]))
    }


def _queue_events(settings: DeploySettings, functions: dict[str, str]) -> Iterator[dict[str, Any]]:
    names = {arn: name for name, arn in functions.items()}
    client = aws_client(settings, "lambda")
    for page in client.get_paginator("list_event_source_mappings").paginate():
        for one in page["EventSourceMappings"]:
            if name := names.get(one["FunctionArn"]):
                yield {
                    "name": f"{name}-sqs-event-source",
                    "resource_type": "sqs_event",
                    "queue_arn": one["EventSourceArn"],
                    "event_uuid": one["UUID"],
                    "queue": one["EventSourceArn"].rpartition(":")[2],
                    "lambda_arn": one["FunctionArn"],
                }


def _rules(settings: DeploySettings) -> Iterator[dict[str, Any]]:
    prefix = f"{APP}-{settings.stage}-"
    for rule in aws_client(settings, "events").list_rules(NamePrefix=prefix)["Rules"]:
        yield {
            "name": rule["Name"].removeprefix(prefix),
            "resource_type": "cloudwatch_event",
            "rule_name": rule["Name"],
        }


def _roles(settings: DeploySettings) -> Iterator[dict[str, Any]]:
    for page in aws_client(settings, "iam").get_paginator("list_roles").paginate():
        for role in page["Roles"]:
            if name := _short(settings, role["RoleName"]):
                yield {
                    "name": f"{name}_role",
                    "resource_type": "iam_role",
                    "role_arn": role["Arn"],
                    "role_name": role["RoleName"],
                }


def _apis(settings: DeploySettings, handler: str) -> list[dict[str, Any]]:
    """The API that hands over to our function. Another one without a stage is left from a killed run."""
    client = aws_client(settings, "apigateway")
    ours = [
        one["id"]
        for page in client.get_paginator("get_rest_apis").paginate()
        for one in page["items"]
        if one["name"] == APP and _hands_over_to(client, one["id"], handler)
    ]
    ours.sort(key=lambda api: not client.get_stages(restApiId=api)["item"])
    for leftover in ours[1:]:
        client.delete_rest_api(restApiId=leftover)
    return [
        {
            "name": "rest_api",
            "resource_type": "rest_api",
            "rest_api_id": api,
            "rest_api_url": f"https://{api}.execute-api.{settings.region}.amazonaws.com/",
        }
        for api in ours[:1]
    ]


def _hands_over_to(client: Any, api: str, handler: str) -> bool:
    try:
        page = client.get_resources(restApiId=api, embed=["methods"], limit=500)
    except ClientError:
        return False  # deleted in between
    return f"{handler}/invocations" in json.dumps(page["items"])
