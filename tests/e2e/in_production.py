"""The functions set up as in production: secrets by their names, a user of their own, an index of IAM's.

They are copies beside the deployed ones. LocalStack has no OpenSearch Service, so the index is asked through
a proxy that writes down the method and the path, as a right says them, and which function it was.
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
# RDS makes it, and names it so; LocalStack takes no such name from others.
OWNER_SECRET, OWNER_SECRET_ON_AWS = "rds-db-in-production", "rds!db-in-production"


class Proxy:
    """In front of OpenSearch. `asked` has function, right and path."""

    def __init__(self, opensearch_url: str) -> None:
        self.asked: set[tuple[str, str, str]] = set()
        # What is answered in its stead: a status for each call of a function with a method.
        self.instead: dict[tuple[str, str], list[int]] = {}
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
            right = f"es:ESHttp{self.command.capitalize()}"
            proxy.asked.add((function, right, path.partition("?")[0]))
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if instead := proxy.instead.get((function, self.command)):
                told = {"error": {"type": "resource_already_exists_exception"}}
                self.answer(instead.pop(0), json.dumps(told).encode())
                return
            kind = {"Content-Type": self.headers.get("Content-Type", "application/json")}
            given = client.request(self.command, f"/{path}", content=body, headers=kind)
            self.answer(given.status_code, given.content)

        do_GET = do_PUT = do_HEAD = do_POST  # noqa: N815 the names are those of `http.server`

        def answer(self, status: int, content: bytes) -> None:
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
    """Copies of the functions of a stack; gone at the end, with their secrets."""

    def __init__(self, stack: Stack, proxy: Proxy, secrets: Mapping[str, str]) -> None:
        self.stack, self.proxy, self._secrets = stack, proxy, secrets
        self.names: list[str] = []

    def copy(self, function: str) -> None:
        """Put a function once more, set up anew."""
        deployed = "ordinal-test" + ("" if function == "api_handler" else f"-{function}")
        found = self.stack.functions.get_function(FunctionName=deployed)
        config = found["Configuration"]
        self.stack.functions.create_function(
            FunctionName=f"ordinal-test-{function}{SUFFIX}",
            Code={"ZipFile": httpx.get(found["Code"]["Location"]).content},
            Environment={
                "Variables": self._variables(function, config["Environment"]["Variables"])
            },
            **{name: config[name] for name in ("Runtime", "Role", "Handler", "Timeout")},
        )
        self.names.append(function)

    def call(self, function: str, event: Mapping[str, Any]) -> Any:
        """The function's answer."""
        answer = self.stack.functions.invoke(
            FunctionName=f"ordinal-test-{function}{SUFFIX}", Payload=json.dumps(event).encode()
        )
        text = answer["Payload"].read()
        assert "FunctionError" not in answer, text
        return json.loads(text)

    def close(self) -> None:
        for function in self.names:
            self.stack.functions.delete_function(FunctionName=f"ordinal-test-{function}{SUFFIX}")

    def _variables(self, function: str, deployed: Mapping[str, str]) -> dict[str, str]:
        redis, mysql = (urlsplit(self.stack.file[part]["url"]) for part in ("redis", "mysql"))
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
        made = Production(stack, proxy, cleanup.enter_context(_secrets(stack)))
        cleanup.callback(made.close)
        cleanup.callback(_drop_user, stack.file["mysql"]["url"])
        for function in functions:
            made.copy(function)
        yield made


def _drop_user(url: str) -> None:
    with closing(Database(url)) as database:
        database.transact(lambda cursor: cursor.execute("DROP USER IF EXISTS %s@'%%'", (USER,)))


@contextmanager
def _secrets(stack: Stack) -> Iterator[dict[str, str]]:
    """The settings that name them. They are encrypted by a key of this stage, as on AWS."""
    url = stack.file["aws"]["url"]
    manager, kms = local_client(url, "secretsmanager"), local_client(url, "kms")
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    owner = urlsplit(stack.file["mysql"]["url"])
    texts = {
        "MASTER_KEY": ("ordinal-test-master-key", stack.file["master_key"]),
        "ADMIN_KEY": ("ordinal-test-admin-key", stack.file["admin_key"]),
        "REDIS_PASSWORD": ("ordinal-test-redis-password", "whatever: it asks for none"),
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
            made = manager.create_secret(Name=name, SecretString=text, KmsKeyId=key)["ARN"]
            cleanup.callback(manager.delete_secret, SecretId=made, ForceDeleteWithoutRecovery=True)
            arns[f"ORDINAL_{setting}"] = made
        yield arns
