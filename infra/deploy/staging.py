"""A copy of the project for Chalice, so that no generated file ever lies in the repository."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.deploy.chalice import RUN_CHALICE
from infra.deploy.settings import DeploySettings

COPIED = ("app.py", "chalicelib", "requirements.txt", "vendor")
KEPT_PACKAGES = 4


@dataclass(frozen=True)
class Place:
    """Where the functions will be; no subnets on LocalStack."""

    partition: str
    region: str
    account: str
    subnet_ids: list[str]
    security_group_ids: list[str]


def stage_project(
    project: Path, work: Path, settings: DeploySettings, place: Place, variables: dict[str, str]
) -> Path:
    """Copy what Chalice deploys, with the stage's settings and rights filled in. Returns the copy."""
    copy = work / "project"
    (copy / ".chalice").mkdir(parents=True, exist_ok=True)
    for name in COPIED:
        _replace(project / name, copy / name)
    # Chalice reuses what it has built from the same requirements: how it is built belongs to them.
    how = hashlib.sha256(RUN_CHALICE.read_bytes()).hexdigest()
    with (copy / "requirements.txt").open("a") as requirements:
        requirements.write(f"# {RUN_CHALICE.name}: {how}\n")
    for old in (copy / ".chalice").glob("*.json"):
        old.unlink()
    for file in (project / ".chalice").glob("policy-*.json"):
        policy = fill_in(file.read_text(), settings.stage, place)
        (copy / ".chalice" / file.name).write_text(policy)
    config = stage_config(
        json.loads((project / ".chalice/config.json").read_text()), settings, place, variables
    )
    config_path = copy / ".chalice/config.json"
    config_path.touch(mode=0o600)
    config_path.write_text(json.dumps(config, indent=2))
    return copy


def stage_config(
    config: dict[str, Any], settings: DeploySettings, place: Place, variables: dict[str, str]
) -> dict[str, Any]:
    """The project's configuration for one stage: `local`'s or `prod`'s, with what only now is known."""
    stages = config["stages"]
    scoped_to_user = stages.get(settings.stage) or stages["local" if settings.local else "prod"]
    stage = {
        **scoped_to_user,
        "environment_variables": {**scoped_to_user.get("environment_variables", {}), **variables},
        "api_gateway_stage": scoped_to_user.get("api_gateway_stage", settings.stage),
    }
    if place.subnet_ids:
        stage |= {"subnet_ids": place.subnet_ids, "security_group_ids": place.security_group_ids}
    return {**config, "stages": {settings.stage: stage}}


def fill_in(policy: str, stage: str, place: Place) -> str:
    """A policy file with the names of this stage, region and account in it."""
    return (
        policy.replace("arn:aws:", f"arn:{place.partition}:")
        .replace("REGION", place.region)
        .replace("ACCOUNT", place.account)
        .replace("STAGE", stage)
    )


def restore_packages(copy: Path, cache: Path) -> None:
    """Give Chalice the packages it has built before: it reuses one whose hash is the same."""
    deployments = copy / ".chalice/deployments"
    deployments.mkdir(parents=True, exist_ok=True)
    for package in cache.glob("*.zip"):
        if not (deployments / package.name).exists():
            shutil.copyfile(package, deployments / package.name)


def keep_packages(copy: Path, cache: Path) -> None:
    """Keep the newest packages for the next deployment, of whichever stack."""
    cache.mkdir(parents=True, exist_ok=True)
    for package in (copy / ".chalice/deployments").glob("*.zip"):
        if not (cache / package.name).exists():
            scratch = cache / f"{package.name}.new"
            shutil.copyfile(package, scratch)
            scratch.replace(cache / package.name)
    for folder in (copy / ".chalice/deployments", cache):
        packages = sorted(folder.glob("*.zip"), key=lambda one: one.stat().st_mtime)
        for package in packages[:-KEPT_PACKAGES]:
            package.unlink()


def _replace(source: Path, target: Path) -> None:
    if target.is_dir():
        shutil.rmtree(target)
    target.unlink(missing_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    elif source.exists():
        shutil.copyfile(source, target)
