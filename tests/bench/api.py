"""The function of the API, called in this process as Lambda calls it: an event in, a response out."""

import json
from typing import Any

from tests.bench.harness import Harness

ALL_CHATS = "/applications/{token}/chats"
ONE_CHAT = ALL_CHATS + "/{chat}"
MESSAGES = ONE_CHAT + "/messages"


class Context:
    """The context object that Lambda gives to a function."""

    aws_request_id = "0" * 32
    function_name = "ordinal-bench"
    memory_limit_in_mb = 1024
    invoked_function_arn = "arn:aws:lambda:us-east-1:000000000000:function:ordinal-bench"

    def get_remaining_time_in_millis(self) -> int:
        return 30_000


CONTEXT = Context()


def event(
    method: str,
    route: str,
    params: dict[str, str] | None = None,
    key: str = "",
    body: Any = None,
    query: dict[str, str] | None = None,
    idempotency_key: str = "",
) -> dict[str, Any]:
    """A request as the event that API Gateway sends.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
    """
    path = route.format(**(params or {}))
    headers = {
        "accept": "*/*",
        "authorization": f"Bearer {key}",
        "content-type": "application/json",
        "host": "api.example",
        "user-agent": "bench",
        "x-forwarded-for": "127.0.0.1",
        "x-forwarded-port": "443",
        "x-forwarded-proto": "https",
    }
    if idempotency_key:
        headers["idempotency-key"] = idempotency_key
    return {
        "resource": route,
        "path": path,
        "httpMethod": method,
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": query,
        "multiValueQueryStringParameters": {k: [v] for k, v in query.items()} if query else None,
        "pathParameters": params,
        "stageVariables": None,
        "requestContext": {
            "resourcePath": route,
            "httpMethod": method,
            "requestId": "0" * 32,
            "path": path,
            "stage": "api",
            "identity": {"sourceIp": "127.0.0.1"},
        },
        "body": None if body is None else json.dumps(body),
        "isBase64Encoded": False,
    }


class Api:
    """A new application, and requests to it."""

    def __init__(self, harness: Harness) -> None:
        from app import app

        self._app = app
        admin_key = harness.environment["ORDINAL_ADMIN_KEY"]
        created = self.send(event("POST", "/applications", None, admin_key, {"name": "bench"}))
        self.token, self.key = created["token"], created["secret_key"]

    def new_chat(self) -> int:
        """Create a chat. Returns its number."""
        return int(self.send(self.post(ALL_CHATS, {"title": "bench"}))["number"])

    def post(self, route: str, body: Any, chat: int | None = None) -> dict[str, Any]:
        """The event of a POST request."""
        return event("POST", route, self._params(chat), self.key, body)

    def get(self, route: str, chat: int | None = None, **query: str) -> dict[str, Any]:
        """The event of a GET request."""
        return event("GET", route, self._params(chat), self.key, None, query or None)

    def send(self, request: dict[str, Any]) -> Any:
        """The body of the response. Any other response than a success is an error of the benchmark."""
        response = self._app(request, CONTEXT)
        assert response["statusCode"] < 300, response
        return json.loads(response["body"])

    def send_refused(self, request: dict[str, Any]) -> None:
        """Send a request whose credential must be refused."""
        response = self._app(request, CONTEXT)
        assert response["statusCode"] == 401, response

    def _params(self, chat: int | None) -> dict[str, str]:
        return {"token": self.token} | ({} if chat is None else {"chat": str(chat)})
