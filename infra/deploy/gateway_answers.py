"""What API Gateway answers itself, before or instead of the function, in the shape of all errors.

Chalice has no words for these, and every `chalice deploy` takes them away: they are put after it.
"""

from __future__ import annotations

from typing import Any

from chalicelib.entrypoints.http.cors import cors_headers, cors_of
from chalicelib.entrypoints.http.problems import PROBLEMS, RETRYABLE_STATUSES, problem
from infra.deploy.aws import aws_client
from infra.deploy.settings import DeploySettings

# The problem that each type of gateway response means: all types that there are. Nothing here asks
# for a signature, so API Gateway misses one, or finds one wrong, only where no route is.
CODES = {
    "MISSING_AUTHENTICATION_TOKEN": "not-found",
    "INVALID_SIGNATURE": "not-found",
    "EXPIRED_TOKEN": "not-found",
    "RESOURCE_NOT_FOUND": "not-found",
    "BAD_REQUEST_BODY": "bad-request",
    "BAD_REQUEST_PARAMETERS": "bad-request",
    "DEFAULT_4XX": "bad-request",
    "UNAUTHORIZED": "unauthenticated",
    "ACCESS_DENIED": "forbidden",
    "INVALID_API_KEY": "forbidden",
    "WAF_FILTERED": "forbidden",
    "REQUEST_TOO_LARGE": "request-too-large",
    "UNSUPPORTED_MEDIA_TYPE": "unsupported-media-type",
    "THROTTLED": "rate-limited",
    "QUOTA_EXCEEDED": "rate-limited",
    "INTEGRATION_TIMEOUT": "timed-out",
    "INTEGRATION_FAILURE": "unavailable",
    "API_CONFIGURATION_ERROR": "unavailable",
    "AUTHORIZER_CONFIGURATION_ERROR": "unavailable",
    "AUTHORIZER_FAILURE": "unavailable",
    "DEFAULT_5XX": "unavailable",
}
# Where the table's own sentence says less, or more, than is known here.
DETAILS = {
    "not-found": "There is no such path, or it has no such method.",
    "rate-limited": "More requests came than the API takes at once.",
    "unavailable": "The request was not answered. Nothing is wrong with it: send it again.",
}
RETRY_AFTER_SECONDS = 1
HEADER = "gatewayresponse.header."


def put_gateway_answers(settings: DeploySettings, api: str, stage: str) -> None:
    """Put them all, and deploy the API once more: until then the stage answers as before."""
    client = aws_client(settings, "apigateway")
    for kind in CODES:
        answer = gateway_answer(kind, settings.cors_origin)
        client.put_gateway_response(restApiId=api, **answer)
    client.create_deployment(restApiId=api, stageName=stage)


def gateway_answer(kind: str, cors_origin: str) -> dict[str, Any]:
    """One of them, as API Gateway takes it."""
    of = PROBLEMS[CODES[kind]]
    headers = cors_headers(cors_of(cors_origin))
    if of.status in RETRYABLE_STATUSES:
        headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    answer = problem(CODES[kind], DETAILS.get(CODES[kind], of.when), headers=headers)
    return {
        "responseType": kind,
        "statusCode": str(of.status),
        # The template is chosen by this type; the header is what the client is told.
        "responseTemplates": {"application/json": answer.body},
        "responseParameters": {f"{HEADER}{k}": f"'{v}'" for k, v in answer.headers.items()},
    }
