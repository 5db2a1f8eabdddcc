"""Running `chalice` on the staged copy of the project."""

import json
import os
import subprocess
import sys
from pathlib import Path

from infra.deploy.settings import DeploySettings

# Chalice prints this and goes on when it cannot build a package that the functions need.
INCOMPLETE_PACKAGE = "Could not install dependencies"
RUN_CHALICE = Path(__file__).with_name("run_chalice.py")


def chalice(copy: Path, settings: DeploySettings, variables: dict[str, str], *words: str) -> None:
    """Run `chalice` with these words.

    Raises `SystemExit` if it fails, or if it packages the functions without something that they need.
    """
    command: list[str | Path] = [sys.executable, "-P", RUN_CHALICE, *words]
    # Chalice imports `app.py` to find its triggers. The names of the queues depend on the stage.
    environment = {**os.environ, **variables, "AWS_DEFAULT_REGION": settings.region}
    if settings.local:
        environment["AWS_ENDPOINT_URL"] = settings.endpoint_url
    output, exit_code = _run_and_print(command, copy, environment)
    if exit_code != 0:
        sys.exit(f"chalice {words[0]} failed with exit code {exit_code}.")
    if INCOMPLETE_PACKAGE in output:
        for package in (copy / ".chalice/deployments").glob("*.zip"):
            package.unlink()
        sys.exit("chalice packaged the functions without something that they need (see above).")


def package_functions(copy: Path, settings: DeploySettings, variables: dict[str, str]) -> Path:
    """Build the package that `chalice deploy` deploys.

    Returns the folder with `deployment.zip`, and with `sam.json`, which describes the functions.
    """
    folder = copy / "package"
    chalice(copy, settings, variables, "package", "--stage", settings.stage, str(folder))
    return folder


def gateway_stage(copy: Path) -> str:
    """The name of the API Gateway stage, which is the last part of the base URL."""
    config = json.loads((copy / ".chalice/config.json").read_text())
    return str(config["api_gateway_stage"])


def _run_and_print(
    command: list[str | Path], directory: Path, environment: dict[str, str]
) -> tuple[str, int]:
    """Run the command and print its output line by line. Returns the output and the exit code."""
    output = ""
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
            output += line
    return output, process.returncode
