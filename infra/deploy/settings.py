"""The settings of a deployment. They come from the environment."""

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass

import boto3

ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:[0-9]+)?|https?://\[[0-9a-f:.]+\](:[0-9]+)?")
STAGE = re.compile(r"[a-z][a-z0-9]{0,15}")
# These names are only for LocalStack, so that a typing error cannot deploy one to a real account.
LOCAL_STAGES = ("local", "test", "faults", "bench")


@dataclass(frozen=True)
class DeploySettings:
    """What to deploy to. `endpoint_url` is that of LocalStack. It is empty for AWS.

    `store_variables` are the environment variables of the functions that name the stores and hold the keys.
    They are set for LocalStack. On AWS the stacks give them.
    """

    stage: str
    endpoint_url: str
    region: str
    cors_origin: str
    alarm_email: str
    store_variables: Mapping[str, str]

    @property
    def local(self) -> bool:
        """Whether the target is LocalStack."""
        return bool(self.endpoint_url)


def read_settings(stage: str) -> DeploySettings:
    """Read the settings from the environment.

    The stages of LocalStack need `AWS_ENDPOINT_URL`, and all others refuse it. So a stage of LocalStack
    cannot reach a real account, and a stage of AWS cannot reach LocalStack. Raises `SystemExit` with a
    sentence if a setting is missing or wrong.
    """
    if not STAGE.fullmatch(stage):
        sys.exit(
            f"{stage!r} is not the name of a stage: use at most 16 small letters and digits, like prod2."
        )
    if stage in LOCAL_STAGES:
        return _localstack_settings(stage, _required("AWS_ENDPOINT_URL").rstrip("/"))
    if os.environ.get("AWS_ENDPOINT_URL"):
        sys.exit(f"AWS_ENDPOINT_URL is set, but {stage} is a stage of AWS itself.")
    region = boto3.Session().region_name
    if not region:
        sys.exit("There is no region: set AWS_REGION, or a region in the AWS profile.")
    origin = checked_origin(os.environ.get("ORDINAL_CORS_ORIGIN", ""))
    return DeploySettings(stage, "", region, origin, os.environ.get("ORDINAL_ALARM_EMAIL", ""), {})


def checked_origin(origin: str) -> str:
    """The same origin. Raises `SystemExit` with a sentence if no browser can send it."""
    if origin in ("", "*") or ORIGIN.fullmatch(origin):
        return origin
    sys.exit(f"ORDINAL_CORS_ORIGIN={origin} is neither * nor an origin like https://chat.example.")


def _localstack_settings(stage: str, endpoint_url: str) -> DeploySettings:
    region = os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    names = ("REDIS_URL", "MYSQL_URL", "OPENSEARCH_URL", "MASTER_KEY", "ADMIN_KEY")
    variables = {f"ORDINAL_{name}": _required(f"ORDINAL_{name}") for name in names}
    functions_endpoint_url = os.environ.get("ORDINAL_FUNCTIONS_ENDPOINT_URL") or endpoint_url
    variables |= {"AWS_ENDPOINT_URL": functions_endpoint_url, "AWS_DEFAULT_REGION": region}
    origin = checked_origin(os.environ.get("ORDINAL_CORS_ORIGIN", ""))
    return DeploySettings(stage, endpoint_url, region, origin, "", variables)


def _required(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        sys.exit(f"A deployment needs {name}. Set it in the environment.")
    return value
