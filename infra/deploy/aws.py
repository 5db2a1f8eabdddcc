"""AWS clients for the deployment."""

from typing import Any

import boto3
from botocore.config import Config

from infra.deploy.settings import DeploySettings


def aws_client(settings: DeploySettings, service: str, read_timeout_seconds: int = 60) -> Any:
    """A client of one service: at the endpoint of LocalStack if the settings have one, else at AWS."""
    return boto3.client(
        service,
        endpoint_url=settings.endpoint_url or None,
        region_name=settings.region,
        config=Config(
            connect_timeout=5, read_timeout=read_timeout_seconds, retries={"max_attempts": 5}
        ),
    )
