"""What a deployment is told through the environment."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass

import boto3

ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:[0-9]+)?|https?://\[[0-9a-f:.]+\](:[0-9]+)?")
STAGE = re.compile(r"[a-z][a-z0-9]{0,15}")
# They are LocalStack's, so that a slip of the keyboard cannot put one into a real account.
LOCAL_STAGES = ("local", "test", "faults", "bench")


@dataclass(frozen=True)
class DeploySettings:
    """Where to deploy to. `endpoint_url` is LocalStack's, and empty for AWS.

    `given` is what the functions are told of stores that are there already: all of it on LocalStack;
    on AWS it comes from the stacks.
    """

    stage: str
    endpoint_url: str
    region: str
    cors_origin: str
    alarm_email: str
    given: Mapping[str, str]

    @property
    def local(self) -> bool:
        """Whether this is LocalStack."""
        return bool(self.endpoint_url)


def read_settings(stage: str) -> DeploySettings:
    """Read them; ends the program with a sentence when one is missing or cannot be meant.

    The stages of LocalStack need `AWS_ENDPOINT_URL`, and no other takes it: none of the one can reach
    a real account, and none of the other goes astray.
    """
    if not STAGE.fullmatch(stage):
        sys.exit(f"A stage is named like prod2: at most 16 small letters and digits, not {stage}.")
    if stage in LOCAL_STAGES:
        return _of_localstack(stage, _required("AWS_ENDPOINT_URL").rstrip("/"))
    if os.environ.get("AWS_ENDPOINT_URL"):
        sys.exit(f"AWS_ENDPOINT_URL is set, but {stage} is a stage for AWS itself.")
    region = boto3.Session().region_name
    if not region:
        sys.exit("Set AWS_REGION, or a region in the AWS profile.")
    origin = checked_origin(os.environ.get("ORDINAL_CORS_ORIGIN", ""))
    return DeploySettings(stage, "", region, origin, os.environ.get("ORDINAL_ALARM_EMAIL", ""), {})


def _of_localstack(stage: str, endpoint_url: str) -> DeploySettings:
    region = os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    stores = ("REDIS_URL", "MYSQL_URL", "OPENSEARCH_URL", "MASTER_KEY", "ADMIN_KEY")
    given = {f"ORDINAL_{name}": _required(f"ORDINAL_{name}") for name in stores}
    given["AWS_ENDPOINT_URL"] = os.environ.get("ORDINAL_FUNCTIONS_ENDPOINT_URL") or endpoint_url
    given["AWS_DEFAULT_REGION"] = region
    origin = checked_origin(os.environ.get("ORDINAL_CORS_ORIGIN", ""))
    return DeploySettings(stage, endpoint_url, region, origin, "", given)


def checked_origin(origin: str) -> str:
    """The same, if a browser can ever send it; ends the program with a sentence if not."""
    if origin in ("", "*") or ORIGIN.fullmatch(origin):
        return origin
    sys.exit(f"ORDINAL_CORS_ORIGIN={origin} is neither * nor an origin like https://chat.example.")


def _required(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        sys.exit(f"{name} must be set for a deployment.")
    return value
