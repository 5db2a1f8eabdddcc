"""`Method` and `Paginator` turn one declaration into a method of `Client` and a method of `AsyncClient`.

A declaration is a function that turns its arguments into a `Request`. Each descriptor makes two functions
of it: one for `Client`, and one for `AsyncClient`. Both have the declaration's parameters and docstring,
and the return type that a caller gets, so `help()` and `inspect.signature()` show what a caller needs. The
overloads of `__get__` give the same types to type checkers.
"""

import functools
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from types import GenericAlias
from typing import Any, Concatenate, Final, get_args, overload

import msgspec

from ordinal_client.models import Page
from ordinal_client.request import Request
from ordinal_client.transports import AsyncTransport, Transport


class Method[**P, T]:
    """A method that sends one request and returns the body of the response."""

    def __init__(self, build: Callable[Concatenate[Any, P], Request[T]]) -> None:
        self.build: Final = build

        def method(client: Transport, *args: Any, **kwargs: Any) -> Any:
            return client.send(build(client, *args, **kwargs))

        async def async_method(client: AsyncTransport, *args: Any, **kwargs: Any) -> Any:
            return await client.send(build(client, *args, **kwargs))

        returned = response_type(build)
        self._method: Final = _documented(method, build, returned)
        self._async_method: Final = _documented(async_method, build, returned)

    @overload
    def __get__(
        self, client: None, owner: type[Transport]
    ) -> Callable[Concatenate[Transport, P], T]: ...
    @overload
    def __get__(
        self, client: None, owner: type[AsyncTransport]
    ) -> Callable[Concatenate[AsyncTransport, P], Coroutine[Any, Any, T]]: ...
    @overload
    def __get__(self, client: Transport, owner: type[Transport]) -> Callable[P, T]: ...
    @overload
    def __get__(
        self, client: AsyncTransport, owner: type[AsyncTransport]
    ) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, client: Any, owner: type) -> Any:
        function = self._async_method if issubclass(owner, AsyncTransport) else self._method
        return function.__get__(client, owner)


class Paginator[**P, T]:
    """A method that returns an iterator over the items of all pages of a list.

    It has the parameters of the method that returns one page.
    """

    def __init__(self, listing: Method[P, Page[T]]) -> None:
        build = listing.build
        page_type = response_type(build)
        item_type = get_args(msgspec.structs.fields(page_type)[0].type)[0]

        def method(client: Transport, *args: Any, **kwargs: Any) -> Any:
            return client.iterate(build(client, *args, **kwargs))

        def async_method(client: AsyncTransport, *args: Any, **kwargs: Any) -> Any:
            return client.iterate(build(client, *args, **kwargs))

        self._method: Final = _documented(method, build, GenericAlias(Iterator, (item_type,)))
        returned = GenericAlias(AsyncIterator, (item_type,))
        self._async_method: Final = _documented(async_method, build, returned)

    def __set_name__(self, owner: type, name: str) -> None:
        for function in (self._method, self._async_method):
            listing = function.__name__
            function.__name__ = name
            function.__qualname__ = f"{owner.__qualname__}.{name}"
            function.__doc__ = (
                f"Iterate over the items of all pages of `{listing}`, with the same arguments.\n\n"
                "The client requests each page when the iteration reaches it. `limit` is the number of\n"
                f"items of a page. The iteration raises the errors of `{listing}`."
            )

    @overload
    def __get__(
        self, client: None, owner: type[Transport]
    ) -> Callable[Concatenate[Transport, P], Iterator[T]]: ...
    @overload
    def __get__(
        self, client: None, owner: type[AsyncTransport]
    ) -> Callable[Concatenate[AsyncTransport, P], AsyncIterator[T]]: ...
    @overload
    def __get__(self, client: Transport, owner: type[Transport]) -> Callable[P, Iterator[T]]: ...
    @overload
    def __get__(
        self, client: AsyncTransport, owner: type[AsyncTransport]
    ) -> Callable[P, AsyncIterator[T]]: ...
    def __get__(self, client: Any, owner: type) -> Any:
        function = self._async_method if issubclass(owner, AsyncTransport) else self._method
        return function.__get__(client, owner)


def response_type(build: Callable[..., Request[Any]]) -> Any:
    """The `T` of the `Request[T]` that the declaration returns."""
    (response,) = get_args(inspect.signature(build).return_annotation)
    return None if response is type(None) else response


def _documented[F: Callable[..., Any]](
    function: F, build: Callable[..., Request[Any]], returned: Any
) -> F:
    """Give the function the name, the docstring and the parameters of the declaration."""
    functools.update_wrapper(function, build)
    signature = inspect.signature(build).replace(return_annotation=returned)
    function.__signature__ = signature  # type: ignore[attr-defined]
    function.__annotations__ = {**build.__annotations__, "return": returned}
    return function
