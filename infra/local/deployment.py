"""Runs the deployment (`infra/deploy`) for a stack, or for a stage on AWS."""

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from infra.local.console import StackError, log_step
from infra.local.install import WHEELS
from infra.local.paths import CACHE, DEV_VENV, REGION, ROOT, VAR, Stack
from infra.local.processes import last_lines, run_quietly
from infra.local.stack_secrets import StackSecrets


def deploy(stack: Stack, urls: dict[str, str], secrets: StackSecrets) -> dict[str, Any]:
    """Deploy the code of this checkout. Returns the base URL, the queues and the functions.

    Raises:
        StackError: the deployment failed. The message contains the end of its log.
    """
    log = stack.logs / "deploy.log"
    result = stack.deploy / "result.json"
    result.unlink(missing_ok=True)
    command = [*_command("infra.deploy", stack.name, stack.deploy), "--result", result]
    command += ["--cache", CACHE / "deployments"]
    with log_step("deploy", "queues, alarms, functions, tables, mapping", "deployed"):
        environment = _environment(stack, urls, secrets)
        if run_quietly(command, log, directory=ROOT, environment=environment) != 0:
            raise StackError(f"The deployment failed. The end of {log}:\n{last_lines(log, 30)}")
    deployed: dict[str, Any] = json.loads(result.read_text())
    return deployed


def destroy(stack: Stack, urls: dict[str, str], secrets: StackSecrets, words: Sequence[str]) -> int:
    """Remove what was deployed to a running stack. Returns the exit code."""
    command = [*_command("infra.deploy.destroy", stack.name, stack.deploy), *words]
    return _run(command, _environment(stack, urls, secrets))


def run_on_aws(module: str, stage: str, words: Sequence[str | Path] = ()) -> int:
    """Deploy or remove a stage on AWS, with the person's own credentials. Returns the exit code."""
    work = VAR / "stages" / stage
    work.mkdir(parents=True, exist_ok=True)
    return _run([*_command(module, stage, work), *words], dict(os.environ))


def _command(module: str, stage: str, work: Path) -> list[str | Path]:
    return [DEV_VENV / "bin/python", "-m", module, "--stage", stage, "--work", work]


def _run(command: Sequence[str | Path], environment: dict[str, str]) -> int:
    return subprocess.run(list(command), cwd=ROOT, env=environment).returncode


def _environment(stack: Stack, urls: dict[str, str], secrets: StackSecrets) -> dict[str, str]:
    # Only the path and the locale come from the person's shell. So no AWS profile and no real credentials
    # reach a local deployment, and it cannot change a real account.
    environment = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    return environment | {
        "HOME": str(stack.scratch),
        "PYTHONUNBUFFERED": "1",
        "ORDINAL_REDIS_URL": urls["redis"],
        "ORDINAL_MYSQL_URL": urls["mysql"],
        "ORDINAL_OPENSEARCH_URL": urls["opensearch"],
        "ORDINAL_MASTER_KEY": secrets.master_key,
        "ORDINAL_ADMIN_KEY": secrets.admin_key,
        "ORDINAL_CORS_ORIGIN": stack.cors_origin,
        "AWS_ENDPOINT_URL": urls["localstack"],
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        # Chalice packages with pip. With the downloaded wheels pip needs no network.
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(WHEELS),
    }
