"""ElasticMQ: the queues of the benchmarks. It is fast enough not to dominate a measurement."""

import socket

from infra.local.install import ELASTICMQ_JARS, java
from infra.local.paths import REGION, Stack
from infra.local.services import Command, clean_environment
from infra.local.stack_secrets import StackSecrets

CONFIG = """\
# Generated at each start.
include classpath("application.conf")
node-address {{ protocol = http, host = "127.0.0.1", port = {port}, context-path = "" }}
rest-sqs {{ bind-hostname = "127.0.0.1", bind-port = {port}, sqs-limits = relaxed }}
rest-stats {{ enabled = false }}
aws {{ region = {region}, accountId = 000000000000 }}
"""


class ElasticMq:
    """Queues in memory, for the stack `bench` only. They are empty at each start."""

    name = "elasticmq"
    title = "ElasticMQ"
    port_names = ("elasticmq",)
    start_timeout_seconds = 60.0

    def url(self, stack: Stack, secrets: StackSecrets) -> str:
        return f"http://127.0.0.1:{stack.ports['elasticmq']}"

    def prepare(self, stack: Stack, secrets: StackSecrets) -> None:
        stack.scratch.mkdir(parents=True, exist_ok=True)
        text = CONFIG.format(port=stack.ports["elasticmq"], region=REGION)
        (stack.scratch / "elasticmq.conf").write_text(text)

    def command(self, stack: Stack, secrets: StackSecrets) -> Command:
        command = [
            str(java()),
            *("-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:-UsePerfData"),
            f"-Dconfig.file={stack.scratch / 'elasticmq.conf'}",
            *("-cp", str(ELASTICMQ_JARS / "*")),
            "org.elasticmq.server.Main",
        ]
        return Command(command, stack.scratch, clean_environment(stack))

    def is_ready(self, stack: Stack, secrets: StackSecrets) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", stack.ports["elasticmq"]), timeout=1.0):
                return True
        except OSError:
            return False
