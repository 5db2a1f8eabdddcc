"""Whether what was deployed answers, and is set up as it must be."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterable

from infra.deploy.aws import aws_client
from infra.deploy.settings import DeploySettings

PATIENCE_SECONDS = 120.0
LOG_DAYS = 30


class NotServingError(Exception):
    """It is deployed, and does not do what it should; the message says what."""


def check_that_it_answers(base_url: str) -> None:
    """Wait until every part that a request needs is ready.

    Raises:
        NotServingError: two minutes later one is not.
    """
    until = time.monotonic() + PATIENCE_SECONDS
    while (told := _ready(base_url)) != "ok":
        if time.monotonic() > until:
            raise NotServingError(f"{base_url}/health/ready says: {told}")
        time.sleep(0.5)


def check_the_logs(settings: DeploySettings, functions: Iterable[str]) -> None:
    """Every function's log is forgotten after a while, and is encrypted on AWS.

    The template says both; LocalStack's CloudFormation leaves the first out.

    Raises:
        NotServingError: one is not.
    """
    client = aws_client(settings, "logs")
    for function in functions:
        name = f"/aws/lambda/{function}"
        found = client.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
        group = next((one for one in found if one["logGroupName"] == name), None)
        if group is None:
            raise NotServingError(f"{function} has no log group; the stack watch should make it.")
        if "retentionInDays" not in group:
            client.put_retention_policy(logGroupName=name, retentionInDays=LOG_DAYS)
        if "kmsKeyId" not in group and not settings.local:
            raise NotServingError(f"The log of {function} is not encrypted with the stage's key.")


def _ready(base_url: str) -> str:
    try:
        with urllib.request.urlopen(f"{base_url}/health/ready", timeout=30) as answer:  # noqa: S310 ours
            return str(json.loads(answer.read())["status"])
    except urllib.error.HTTPError as error:
        return f"{error.code} {error.read().decode(errors='replace')[:500]}"
    except (OSError, ValueError, KeyError) as error:
        return f"{type(error).__name__}: {error}"
