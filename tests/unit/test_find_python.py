"""The script that searches for a Python, and its message if none exists."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "infra/local/find_python.sh"


def find_python(home: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the script with nothing in its path but the programs of a bare system."""
    tools = home / "bin"
    tools.mkdir(exist_ok=True)
    if not (tools / "cat").exists():
        (tools / "cat").symlink_to("/bin/cat")
    environment = {"HOME": str(home), "PATH": str(tools), **variables}
    return subprocess.run(["/bin/sh", SCRIPT], env=environment, capture_output=True, text=True)


@pytest.mark.parametrize(
    "folder", [".pyenv/versions/3.13.1/bin", ".local/share/uv/python/cpython-3.13.1-linux/bin"]
)
def test_a_python_that_pyenv_or_uv_installed_is_found(folder: str, tmp_path: Path) -> None:
    python = tmp_path / folder / "python3"
    python.parent.mkdir(parents=True)
    python.symlink_to(Path(sys.base_prefix, "bin/python3").resolve())
    done = find_python(tmp_path)
    assert (done.returncode, done.stdout) == (0, f"{python}\n"), done.stderr


def test_without_a_python_it_prints_how_to_install_one_without_root(tmp_path: Path) -> None:
    done = find_python(tmp_path)
    assert done.returncode == 1
    assert "uv python install 3.13" in done.stderr
    assert "pip install uv" in done.stderr


def test_a_python_of_another_version_is_not_used(tmp_path: Path) -> None:
    other = tmp_path / "bin/python3"
    other.parent.mkdir()
    other.write_text("#!/bin/sh\nexit 1\n")
    other.chmod(0o755)
    assert find_python(tmp_path, ORDINAL_PYTHON=str(other)).returncode == 1
