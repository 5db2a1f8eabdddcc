"""The keys of one stack: made once, kept over restarts, so that what was signed stays valid."""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass

from infra.local.layout import Stack
from infra.local.processes import write_json


@dataclass(frozen=True)
class Keys:
    """What only this stack knows."""

    master_key: str
    admin_key: str
    mysql_password: str


def keys_of(stack: Stack) -> Keys:
    """The stack's keys; made at its first start."""
    path = stack.directory / "keys.json"
    try:
        return Keys(**json.loads(path.read_text()))
    except FileNotFoundError:
        keys = Keys(secrets.token_hex(32), "admin_" + secrets.token_hex(16), secrets.token_hex(12))
        write_json(path, asdict(keys))
        return keys
