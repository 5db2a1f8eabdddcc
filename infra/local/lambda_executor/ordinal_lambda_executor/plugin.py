"""What LocalStack finds through the entry point."""

from __future__ import annotations

import logging
from typing import Any

from localstack.services.lambda_.invocation.plugins import RuntimeExecutorPlugin


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
        return ProcessExecutor


def _no_metric(**_: Any) -> None:
    """Count nothing."""
