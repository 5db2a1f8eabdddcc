"""What ends a command. click prints the message and exits with code 1.

ChatctlError              the base: a sentence for the operator
 ├─ BrokenLineError       a line of a file cannot be imported
 ├─ MismatchError         a chat does not hold what its source says
 ├─ RefusedError          the API refused a request for good
 ├─ GaveUpError           no request came through for longer than patience lasts
 └─ StoppedError          another part of the same run ended it
"""

import click


class ChatctlError(click.ClickException):
    """A command cannot go on, for the reason that is its message."""


class BrokenLineError(ChatctlError):
    """A line of a file cannot be imported."""


class MismatchError(ChatctlError):
    """A chat does not hold what its source says, so that going on would mix two things."""


class RefusedError(ChatctlError):
    """The API refused a request for good. `status` is that of its answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status

    @property
    def concerns_all(self) -> bool:
        """Whether any other request with this credential would be refused too."""
        return self.status in (401, 403)


class GaveUpError(ChatctlError):
    """No request came through for longer than patience lasts."""


class StoppedError(ChatctlError):
    """Another part of the same run ended it, or the operator did."""
