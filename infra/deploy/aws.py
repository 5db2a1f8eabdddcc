"""The one way to an AWS client here: at LocalStack's endpoint where there is one, else at AWS's own."""

from __future__ import annotations

from typing import Any

import boto3
from botocore.config import Config

from infra.deploy.settings import DeploySettings


def aws_client(settings: DeploySettings, service: str, patience_seconds: int = 60) -> Any:
    """A client of one service. `patience_seconds` is how long an answer may take."""
    return boto3.client(
        service,
        endpoint_url=settings.endpoint_url or None,
        region_name=settings.region,
        config=Config(
            connect_timeout=5, read_timeout=patience_seconds, retries={"max_attempts": 5}
        ),
    )
