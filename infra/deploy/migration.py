"""Migration of the stores. The function `migrate` does it, because only functions can reach the stores.

The tables must be there before the code that needs them, and old code works on newer tables. So if the stage
has a function `migrate` already, the deployment updates this function first and calls it, before Chalice
updates the others. At the first deployment it calls the function after Chalice has created it.
"""

import json
from pathlib import Path
from typing import Any

from infra.deploy.aws import aws_client
from infra.deploy.chalice import package_functions
from infra.deploy.chalice_state import function_name
from infra.deploy.settings import DeploySettings

# The longest time that Lambda gives a function.
TIMEOUT_SECONDS = 900


class MigrationFailedError(Exception):
    """The stores are not migrated, and no other function was changed. The message says why."""


def update_migrate_function(
    settings: DeploySettings, copy: Path, variables: dict[str, str]
) -> None:
    """Give the function `migrate` the code and the environment of this deployment."""
    package = package_functions(copy, settings, variables)
    client, name = aws_client(settings, "lambda"), function_name(settings, "migrate")
    deployed = client.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    if deployed | variables != deployed:
        environment = {"Variables": deployed | variables}
        client.update_function_configuration(FunctionName=name, Environment=environment)
        client.get_waiter("function_updated_v2").wait(FunctionName=name)
    code = (package / "deployment.zip").read_bytes()
    client.update_function_code(FunctionName=name, ZipFile=code)
    client.get_waiter("function_updated_v2").wait(FunctionName=name)


def migrate(settings: DeploySettings) -> list[str]:
    """Call the function. Returns a sentence for each thing that it did.

    Raises `MigrationFailedError` if the function fails.
    """
    client = aws_client(settings, "lambda", TIMEOUT_SECONDS)
    response = client.invoke(FunctionName=function_name(settings, "migrate"), Payload=b"{}")
    payload: Any = json.loads(response["Payload"].read())
    if "FunctionError" in response:
        raise MigrationFailedError(f"migrate failed: {json.dumps(payload)[:2000]}")
    return list(payload)
