"""LocalStack: API Gateway, Lambda, SQS and the schedules, with functions as plain processes."""

from __future__ import annotations

import http.client
import json

from infra.local.install import venv_python
from infra.local.keys import Keys
from infra.local.layout import REGION, Stack
from infra.local.parts import Launch, clean_environment, wipe

SETTINGS = {
    # Inside a container LocalStack assumes that it runs from its own image, and writes to /usr/lib and
    # /var/lib, which needs root.
    "OVERRIDE_IN_DOCKER": "0",
    "DISABLE_EVENTS": "1",
    "SKIP_SSL_CERT_DOWNLOAD": "1",
    "DNS_ADDRESS": "0",
    "SQS_ENDPOINT_STRATEGY": "path",
    # Alarms want CloudWatch, and nobody reads its metrics here: writing one costs more than a send.
    "SQS_DISABLE_CLOUDWATCH_METRICS": "1",
    # Loaded while OpenSearch still starts, not one by one during the deployment.
    "EAGER_SERVICE_LOADING": "1",
    "SERVICES": "apigateway,cloudformation,cloudwatch,events,iam,kms,lambda,logs,s3,secretsmanager,"
    "sns,sqs,sts",
    "LAMBDA_RUNTIME_EXECUTOR": "ordinal",
    "LAMBDA_SYNCHRONOUS_CREATE": "1",
    # Sixteen cold starts at once on two cores take longer than the default of 20 s allows.
    "LAMBDA_RUNTIME_ENVIRONMENT_TIMEOUT": "60",
    # How long a record may wait in a quiet queue, and after a failure: short, someone is looking.
    "LAMBDA_EVENT_SOURCE_MAPPING_POLL_INTERVAL_SEC": "0.5",
    "LAMBDA_EVENT_SOURCE_MAPPING_MAX_BACKOFF_ON_EMPTY_POLL_SEC": "1",
    "LAMBDA_EVENT_SOURCE_MAPPING_MAX_BACKOFF_ON_ERROR_SEC": "5",
}


class LocalStack:
    """AWS on one port; empty at every start."""

    name = "localstack"
    title = "LocalStack"
    port_names = ("localstack",)
    patience_seconds = 120.0

    def url(self, stack: Stack, keys: Keys) -> str:
        return f"http://127.0.0.1:{stack.ports['localstack']}"

    def prepare(self, stack: Stack, keys: Keys) -> None:
        wipe(stack.scratch / "localstack")
        wipe(stack.scratch / "code")

    def launch(self, stack: Stack, keys: Keys) -> Launch:
        address = f"127.0.0.1:{stack.ports['localstack']}"
        environment = {
            **clean_environment(stack),
            **SETTINGS,
            "FILESYSTEM_ROOT": str(stack.scratch / "localstack"),
            "XDG_CACHE_HOME": str(stack.scratch / "localstack/cache"),
            "GATEWAY_LISTEN": address,
            "LOCALSTACK_HOST": address,
            "DEFAULT_REGION": REGION,
            "PYTHONUNBUFFERED": "1",
            "ORDINAL_LAMBDA_PYTHON": str(venv_python("lambda")),
            "ORDINAL_LAMBDA_CODE": str(stack.scratch / "code"),
            "ORDINAL_LAMBDA_LOGS": str(stack.logs),
        }
        command = [str(venv_python("localstack")), "-m", "ordinal_lambda_executor.localstack_main"]
        return Launch(command, stack.scratch / "localstack", environment)

    def is_ready(self, stack: Stack, keys: Keys) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", stack.ports["localstack"], timeout=5)
        try:
            connection.request("GET", "/_localstack/health")
            answer = connection.getresponse()
            return answer.status == 200 and "services" in json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError):
            return False
        finally:
            connection.close()
