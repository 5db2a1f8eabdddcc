"""Running the real `chalice`, and reading its configuration."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from infra.deploy.settings import DeploySettings

# Chalice leaves out what it could not build, and says so, but calls it a success.
LEFT_OUT = "Could not install dependencies"
RUN_CHALICE = Path(__file__).with_name("run_chalice.py")


def chalice(copy: Path, settings: DeploySettings, variables: dict[str, str], *words: str) -> None:
    """Run it on the staged copy.

    Raises:
        SystemExit: it failed, or packaged without something that the code needs.
    """
    command: list[str | Path] = [sys.executable, "-P", RUN_CHALICE, *words]
    # `app.py` is imported for its triggers: it needs the stage's name for its queues' names.
    environment = {**os.environ, **variables, "AWS_DEFAULT_REGION": settings.region}
    if settings.local:
        environment["AWS_ENDPOINT_URL"] = settings.endpoint_url
    said, code = _passed_on(command, copy, environment)
    if code != 0:
        sys.exit(f"chalice {words[0]} ended with {code}.")
    if LEFT_OUT in said:
        for package in (copy / ".chalice/deployments").glob("*.zip"):
            package.unlink()
        sys.exit("chalice packaged the functions without something that they need (see above).")


def gateway_stage(copy: Path, stage: str) -> str:
    """The API Gateway stage, which is a part of the URL."""
    config = json.loads((copy / ".chalice/config.json").read_text())
    return str(config["stages"][stage]["api_gateway_stage"])


def _passed_on(
    command: list[str | Path], directory: Path, environment: dict[str, str]
) -> tuple[str, int]:
    """Run it and pass on what it says, line by line. Returns all of it, and the exit code."""
    said = ""
    with subprocess.Popen(
        command,
        cwd=directory,
        env={**environment, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            said += line
    return said, process.returncode
