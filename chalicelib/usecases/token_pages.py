"""Walks all applications, a page of tokens at a time, so that as many are asked about in one round trip."""

from collections.abc import Callable, Iterator

_TOKENS_A_PAGE = 500

ListTokens = Callable[[str | None, int], list[str]]


def token_pages(list_tokens: ListTokens) -> Iterator[list[str]]:
    """Tokens in the order of creation; `list_tokens` is the store's."""
    after: str | None = None
    while tokens := list_tokens(after, _TOKENS_A_PAGE):
        yield tokens
        after = tokens[-1]
