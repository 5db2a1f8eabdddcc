"""Partial batch responses, on for every queue, and checked.

Chalice has no switch for them. Without them Lambda takes a batch in which records failed for a
success, and deletes them: a deployment that can't switch them on must fail. Event sources that an operator
has switched off for an upgrade are on again as well: by then every function has the new code.
"""

from __future__ import annotations

import time
from typing import Any

from infra.deploy.aws import aws_client
from infra.deploy.settings import DeploySettings

WANTED = ["ReportBatchItemFailures"]
RESTING = ("Disabling", "Disabled")
PATIENCE_SECONDS = 60.0
POLL_SECONDS = 0.2


class PartialBatchesOffError(Exception):
    """An event source mapping does not report partial batches; records would be lost."""


def switch_on_partial_batches(settings: DeploySettings, function_names: list[str]) -> int:
    """Switch them on, and the event source, for every queue that triggers a function, and check it.

    Returns:
        How many mappings there are.

    Raises:
        PartialBatchesOffError: one of them still does not say so after a minute.
    """
    client = aws_client(settings, "lambda")
    mappings = _queue_mappings(client, function_names)
    for mapping in mappings:
        if mapping.get("FunctionResponseTypes") != WANTED or mapping["State"] in RESTING:
            client.update_event_source_mapping(
                UUID=mapping["UUID"], FunctionResponseTypes=WANTED, Enabled=True
            )
    deadline = time.monotonic() + PATIENCE_SECONDS
    while wrong := [one for one in mappings if not _is_on(client, one["UUID"])]:
        if time.monotonic() > deadline:
            names = ", ".join(one["FunctionArn"].rpartition(":")[2] for one in wrong)
            raise PartialBatchesOffError(f"Partial batch responses are not on for: {names}")
        time.sleep(POLL_SECONDS)
    return len(mappings)


def _queue_mappings(client: Any, function_names: list[str]) -> list[dict[str, Any]]:
    pages = client.get_paginator("list_event_source_mappings").paginate()
    found = [one for page in pages for one in page["EventSourceMappings"]]
    return [
        one
        for one in found
        if ":sqs:" in one.get("EventSourceArn", "")
        and one["FunctionArn"].split(":")[6] in function_names
    ]


def _is_on(client: Any, uuid: str) -> bool:
    # Asked one by one: in LocalStack's list the state may be that of the poller it has replaced.
    mapping: dict[str, Any] = client.get_event_source_mapping(UUID=uuid)
    return bool(mapping.get("FunctionResponseTypes") == WANTED and mapping["State"] == "Enabled")
