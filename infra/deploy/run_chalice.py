"""The real `chalice`, with five changes for which it has no settings.

- Its own package of the functions leaves out what no function loads.
- The package holds compiled modules. A function cannot write to its folder, so each new process would compile
  each module again, which takes twice as long as loading it.
- Everybody can read each file of the package.
- The API has the name of its stage.
- On LocalStack it polls more often. After each change botocore's waiters pause for five seconds, LocalStack
  needs a tenth of a second, and a deployment changes each function twice.
"""

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
from chalice.deploy.swagger import SwaggerGenerator
from chalice.utils import ChaliceZipFile

POLL_SECONDS = 0.2
EXCLUDED = (
    "botocore/data",  # descriptions of all services for botocore's clients; functions use only its signatures
    "aws_lambda_powertools/event_handler",
    "aws_lambda_powertools/utilities/[!_j]*",  # the logger needs only `jmespath_utils`
    "opensearchpy/_async/client",
    "opensearchpy/_async/plugins",
    "*/tests",
    "*.data",  # scripts
)
# Unpacking changes the time of a file, so Python must not compare a compiled module with its source.
NEVER_COMPARED = py_compile.PycInvalidationMode.UNCHECKED_HASH


def trim_packages() -> None:
    """Make Chalice leave out what no function loads, and compile the rest."""
    builder: Any = DependencyBuilder
    original = builder.build_site_packages

    def build_site_packages(self: Any, abi: str, requirements: str, target: str) -> None:
        original(self, abi, requirements, target)
        for path in [path for pattern in EXCLUDED for path in Path(target).glob(pattern)]:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        compile_all(target)

    builder.build_site_packages = build_site_packages


def compile_project() -> None:
    """Compile the staged copy, and the modules that Chalice adds to the package by itself."""
    compile_all("chalicelib")
    runtime = Path(chalice.app.__file__).parent
    modules = {"app.py": Path("app.py")}
    modules |= {f"chalice/{name}": runtime / name for name in ("__init__.py", "app.py")}
    for name, source in modules.items():
        compiled = cache_from_source(str(Path("vendor", name)))
        py_compile.compile(str(source), compiled, name, True, invalidation_mode=NEVER_COMPARED)


def compile_all(folder: str) -> None:
    """Compile the modules of a folder. The result does not depend on the path of the folder."""
    compileall.compile_dir(folder, quiet=1, stripdir=folder, invalidation_mode=NEVER_COMPARED)


def make_readable() -> None:
    """Let everybody read each file of the package, whatever its mode is in the checkout or on this disk.

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


def name_api(stage: str) -> None:
    """Give the API the name of its stage. Chalice gives it the name of the app.

    CloudWatch keeps API Gateway's metrics by this name, so two stages in one account would share them.
    """
    generator: Any = SwaggerGenerator
    original = generator.generate_swagger

    def generate_swagger(self: Any, *arguments: Any) -> Any:
        document = original(self, *arguments)
        document["info"]["title"] = f"ordinal-{stage}"
        return document

    generator.generate_swagger = generate_swagger


def poll_often() -> None:
    """Make each waiter of botocore poll more often. Its timeout stays the same."""
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
    name_api(os.environ["ORDINAL_STAGE"])
    if "AWS_ENDPOINT_URL" in os.environ:
        poll_often()
    sys.exit(main())
