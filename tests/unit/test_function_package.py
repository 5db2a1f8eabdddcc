"""The package of the functions holds only the files that functions use, and functions load few modules."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from infra.deploy.chalice import package_functions
from infra.deploy.settings import DeploySettings
from infra.deploy.staging import DeployTarget, stage_project
from infra.local.install import WHEELS

ROOT = Path(__file__).parents[2]
SETTINGS = DeploySettings("local", "", "us-east-1", "", "", {})
TARGET = DeployTarget("aws", "us-east-1", "123456789012", [], [])
VARIABLES = {"ORDINAL_STAGE": "local"}
MAX_BYTES = 7_500_000
# The largest number of loaded modules after a handler is imported. Python's own modules count too.
BUDGET = {
    "app": 275,
    "accept_inbox": 225,
    "persist_chats": 225,
    "persist_messages": 225,
    "index_messages": 225,
    "measure_backlog": 223,
    "repair_pending": 223,
    "purge_deleted": 223,
    "release_idle_leases": 223,
    "migrate": 213,
}
LOADED_LATER = {
    "botocore.session",
    "hiredis",
    "opensearchpy",
    "pybreaker",
    "pymysql",
    "redis",
    "requests",
    "urllib3",
    "jwt",
    "chalicelib.entrypoints.http.openapi.document",
    "chalicelib.entrypoints.http.openapi.docs_page",
}
NOT_OF_WORKERS = {"app", "chalicelib.entrypoints.http"}
# Code that loads all modules, also those that functions import only when they need them.
LATER = """
import contextlib, importlib, os, pkgutil
import app, chalicelib
for module in pkgutil.walk_packages(chalicelib.__path__, "chalicelib."):
    importlib.import_module(module.name)

from chalicelib.adapters.opensearch.index import Connection
from chalicelib.domain.errors import UnauthenticatedError
from chalicelib.entrypoints.http.auth import check_user_token

