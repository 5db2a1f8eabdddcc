"""The class through which LocalStack starts, invokes and stops an instance of a function."""

import os
import shutil
import threading
from pathlib import Path
from typing import Any

from localstack.services.lambda_.invocation.executor_endpoint import StatusErrorException
from localstack.services.lambda_.invocation.lambda_models import InvocationResult
from localstack.services.lambda_.invocation.runtime_executor import RuntimeExecutor

from .function_process import FunctionProcess, InitFailedError
from .runtime_api import Invocation, now_ms

PASSED_ON = ("PATH", "HOME", "TMPDIR", "LANG", "ORDINAL_STARTED_FOR")

_code_lock = threading.Lock()
_users_of_code: dict[str, set[str]] = {}


class ProcessExecutor(RuntimeExecutor):  # type: ignore[misc]  # LocalStack is untyped
    """One instance of a function. A new process replaces one that died or exceeded its time."""

    def __init__(self, id: str, function_version: Any) -> None:
        super().__init__(id, function_version)
        self._lock = threading.Lock()
        self._process: FunctionProcess | None = None
        self._environment: dict[str, str] = {}
        self._stopped = False

    def start(self, env_vars: dict[str, str]) -> None:
        code = _code_directory(self.function_version)
        self._environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        self._environment |= {name: str(value) for name, value in env_vars.items()}
        self._environment |= {"LAMBDA_TASK_ROOT": str(code), "LAMBDA_RUNTIME_DIR": str(code)}
        # Calls to AWS contain the session token. LocalStack does not check it, so here the token is the name
        # of the function, and `localstack_main` records which function calls what.
        name = env_vars["AWS_LAMBDA_FUNCTION_NAME"]
        self._environment["AWS_SESSION_TOKEN"] = f"function/{name}"
        try:
            self._running_process()
        except InitFailedError as error:
            raise StatusErrorException("The function could not start", error.payload) from error

    def stop(self) -> None:
        with self._lock:
            self._stopped = True
            process = self._process
        if process is not None:
            process.kill()

    def invoke(self, payload: dict[str, str]) -> Any:
        timeout_seconds = self.function_version.config.timeout
        invocation = Invocation(
            request_id=payload["invoke-id"],
            function_arn=payload["invoked-function-arn"],
            trace_id=payload["trace-id"],
            payload=payload["payload"].encode(),
            deadline_ms=now_ms() + timeout_seconds * 1000,
        )
        try:
            self._running_process().invoke(invocation)
        except InitFailedError as error:
            invocation.finish(error.payload, is_error=True)
        return InvocationResult(
            invocation.request_id, invocation.result, is_error=invocation.is_error, logs=""
        )

    def get_address(self) -> str:
        return "127.0.0.1"

    def get_endpoint_from_executor(self) -> str:
        return "127.0.0.1"

    def get_runtime_endpoint(self) -> str:
        return f"http://127.0.0.1/{self.id}"

    def get_logs(self) -> str:
        return ""

    @classmethod
    def prepare_version(cls, function_version: Any) -> None:
        """Unpack the code once for all functions that share it."""
        target = _code_directory(function_version)
        code = function_version.config.code
        with _code_lock:
            _users_of_code.setdefault(target.name, set()).add(_identity(function_version))
            if target.exists():
                return
            code.prepare_for_execution()
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(code.get_unzipped_code_location(), target)
            code.destroy_cached()

    @classmethod
    def cleanup_version(cls, function_version: Any) -> None:
        """Remove the code when the last function that uses it is removed."""
        target = _code_directory(function_version)
        with _code_lock:
            users = _users_of_code.get(target.name, set())
            users.discard(_identity(function_version))
            if not users:
                _users_of_code.pop(target.name, None)
                shutil.rmtree(target, ignore_errors=True)

    def _running_process(self) -> FunctionProcess:
        with self._lock:
            if self._stopped:
                raise InitFailedError(b'{"errorMessage": "The instance was stopped"}')
            if self._process is not None and self._process.is_alive:
                return self._process
            config = self.function_version.config
            name = self.function_version.id.function_name
            self._process = FunctionProcess(
                handler=config.handler,
                code=_code_directory(self.function_version),
                environment=self._environment,
                log=Path(os.environ["ORDINAL_LAMBDA_LOGS"]) / f"{name}.log",
                timeout_seconds=config.timeout,
            )
            process = self._process
        process.wait_for_init()
        return process


def _code_directory(function_version: Any) -> Path:
    digest = str(function_version.config.code.code_sha256)
    return Path(os.environ["ORDINAL_LAMBDA_CODE"]) / digest.replace("/", "_").replace("=", "")


def _identity(function_version: Any) -> str:
    return f"{function_version.qualified_arn} {function_version.config.internal_revision}"
