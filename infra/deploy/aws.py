"""The one way to an AWS client here: always at the endpoint that was asked for."""

from __future__ import annotations

from typing import Any

import boto3
from botocore.config import Config

from infra.deploy.settings import DeploySettings


def aws_client(settings: DeploySettings, service: str) -> Any:
    """A client of one service."""
    return boto3.client(
        service,
        endpoint_url=settings.endpoint_url,
        region_name=settings.region,
        config=Config(connect_timeout=5, read_timeout=60, retries={"max_attempts": 5}),
    )
