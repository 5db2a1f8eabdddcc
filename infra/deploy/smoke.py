"""Checks after a deployment: the API is ready, and the logs are set up."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterable

from infra.deploy.aws import aws_client
from infra.deploy.settings import DeploySettings

TIMEOUT_SECONDS = 120.0
LOG_RETENTION_DAYS = 30


class NotServingError(Exception):
    """The deployment ended, but the stage does not work. The message says what is wrong."""


def wait_until_ready(base_url: str) -> None:
    """Wait until each store and queue that a request needs is ready.

    Raises `NotServingError` if one is not ready after two minutes.
    """
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while (status := _readiness(base_url)) != "ok":
        if time.monotonic() > deadline:
            raise NotServingError(f"{base_url}/health/ready does not answer ok: {status}")
        time.sleep(0.5)


def check_log_groups(settings: DeploySettings, functions: Iterable[str]) -> None:
    """Check that the log of each function has a retention, and on AWS also encryption.

    The template sets both. LocalStack's CloudFormation ignores the retention, so this function sets it.
    Raises `NotServingError` if a log group is missing or not encrypted.
    """
    client = aws_client(settings, "logs")
    for function in functions:
        name = f"/aws/lambda/{function}"
        groups = client.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
        group = next((group for group in groups if group["logGroupName"] == name), None)
        if group is None:
            raise NotServingError(f"{function} has no log group. The stack monitoring makes it.")
        if "retentionInDays" not in group:
            client.put_retention_policy(logGroupName=name, retentionInDays=LOG_RETENTION_DAYS)
        if "kmsKeyId" not in group and not settings.local:
            raise NotServingError(f"The log of {function} is not encrypted with the stage's key.")


def _readiness(base_url: str) -> str:
    try:
        with urllib.request.urlopen(f"{base_url}/health/ready", timeout=30) as response:  # noqa: S310 ours
            return str(json.loads(response.read())["status"])
    except urllib.error.HTTPError as error:
        return f"{error.code} {error.read().decode(errors='replace')[:500]}"
    except (OSError, ValueError, KeyError) as error:
        return f"{type(error).__name__}: {error}"
