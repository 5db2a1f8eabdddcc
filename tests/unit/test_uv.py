"""uv finds packages where pip finds them."""

from pathlib import Path

import pytest

from infra.local.paths import ROOT
from infra.local.uv import (
    cache_folders,
    environment,
    has_own_index,
    index_settings,
    parse_pip_config,
    without_unwanted,
)

CONFIG = """\
:env:.default-timeout='180'
:env:.find-links='/nowhere/wheels https://wheels.example/simple'
global.cert='/etc/ssl/certs/ca-certificates.crt'
global.extra-index-url='\\nhttps://one.example/simple\\nhttps://two.example/simple'
global.index-url='https://global.example/simple'
install.index-url='https://install.example/simple'
install.trusted-host='install.example'
list.format='columns'
"""


def test_every_index_setting_of_pip_has_its_variable_of_uv() -> None:
    assert index_settings(parse_pip_config(CONFIG), {}) == {
        "SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt",
        "UV_DEFAULT_INDEX": "https://install.example/simple",
        "UV_EXTRA_INDEX_URL": "https://one.example/simple https://two.example/simple",
        "UV_FIND_LINKS": "https://wheels.example/simple",
        "UV_HTTP_RETRIES": "8",
        "UV_HTTP_TIMEOUT": "180",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_INSECURE_HOST": "install.example",
    }


def test_a_machine_without_pip_settings_gets_no_index() -> None:
    settings = index_settings(parse_pip_config(""), {})
    assert settings == {"UV_HTTP_TIMEOUT": "60", "UV_HTTP_RETRIES": "8"}


@pytest.mark.parametrize(("value", "set_"), [("1", True), ("true", True), ("0", False)])
def test_pip_without_an_index_means_uv_without_an_index(value: str, set_: bool) -> None:
    assert ("no-index" in parse_pip_config(f"global.no-index='{value}'")) is set_


def test_a_variable_of_pip_wins_over_its_file() -> None:
    lines = ":env:.index-url='https://env.example'\nglobal.index-url='https://file.example'"
    assert parse_pip_config(lines) == {"index-url": "https://env.example"}


def test_an_index_in_the_settings_of_uv_is_used(tmp_path: Path) -> None:
    nothing = {"HOME": str(tmp_path), "XDG_CONFIG_DIRS": str(tmp_path)}
    assert not has_own_index(nothing)
    assert has_own_index(nothing | {"UV_DEFAULT_INDEX": "https://uv.example"})
    file = tmp_path / ".config/uv/uv.toml"
    file.parent.mkdir(parents=True)
    file.write_text('[[index]]\nurl = "https://uv.example"\n')
    assert has_own_index(nothing)
    assert not has_own_index(nothing | {"UV_NO_CONFIG": "1"})


def test_variables_that_change_what_is_installed_do_not_reach_the_installers() -> None:
    shell = {
        "HOME": "/home/ann",
        "PYTHONPATH": "/home/ann/lib",
        "VIRTUAL_ENV": "/home/ann/venv",
        "PIP_USER": "1",
        "UV_PRERELEASE": "allow",
        "UV_SYSTEM_PYTHON": "1",
        "UV_CACHE_DIR": "/home/ann/cache",
        "UV_INDEX_COMPANY_PASSWORD": "secret",
    }
    assert without_unwanted(shell).keys() - {"UV_NO_PROGRESS", "UV_PYTHON_DOWNLOADS"} == {
        "HOME",
        "UV_CACHE_DIR",
        "UV_INDEX_COMPANY_PASSWORD",
    }


def test_a_user_without_a_home_gets_caches_inside_of_the_checkout(tmp_path: Path) -> None:
    assert cache_folders({"HOME": str(tmp_path)}) == {}
    for home in ({}, {"HOME": str(tmp_path / "missing")}):
        assert cache_folders(home).keys() == {"UV_CACHE_DIR", "npm_config_cache"}


def test_temporary_files_of_the_installers_lie_in_the_checkout() -> None:
    assert Path(environment()["TMPDIR"]).is_relative_to(ROOT / "var")
