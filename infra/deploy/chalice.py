"""Running the real `chalice deploy`, and reading what it notes down."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

# Chalice leaves out what it could not build, and says so, but calls it a success.
LEFT_OUT = "Could not install dependencies"
RUN_CHALICE = Path(__file__).with_name("run_chalice.py")


def chalice_deploy(copy: Path, stage: str, variables: dict[str, str]) -> None:
    """Deploy the staged copy.

    Raises:
        SystemExit: Chalice failed, or packaged without something that the code needs.
    """
    command: list[str | Path] = [sys.executable, "-P", RUN_CHALICE, "deploy", "--stage", stage]
    # `app.py` is imported for its triggers: it needs the stage's name for its queues' names.
    environment = {**os.environ, **variables, "AWS_ENDPOINT_URL": os.environ["AWS_ENDPOINT_URL"]}
    done = subprocess.run(
        command,
        cwd=copy,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    print(done.stdout, flush=True)
    if done.returncode != 0:
        sys.exit(f"chalice deploy ended with {done.returncode}.")
    if LEFT_OUT in done.stdout:
        for package in (copy / ".chalice/deployments").glob("*.zip"):
            package.unlink()
        sys.exit("chalice packaged the functions without something that they need (see above).")


def deployed_resources(copy: Path, stage: str) -> list[dict[str, Any]]:
    """What Chalice has noted about the last deployment of this stage."""
    notes = copy / ".chalice/deployed" / f"{stage}.json"
    try:
        resources: list[dict[str, Any]] = json.loads(notes.read_text())["resources"]
        return resources
    except (FileNotFoundError, ValueError, KeyError):
        return []


def app_name(copy: Path) -> str:
    """The application's name in Chalice's configuration."""
    name: str = json.loads((copy / ".chalice/config.json").read_text())["app_name"]
    return name


def gateway_stage(copy: Path, stage: str) -> str:
    """The API Gateway stage, which is a part of the URL."""
    config = json.loads((copy / ".chalice/config.json").read_text())
    own = config["stages"][stage].get("api_gateway_stage")
    name: str = own or config.get("api_gateway_stage") or "api"
    return name
