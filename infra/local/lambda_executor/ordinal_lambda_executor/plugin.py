"""The plugin that LocalStack loads through its entry point."""

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

        # It warns at each invocation that there are no logs. The functions log to files.
        version_manager.LOG.setLevel(logging.ERROR)
        # Nobody reads these metrics, and writing one costs more than the invocation.
        version_manager.record_cw_metric_invocation = _no_metric
        version_manager.record_cw_metric_error = _no_metric
        _forget_threads_that_ended(version_manager)
        return ProcessExecutor


def _forget_threads_that_ended(version_manager: ModuleType) -> None:
    """Start the thread of an invocation without a reference to it.

    LocalStack keeps a reference to every such thread until it stops. From Python 3.13 on a thread that was
    not joined keeps its stack (two memory maps), so after about 32,000 invocations no thread could start.
    """
    version_manager.start_thread = start_worker_thread  # type: ignore[attr-defined]


def _no_metric(**_: Any) -> None:
    """Count nothing."""
