"""uv: how it is installed, where it finds packages, and how it is run.

pip installs uv into an environment of its own. uv then creates every other environment. uv does not
read pip's configuration, so a machine that has a package index configured for pip only would not work.
`index_settings` translates that configuration for uv.
"""

import ast
import functools
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from infra.local.paths import CACHE, ROOT, TOOLS

HERE = Path(__file__).resolve().parent
VENV = TOOLS / "uv"
TEMPORARY = TOOLS / "tmp"
REQUIREMENTS = HERE / "requirements-uv.txt"
PIP = (
    *("-m", "pip", "--disable-pip-version-check", "--no-input"),
    *("--retries", "8", "--timeout", "60"),
)
# Options that change how packages are chosen or where they are installed stay out.
_PASSED_ON = (
    "UV_CACHE_DIR",
    "UV_CONCURRENT",
    "UV_CONFIG_FILE",
    "UV_DEFAULT_INDEX",
    "UV_EXTRA_INDEX_URL",
    "UV_FIND_LINKS",
    "UV_HTTP",
    "UV_INDEX",
    "UV_INSECURE_HOST",
    "UV_KEYRING_PROVIDER",
    "UV_LINK_MODE",
    "UV_NO_CACHE",
    "UV_NO_CONFIG",
    "UV_OFFLINE",
    "UV_SYSTEM_CERTS",
)
_INDEX_VARIABLES = {
    "UV_DEFAULT_INDEX",
    "UV_EXTRA_INDEX_URL",
    "UV_FIND_LINKS",
    "UV_INDEX",
    "UV_INDEX_URL",
}
_NOT_FOR_TOOLS = {
    "PYTHONPATH",
    "PYTHONHOME",
    "VIRTUAL_ENV",
    "PIP_REQUIRE_VIRTUALENV",
    "PIP_USER",
    "PIP_TARGET",
    "PIP_PREFIX",
}


def bootstrap_commands() -> list[list[str | Path]]:
    """The commands that install uv: they need only Python, its `venv` module and pip's index."""
    return [
        [sys.executable, "-m", "venv", "--clear", VENV],
        [VENV / "bin/python", *PIP, "install", "-r", REQUIREMENTS],
    ]


def create_command(folder: Path) -> list[str | Path]:
    """The command that creates an empty environment with the Python that runs this program."""
    return [VENV / "bin/uv", "venv", "--clear", "--no-project", "--python", sys.executable, folder]


def install_command(folder: Path, words: Sequence[str | Path]) -> list[str | Path]:
    """The command that installs into an environment; `words` are what `pip install` takes."""
    command = [VENV / "bin/uv", "pip", "install", "--python", folder / "bin/python", *words]
    without_index = not has_own_index(os.environ) and "no-index" in _pip_settings()
    return [*command, "--no-index"] if without_index else command


def environment() -> dict[str, str]:
    """The environment in which uv, pip and npm run: the person's own, with the index settings for uv."""
    variables = cache_folders(os.environ) | without_unwanted(os.environ)
    variables["TMPDIR"] = str(TEMPORARY)  # uv leaves lock files there
    if not (VENV / "bin/uv").exists() or has_own_index(variables):
        return variables
    return index_settings(_pip_settings(), variables) | variables


def cache_folders(variables: Mapping[str, str]) -> dict[str, str]:
    """Caches inside of the checkout for a user without a home, as some containers have."""
    if os.access(variables.get("HOME") or "/nonexistent", os.W_OK):
        return {}
    return {"UV_CACHE_DIR": str(CACHE / "uv"), "npm_config_cache": str(CACHE / "npm")}


def without_unwanted(variables: Mapping[str, str]) -> dict[str, str]:
    """The variables of a shell, except those that would change what is installed, or where."""
    return {
        name: value
        for name, value in variables.items()
        if name not in _NOT_FOR_TOOLS
        and (not name.startswith("UV_") or name.startswith(_PASSED_ON))
    } | {"UV_NO_PROGRESS": "1", "UV_PYTHON_DOWNLOADS": "never"}


def has_own_index(variables: Mapping[str, str]) -> bool:
    """Whether uv is configured by itself: by a variable, or by a file that names an index."""
    if _INDEX_VARIABLES & variables.keys():
        return True
    if "UV_NO_CONFIG" in variables:
        return False
    home = Path(variables.get("HOME", "/"))
    user = Path(variables.get("XDG_CONFIG_HOME") or home / ".config")
    system = (variables.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(":")
    files = [user / "uv/uv.toml", Path("/etc/uv/uv.toml"), *(Path(p, "uv/uv.toml") for p in system)]
    if "UV_CONFIG_FILE" in variables:
        files = [Path(variables["UV_CONFIG_FILE"])]
    words = ("index", "find-links")
    return any(word in _text_of(file) for file in files for word in words)


def index_settings(pip: Mapping[str, str], variables: Mapping[str, str]) -> dict[str, str]:
    """pip's settings as variables of uv, with longer timeouts than uv's defaults."""
    settings = {"UV_HTTP_TIMEOUT": pip.get("default-timeout") or pip.get("timeout") or "60"}
    settings["UV_HTTP_RETRIES"] = pip.get("retries") or "8"
    if "index-url" in pip:
        settings["UV_DEFAULT_INDEX"] = pip["index-url"].strip()
    if "extra-index-url" in pip:
        settings["UV_EXTRA_INDEX_URL"] = " ".join(pip["extra-index-url"].split())
        settings["UV_INDEX_STRATEGY"] = "unsafe-best-match"  # pip looks into every index as well
    links = [link for link in pip.get("find-links", "").split() if _may_exist(link)]
    if links:
        settings["UV_FIND_LINKS"] = ",".join(links)
    if "trusted-host" in pip:
        settings["UV_INSECURE_HOST"] = " ".join(pip["trusted-host"].split())
    if "cert" in pip and "SSL_CERT_FILE" not in variables:
        settings["SSL_CERT_FILE"] = pip["cert"]
    if "client-cert" in pip and "SSL_CLIENT_CERT" not in variables:
        settings["SSL_CLIENT_CERT"] = pip["client-cert"]
    if "proxy" in pip and not {"HTTPS_PROXY", "https_proxy", "ALL_PROXY"} & variables.keys():
        settings["ALL_PROXY"] = pip["proxy"]
    return settings


def parse_pip_config(text: str) -> dict[str, str]:
    """The settings in the output of `pip config list`.

    A line is `section.name='value'`. pip itself prefers its variables to the section of a command,
    and that to the section `global`.
    """
    sections: dict[str, dict[str, str]] = {"global": {}, "install": {}, ":env:": {}}
    for line in text.splitlines():
        key, separator, value = line.partition("=")
        section, dot, name = key.strip().partition(".")
        if separator and dot and section in sections:
            sections[section][name.lstrip(".")] = str(ast.literal_eval(value))
    settings = sections["global"] | sections["install"] | sections[":env:"]
    if settings.get("no-index", "0").lower() in {"0", "false", "no", "off", ""}:
        settings.pop("no-index", None)
    return settings


@functools.cache
def _pip_settings() -> dict[str, str]:
    command = [str(VENV / "bin/python"), *PIP, "config", "list"]
    listed = subprocess.run(
        command, cwd=ROOT, env=without_unwanted(os.environ), capture_output=True, text=True
    )
    return parse_pip_config(listed.stdout)


def _may_exist(link: str) -> bool:
    """pip ignores a folder that does not exist. uv fails."""
    return "://" in link or Path(link).exists()


def _text_of(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""
