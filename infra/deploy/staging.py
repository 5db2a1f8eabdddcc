"""A copy of the project for Chalice, so that no generated file ever lies in the repository."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

COPIED = ("app.py", "chalicelib", "requirements.txt", "vendor")
KEPT_PACKAGES = 4


def stage_project(project: Path, work: Path, stage: str, variables: dict[str, str]) -> Path:
    """Copy what Chalice deploys, with the stage's settings merged in. Returns the copy."""
    copy = work / "project"
    (copy / ".chalice").mkdir(parents=True, exist_ok=True)
    for name in COPIED:
        _replace(project / name, copy / name)
    for old in (copy / ".chalice").glob("*.json"):
        old.unlink()
    for file in (project / ".chalice").glob("*.json"):
        shutil.copyfile(file, copy / ".chalice" / file.name)
    config_path = copy / ".chalice/config.json"
    config = stage_config(json.loads(config_path.read_text()), stage, variables)
    config_path.touch(mode=0o600)
    config_path.write_text(json.dumps(config, indent=2))
    return copy


def stage_config(config: dict[str, Any], stage: str, variables: dict[str, str]) -> dict[str, Any]:
    """The project's configuration with one stage's environment merged in.

    A stage that the project does not name (the test stack's) is set up like `local`.
    """
    stages = config.get("stages", {})
    own = stages.get(stage, stages.get("local", {}))
    environment = {**own.get("environment_variables", {}), **variables}
    return {**config, "stages": {**stages, stage: {**own, "environment_variables": environment}}}


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
