"""The applications that a piece of work covers: one, or all."""

from collections.abc import Iterator
from itertools import chain

from chalicelib.usecases.maintenance import ListTokens, token_pages


def live_tokens(list_tokens: ListTokens, only: str | None = None) -> Iterator[str]:
    """The token `only`, or the tokens of all applications that are not deleted, oldest first."""
    return iter([only]) if only is not None else chain.from_iterable(token_pages(list_tokens))
