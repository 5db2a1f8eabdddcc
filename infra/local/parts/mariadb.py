"""MariaDB in the place of MySQL 8.4: the SQL runs on both."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from infra.local.console import StackError
from infra.local.install import MARIADB
from infra.local.keys import Keys
from infra.local.layout import Stack
from infra.local.parts import Launch, clean_environment
from infra.local.processes import last_lines, run_quietly

# What MySQL 8.4 starts with.
SQL_MODE = (
    "ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,"
    "ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION"
)


class MariaDB:
    """A server of the stack's own, with one database and one user."""

    name = "mysql"
    title = "MariaDB"
    port_names = ("mysql",)
    patience_seconds = 90.0

    def url(self, stack: Stack, keys: Keys) -> str:
        return f"mysql://ordinal:{keys.mysql_password}@127.0.0.1:{stack.ports['mysql']}/ordinal"

    def prepare(self, stack: Stack, keys: Keys) -> None:
        directory = stack.data / "mariadb"
        if (directory / ".made").exists():
            return
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        command: list[str | Path] = [
            MARIADB / "scripts/mariadb-install-db",
            "--no-defaults",
            f"--basedir={MARIADB}",
            f"--datadir={directory}",
            "--skip-test-db",
            *_as_root(),
        ]
        log = stack.logs / "mysql.log"
        environment = clean_environment(stack)
        if run_quietly(command, log, directory=MARIADB, environment=environment) != 0:
            raise StackError(f"MariaDB could not make its tables:\n{last_lines(log)}")
        (directory / ".made").touch()

    def launch(self, stack: Stack, keys: Keys) -> Launch:
        directory = stack.data / "mariadb"
        init = directory / "init.sql"
        init.touch(mode=0o600)
        init.write_text(_init_sql(keys.mysql_password))
        command = [
            str(MARIADB / "bin/mariadbd"),
            "--no-defaults",
            f"--basedir={MARIADB}",
            f"--datadir={directory}",
            f"--lc-messages-dir={MARIADB / 'share'}",
            "--bind-address=127.0.0.1",
            f"--port={stack.ports['mysql']}",
            # Relative to the data directory: a path of a socket has room for 107 characters only.
            "--socket=mariadb.sock",
            "--pid-file=mariadb.pid",
            f"--init-file={init}",
            "--skip-name-resolve",
            "--character-set-server=utf8mb4",
            "--collation-server=utf8mb4_bin",
            "--transaction-isolation=READ-COMMITTED",
            "--innodb-flush-log-at-trx-commit=1",
            "--innodb-buffer-pool-size=256M",
            "--max-allowed-packet=64M",
            "--max-connections=300",
            f"--sql-mode={SQL_MODE}",
            *_as_root(),
        ]
        return Launch(command, directory, clean_environment(stack))

    def is_ready(self, stack: Stack, keys: Keys) -> bool:
        environment = {**clean_environment(stack), "MYSQL_PWD": keys.mysql_password}
        command = [
            *client_command(stack.ports["mysql"], "ordinal"),
            "--execute=SELECT 1",
            "ordinal",
        ]
        tried = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=10
        )
        return tried.returncode == 0


def client_command(port: int, user: str, host: str = "127.0.0.1") -> list[str]:
    """The command-line client; the password goes in by MYSQL_PWD, not by the command line."""
    client = str(MARIADB / "bin/mariadb")
    where = [f"--host={host}", f"--port={port}", f"--user={user}"]
    return [
        client,
        "--no-defaults",
        "--protocol=tcp",
        "--skip-ssl",
        "--default-character-set=utf8mb4",
        *where,
    ]


def _as_root() -> list[str]:
    """It refuses to run as root unless it is told that this is meant."""
    return ["--user=root"] if os.geteuid() == 0 else []


def _init_sql(password: str) -> str:
    # Runs at every start, before the first connection is let in. One statement a line.
    lines = ["CREATE DATABASE IF NOT EXISTS ordinal CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;"]
    for host in ("127.0.0.1", "localhost"):
        user = f"'ordinal'@'{host}'"
        lines += [
            f"CREATE USER IF NOT EXISTS {user} IDENTIFIED BY '{password}';",
            f"ALTER USER {user} IDENTIFIED BY '{password}';",
            f"GRANT ALL PRIVILEGES ON *.* TO {user} WITH GRANT OPTION;",
        ]
    return "\n".join(lines) + "\n"