os.environ |= {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
url = "https://search-a.eu-west-1.es.amazonaws.com"
[node] = Connection(url).client.transport.connection_pool.connections
assert "Authorization" in node.http_auth("GET", url, b"{}", {})
with contextlib.suppress(UnauthenticatedError):
    check_user_token("master", "a" * 30, "ey.ey.ey", 0)
"""
LOADED = "print({name: getattr(module, '__file__', None) for name, module in sys.modules.items()})"


@dataclass(frozen=True)
class Package:
    """The built package, and a folder with its unpacked content."""

    zip: Path
    folder: Path
    resources: dict[str, Any]

    @cached_property
    def handlers(self) -> list[str]:
        handlers = [resource["Properties"].get("Handler") for resource in self.resources.values()]
        return [handler for handler in handlers if handler]

    @cached_property
    def names(self) -> list[str]:
        with ZipFile(self.zip) as zip_:
            return zip_.namelist()

    def loaded_by(self, code: str) -> dict[str, str | None]:
        """The modules that this code loads, with their files, in a Python that has only the package."""
        lines = ("import sys", f"sys.path.insert(0, {str(self.folder)!r})", code, LOADED)
        command = [sys.executable, "-I", "-S", "-B", "-W", "error", "-c", "\n".join(lines)]
        process = subprocess.run(command, cwd="/", env={}, capture_output=True, text=True)
        assert process.returncode == 0, process.stderr
        loaded: dict[str, str | None] = ast.literal_eval(process.stdout.splitlines()[-1])
        return loaded


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """The package as the deployment builds it for LocalStack, from downloaded wheels.

    The checkout is readable only by its owner, and so are the files that the deployment writes.
    """
    folder = tmp_path_factory.mktemp("functions")
    umask = os.umask(0o077)
    try:
        checkout = private_checkout(folder / "checkout")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PIP_NO_INDEX", "1")
            patch.setenv("PIP_FIND_LINKS", str(WHEELS))
            copy = stage_project(checkout, folder / "work", SETTINGS, TARGET, VARIABLES)
            package = package_functions(copy, SETTINGS, VARIABLES)
    finally:
        os.umask(umask)
    resources = json.loads((package / "sam.json").read_text())["Resources"]
    with ZipFile(package / "deployment.zip") as zip_:
        zip_.extractall(folder / "unpacked")
    return Package(package / "deployment.zip", folder / "unpacked", resources)


def private_checkout(folder: Path) -> Path:
    """A copy of what is deployed, with the modes that `git clone` gives under a umask of 077."""
    folder.mkdir()
    for name in (".chalice", "app.py", "chalicelib", "requirements.txt"):
        source = ROOT / name
        copy = shutil.copytree if source.is_dir() else shutil.copyfile
        copy(source, folder / name)
    for path in folder.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
    return folder


@pytest.fixture(scope="module")
def loaded(built: Package) -> dict[str, set[str]]:
    """The modules that are loaded after the import of a handler, by the handler's name."""
    return {
        name_of(handler): set(built.loaded_by(import_of(handler))) for handler in built.handlers
    }


def import_of(handler: str) -> str:
    """Code that imports a handler as Lambda does: https://github.com/aws/aws-lambda-python-runtime-interface-client"""
    module, _, name = handler.rpartition(".")
    return f"import importlib; assert callable(importlib.import_module({module!r}).{name})"


def name_of(handler: str) -> str:
    return handler.rpartition(".")[2]


def test_the_api_has_the_name_of_its_stage(built: Package) -> None:
    assert (
        built.resources["RestAPI"]["Properties"]["DefinitionBody"]["info"]["title"]
        == "ordinal-local"
    )


def test_the_package_is_small(built: Package) -> None:
    assert built.zip.stat().st_size < MAX_BYTES


def test_every_file_is_readable_for_the_other_user_that_lambda_runs_as(built: Package) -> None:
    with ZipFile(built.zip) as zip_:
        modes = {entry.filename: entry.external_attr >> 16 for entry in zip_.infolist()}
    assert modes
    assert not [name for name, mode in modes.items() if mode & 0o444 != 0o444]


def test_the_package_holds_no_tests_and_no_descriptions_of_aws_services(built: Package) -> None:
    unwanted = re.compile(r"(^|/)(tests?|examples?)/|^botocore/data/|\.data/")
    assert not [name for name in built.names if unwanted.search(name)]


def test_every_library_in_the_package_is_loaded_by_a_function(built: Package) -> None:
    loaded = {name.partition(".")[0] for name, file in built.loaded_by(LATER).items() if file}
    packed = {name.partition("/")[0] for name in built.names} - {"__pycache__"}
    assert {name.removesuffix(".py") for name in packed if not name.endswith("-info")} <= loaded


def test_every_module_is_compiled_for_the_python_that_runs_it(built: Package) -> None:
    source = {name for name in built.names if name.endswith(".py")}
    tag = f".{sys.implementation.cache_tag}.pyc"
    compiled = {n.replace("__pycache__/", "").replace(tag, ".py") for n in built.names if tag in n}
    assert source == compiled


def test_every_handler_can_be_imported_with_only_the_package(
    loaded: dict[str, set[str]],
) -> None:
    assert loaded.keys() == BUDGET.keys()


@pytest.mark.parametrize("function", BUDGET)
def test_a_function_loads_no_more_modules_than_it_may(
    function: str, loaded: dict[str, set[str]]
) -> None:
    assert len(loaded[function]) <= BUDGET[function]


@pytest.mark.parametrize("function", BUDGET)
def test_a_function_loads_no_adapter_before_its_first_event(
    function: str, loaded: dict[str, set[str]]
) -> None:
    assert not loaded[function] & LOADED_LATER
    if function != "app":
        assert not loaded[function] & NOT_OF_WORKERS


@pytest.mark.parametrize(
    ("ports", "unused"),
    [
        (("clock", "index", "metrics", "queues"), {"pymysql", "jwt", "botocore.session"}),
        (("clock", "sequencer", "store", "queues", "metrics"), {"opensearchpy", "requests", "jwt"}),
    ],
    ids=["index_messages", "persist_messages"],
)
def test_a_worker_loads_no_store_that_it_does_not_use(
    ports: tuple[str, ...], unused: set[str], built: Package
) -> None:
    settings: dict[str, Any] = {
        "ORDINAL_REDIS_URL": "redis://127.0.0.1:1/0",
        "ORDINAL_MYSQL_URL": "mysql://a:b@127.0.0.1:1/a",
        "ORDINAL_OPENSEARCH_URL": "http://127.0.0.1:1",
    }
    loaded = built.loaded_by(
        "import os, chalicelib.entrypoints.workers as workers\n"
        f"os.environ |= {settings}\n"
        f"[getattr(workers.worker_ports(), port) for port in {ports}]"
    )
    assert not loaded.keys() & unused
