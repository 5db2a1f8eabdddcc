"""LocalStack's own entry point, made fit to run outside of its container.

It listens on this machine only, keeps its files to itself, runs on Python 3.12 as well, and
answers as API Gateway does where no function has answered.
"""

from __future__ import annotations

import functools
import json
import os
import tempfile
import warnings
from pathlib import Path
from typing import Any


def listen_locally() -> None:
    """Give Twisted's TCP endpoint the interface that LocalStack leaves out.

    LocalStack takes an address in GATEWAY_LISTEN, uses its port, and listens on every interface.
    On a shared network that would offer everybody a service that runs code.
    """
    from twisted.internet import endpoints  # type: ignore[import-not-found]  # LocalStack's

    local = functools.partial(endpoints.TCP4ServerEndpoint, interface="127.0.0.1")
    endpoints.TCP4ServerEndpoint = local


def provide_deprecated() -> None:
    """LocalStack imports `warnings.deprecated`, which Python 3.12 does not have."""
    if not hasattr(warnings, "deprecated"):
        from typing_extensions import deprecated

        module: Any = warnings
        module.deprecated = deprecated


def keep_files_apart() -> None:
    """Its S3 writes to a fixed folder in /tmp, which another stack or another user may own."""
    from localstack.services.s3 import provider

    provider.DEFAULT_S3_TMP_DIR = os.path.join(tempfile.gettempdir(), "s3")


def answer_as_api_gateway_does() -> None:
    """Of what was put for API Gateway's own answers LocalStack takes the status and leaves the rest."""
    from localstack.services.apigateway.next_gen.execute_api.handlers import gateway_exception

    handler = gateway_exception.GatewayExceptionHandler
    with_status = handler.create_exception_response

    def with_body_and_headers(self: Any, exception: Any, context: Any) -> Any:
        answer = with_status(self, exception, context)
        put = context.deployment.rest_api.gateway_responses.get(exception.type)
        if put is not None:
            # Ours hold no variables; a header's value stands in single quotes.
            answer.set_data(put["responseTemplates"]["application/json"])
            for name, value in put["responseParameters"].items():
                answer.headers[name.removeprefix("gatewayresponse.header.")] = value.strip("'")
        return answer

    handler.create_exception_response = with_body_and_headers


def note_what_functions_call() -> None:
    """Write down each new (function, action, resource), against which the functions' rights are held.

    The token of a function's session names it; the executor sees to that.
    """
    from localstack.aws.handlers import run_custom_response_handlers

    seen: set[tuple[str, str, str]] = set()
    file = Path(os.environ["ORDINAL_LAMBDA_LOGS"]) / "calls.ndjson"
    file.unlink(missing_ok=True)

    def note(chain: Any, context: Any, response: Any) -> None:
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

    run_custom_response_handlers.append(note)


if __name__ == "__main__":
    provide_deprecated()
    listen_locally()
    keep_files_apart()
    answer_as_api_gateway_does()
    note_what_functions_call()
    from localstack.runtime.main import main

    main()
