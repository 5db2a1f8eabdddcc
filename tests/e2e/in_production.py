"""Copies of the deployed functions with the settings of production.

They read their secrets by ARNs, have a MySQL user of their own, and reach OpenSearch through a proxy. The
proxy stands for the OpenSearch Service, which LocalStack does not have. It records the function, the method
and the path of each request, because a policy names these three.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import httpx

from chalicelib.adapters.mysql.database import Database
from tests.aws_clients import local_client
from tests.e2e.conftest import Stack

SUFFIX = "-in-production"
USER, PASSWORD = "ordinal_in_production", "a password/of@its: own"
# RDS names its secret in the second form. LocalStack refuses this form to all other callers.
OWNER_SECRET, OWNER_SECRET_ON_AWS = "rds-db-in-production", "rds!db-in-production"
NOWHERE = "127.0.0.1:1"


class Proxy:
    """A proxy in front of OpenSearch. `calls` holds function, action and path of each request."""

    def __init__(self, opensearch_url: str) -> None:
        self.calls: set[tuple[str, str, str]] = set()
        # Statuses that the proxy returns itself, one for each request of a function with a method.
        self.statuses: dict[tuple[str, str], list[int]] = {}
        self._client = httpx.Client(base_url=opensearch_url, timeout=30)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self, self._client))
        self._thread = Thread(target=self._server.serve_forever)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._client.close()


def _handler(proxy: Proxy, client: httpx.Client) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            _, function, path = self.path.split("/", 2)
            action = f"es:ESHttp{self.command.capitalize()}"
            proxy.calls.add((function, action, path.partition("?")[0]))
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if statuses := proxy.statuses.get((function, self.command)):
                error = {"error": {"type": "resource_already_exists_exception"}}
                self.respond(statuses.pop(0), json.dumps(error).encode())
                return
            headers = {"Content-Type": self.headers.get("Content-Type", "application/json")}
            response = client.request(self.command, f"/{path}", content=body, headers=headers)
            self.respond(response.status_code, response.content)

        do_GET = do_PUT = do_HEAD = do_POST  # noqa: N815 the names are those of `http.server`

        def respond(self, status: int, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def log_message(self, *words: object) -> None:
            pass

    return Handler


class Production:
    """Copies of the functions of a stack. They are deleted at the end, and so are their secrets."""

    def __init__(self, stack: Stack, proxy: Proxy, secrets: Mapping[str, str]) -> None:
        self.stack, self.proxy, self._secrets = stack, proxy, secrets
        self._environments: dict[str, dict[str, str]] = {}

    def copy(self, function: str) -> None:
        """Create a copy of a deployed function with the settings of production."""
        deployed_name = "ordinal-test" + ("" if function == "api_handler" else f"-{function}")
        deployed = self.stack.functions.get_function(FunctionName=deployed_name)
        config = deployed["Configuration"]
        environment = self._variables(function, config["Environment"]["Variables"])
        self.stack.functions.create_function(
            FunctionName=_name(function),
            Code={"ZipFile": httpx.get(deployed["Code"]["Location"]).content},
            Environment={"Variables": environment},
            **{name: config[name] for name in ("Runtime", "Role", "Handler", "Timeout")},
        )
        self._environments[function] = environment

    def take_stores_away(self, function: str) -> None:
        """Change the URLs of the stores, so that no store responds to the function."""
        environment = dict(self._environments[function])
        for name in ("ORDINAL_REDIS_URL", "ORDINAL_MYSQL_URL", "ORDINAL_OPENSEARCH_URL"):
            url = urlsplit(environment[name])
            user = f"{url.username}@" if url.username else ""
            environment[name] = url._replace(netloc=f"{user}{NOWHERE}").geturl()
        functions = self.stack.functions
        functions.update_function_configuration(
            FunctionName=_name(function), Environment={"Variables": environment}
        )
        functions.get_waiter("function_updated_v2").wait(FunctionName=_name(function))

    def call(self, function: str, event: Mapping[str, Any]) -> Any:
        """The response of the function."""
        response = self.stack.functions.invoke(
            FunctionName=_name(function), Payload=json.dumps(event).encode()
        )
        text = response["Payload"].read()
        assert "FunctionError" not in response, text
        return json.loads(text)

    def close(self) -> None:
        for function in self._environments:
            self.stack.functions.delete_function(FunctionName=_name(function))

    def _variables(self, function: str, deployed: Mapping[str, str]) -> dict[str, str]:
        redis, mysql = (urlsplit(self.stack.file[store]["url"]) for store in ("redis", "mysql"))
        mysql = mysql._replace(netloc=f"{USER}@{mysql.netloc.rpartition('@')[2]}")
        return {
            **deployed,
            "ORDINAL_REDIS_URL": redis._replace(netloc=f"default@{redis.netloc}").geturl(),
            "ORDINAL_MYSQL_URL": mysql._replace(query="ssl=unverified").geturl(),
            "ORDINAL_OPENSEARCH_URL": f"{self.proxy.url}/{function}",
            **self._secrets,
        }


@contextmanager
def in_production(stack: Stack, functions: list[str]) -> Iterator[Production]:
    """Copies of these functions."""
    with ExitStack() as cleanup:
        proxy = Proxy(stack.file["opensearch"]["url"])
        cleanup.callback(proxy.close)
        production = Production(stack, proxy, cleanup.enter_context(_secrets(stack)))
        cleanup.callback(production.close)
        cleanup.callback(_drop_user, stack.file["mysql"]["url"])
        for function in functions:
            production.copy(function)
        yield production


def _name(function: str) -> str:
    return f"ordinal-test-{function}{SUFFIX}"


def _drop_user(url: str) -> None:
    with closing(Database(url)) as database:
        database.transact(lambda cursor: cursor.execute("DROP USER IF EXISTS %s@'%%'", (USER,)))


@contextmanager
def _secrets(stack: Stack) -> Iterator[dict[str, str]]:
    """The environment variables that name the secrets. A key of KMS encrypts the secrets, as on AWS."""
    url = stack.file["aws"]["url"]
    manager, kms = local_client(url, "secretsmanager"), local_client(url, "kms")
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    owner = urlsplit(stack.file["mysql"]["url"])
    texts = {
        "MASTER_KEY": ("ordinal-test-master-key", stack.file["master_key"]),
        "ADMIN_KEY": ("ordinal-test-admin-key", stack.file["admin_key"]),
        "REDIS_PASSWORD": ("ordinal-test-redis-password", "any word: this server requires none"),
        "MYSQL_PASSWORD": ("ordinal-test-mysql-password", PASSWORD),
        "MYSQL_OWNER": (
            OWNER_SECRET,
            json.dumps({"username": owner.username, "password": owner.password}),
        ),
    }
    arns: dict[str, str] = {}
    with ExitStack() as cleanup:
        cleanup.callback(kms.schedule_key_deletion, KeyId=key, PendingWindowInDays=7)
        for setting, (name, text) in texts.items():
            arn = manager.create_secret(Name=name, SecretString=text, KmsKeyId=key)["ARN"]
            cleanup.callback(manager.delete_secret, SecretId=arn, ForceDeleteWithoutRecovery=True)
            arns[f"ORDINAL_{setting}"] = arn
        yield arns
