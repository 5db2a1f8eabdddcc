"""Secrets Manager: each secret is asked for once in the life of a process."""

from functools import cache

from chalicelib.adapters.aws import AwsError, Service
from chalicelib.domain.errors import UnavailableError

_SECRETS_MANAGER = Service("secretsmanager", "secretsmanager.", json="1.1")


@cache
def secret(arn: str) -> str:
    """The text of a secret. Raises `UnavailableError`, and is asked again then."""
    try:
        return str(_SECRETS_MANAGER.call("GetSecretValue", {"SecretId": arn})["SecretString"])
    except AwsError as error:
        raise UnavailableError(f"Secrets Manager: {error}") from error
