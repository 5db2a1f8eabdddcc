"""The real parts for the contract tests: those of the test stack, or those that the environment names."""

import json
import os
from pathlib import Path

import pytest

_STACK = Path(__file__).parents[2] / "var" / "test" / "stack.json"


def part_url(part: str) -> str:
    """The URL of a real part. Skips, with a reason, if there is none."""
    if url := os.environ.get(f"ORDINAL_TEST_{part.upper()}_URL"):
        return url
    if not _STACK.exists():
        pytest.skip(
            f"no {part}: start the stack with `make test`, or set ORDINAL_TEST_{part.upper()}_URL"
        )
    return str(json.loads(_STACK.read_text())[part]["url"])
