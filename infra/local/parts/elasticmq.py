"""ElasticMQ: queues that are fast enough not to be what a benchmark measures."""

from __future__ import annotations

import socket

from infra.local.install import ELASTICMQ_JARS, java
from infra.local.keys import Keys
from infra.local.layout import REGION, Stack
from infra.local.parts import Launch, clean_environment

CONFIG = """\
# Written at every start.
include classpath("application.conf")
node-address {{ protocol = http, host = "127.0.0.1", port = {port}, context-path = "" }}
rest-sqs {{ bind-hostname = "127.0.0.1", bind-port = {port}, sqs-limits = relaxed }}
rest-stats {{ enabled = false }}
aws {{ region = {region}, accountId = 000000000000 }}
"""


class ElasticMq:
    """Queues in memory, for the benchmarks only; empty at every start."""

    name = "elasticmq"
    title = "ElasticMQ"
    port_names = ("elasticmq",)
    patience_seconds = 60.0

    def url(self, stack: Stack, keys: Keys) -> str:
        return f"http://127.0.0.1:{stack.ports['elasticmq']}"

    def prepare(self, stack: Stack, keys: Keys) -> None:
        stack.scratch.mkdir(parents=True, exist_ok=True)
        text = CONFIG.format(port=stack.ports["elasticmq"], region=REGION)
        (stack.scratch / "elasticmq.conf").write_text(text)

    def launch(self, stack: Stack, keys: Keys) -> Launch:
        command = [
            str(java()),
            *("-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:-UsePerfData"),
            f"-Dconfig.file={stack.scratch / 'elasticmq.conf'}",
            *("-cp", str(ELASTICMQ_JARS / "*")),
            "org.elasticmq.server.Main",
        ]
        return Launch(command, stack.scratch, clean_environment(stack))

    def is_ready(self, stack: Stack, keys: Keys) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", stack.ports["elasticmq"]), timeout=1.0):
                return True
        except OSError:
            return False
