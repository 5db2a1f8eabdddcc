"""Responses that API Gateway itself gives, without the function. They are problem details like all others.

Chalice has no setting for them, and each `chalice deploy` removes them, so the deployment sets them after it.
"""

from typing import Any

from chalicelib.entrypoints.http.cors import cors_headers, cors_of
from chalicelib.entrypoints.http.problems import PROBLEMS, RETRYABLE_STATUSES, problem
from infra.deploy.aws import aws_client
from infra.deploy.settings import DeploySettings

# All types of gateway responses, each with the code of its problem. No route here asks for an AWS signature.
# So API Gateway complains about a signature only if a path or a method does not exist.
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
# Details that are more exact here than the sentence in the table of problems.
DETAILS = {
    "not-found": "There is no such path, or it has no such method.",
    "rate-limited": "The API received more requests than it takes at once.",
    "unavailable": "The API did not answer the request. The request itself is correct: send it again.",
}
RETRY_AFTER_SECONDS = 1
HEADER = "gatewayresponse.header."


def update_gateway_responses(settings: DeploySettings, api_id: str, stage: str) -> None:
    """Set all of them and deploy the API again, because they take effect only at a deployment."""
    client = aws_client(settings, "apigateway")
    for response_type in CODES:
        response = gateway_response(response_type, settings.cors_origin)
        client.put_gateway_response(restApiId=api_id, **response)
    client.create_deployment(restApiId=api_id, stageName=stage)


def gateway_response(response_type: str, cors_origin: str) -> dict[str, Any]:
    """The response of one type, in the form that API Gateway takes."""
    code = CODES[response_type]
    kind = PROBLEMS[code]
    headers = cors_headers(cors_of(cors_origin))
    if kind.status in RETRYABLE_STATUSES:
        headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    response = problem(code, DETAILS.get(code, kind.when), headers=headers)
    return {
        "responseType": response_type,
        "statusCode": str(kind.status),
        # API Gateway selects a template by `application/json`. The client gets the type in the header.
        "responseTemplates": {"application/json": response.body},
        "responseParameters": {f"{HEADER}{k}": f"'{v}'" for k, v in response.headers.items()},
    }
