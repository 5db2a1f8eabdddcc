"""Calling the deployment (`infra/deploy`, the same that the compose file runs) for a stack."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from infra.local.console import StackError, step
from infra.local.install import WHEELS
from infra.local.keys import Keys
from infra.local.layout import CACHE, DEV_VENV, REGION, ROOT, VAR, Stack
from infra.local.processes import last_lines, run_quietly


def deploy(stack: Stack, urls: dict[str, str], keys: Keys) -> dict[str, Any]:
    """Deploy the code of this working copy; says where it is and what its queues are called.

    Raises:
        StackError: it failed; the message holds the end of its log.
    """
    log = stack.logs / "deploy.log"
    result = stack.deploy / "result.json"
    result.unlink(missing_ok=True)
    command = [*_command("infra.deploy", stack.name, stack.deploy), "--result", result]
    command += ["--cache", CACHE / "deployments"]
    with step("deploy", "queues, alarms, chalice deploy, tables, mapping", "deployed"):
        environment = _environment(stack, urls, keys)
        if run_quietly(command, log, directory=ROOT, environment=environment) != 0:
            raise StackError(f"The deployment failed. The end of {log}:\n{last_lines(log, 30)}")
    deployed: dict[str, Any] = json.loads(result.read_text())
    return deployed


def destroy(stack: Stack, urls: dict[str, str], keys: Keys, words: Sequence[str]) -> int:
    """Take away what was deployed to a running stack; its exit code."""
    command = [*_command("infra.deploy.destroy", stack.name, stack.deploy), *words]
    return _run(command, _environment(stack, urls, keys))


def on_aws(module: str, stage: str, words: Sequence[str | Path] = ()) -> int:
    """Run the deployment, the removal or the packaging of a stage of AWS, as the person; its exit code."""
    work = VAR / "stages" / stage
    work.mkdir(parents=True, exist_ok=True)
    return _run([*_command(module, stage, work), *words], dict(os.environ))


def _command(module: str, stage: str, work: Path) -> list[str | Path]:
    return [DEV_VENV / "bin/python", "-m", module, "--stage", stage, "--work", work]


def _run(command: Sequence[str | Path], environment: dict[str, str]) -> int:
    return subprocess.run(list(command), cwd=ROOT, env=environment).returncode


def _environment(stack: Stack, urls: dict[str, str], keys: Keys) -> dict[str, str]:
    # Of the person's own settings only the locale and the path go along: no AWS profile, no real
    # credentials can get into a local deployment, and no deployment into a real account.
    environment = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    return environment | {
        "HOME": str(stack.scratch),
        "PYTHONUNBUFFERED": "1",
        "ORDINAL_REDIS_URL": urls["redis"],
        "ORDINAL_MYSQL_URL": urls["mysql"],
        "ORDINAL_OPENSEARCH_URL": urls["opensearch"],
        "ORDINAL_MASTER_KEY": keys.master_key,
        "ORDINAL_ADMIN_KEY": keys.admin_key,
        "ORDINAL_CORS_ORIGIN": stack.cors_origin,
        "AWS_ENDPOINT_URL": urls["localstack"],
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        # Chalice packages with pip: from the wheels that were fetched once, so without a network.
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(WHEELS),
    }
