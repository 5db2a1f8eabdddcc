"""What ends a command. click prints the message and exits with code 1.

`cli` shows an `OrdinalError` of the client in the same way.

ChatctlError              the base: a sentence for the operator
 ├─ BrokenLineError       a line of a file cannot be imported
 ├─ MismatchError         a chat does not hold what its source says
 ├─ GaveUpError           no request got through before the retry budget was used up
 └─ StoppedError          another part of the same run ended it
"""

import click


class ChatctlError(click.ClickException):
    """A command cannot go on, for the reason that is its message."""


class BrokenLineError(ChatctlError):
    """A line of a file cannot be imported."""


class MismatchError(ChatctlError):
    """A chat does not hold what its source says, so that going on would mix two things."""


class GaveUpError(ChatctlError):
    """No request got through before the retry budget was used up."""


class StoppedError(ChatctlError):
    """Another part of the same run ended it, or the operator did."""
