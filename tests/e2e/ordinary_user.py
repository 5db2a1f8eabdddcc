"""A copy of this checkout that belongs to an ordinary user, with everything installed already.

The installed files are linked, not copied, so the copy takes seconds. Environments and stamps hold
absolute paths; they are rewritten in the copy.
"""

import itertools
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
NOBODY = 65534
# Folders in which every user may write.
SHARED_FOLDERS = (Path("/tmp"), Path("/var/tmp"), Path("/dev/shm"), Path("/run/lock"))
PORTS = range(30000, 32000)
OPENSEARCH_PORTS = range(9240, 9260)
NOT_COPIED = {"var", ".venv", ".git"}
# The tools that the stack `local` runs.
TOOLS = ("lambda", "localstack", "mariadb", "opensearch", "tools", "uv")
SECONDS = 400


@dataclass(frozen=True)
class Checkout:
    """The copy and its user. The user is None if the tests do not run as root: then it is their user."""

    folder: Path
    home: Path
    python: Path
    user: int | None
    ports: dict[str, str]

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command as the user, in the user's environment."""
        return subprocess.run(
            command,
            cwd=self.folder,
            env={
                "HOME": str(self.home),
                "PATH": "/usr/local/bin:/usr/bin:/bin",
                "ORDINAL_PYTHON": str(self.python),
                **self.ports,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
            **_as(self.user),
        )

    def written_elsewhere(self) -> set[str]:
        """Files of the user outside of the checkout: in the home, and in folders that all users share."""
        written = {str(entry) for entry in self.home.iterdir() if entry.name != ".cache"}
        for shared in SHARED_FOLDERS if self.user is not None else ():
            for folder, folders, files in os.walk(shared):
                paths = [Path(folder, name) for name in [*folders, *files]]
                folders[:] = [name for name in folders if Path(folder, name) != self.folder.parent]
                written |= {str(path) for path in paths if self._belongs_to_user(path)}
        return written

    def _belongs_to_user(self, path: Path) -> bool:
        try:
            return path.lstat().st_uid == self.user and path != self.folder.parent
        except FileNotFoundError:  # removed in the meantime
            return False


@contextmanager
def ordinary_checkout() -> Iterator[Checkout]:
    """Make the copy, and remove it at the end."""
    user = NOBODY if os.geteuid() == 0 else None
    parent = Path(tempfile.mkdtemp(prefix="ordinal-"))
    try:
        parent.chmod(0o755)
        checkout, home = parent / "ordinal", parent / "home"
        home.mkdir()
        python = _python_for(user, parent)
        _copy_project(checkout)
        _link(ROOT / ".venv", checkout / ".venv")
        for tool in TOOLS:
            _link(ROOT / "var/tools" / tool, checkout / "var/tools" / tool)
        shutil.copytree(ROOT / "var/cache", checkout / "var/cache")
        _move_paths(checkout, python)
        if user is not None:
            _give(user, parent)
        yield Checkout(checkout, home, python, user, _free_ports())
    finally:
        shutil.rmtree(parent, ignore_errors=True)


def _python_for(user: int | None, parent: Path) -> Path:
    """A Python that the user can run: this one, or a copy if this one lies in root's home."""
    python = Path(sys.base_prefix) / "bin/python3"
    try:
        subprocess.run([python, "-c", ""], check=True, cwd="/", **_as(user))
    except (PermissionError, subprocess.CalledProcessError):
        return _copy_python(python.resolve(), parent / "python")
    return python


def _copy_python(python: Path, copy: Path) -> Path:
    prefix = python.parents[1]
    _link(prefix, copy)
    target = copy / "bin" / python.name
    # A Python with a shared library names the library's folder, which the user cannot enter.
    named = str(prefix / "lib").encode() + b"\0"
    relative = b"$ORIGIN/../lib".ljust(len(named), b"\0")
    target.unlink()
    target.write_bytes(python.read_bytes().replace(named, relative))
    target.chmod(0o755)
    return target


def _copy_project(checkout: Path) -> None:
    checkout.mkdir()
    for entry in ROOT.iterdir():
        if entry.name in NOT_COPIED or entry.name.endswith("_cache"):
            continue
        if entry.is_dir():
            unwanted = shutil.ignore_patterns("__pycache__", "deployed")
            shutil.copytree(entry, checkout / entry.name, ignore=unwanted)
        else:
            shutil.copy(entry, checkout)


def _link(source: Path, target: Path) -> None:
    """A copy of a folder made of hard links, or of copies if they lie on different disks."""

    def link_or_copy(file: str, copy: str) -> None:
        try:
            os.link(file, copy, follow_symlinks=False)
        except OSError:
            shutil.copy2(file, copy, follow_symlinks=False)

    unwanted = shutil.ignore_patterns("test")  # the tests of Python itself, if it is copied
    shutil.copytree(source, target, symlinks=True, copy_function=link_or_copy, ignore=unwanted)


def _move_paths(checkout: Path, python: Path) -> None:
    """Make the environments and stamps of the copy name the copy."""
    roots = [checkout / ".venv", checkout / "var/cache", *(checkout / "var/tools").iterdir()]
    for path in [path for root in roots for path in _files_with_paths(root)]:
        text = path.read_text().replace(str(ROOT), str(checkout))
        if path.name == "pyvenv.cfg":
            text = text.replace(f"{sys.base_prefix}/bin", str(python.parent))
        path.unlink()  # it is a link to a file of the real checkout
        path.write_text(text)
    for program in [root / "bin/python" for root in roots if (root / "pyvenv.cfg").exists()]:
        program.unlink()
        program.symlink_to(python)


def _files_with_paths(root: Path) -> list[Path]:
    patterns = (".stamp", "*/.stamp", "pyvenv.cfg", "lib/python3*/site-packages/*.pth")
    return [path for pattern in patterns for path in root.glob(pattern)]


def _give(user: int, parent: Path) -> None:
    """Give the project to the user. The user can only read what is installed."""
    own = [parent / "home", parent / "ordinal"]
    installed = (parent / "ordinal/.venv", parent / "ordinal/var/tools", parent / "python")
    while own:
        path = own.pop()
        os.chown(path, user, user, follow_symlinks=False)
        if path.is_dir() and not path.is_symlink():
            own += [entry for entry in path.iterdir() if entry not in installed]
    os.chown(parent / "ordinal/var/tools", user, user)  # the lock of the installer is in it
    for folder in installed:
        for path in [folder, *folder.rglob("*")] if folder.exists() else []:
            mode = path.lstat().st_mode
            if not path.is_symlink():
                path.chmod(mode | (0o055 if mode & 0o100 else 0o044))


def _as(user: int | None) -> dict[str, int | list[int]]:
    return {} if user is None else {"user": user, "group": user, "extra_groups": []}


def _free_ports() -> dict[str, str]:
    names = ("REDIS", "MYSQL", "OPENSEARCH_TRANSPORT", "LOCALSTACK")
    ports = dict(zip(names, _free(PORTS, len(names)), strict=True))
    ports["OPENSEARCH"] = _free(OPENSEARCH_PORTS, 1)[0]
    return {f"ORDINAL_{name}_PORT": str(port) for name, port in ports.items()}


def _free(ports: range, count: int) -> list[int]:
    shuffled = random.sample(ports, len(ports))
    return list(itertools.islice(filter(_is_free, shuffled), count))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0
