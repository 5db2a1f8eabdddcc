"""Secrets Manager: each secret is asked for once in the life of a process."""

from functools import cache

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.domain.errors import UnavailableError


@cache
def secret(arn: str) -> str:
    """The text of a secret. Raises `UnavailableError`, and is asked again then."""
    config = Config(
        connect_timeout=1, read_timeout=3, retries={"total_max_attempts": 2, "mode": "standard"}
    )
    try:
        client = boto3.client("secretsmanager", config=config)
        text: str = client.get_secret_value(SecretId=arn)["SecretString"]
        return text
    except (BotoCoreError, ClientError) as error:
        raise UnavailableError(f"Secrets Manager: {error}") from error
