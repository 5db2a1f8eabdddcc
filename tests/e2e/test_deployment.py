"""The deployment: run twice, killed, and its stage removed. This stage is not the tested one."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from chalicelib.settings import QUEUES
from infra.deploy.chalice_state import deployed_resources
from infra.deploy.settings import DeploySettings
from infra.deploy.stacks import final_state, stack_name
from tests.aws_clients import local_client
from tests.contract.databases import fresh_database
from tests.e2e.conftest import ROOT, Stack, wait_until
from tests.unit.cloud_templates import of_type

STAGE = "faults"
SECONDS = 240


class Deployment:
    """Deploys and removes the stage. The stage shares no data with the tested one."""

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
        """Deploy. Returns the result of the deployment."""
        with self.start("infra.deploy") as process:
            output, _ = process.communicate(timeout=SECONDS)
            assert process.returncode == 0, output
        result: dict[str, Any] = json.loads((self.folder / "result.json").read_text())
        return result

    def run_once(self) -> None:
        """Deploy, unless an earlier test did."""
        if not self.apis():
            self.run()

    def kill_when(self, what: str, condition: Callable[[], bool]) -> None:
        """Start a deployment. Kill it and its children as soon as the condition is true."""
        with self.start("infra.deploy") as process:
            wait_until(what, lambda: condition() or process.poll() is not None, SECONDS)
            assert process.poll() is None, "the deployment ended before it could be killed"
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()

    def destroy(self, confirmation: str, *words: str) -> str:
        """Remove the stage, with this text as the confirmation. Returns the output."""
        with self.start("infra.deploy.destroy", *words) as process:
            output, _ = process.communicate(f"{confirmation}\n", timeout=SECONDS)
        return output

    def functions(self) -> set[str]:
        pages = self.client("lambda").get_paginator("list_functions").paginate()
        names = {function["FunctionName"] for page in pages for function in page["Functions"]}
        return {name for name in names if name.startswith(f"ordinal-{STAGE}")}

    def apis(self) -> list[str]:
        """The ids of all APIs of this stage. A killed deployment may leave more than one."""
        gateway, ids = self.client("apigateway"), []
        for api in gateway.get_rest_apis(limit=500)["items"]:
            page = gateway.get_resources(restApiId=api["id"], embed=["methods"], limit=500)
            if f":function:ordinal-{STAGE}/" in json.dumps(page["items"]):
                ids.append(api["id"])
        return ids

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


def test_cloudformation_makes_the_queues_and_the_alarms_of_the_stack(stack: Stack) -> None:
    cloud = local_client(stack.file["aws"]["url"], "cloudformation")
    ids = {
        resource["PhysicalResourceId"].rpartition("/")[2]
        for name in ("queues", "monitoring")
        for resource in cloud.describe_stack_resources(StackName=f"ordinal-test-{name}")[
            "StackResources"
        ]
    }
    queues = {f"ordinal-test-{queue}" for queue in QUEUES}
    assert queues | {f"{queue}-dead-letters" for queue in queues} <= ids
    alarms = of_type("monitoring", "AWS::CloudWatch::Alarm").values()
    names = {alarm["AlarmName"]["Fn::Sub"].replace("${Stage}", "test") for alarm in alarms}
    of_stores = {name for name in names if re.search("-(redis|mysql|opensearch)-", name)}
    assert of_stores
    assert names - of_stores <= ids


def test_a_deployment_that_was_killed_anywhere_can_run_again_and_leaves_no_duplicates(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    deployment.kill_when("the queues", lambda: bool(deployment.queues()))
    deployment.kill_when("a few functions", lambda: len(deployment.functions()) >= 3)
    deployment.kill_when("the API", lambda: bool(deployment.apis()))
    result = deployment.run()
    state = json.loads(
        (deployment.folder / f"work/project/.chalice/deployed/{STAGE}.json").read_text()
    )
    by_chalice = {resource["name"]: resource for resource in state["resources"]}
    by_us = {resource["name"]: resource for resource in deployed_resources(deployment.settings)}
    assert set(by_us) == set(by_chalice)
    assert deployment.apis() == [by_chalice["rest_api"]["rest_api_id"]]
    for name, resource in by_chalice.items():
        if resource["resource_type"] == "sqs_event":
            assert by_us[name] == resource
    assert deployment.run() == result


def test_a_deployment_enables_workers_that_an_operator_disabled(deployment: Deployment) -> None:
    deployment.run_once()
    workers = deployment.client("lambda")
    mappings = [
        mapping["UUID"]
        for mapping in workers.list_event_source_mappings()["EventSourceMappings"]
        if f":ordinal-{STAGE}-" in mapping["FunctionArn"]
    ]
    assert len(mappings) == len(QUEUES)

    def all_are(state: str) -> bool:
        states = [workers.get_event_source_mapping(UUID=uuid)["State"] for uuid in mappings]
        return set(states) == {state}

    for uuid in mappings:
        workers.update_event_source_mapping(UUID=uuid, Enabled=False)
    wait_until("the workers to be disabled", lambda: all_are("Disabled"))
    deployment.run()
    assert all_are("Enabled")


def test_a_stage_is_removed_only_after_its_name_was_typed(deployment: Deployment) -> None:
    deployment.run_once()
    assert "Nothing was removed" in deployment.destroy("yes")
    assert deployment.functions()


def test_a_removed_stage_retains_its_queues_unless_the_data_is_removed_too(
    deployment: Deployment,
) -> None:
    deployment.run_once()
    assert "Removed" in deployment.destroy(STAGE)
    assert (deployment.functions(), deployment.apis()) == (set(), [])
    assert len(deployment.queues()) == 2 * len(QUEUES)
    assert "Removed" in deployment.destroy(STAGE, "--with-data")
    assert deployment.queues() == set()
    for name in ("queues", "monitoring"):
        assert final_state(deployment.cloud, stack_name(deployment.settings, name)) == ""
