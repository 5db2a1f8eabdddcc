"""A request as a value: what is asked, and how the answer is read. Sending it is others' work."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import msgspec

from ordinal_client.errors import UnexpectedResponseError, problem_from
from ordinal_client.models import Page


@dataclass(frozen=True, slots=True)
class Request[T]:
    """One request, the same in all its attempts, its Idempotency-Key too.

    `answer` is the type of a success's body; `also_ok` is one more status that has such a body.
    """

    method: str
    path: str
    answer: type[T]
    query: Mapping[str, str | int] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None
    also_ok: int | None = None

    def httpx_kwargs(self) -> dict[str, Any]:
        """The arguments of httpx's `build_request`."""
        return {
            "method": self.method,
            "url": self.path,
            "params": self.query or None,  # an empty one would take away what `next` brings along
            "headers": self.headers,
            "content": self.content,
        }

    def read(self, response: httpx.Response) -> T:
        """The body of the answer. Raises `ProblemError`, `UnexpectedResponseError`."""
        if not response.is_success and response.status_code != self.also_ok:
            raise problem_from(response)
        try:
            # Nothing at all is the answer of what has no body.
            return msgspec.json.decode(response.content or b"null", type=self.answer)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            if not response.is_success:
                raise problem_from(response) from None
            where = f"what answers at {response.url} is not Ordinal"
            raise UnexpectedResponseError(f"{where}: {error}") from None


def next_page[T](request: Request[Page[T]], page: Page[T]) -> Request[Page[T]] | None:
    """The request of the next page; None where this is the last."""
    return replace(request, path=page.next, query={}) if page.next else None
