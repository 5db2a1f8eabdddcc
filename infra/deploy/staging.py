"""A copy of the project in which Chalice works, so that the repository holds no generated file."""

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.deploy.chalice import RUN_CHALICE
from infra.deploy.settings import DeploySettings

COPIED = ("app.py", "chalicelib", "requirements.txt", "vendor")
MAX_PACKAGES = 4


@dataclass(frozen=True)
class DeployTarget:
    """The place of the functions. It has no subnets and no security groups on LocalStack."""

    partition: str
    region: str
    account: str
    subnet_ids: list[str]
    security_group_ids: list[str]


def stage_project(
    project: Path,
    work: Path,
    settings: DeploySettings,
    target: DeployTarget,
    variables: dict[str, str],
) -> Path:
    """Copy what Chalice deploys, and fill in the settings and policies of the stage. Returns the copy."""
    copy = work / "project"
    (copy / ".chalice").mkdir(parents=True, exist_ok=True)
    for name in COPIED:
        _replace(project / name, copy / name)
    # Chalice reuses a package that it built from the same requirements. It must build a new one when
    # `run_chalice.py` changes, so the requirements hold the hash of that file.
    run_chalice_hash = hashlib.sha256(RUN_CHALICE.read_bytes()).hexdigest()
    with (copy / "requirements.txt").open("a") as requirements:
        requirements.write(f"# {RUN_CHALICE.name}: {run_chalice_hash}\n")
    for old_file in (copy / ".chalice").glob("*.json"):
        old_file.unlink()
    for file in (project / ".chalice").glob("policy-*.json"):
        policy = fill_in(file.read_text(), settings.stage, target)
        (copy / ".chalice" / file.name).write_text(policy)
    config = stage_config(
        json.loads((project / ".chalice/config.json").read_text()), settings, target, variables
    )
    config_path = copy / ".chalice/config.json"
    config_path.touch(mode=0o600)
    config_path.write_text(json.dumps(config, indent=2))
    return copy


def stage_config(
    config: dict[str, Any],
    settings: DeploySettings,
    target: DeployTarget,
    variables: dict[str, str],
) -> dict[str, Any]:
    """The project's configuration with one stage, its environment and its network.

    A stage that the configuration does not name is like `local` on LocalStack, and like `prod` on AWS.
    """
    stages = config["stages"]
    model = "local" if settings.local else "prod"
    template = stages[settings.stage if settings.stage in stages else model]
    stage = {
        **template,
        "environment_variables": {**template.get("environment_variables", {}), **variables},
    }
    if target.subnet_ids:
        stage |= {"subnet_ids": target.subnet_ids, "security_group_ids": target.security_group_ids}
    return {**config, "stages": {settings.stage: stage}}


def fill_in(policy: str, stage: str, target: DeployTarget) -> str:
    """The policy with the names of this stage, region and account in place of the placeholders."""
    return (
        policy.replace("arn:aws:", f"arn:{target.partition}:")
        .replace("REGION", target.region)
        .replace("ACCOUNT", target.account)
        .replace("STAGE", stage)
    )


def restore_packages(copy: Path, cache: Path) -> None:
    """Give Chalice the packages of earlier deployments. It reuses the one that has the right hash."""
    deployments = copy / ".chalice/deployments"
    deployments.mkdir(parents=True, exist_ok=True)
    for package in cache.glob("*.zip"):
        if not (deployments / package.name).exists():
            shutil.copyfile(package, deployments / package.name)


def save_packages(copy: Path, cache: Path) -> None:
    """Save the newest packages for the next deployment of any stage, and delete older ones."""
    cache.mkdir(parents=True, exist_ok=True)
    for package in (copy / ".chalice/deployments").glob("*.zip"):
        if not (cache / package.name).exists():
            scratch = cache / f"{package.name}.new"
            shutil.copyfile(package, scratch)
            scratch.replace(cache / package.name)
    for folder in (copy / ".chalice/deployments", cache):
        packages = sorted(folder.glob("*.zip"), key=lambda package: package.stat().st_mtime)
        for package in packages[:-MAX_PACKAGES]:
            package.unlink()


def _replace(source: Path, target: Path) -> None:
    if target.is_dir():
        shutil.rmtree(target)
    target.unlink(missing_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    elif source.exists():
        shutil.copyfile(source, target)
