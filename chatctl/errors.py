"""What ends a command. `chatctl.main` prints the message, and the exit code is 1.

OperatorError                  of `chalicelib.operators`: the base
 └─ ChatctlError               the base of chatctl's own errors: a sentence for the operator
     ├─ ConfigError            an address, a key or a file of the configuration is missing or broken
     ├─ BrokenLineError        a line of a file cannot be imported
     ├─ MismatchError          a chat does not hold what its source has
     ├─ GaveUpError            no request succeeded before the retry budget was used up
     └─ StoppedError           another thread of the same run ended the run, or the operator did

`chatctl.main` also prints the `OrdinalError` of the client and of `chalicelib.domain.errors`.
"""

from chalicelib.operators.errors import OperatorError


class ChatctlError(OperatorError):
    """A command cannot go on, for the reason that is its message."""


class ConfigError(ChatctlError):
    """An address, a key or a file of the configuration is missing or broken."""


class BrokenLineError(ChatctlError):
    """A line of a file cannot be imported."""


class MismatchError(ChatctlError):
    """A chat does not hold what its source has. More messages would mix two things."""


class GaveUpError(ChatctlError):
    """No request succeeded before the retry budget was used up."""


class StoppedError(ChatctlError):
    """Another thread of the same run ended the run, or the operator did."""
