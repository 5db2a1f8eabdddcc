"""How times and metadata are written in MySQL, both ways and exactly."""

from collections.abc import Sized

import msgspec

from chalicelib.domain.records import Metadata

# Above every number: what `before` stands for where a page has none.
NO_LIMIT = 2**63 - 1


def time_in(text: str | None) -> str | None:
    """`2026-01-31T12:00:00.000Z` → what a DATETIME(3) takes; strict mode refuses the rest."""
    return None if text is None else text.replace("T", " ", 1).removesuffix("Z")


def time_out(text: str | None) -> str | None:
    """What a DATETIME(3) gives → `2026-01-31T12:00:00.000Z`."""
    return None if text is None else text.replace(" ", "T", 1) + "Z"


def moment_out(text: str) -> str:
    """The same for a column that is never NULL."""
    return text.replace(" ", "T", 1) + "Z"


def metadata_in(metadata: Metadata | None) -> str | None:
    return None if metadata is None else msgspec.json.encode(metadata).decode()


def metadata_out(text: str | None) -> Metadata | None:
    return None if text is None else msgspec.json.decode(text, type=Metadata)


def marks(values: Sized) -> str:
    """The placeholders of an IN list. PyMySQL's own way to expand a list is going away."""
    return ",".join(["%s"] * len(values))
