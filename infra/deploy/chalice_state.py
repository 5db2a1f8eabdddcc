"""The file `deployed/<stage>.json`, in which Chalice remembers what it has deployed.

Chalice writes this file at the end of a deployment. It is missing on another machine and after a deployment
that was killed, and it is wrong after a restart of LocalStack. With a missing or wrong file `chalice deploy`
fails or creates a second API. So the deployment writes the file from what AWS says, before it runs Chalice.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from infra.deploy.aws import aws_client
from infra.deploy.settings import DeploySettings

APP = "ordinal"
API_HANDLER = "api_handler"


def write_chalice_state(settings: DeploySettings, copy: Path) -> list[dict[str, Any]]:
    """Write the file for the stage, or remove it if nothing is deployed. Returns the resources in it."""
    resources = deployed_resources(settings)
    file = copy / ".chalice/deployed" / f"{settings.stage}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    if resources:
        state = {"resources": resources, "schema_version": "2.0", "backend": "api"}
        file.write_text(json.dumps(state, indent=2))
    return resources


def deployed_resources(settings: DeploySettings) -> list[dict[str, Any]]:
    """The resources of the stage in Chalice's form and in the order in which Chalice creates them."""
    functions = _functions(settings)
    resources = [*_roles(settings)]
    for name, arn in functions.items():
        resources.append({"name": name, "resource_type": "lambda_function", "lambda_arn": arn})
    resources += [*_queue_events(settings, functions), *_rules(settings)]
    if API_HANDLER in functions:
        resources += _apis(settings, functions[API_HANDLER])
    return resources


def function_name(settings: DeploySettings, name: str) -> str:
    """The full name of a function in Lambda."""
    return f"{APP}-{settings.stage}" + ("" if name == API_HANDLER else f"-{name}")


def _short_name(settings: DeploySettings, full_name: str) -> str | None:
    """The short name of a function or role, None if it is not of this stage.

    Names of stages and of functions hold no hyphen.
    """
    app, _, rest = full_name.partition("-")
    stage, _, name = rest.partition("-")
    if (app, stage) != (APP, settings.stage) or "-" in name:
        return None
    return name or API_HANDLER


def _functions(settings: DeploySettings) -> dict[str, str]:
    pages = aws_client(settings, "lambda").get_paginator("list_functions").paginate()
    return {
        name: function["FunctionArn"]
        for page in pages
        for function in page["Functions"]
        if (name := _short_name(settings, function["FunctionName"]))
    }


def _queue_events(settings: DeploySettings, functions: dict[str, str]) -> Iterator[dict[str, Any]]:
    names = {arn: name for name, arn in functions.items()}
    client = aws_client(settings, "lambda")
    for page in client.get_paginator("list_event_source_mappings").paginate():
        for mapping in page["EventSourceMappings"]:
            if name := names.get(mapping["FunctionArn"]):
                yield {
                    "name": f"{name}-sqs-event-source",
                    "resource_type": "sqs_event",
                    "queue_arn": mapping["EventSourceArn"],
                    "event_uuid": mapping["UUID"],
                    "queue": mapping["EventSourceArn"].rpartition(":")[2],
                    "lambda_arn": mapping["FunctionArn"],
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
            if name := _short_name(settings, role["RoleName"]):
                yield {
                    "name": f"{name}_role",
                    "resource_type": "iam_role",
                    "role_arn": role["Arn"],
                    "role_name": role["RoleName"],
                }


def _apis(settings: DeploySettings, handler: str) -> list[dict[str, Any]]:
    """The API that calls our function. A killed deployment may have left another one: delete it."""
    client = aws_client(settings, "apigateway")
    ids = [
        api["id"]
        for page in client.get_paginator("get_rest_apis").paginate()
        for api in page["items"]
        if api["name"] == f"{APP}-{settings.stage}" and _calls(client, api["id"], handler)
    ]
    ids.sort(key=lambda api_id: not client.get_stages(restApiId=api_id)["item"])
    for leftover in ids[1:]:
        client.delete_rest_api(restApiId=leftover)
    return [
        {
            "name": "rest_api",
            "resource_type": "rest_api",
            "rest_api_id": api_id,
            "rest_api_url": f"https://{api_id}.execute-api.{settings.region}.amazonaws.com/",
        }
        for api_id in ids[:1]
    ]


def _calls(client: Any, api_id: str, handler: str) -> bool:
    """Whether the API calls the function."""
    try:
        page = client.get_resources(restApiId=api_id, embed=["methods"], limit=500)
    except ClientError:
        return False  # somebody deleted it after it was listed
    return f"{handler}/invocations" in json.dumps(page["items"])
