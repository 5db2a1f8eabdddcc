"""Bringing the stores up to date by the function `migrate`, which is inside of the network.

Tables must be there before the code that needs them, and old code works on newer tables. So where there
is such a function already, it alone is given the new code first, and is called, before Chalice touches
the others; at the first deployment it is called as soon as Chalice has made it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from infra.deploy.aws import aws_client
from infra.deploy.chalice import chalice
from infra.deploy.notes import function_name
from infra.deploy.settings import DeploySettings

# The longest that a function may take.
PATIENCE_SECONDS = 900


class MigrationFailedError(Exception):
    """The stores are not up to date. Nothing else was changed; the message says why."""


def put_code_first(settings: DeploySettings, copy: Path, variables: dict[str, str]) -> None:
    """Give the function the code and the settings that are about to be deployed."""
    package = copy / "package"
    chalice(copy, settings, variables, "package", "--stage", settings.stage, str(package))
    client, name = aws_client(settings, "lambda"), function_name(settings, "migrate")
    now = client.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    if now | variables != now:
        told = {"Variables": now | variables}
        client.update_function_configuration(FunctionName=name, Environment=told)
        client.get_waiter("function_updated_v2").wait(FunctionName=name)
    code = (package / "deployment.zip").read_bytes()
    client.update_function_code(FunctionName=name, ZipFile=code)
    client.get_waiter("function_updated_v2").wait(FunctionName=name)


def migrate(settings: DeploySettings) -> list[str]:
    """Call the function. Returns what it has done.

    Raises:
        MigrationFailedError: it failed.
    """
    client = aws_client(settings, "lambda", PATIENCE_SECONDS)
    answer = client.invoke(FunctionName=function_name(settings, "migrate"), Payload=b"{}")
    told: Any = json.loads(answer["Payload"].read())
    if "FunctionError" in answer:
        raise MigrationFailedError(f"migrate failed: {json.dumps(told)[:2000]}")
    return list(told)
