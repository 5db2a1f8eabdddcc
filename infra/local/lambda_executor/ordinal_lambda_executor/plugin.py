"""What LocalStack finds through the entry point."""

from __future__ import annotations

import logging
from types import ModuleType
from typing import Any

from localstack.services.lambda_.invocation.plugins import RuntimeExecutorPlugin
from localstack.utils.threads import start_worker_thread


class ProcessExecutorPlugin(RuntimeExecutorPlugin):  # type: ignore[misc]  # LocalStack is untyped
    """`LAMBDA_RUNTIME_EXECUTOR=ordinal`."""

    name = "ordinal"

    def load(self, *args: Any, **kwargs: Any) -> type:
        from localstack.services.lambda_.invocation import version_manager

        from .executor import ProcessExecutor

        # It warns at every invocation that there are no logs: ours go to a file, not through it.
        version_manager.LOG.setLevel(logging.ERROR)
        # Nobody reads its CloudWatch, and a write there costs more than the invocation itself.
        version_manager.record_cw_metric_invocation = _no_metric
        version_manager.record_cw_metric_error = _no_metric
        _forget_threads_that_ended(version_manager)
        return ProcessExecutor


def _forget_threads_that_ended(version_manager: ModuleType) -> None:
    """It starts a thread at each invocation, and LocalStack keeps all of them until it stops.

    A thread that nobody has joined keeps its stack as long as it is kept itself, from Python 3.13
    on: two memory maps each, and after some 32,000 invocations no thread could be started any more.
    """
    version_manager.start_thread = start_worker_thread  # type: ignore[attr-defined]


def _no_metric(**_: Any) -> None:
    """Count nothing."""
