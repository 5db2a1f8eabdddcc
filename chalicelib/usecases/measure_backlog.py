"""Measure what waits: how old the oldest pending state is, and how many dead letters there are."""

from chalicelib.domain.metrics import DEAD_LETTERS, PENDING_AGE
from chalicelib.usecases.ports import World
from chalicelib.usecases.token_pages import token_pages


def measure_pending(world: World) -> int:
    """Milliseconds since the oldest pending state of all applications was accepted; 0 without any."""
    now = world.clock.now_ms()
    found = [world.ledger.oldest_pending(tokens) for tokens in token_pages(world.store.list_tokens)]
    age = max((now - at for at in found if at is not None), default=0)
    world.meter.measure(PENDING_AGE, age)
    return age


def measure_dead_letters(world: World) -> int:
    """How many records are in the dead-letter queues."""
    depths = world.queues.dead_letters()
    for queue, depth in depths.items():
        world.meter.measure(DEAD_LETTERS, depth, of=queue)
    return sum(depths.values())
