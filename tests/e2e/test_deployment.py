"""The deployment itself: run again, cut short, taken away. A stage of its own beside the tested one."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from chalicelib.settings import QUEUES
from infra.deploy.notes import deployed
from infra.deploy.settings import DeploySettings
from infra.deploy.stacks import settled, stack_name
from tests.aws_clients import local_client
from tests.contract.databases import fresh_database
from tests.e2e.conftest import ROOT, Stack, wait_until
from tests.unit.cloud_templates import of_type

STAGE = "faults"
SECONDS = 240


class Deployment:
    """Runs the deployment, or the removal, of the stage. Its stores are not those of the tests."""

    def __init__(self, stack: Stack, mysql_url: str, folder: Path) -> None:
        self.folder = folder
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "ORDINAL_REDIS_URL": urlsplit(stack.file["redis"]["url"])._replace(path="/1").geturl(),
            "ORDINAL_MYSQL_URL": mysql_url,
            "ORDINAL_OPENSEARCH_URL": stack.file["opensearch"]["url"],
            "ORDINAL_MASTER_KEY": "m" * 64,
            "ORDINAL_ADMIN_KEY": "admin_of_this_test",
            "AWS_ENDPOINT_URL": stack.file["aws"]["url"],
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(ROOT / "var/cache/wheels"),
        }
        self.settings = DeploySettings(STAGE, stack.file["aws"]["url"], "us-east-1", "", "", {})
        self.cloud = self.client("cloudformation")

    def client(self, service: str) -> Any:
        return local_client(self._environment["AWS_ENDPOINT_URL"], service)

    def start(self, module: str, *words: str) -> "subprocess.Popen[str]":
        work = [
            "--stage", STAGE, "--work", str(self.folder / "work"),
        ]  # fmt: skip
        if module == "infra.deploy":
            work += ["--cache", str(ROOT / "var/cache/deployments")]
            work += ["--result", str(self.folder / "result.json")]
        return subprocess.Popen(
            [sys.executable, "-m", module, *work, *words],
            cwd=ROOT,
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self) -> dict[str, Any]:
        """Deploy; what came of it."""
        with self.start("infra.deploy") as process:
            said, _ = process.communicate(timeout=SECONDS)
            assert process.returncode == 0, said
        told: dict[str, Any] = json.loads((self.folder / "result.json").read_text())
        return told

    def run_once(self) -> None:
        """Deploy, unless an earlier test has."""
        if not self.apis():
            self.run()

    def kill_when(self, what: str, condition: Callable[[], bool]) -> None:
        """Begin to deploy, and kill everything that this has started as soon as something is there."""
        with self.start("infra.deploy") as process:
            wait_until(what, lambda: condition() or process.poll() is not None, SECONDS)
            assert process.poll() is None, "it was done before it could be killed"
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()

    def destroy(self, answer: str, *words: str) -> str:
        with self.start("infra.deploy.destroy", *words) as process:
            said, _ = process.communicate(f"{answer}\n", timeout=SECONDS)
        return said

    def functions(self) -> set[str]:
        pages = self.client("lambda").get_paginator("list_functions").paginate()
        names = {one["FunctionName"] for page in pages for one in page["Functions"]}
        return {name for name in names if name.startswith(f"ordinal-{STAGE}")}

    def apis(self) -> list[str]:
        """All APIs that lead to this stage, the leftovers of killed runs too."""
        gateway, found = self.client("apigateway"), []
        for api in gateway.get_rest_apis(limit=500)["items"]:
            page = gateway.get_resources(restApiId=api["id"], embed=["methods"], limit=500)
            if f":function:ordinal-{STAGE}/" in json.dumps(page["items"]):
                found.append(api["id"])
        return found

    def queues(self) -> set[str]:
        urls = self.client("sqs").list_queues(QueueNamePrefix=f"ordinal-{STAGE}-").get("QueueUrls")
        return {url.rpartition("/")[2] for url in urls or []}


@pytest.fixture(scope="module")
def deployment(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with fresh_database(stack.file["mysql"]["url"]) as url:
        deployment = Deployment(stack, url, tmp_path_factory.mktemp("deployment"))
        try:
            yield deployment
        finally:
            deployment.destroy(STAGE, "--with-data")


def test_the_queues_and_the_alarms_of_the_stack_are_cloudformations(stack: Stack) -> None:
    cloud = local_client(stack.file["aws"]["url"], "cloudformation")
    made = {
        one["PhysicalResourceId"].rpartition("/")[2]
        for name in ("queues", "watch")
        for one in cloud.describe_stack_resources(StackName=f"ordinal-test-{name}")[
            "StackResources"
        ]
    }
    queues = {f"ordinal-test-{queue}" for queue in QUEUES}
    assert queues | {f"{queue}-dead" for queue in queues} <= made
    alarms = of_type("watch", "AWS::CloudWatch::Alarm").values()
    wanted = {one["AlarmName"]["Fn::Sub"].replace("${Stage}", "test") for one in alarms}
    stores = {name for name in wanted if any(s in name for s in ("redis", "mysql-", "search-"))}
    stores -= {"ordinal-test-search-age", "ordinal-test-search-dead-letters"}
    assert wanted - stores <= made


def test_killed_anywhere_and_run_again_it_leaves_one_of_everything(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    deployment.kill_when("the queues", lambda: bool(deployment.queues()))
    deployment.kill_when("a few functions", lambda: len(deployment.functions()) >= 3)
    deployment.kill_when("the API", lambda: bool(deployment.apis()))
    told = deployment.run()
    notes = deployment.folder / f"work/project/.chalice/deployed/{STAGE}.json"
    noted = {one["name"]: one for one in json.loads(notes.read_text())["resources"]}
    found = {one["name"]: one for one in deployed(deployment.settings)}
    assert set(found) == set(noted)
    assert deployment.apis() == [noted["rest_api"]["rest_api_id"]]
    for name, one in noted.items():
        if one["resource_type"] == "sqs_event":
            assert found[name] == one
    assert deployment.run() == told


def test_workers_that_rest_meanwhile_work_again_at_its_end(deployment: Deployment) -> None:
    deployment.run_once()
    workers = deployment.client("lambda")
    mappings = [
        one["UUID"]
        for one in workers.list_event_source_mappings()["EventSourceMappings"]
        if f":ordinal-{STAGE}-" in one["FunctionArn"]
    ]
    assert len(mappings) == len(QUEUES)

    def are(state: str) -> bool:
        found = [workers.get_event_source_mapping(UUID=uuid)["State"] for uuid in mappings]
        return set(found) == {state}

    for uuid in mappings:
        workers.update_event_source_mapping(UUID=uuid, Enabled=False)
    wait_until("the workers to rest", lambda: are("Disabled"))
    deployment.run()
    assert are("Enabled")


def test_it_is_taken_away_only_after_the_name_was_typed(deployment: Deployment) -> None:
    deployment.run_once()
    assert "Nothing was removed" in deployment.destroy("yes")
    assert deployment.functions()


def test_what_holds_data_stays_unless_that_is_told_too(deployment: Deployment) -> None:
    deployment.run_once()
    assert "Removed" in deployment.destroy(STAGE)
    assert (deployment.functions(), deployment.apis()) == (set(), [])
    assert len(deployment.queues()) == 2 * len(QUEUES)
    assert "Removed" in deployment.destroy(STAGE, "--with-data")
    assert deployment.queues() == set()
    for name in ("queues", "watch"):
        assert settled(deployment.cloud, stack_name(deployment.settings, name)) == ""
