"""Thousands of valid and invalid requests, generated from the OpenAPI document, alone and in sequences."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import Application, Stack

_HOOKS = Path(__file__).with_name("schemathesis_hooks.py")
_EXAMPLES = 30
_CASES = re.compile(r"(\d+) generated")

_ENDING = ("delete_application", "rotate_key")

# Statuses of valid requests. Another request may have deleted or changed the resource.
_FINE = '["2xx", "401", "403", "404", "409", "410", "412", "429"]'
# No schema can describe which search texts and which cursors are refused with 422.
_FINE_WITH_CURSOR = '["2xx", "401", "403", "404", "410", "422", "429"]'


@pytest.mark.timeout(600)
def test_every_response_is_described_in_the_document(
    stack: Stack, application: Application, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(3):
        chat = application.new_chat()
        for i in range(5):
            application.post(f"{chat}/messages", {"body": f"message {i}", "sender": "ann"})
    doomed = stack.new_application("to be deleted").token
    document = tmp_path / "openapi.json"
    document.write_text(
        json.dumps(_with_tokens(application.get("/openapi.json"), application.token, doomed))
    )
    config = tmp_path / "schemathesis.toml"
    config.write_text(_config(application.key, stack.file["admin_key"]))
    run = subprocess.run(
        [
            *(Path(sys.executable).with_name("schemathesis"), "--config-file", config),
            *("run", document, "--url", stack.base_url, "--max-examples", str(_EXAMPLES)),
            *("--continue-on-failure", "--phases", "examples,coverage,fuzzing,stateful"),
            *("--report", "junit", "--report-dir", tmp_path),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    cases = _CASES.search(run.stdout)
    assert cases is not None, run.stdout
    with capsys.disabled():
        print(f"\nschemathesis: {cases[1]} requests")
    assert int(cases[1]) > 1_000


def _with_tokens(document: dict, token: str, doomed: str) -> dict:
    """The document with existing tokens. Operations that delete a tenant or its key get `doomed`."""
    for methods in document["paths"].values():
        for operation in methods.values():
            known = doomed if operation["operationId"] in _ENDING else token
            for parameter in operation.get("parameters", []):
                if parameter["name"] == "token":
                    parameter["schema"] = {"type": "string", "enum": [known]}
    return document


def _config(key: str, admin_key: str) -> str:
    return f"""
hooks = "{_HOOKS}"
headers = {{ Authorization = "Bearer {key}" }}

[checks]
positive_data_acceptance.expected-statuses = {_FINE}
# API Gateway responds in the same way to an unknown method and to an unknown path.
unsupported_method.enabled = false

[[operations]]
include-operation-id = "create_application"
headers = {{ Authorization = "Bearer {admin_key}" }}

[[operations]]
include-operation-id = "list_applications"
headers = {{ Authorization = "Bearer {admin_key}" }}
checks.positive_data_acceptance.expected-statuses = {_FINE_WITH_CURSOR}

[[operations]]
include-tag = "search"
checks.positive_data_acceptance.expected-statuses = {_FINE_WITH_CURSOR}

[[operations]]
include-operation-id = {list(_ENDING)}
headers = {{ Authorization = "Bearer {admin_key}" }}
"""
