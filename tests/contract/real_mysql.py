"""A real MySQL for the contract tests, on a machine that has none and no Docker.

debootstrap installs Debian's unstable packages into a folder, once (this needs Debian or Ubuntu, and root).
The server runs from that folder, on a free port of 127.0.0.1, and its data is removed at the end.
"""

import fcntl
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pymysql

FOLDER = Path(__file__).resolve().parents[2] / "var/tools/mysql"
PACKAGES = "mysql-server-core,mysql-client"
SUITE = "sid"
START_SECONDS = 60.0


class NoRealMySqlError(RuntimeError):
    """There is no real MySQL here. The message says why, and is the reason to skip."""


@contextmanager
def real_mysql(folder: Path = FOLDER) -> Iterator[str]:
    """The URL of a running MySQL, for a user with all rights. The server stops at the end.

    Raises `NoRealMySqlError` if it cannot be installed or started on this machine.
    """
    _install(folder)
    data = Path(tempfile.mkdtemp(prefix="data-", dir=folder / "root/tmp"))
    try:
        with _server(folder / "root", data) as url:
            yield url
    finally:
        shutil.rmtree(data, ignore_errors=True)


def _install(folder: Path) -> None:
    if os.geteuid() != 0:
        raise NoRealMySqlError("debootstrap needs root")
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (folder / ".complete").exists():
            return
        _have_debootstrap()
        shutil.rmtree(folder / "root", ignore_errors=True)
        _run(
            "debootstrap",
            "--variant=minbase",
            f"--include={PACKAGES}",
            SUITE,
            str(folder / "root"),
            seconds=900,
        )
        shutil.rmtree(folder / "root/var/cache/apt", ignore_errors=True)
        (folder / ".complete").touch()


def _have_debootstrap() -> None:
    if shutil.which("debootstrap"):
        return
    if not shutil.which("apt-get"):
        raise NoRealMySqlError("this is not Debian or Ubuntu")
    _run("apt-get", "update", "-q", seconds=300)
    _run("apt-get", "install", "-q", "-y", "--no-install-recommends", "debootstrap", seconds=300)


def _run(*command: str, seconds: float) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        subprocess.run(command, env=environment, check=True, capture_output=True, timeout=seconds)
    except subprocess.CalledProcessError as error:
        last = (error.stderr or error.stdout).decode(errors="replace").strip().splitlines()[-1:]
        raise NoRealMySqlError(f"{command[0]} failed: {' '.join(last)}") from error
    except (subprocess.TimeoutExpired, FileNotFoundError) as error:
        raise NoRealMySqlError(f"{command[0]} failed: {error}") from error


@contextmanager
def _server(root: Path, data: Path) -> Iterator[str]:
    inside = "/" + str(data.relative_to(root))
    mysqld = ["chroot", str(root), "/usr/sbin/mysqld", "--no-defaults", "--user=root"]
    # Empty: a package that is not installed would create the default folder.
    mysqld += [f"--datadir={inside}/files", "--secure-file-priv="]
    _run(*mysqld, "--initialize-insecure", seconds=120)
    password, port = secrets.token_hex(8), _free_port()
    (data / "init.sql").write_text(
        f"CREATE USER 'ordinal'@'%' IDENTIFIED BY '{password}';\n"
        "GRANT ALL PRIVILEGES ON *.* TO 'ordinal'@'%' WITH GRANT OPTION;\n"
        "CREATE DATABASE ordinal CHARACTER SET utf8mb4;\n"
    )
    log = data / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                *mysqld,
                f"--init-file={inside}/init.sql",
                "--bind-address=127.0.0.1",
                f"--port={port}",
                f"--socket={inside}/socket",
                f"--pid-file={inside}/pid",
                "--mysqlx=OFF",
                "--skip-log-bin",
                "--skip-name-resolve",
                "--transaction-isolation=READ-COMMITTED",
            ],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_until_it_responds(process, port, password, log)
        yield f"mysql://ordinal:{password}@127.0.0.1:{port}/ordinal"
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_it_responds(
    process: subprocess.Popen[bytes], port: int, password: str, log: Path
) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            pymysql.connect(
                host="127.0.0.1", port=port, user="ordinal", password=password, database="ordinal"
            ).close()
            return
        except (pymysql.MySQLError, OSError) as error:
            if process.poll() is not None or time.monotonic() > deadline:
                lines = log.read_text(errors="replace").splitlines()
                errors = [line for line in lines if "[ERROR]" in line][:1] or lines[-1:]
                raise NoRealMySqlError(f"mysqld did not start: {' '.join(errors)}") from error
            time.sleep(0.1)  # the pause between two checks, with a deadline


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
