"""The Postman collection, run from top to bottom against the deployed stack."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from infra.local.install import newman
from tests.e2e.conftest import ROOT, Stack

FOLDER = ROOT / "docs/postman"
COLLECTION = FOLDER / "ordinal.postman_collection.json"
ENVIRONMENT = FOLDER / "ordinal.postman_environment.json"


def test_an_address_and_an_admin_key_are_enough_for_every_request(
    stack: Stack, tmp_path: Path
) -> None:
    report = tmp_path / "report.json"
    variables = {"base_url": stack.base_url, "admin_key": stack.file["admin_key"]}
    command = [*newman(), "run", str(COLLECTION), "--environment", str(ENVIRONMENT)]
    for name, value in variables.items():
        command += ["--env-var", f"{name}={value}"]
    command += ["--reporters", "cli,json", "--reporter-json-export", str(report)]
    command += ["--color", "off", "--timeout-request", "60000"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    run = json.loads(report.read_text())["run"]
    sent = {execution["item"]["name"] for execution in run["executions"]}
    assert sent == {item["name"] for item in requests()}
    for execution in run["executions"]:
        assert execution["assertions"], f"{execution['item']['name']} asserts nothing"
        assert not [a for a in execution["assertions"] if "error" in a or a.get("skipped")]


def requests() -> Iterator[dict[str, Any]]:
    for folder in json.loads(COLLECTION.read_text())["item"]:
        yield from folder["item"]
