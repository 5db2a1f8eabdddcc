"""Secrets Manager. A process reads each secret once."""

from functools import cache

from chalicelib.adapters.aws import AwsError, Service
from chalicelib.domain.errors import UnavailableError

_SECRETS_MANAGER = Service("secretsmanager", "secretsmanager.", json="1.1")


@cache
def secret(arn: str) -> str:
    """The text of a secret. Raises `UnavailableError`; the next call then reads it again."""
    try:
        return str(_SECRETS_MANAGER.call("GetSecretValue", {"SecretId": arn})["SecretString"])
    except AwsError as error:
        raise UnavailableError(f"Secrets Manager: {error}") from error
