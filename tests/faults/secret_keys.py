"""The secret keys of the application under load, the newest last."""

from threading import Lock

from tests.promises.history import Span


class SecretKeys:
    """Each replaces the one before at once. Safe to use from many threads."""

    def __init__(self, first: str) -> None:
        self._keys = [first]
        self._spans: list[Span] = []
        self._is_replacing = False
        self._lock = Lock()

    @property
    def newest(self) -> str:
        with self._lock:
            return self._keys[-1]

    @property
    def count(self) -> int:
        """How many there have been."""
        with self._lock:
            return len(self._keys)

    def an_old_one(self) -> tuple[str, tuple[Span, ...]] | None:
        """The key before the newest, and when that was replaced."""
        with self._lock:
            return (self._keys[-2], (self._spans[-1],)) if self._spans else None

    def replacing(self) -> None:
        """A request for the next key is about to be sent."""
        with self._lock:
            self._is_replacing = True

    def replaced(self, key: str, span: Span) -> None:
        """It was answered with this key."""
        with self._lock:
            self._keys.append(key)
            self._spans.append(span)
            self._is_replacing = False

    def may_be_refused(self, began: int) -> bool:
        """Whether a key may have been replaced since the position `began`."""
        with self._lock:
            return self._is_replacing or any(span.ended >= began for span in self._spans)
