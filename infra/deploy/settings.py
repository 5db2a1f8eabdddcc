"""What a deployment is told through the environment."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass

ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:[0-9]+)?|https?://\[[0-9a-f:.]+\](:[0-9]+)?")


@dataclass(frozen=True)
class DeploySettings:
    """Where to deploy to, and what the functions are told."""

    stage: str
    endpoint_url: str
    functions_endpoint_url: str
    region: str
    redis_url: str
    mysql_url: str
    opensearch_url: str
    master_key: str
    admin_key: str
    cors_origin: str

    def for_functions(self) -> dict[str, str]:
        """The functions' environment, but for the queues."""
        return {
            "ORDINAL_STAGE": self.stage,
            "ORDINAL_REDIS_URL": self.redis_url,
            "ORDINAL_MYSQL_URL": self.mysql_url,
            "ORDINAL_OPENSEARCH_URL": self.opensearch_url,
            "ORDINAL_MASTER_KEY": self.master_key,
            "ORDINAL_ADMIN_KEY": self.admin_key,
            "ORDINAL_CORS_ORIGIN": self.cors_origin,
            "AWS_ENDPOINT_URL": self.functions_endpoint_url,
            "AWS_DEFAULT_REGION": self.region,
        }


def read_settings() -> DeploySettings:
    """Read them; ends the program with a sentence when one is missing.

    `AWS_ENDPOINT_URL` is required, so that this can never reach a real account.
    """
    endpoint_url = _required("AWS_ENDPOINT_URL")
    return DeploySettings(
        stage=os.environ.get("ORDINAL_STAGE") or "local",
        endpoint_url=endpoint_url.rstrip("/"),
        functions_endpoint_url=os.environ.get("ORDINAL_FUNCTIONS_ENDPOINT_URL") or endpoint_url,
        region=os.environ.get("AWS_DEFAULT_REGION") or "us-east-1",
        redis_url=_required("ORDINAL_REDIS_URL"),
        mysql_url=_required("ORDINAL_MYSQL_URL"),
        opensearch_url=_required("ORDINAL_OPENSEARCH_URL"),
        master_key=_required("ORDINAL_MASTER_KEY"),
        admin_key=_required("ORDINAL_ADMIN_KEY"),
        cors_origin=checked_origin(os.environ.get("ORDINAL_CORS_ORIGIN", "")),
    )


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
