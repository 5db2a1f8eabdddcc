"""Who makes a request, and what it may do: an application by its secret key, or one of its users."""

import msgspec

from chalicelib.domain.errors import ForbiddenError
from chalicelib.domain.numbering import IdempotencyMark
from chalicelib.domain.rates import Allowance


class User(msgspec.Struct, frozen=True):
    """A user of an application, as a token that the application signed says it.

    `name` is the sender of what the user posts. `chats` are the only chats that the token opens; None
    means all of them.
    """

    name: str
    may_read: bool = True
    may_write: bool = True
    chats: frozenset[int] | None = None


class Tenant(msgspec.Struct, frozen=True):
    """An application whose secret key fits, in the version that the key has.

    `user` is set where it was not the key itself that came, but a token that was signed with it. Each
    use case asks here first, before it looks anything up: so a refusal tells nothing of what is there.
    `allowance` is what this request may take; without one it is not limited.
    """

    token: str
    key_version: int
    allowance: Allowance | None = None
    user: User | None = None

    def require_key(self) -> None:
        """Raises `ForbiddenError` where this is a user."""
        if self.user:
            raise ForbiddenError("this needs the application's secret key")

    def require_read(self, chat: int | None) -> None:
        """Raises `ForbiddenError` unless the chat may be read; None is the whole application."""
        self.require_scope("read")
        self._require_chat(chat)

    def require_write(self, chat: int) -> None:
        """Raises `ForbiddenError` unless messages of the chat may be written."""
        self.require_scope("write")
        self._require_chat(chat)

    def require_scope(self, scope: str) -> None:
        """Raises `ForbiddenError` where a user's token has not this scope, `read` or `write`."""
        allowed = self.user is None or (
            self.user.may_read if scope == "read" else self.user.may_write
        )
        if not allowed:
            raise ForbiddenError(f"the token has not the scope {scope}", scope)

    def require_sender(self, sender: str | None) -> None:
        """Raises `ForbiddenError` where the message is, or would be, another's than the user's."""
        if self.user and sender != self.user.name:
            raise ForbiddenError("users write, edit and delete messages of their own only")

    def require_reader(self, user: str) -> None:
        """Raises `ForbiddenError` where a read marker is another's than the user's."""
        if self.user and user != self.user.name:
            raise ForbiddenError("users have to do with the read marker of their own only")

    def own(self, mark: IdempotencyMark | None) -> IdempotencyMark | None:
        """The mark of a request: each user has marks of its own."""
        return msgspec.structs.replace(mark, user=self.user.name) if mark and self.user else mark

    def _require_chat(self, chat: int | None) -> None:
        chats = self.user.chats if self.user else None
        if chats is not None and chat not in chats:
            where = "this, but only single chats" if chat is None else "this chat"
            raise ForbiddenError(f"the token does not open {where}")
