"""The API's function, called in this process as Lambda calls it: an event in, an answer out."""

import json
from typing import Any

from tests.bench.ground import Ground

ALL_CHATS = "/applications/{token}/chats"
ONE_CHAT = ALL_CHATS + "/{chat}"
MESSAGES = ONE_CHAT + "/messages"


class Context:
    """What Lambda tells a function of its invocation."""

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
) -> dict[str, Any]:
    """A request as API Gateway hands it over.

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
    """An application of its own, and requests to it."""

    def __init__(self, ground: Ground) -> None:
        from app import app

        self._app = app
        admin_key = ground.environment["ORDINAL_ADMIN_KEY"]
        made = self.ask(event("POST", "/applications", None, admin_key, {"name": "bench"}))
        self.token, self.key = made["token"], made["secret_key"]

    def new_chat(self) -> int:
        """Its number."""
        return int(self.ask(self.post(ALL_CHATS, {"title": "bench"}))["number"])

    def post(self, route: str, body: Any, chat: int | None = None) -> dict[str, Any]:
        """The event that posts something."""
        return event("POST", route, self._params(chat), self.key, body)

    def get(self, route: str, chat: int | None = None, **query: str) -> dict[str, Any]:
        """The event that reads something."""
        return event("GET", route, self._params(chat), self.key, None, query or None)

    def ask(self, request: dict[str, Any]) -> Any:
        """The answer's body; anything but success is a fault of the benchmark."""
        answer = self._app(request, CONTEXT)
        assert answer["statusCode"] < 300, answer
        return json.loads(answer["body"])

    def _params(self, chat: int | None) -> dict[str, str]:
        return {"token": self.token} | ({} if chat is None else {"chat": str(chat)})
