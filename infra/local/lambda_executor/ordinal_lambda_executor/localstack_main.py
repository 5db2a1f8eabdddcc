"""LocalStack's entry point, adapted to run outside of its container.

It listens on this machine only, writes only to the stack's folder, runs on Python 3.12 too, and returns
API Gateway's own responses as AWS does.
"""

import functools
import json
import os
import tempfile
import warnings
from pathlib import Path
from typing import Any


def listen_locally() -> None:
    """Listen on 127.0.0.1 only.

    LocalStack uses only the port of GATEWAY_LISTEN and listens on every interface. On a shared network
    everybody could then run code here.
    """
    from twisted.internet import endpoints  # type: ignore[import-not-found]  # LocalStack's

    local = functools.partial(endpoints.TCP4ServerEndpoint, interface="127.0.0.1")
    endpoints.TCP4ServerEndpoint = local


def provide_deprecated() -> None:
    """Add `warnings.deprecated`, which LocalStack imports and Python 3.12 does not have."""
    if not hasattr(warnings, "deprecated"):
        from typing_extensions import deprecated

        module: Any = warnings
        module.deprecated = deprecated


def separate_s3_files() -> None:
    """Move the files of S3 to the stack's folder. The fixed folder in /tmp can belong to another user."""
    from localstack.services.s3 import provider

    provider.DEFAULT_S3_TMP_DIR = os.path.join(tempfile.gettempdir(), "s3")


def return_gateway_responses() -> None:
    """Return the configured body and headers of API Gateway's responses, not only the status."""
    from localstack.services.apigateway.next_gen.execute_api.handlers import gateway_exception

    handler = gateway_exception.GatewayExceptionHandler
    with_status = handler.create_exception_response

    def with_body_and_headers(self: Any, exception: Any, context: Any) -> Any:
        response = with_status(self, exception, context)
        configured = context.deployment.rest_api.gateway_responses.get(exception.type)
        if configured is not None:
            # Ours contain no variables. The value of a header is in single quotes.
            response.set_data(configured["responseTemplates"]["application/json"])
            for name, value in configured["responseParameters"].items():
                response.headers[name.removeprefix("gatewayresponse.header.")] = value.strip("'")
        return response

    handler.create_exception_response = with_body_and_headers


def record_calls_of_functions() -> None:
    """Record each new (function, action, resource). A test compares the records with the functions' rights.

    The executor puts the name of the function into its session token.
    """
    from localstack.aws.handlers import run_custom_response_handlers

    seen: set[tuple[str, str, str]] = set()
    file = Path(os.environ["ORDINAL_LAMBDA_LOGS"]) / "calls.ndjson"
    file.unlink(missing_ok=True)

    def record(chain: Any, context: Any, response: Any) -> None:
        token = context.request.headers.get("X-Amz-Security-Token", "")
        called_by = token.removeprefix("function/")
        if called_by == token or context.operation is None:
            return
        action = f"{context.service.service_name}:{context.operation.name}"
        request = context.service_request or {}
        resource = request.get("SecretId") or request.get("QueueUrl", "").rpartition("/")[2]
        call = called_by, action, resource
        if call not in seen:
            seen.add(call)
            with file.open("a") as calls:
                calls.write(json.dumps(call) + "\n")

    run_custom_response_handlers.append(record)


if __name__ == "__main__":
    provide_deprecated()
    listen_locally()
    separate_s3_files()
    return_gateway_responses()
    record_calls_of_functions()
    from localstack.runtime.main import main

    main()
