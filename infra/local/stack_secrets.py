"""The secrets of a stack. They are kept over restarts, so that keys of applications stay valid."""

import json
import secrets
from dataclasses import asdict, dataclass

from infra.local.paths import Stack
from infra.local.processes import write_json


@dataclass(frozen=True)
class StackSecrets:
    """The secrets of one stack. No two stacks share them."""

    master_key: str
    admin_key: str
    mysql_password: str


def secrets_of(stack: Stack) -> StackSecrets:
    """The secrets of the stack. The first call for a stack creates them."""
    path = stack.directory / "keys.json"
    try:
        return StackSecrets(**json.loads(path.read_text()))
    except FileNotFoundError:
        created = StackSecrets(
            master_key=secrets.token_hex(32),
            admin_key="admin_" + secrets.token_hex(16),
            mysql_password=secrets.token_hex(12),
        )
        write_json(path, asdict(created))
        return created
