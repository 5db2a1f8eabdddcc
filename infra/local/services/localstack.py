"""LocalStack: API Gateway, Lambda, SQS and schedules. Functions run as plain processes."""

import http.client
import json

from infra.local.install import venv_python
from infra.local.paths import REGION, Stack
from infra.local.services import Command, clean_environment, wipe
from infra.local.stack_secrets import StackSecrets

SETTINGS = {
    # Inside a container LocalStack assumes that it runs from its own image, and writes to /usr/lib and
    # /var/lib, which needs root.
    "OVERRIDE_IN_DOCKER": "0",
    "DISABLE_EVENTS": "1",
    "SKIP_SSL_CERT_DOWNLOAD": "1",
    "DNS_ADDRESS": "0",
    "SQS_ENDPOINT_STRATEGY": "path",
    # Nobody reads these metrics here, and writing one costs more than sending a message.
    "SQS_DISABLE_CLOUDWATCH_METRICS": "1",
    # All services load while OpenSearch starts, so the deployment waits for none.
    "EAGER_SERVICE_LOADING": "1",
    "SERVICES": "apigateway,cloudformation,cloudwatch,events,iam,kms,lambda,logs,s3,secretsmanager,"
    "sns,sqs,sts",
    "LAMBDA_RUNTIME_EXECUTOR": "ordinal",
    "LAMBDA_SYNCHRONOUS_CREATE": "1",
    # Sixteen cold starts at once on two cores take longer than the default of 20 s.
    "LAMBDA_RUNTIME_ENVIRONMENT_TIMEOUT": "60",
    # The longest waits for a record in an idle queue, and after a failure: short, since a person watches.
    "LAMBDA_EVENT_SOURCE_MAPPING_POLL_INTERVAL_SEC": "0.5",
    "LAMBDA_EVENT_SOURCE_MAPPING_MAX_BACKOFF_ON_EMPTY_POLL_SEC": "1",
    "LAMBDA_EVENT_SOURCE_MAPPING_MAX_BACKOFF_ON_ERROR_SEC": "5",
}


class LocalStack:
    """AWS on one port. It is empty at each start."""

    name = "localstack"
    title = "LocalStack"
    port_names = ("localstack",)
    start_timeout_seconds = 120.0

    def url(self, stack: Stack, secrets: StackSecrets) -> str:
        return f"http://127.0.0.1:{stack.ports['localstack']}"

    def prepare(self, stack: Stack, secrets: StackSecrets) -> None:
        wipe(stack.scratch / "localstack")
        wipe(stack.scratch / "code")

    def command(self, stack: Stack, secrets: StackSecrets) -> Command:
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
        return Command(command, stack.scratch / "localstack", environment)

    def is_ready(self, stack: Stack, secrets: StackSecrets) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", stack.ports["localstack"], timeout=5)
        try:
            connection.request("GET", "/_localstack/health")
            response = connection.getresponse()
            return response.status == 200 and "services" in json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError):
            return False
        finally:
            connection.close()
