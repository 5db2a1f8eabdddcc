"""How often API Gateway lets anybody call the operations that need no credential.

All other requests take from the rate limits of an application or a user. Chalice has no setting for this, so
each deployment sets it.
"""

from typing import Any

from infra.deploy.aws import aws_client
from infra.deploy.settings import DeploySettings

OPEN_PATHS = ("/health", "/health/ready", "/openapi.json", "/docs")
# For each path, from all clients together. A monitor sends a request every few seconds.
OPEN_RATE, OPEN_BURST = 10, 20


def update_throttles(settings: DeploySettings, api_id: str, stage: str) -> None:
    """Set them on AWS. LocalStack has no limits."""
    if not settings.local:
        client = aws_client(settings, "apigateway")
        client.update_stage(restApiId=api_id, stageName=stage, patchOperations=throttles())


def throttles() -> list[dict[str, Any]]:
    """The settings of the methods, in the form that API Gateway takes."""
    limits = {"rateLimit": OPEN_RATE, "burstLimit": OPEN_BURST}
    return [
        {
            "op": "replace",
            "path": f"/{path.replace('/', '~1')}/GET/throttling/{name}",
            "value": str(value),
        }
        for path in OPEN_PATHS
        for name, value in limits.items()
    ]
