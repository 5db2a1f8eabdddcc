"""Give the leases of quiet counters back, so that Redis holds what is active and not what ever was.

Nothing is skipped: MySQL takes the ceiling down to the last number given, and the next lease begins there.
"""

from itertools import islice

from chalicelib.usecases.leases import close_lease
from chalicelib.usecases.ports import World
from chalicelib.usecases.token_pages import token_pages

# The first write to a quiet chat costs two round trips to MySQL; who writes once an hour does not notice.
QUIET_MS = 3_600_000
_MOST_A_RUN = 2_000


def close_leases(world: World, quiet_ms: int = QUIET_MS) -> int:
    """How many leases were given back. At most 2,000 a run; the rest comes with the next ones."""
    closed = 0
    for tokens in token_pages(world.store.list_tokens):
        quiet = world.ledger.quiet(tokens, quiet_ms, _MOST_A_RUN - closed)
        for counter in islice(quiet, _MOST_A_RUN - closed):
            if closing := world.ledger.start_closing(counter, quiet_ms):
                close_lease(world, counter, closing)
                closed += 1
        if closed >= _MOST_A_RUN:
            break
    return closed
