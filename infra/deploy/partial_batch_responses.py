"""Partial batch responses, switched on for each queue and checked.

Chalice has no setting for them. Without them Lambda deletes all records of a batch, also those that failed.
So a deployment that cannot switch them on fails. An operator may have disabled event source mappings for an
upgrade: this module enables them too, because now each function has the new code.
"""

import time
from typing import Any

from infra.deploy.aws import aws_client
from infra.deploy.settings import DeploySettings

RESPONSE_TYPES = ["ReportBatchItemFailures"]
DISABLED_STATES = ("Disabling", "Disabled")
TIMEOUT_SECONDS = 60.0
POLL_SECONDS = 0.2


class PartialBatchResponsesOffError(Exception):
    """An event source mapping has no partial batch responses, so records would be lost."""


def enable_partial_batch_responses(settings: DeploySettings, function_names: list[str]) -> int:
    """Switch them on for each event source mapping of the functions, enable the mapping, and check both.

    Returns the number of mappings. Raises `PartialBatchResponsesOffError` if a mapping is not in this state
    after a minute.
    """
    client = aws_client(settings, "lambda")
    mappings = _queue_mappings(client, function_names)
    for mapping in mappings:
        reports = mapping.get("FunctionResponseTypes") == RESPONSE_TYPES
        if not reports or mapping["State"] in DISABLED_STATES:
            client.update_event_source_mapping(
                UUID=mapping["UUID"], FunctionResponseTypes=RESPONSE_TYPES, Enabled=True
            )
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while wrong := [mapping for mapping in mappings if not _is_on(client, mapping["UUID"])]:
        if time.monotonic() > deadline:
            names = ", ".join(mapping["FunctionArn"].rpartition(":")[2] for mapping in wrong)
            raise PartialBatchResponsesOffError(f"Partial batch responses are not on for: {names}")
        time.sleep(POLL_SECONDS)
    return len(mappings)


def _queue_mappings(client: Any, function_names: list[str]) -> list[dict[str, Any]]:
    pages = client.get_paginator("list_event_source_mappings").paginate()
    return [
        mapping
        for page in pages
        for mapping in page["EventSourceMappings"]
        if ":sqs:" in mapping.get("EventSourceArn", "")
        and mapping["FunctionArn"].split(":")[6] in function_names
    ]


def _is_on(client: Any, uuid: str) -> bool:
    # One request for each mapping: LocalStack's list may hold the state of a poller that it has replaced.
    mapping: dict[str, Any] = client.get_event_source_mapping(UUID=uuid)
    reports = mapping.get("FunctionResponseTypes") == RESPONSE_TYPES
    return bool(reports and mapping["State"] == "Enabled")
