"""Lines of the log about records: whose they are and what went wrong, and nothing of what they say."""

import logging
from collections.abc import Iterable

from chalicelib.domain.errors import OrdinalError, safe_text
from chalicelib.domain.identity import identities
from chalicelib.domain.inbox import InboxRecord
from chalicelib.domain.records import AnyRecord

logger = logging.getLogger(__name__)


def log_records(
    level: int, text: str, records: Iterable[AnyRecord | InboxRecord], **fields: str
) -> None:
    """One line for each counter that the records hold states of."""
    if logger.isEnabledFor(level):
        for identity in identities(records):
            logger.log(level, text, extra={**identity.fields(), **fields})


def told(error: OrdinalError) -> dict[str, str]:
    """The fields that say what went wrong."""
    return {"code": error.code, "reason": safe_text(error)}
