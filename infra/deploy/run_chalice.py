"""The real `chalice`, with what it has no settings for.

Of the packages that the functions need, its own package holds what some function can load. All of it is
compiled: where it runs nobody can write, so each new process would compile each module again, which takes
twice as long as loading it.

On LocalStack its waits are of LocalStack's length: after each change botocore's waiters look again every
five seconds. LocalStack is done in a tenth of one, and a deployment changes every function twice.
"""

from __future__ import annotations

import compileall
import os
import py_compile
import shutil
import sys
from importlib.util import cache_from_source
from pathlib import Path
from typing import Any

import chalice.app
from botocore.waiter import WaiterModel
from chalice.cli import main
from chalice.deploy.packager import DependencyBuilder
from chalice.utils import ChaliceZipFile

POLL_SECONDS = 0.2
LEFT_OUT = (
    "botocore/data",  # describes all services to botocore's clients; only its signatures are used
    "aws_lambda_powertools/event_handler",
    "aws_lambda_powertools/utilities/[!_j]*",  # the logger needs `jmespath_utils` alone
    "opensearchpy/_async/client",
    "opensearchpy/_async/plugins",
    "*/tests",
    "*.data",  # scripts
)
# Unpacking gives a file another time, so that it must not be compared with its source's.
NEVER_COMPARED = py_compile.PycInvalidationMode.UNCHECKED_HASH


def trim_packages() -> None:
    """Let Chalice's builder leave out what no function loads, and compile the rest."""
    builder: Any = DependencyBuilder
    original = builder.build_site_packages

    def build_site_packages(self: Any, abi: str, requirements: str, target: str) -> None:
        original(self, abi, requirements, target)
        for unused in [one for pattern in LEFT_OUT for one in Path(target).glob(pattern)]:
            shutil.rmtree(unused) if unused.is_dir() else unused.unlink()
        compile_all(target)

    builder.build_site_packages = build_site_packages


def compile_project() -> None:
    """Compile the staged copy, and in `vendor` what Chalice takes from elsewhere by name."""
    compile_all("chalicelib")
    runtime = Path(chalice.app.__file__).parent
    single = {"app.py": Path("app.py")}
    single |= {f"chalice/{name}": runtime / name for name in ("__init__.py", "app.py")}
    for name, source in single.items():
        compiled = cache_from_source(str(Path("vendor", name)))
        py_compile.compile(str(source), compiled, name, True, invalidation_mode=NEVER_COMPARED)


def compile_all(folder: str) -> None:
    """Compile a folder's modules, to the same bytes wherever it lies."""
    compileall.compile_dir(folder, quiet=1, stripdir=folder, invalidation_mode=NEVER_COMPARED)


def make_readable() -> None:
    """Let everybody read every file of the package, whatever mode it has in the checkout or on this disk.

    Lambda unpacks the package with its modes and runs as another user:
    https://docs.aws.amazon.com/lambda/latest/dg/troubleshooting-deployment.html
    """
    zip_file: Any = ChaliceZipFile
    original = zip_file._create_zipinfo

    def create_zipinfo(self: Any, *arguments: Any) -> Any:
        entry = original(self, *arguments)
        entry.external_attr |= 0o444 << 16
        return entry

    zip_file._create_zipinfo = create_zipinfo


def poll_often() -> None:
    """Let every waiter ask more often, for as long in all as before."""
    waiters: Any = WaiterModel
    original = waiters.get_waiter

    def get_waiter(model: Any, name: str) -> Any:
        config = original(model, name)
        config.max_attempts = int(config.max_attempts * config.delay / POLL_SECONDS)
        config.delay = POLL_SECONDS
        return config

    waiters.get_waiter = get_waiter


if __name__ == "__main__":
    make_readable()
    trim_packages()
    compile_project()
    if "AWS_ENDPOINT_URL" in os.environ:
        poll_often()
    sys.exit(main())
