"""MariaDB instead of MySQL 8.4. The product's SQL runs on both."""

import os
import shutil
import subprocess
from pathlib import Path

from infra.local.console import StackError
from infra.local.install import MARIADB
from infra.local.paths import Stack
from infra.local.processes import last_lines, run_quietly
from infra.local.services import Command, clean_environment
from infra.local.stack_secrets import StackSecrets

# The default of MySQL 8.4.
SQL_MODE = (
    "ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,"
    "ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION"
)


class MariaDB:
    """A server with one database and one user."""

    name = "mysql"
    title = "MariaDB"
    port_names = ("mysql",)
    start_timeout_seconds = 90.0

    def url(self, stack: Stack, secrets: StackSecrets) -> str:
        return f"mysql://ordinal:{secrets.mysql_password}@127.0.0.1:{stack.ports['mysql']}/ordinal"

    def prepare(self, stack: Stack, secrets: StackSecrets) -> None:
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
            *_user_option(),
        ]
        log = stack.logs / "mysql.log"
        environment = clean_environment(stack)
        if run_quietly(command, log, directory=MARIADB, environment=environment) != 0:
            raise StackError(
                f"MariaDB could not create its tables. The end of {log}:\n{last_lines(log)}"
            )
        (directory / ".made").touch()

    def command(self, stack: Stack, secrets: StackSecrets) -> Command:
        directory = stack.data / "mariadb"
        init = directory / "init.sql"
        init.touch(mode=0o600)
        init.write_text(_init_sql(secrets.mysql_password))
        command = [
            str(MARIADB / "bin/mariadbd"),
            "--no-defaults",
            f"--basedir={MARIADB}",
            f"--datadir={directory}",
            f"--lc-messages-dir={MARIADB / 'share'}",
            "--bind-address=127.0.0.1",
            f"--port={stack.ports['mysql']}",
            # Relative to the data directory, since the path of a socket has at most 107 characters.
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
            *_user_option(),
        ]
        return Command(command, directory, clean_environment(stack))

    def is_ready(self, stack: Stack, secrets: StackSecrets) -> bool:
        environment = {**clean_environment(stack), "MYSQL_PWD": secrets.mysql_password}
        command = [
            *client_command(stack.ports["mysql"], "ordinal"),
            "--execute=SELECT 1",
            "ordinal",
        ]
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=10
        )
        return done.returncode == 0


def client_command(port: int, user: str, host: str = "127.0.0.1") -> list[str]:
    """The command-line client. It reads the password from MYSQL_PWD: everybody can see arguments."""
    client = str(MARIADB / "bin/mariadb")
    return [
        client,
        "--no-defaults",
        "--protocol=tcp",
        "--skip-ssl",
        "--default-character-set=utf8mb4",
        f"--host={host}",
        f"--port={port}",
        f"--user={user}",
    ]


def _user_option() -> list[str]:
    """As root, MariaDB starts only with this option."""
    return ["--user=root"] if os.geteuid() == 0 else []


def _init_sql(password: str) -> str:
    # MariaDB runs it at each start, before it accepts a connection. Each line is one statement.
    lines = ["CREATE DATABASE IF NOT EXISTS ordinal CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;"]
    for host in ("127.0.0.1", "localhost"):
        user = f"'ordinal'@'{host}'"
        lines += [
            f"CREATE USER IF NOT EXISTS {user} IDENTIFIED BY '{password}';",
            f"ALTER USER {user} IDENTIFIED BY '{password}';",
            f"GRANT ALL PRIVILEGES ON *.* TO {user} WITH GRANT OPTION;",
        ]
    return "\n".join(lines) + "\n"
