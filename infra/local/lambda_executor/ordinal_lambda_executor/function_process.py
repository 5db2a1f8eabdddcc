"""One process that runs a function, from its start to its end."""

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from .runtime_api import Invocation, RuntimeApi, failure

INIT_SECONDS = 60.0


class InitFailedError(Exception):
    """The code could not be imported. The payload is the reason in Lambda's format."""

    def __init__(self, payload: bytes) -> None:
        super().__init__(payload.decode(errors="replace"))
        self.payload = payload


class FunctionProcess:
    """A process `python -m awslambdaric HANDLER` with its own Runtime API."""

    def __init__(
        self,
        handler: str,
        code: Path,
        environment: Mapping[str, str],
        log: Path,
        timeout_seconds: int,
    ) -> None:
        self._api = RuntimeApi()
        self._log = log
        self._timeout_seconds = timeout_seconds
        self._kill_reason = b""
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [os.environ["ORDINAL_LAMBDA_PYTHON"], "-m", "awslambdaric", handler],
                cwd=code,
                env={**environment, "AWS_LAMBDA_RUNTIME_API": self._api.address},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        threading.Thread(target=self._watch, daemon=True).start()

    @property
    def is_alive(self) -> bool:
        """Whether the process can accept an invocation."""
        return self._process.poll() is None

    def wait_for_init(self) -> None:
        """Wait until the code is imported.

        Raises:
            InitFailedError: the import failed, or the process ended.
        """
        if not self._api.ready_for_work.wait(INIT_SECONDS):
            self._kill_reason = failure("Sandbox.Timedout", "The function did not start in time")
            self.kill()
        if self._api.init_error is not None:
            self._process.wait()
            raise InitFailedError(self._api.init_error)
        if not self.is_alive:
            raise InitFailedError(self._reason())

    def invoke(self, invocation: Invocation) -> None:
        """Run one invocation to its end. The invocation holds the outcome."""
        self._api.submit(invocation)
        if not self.is_alive:
            invocation.finish(self._reason(), is_error=True)
        elif not invocation.done.wait(self._timeout_seconds):
            self._time_out(invocation)

    def kill(self) -> None:
        """Kill the process, as Lambda kills an instance."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def append_to_log(self, text: str) -> None:
        """Write a line into the function's log."""
        with self._log.open("ab") as output:
            output.write(f"{text}\n".encode())

    def _time_out(self, invocation: Invocation) -> None:
        outcome = (
            f"{invocation.request_id} Task timed out after {self._timeout_seconds:.2f} seconds"
        )
        text = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + f"Z {outcome}"
        self._kill_reason = failure("Sandbox.Timedout", text)
        self.kill()
        invocation.finish(self._kill_reason, is_error=True)
        self.append_to_log(text)

    def _watch(self) -> None:
        self._process.wait()
        self._api.close(self._reason())

    def _reason(self) -> bytes:
        if self._kill_reason:
            return self._kill_reason
        code = self._process.poll()
        how = f"signal: {-code}" if code is not None and code < 0 else f"exit status {code}"
        return failure("Runtime.ExitError", f"Runtime exited with error: {how}")
