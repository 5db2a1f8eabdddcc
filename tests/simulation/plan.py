"""What happens in one run: a list of steps, made from a seed, of which any may be left out."""

import random

import msgspec

# How often each kind of step comes, in relation to the others.
_ORDINARY = {
    "chat": 2,
    "post": 14,
    "crowd": 4,
    "edit": 10,
    "delete": 5,
    "edit_chat": 2,
    "delete_chat": 1,
    "read": 8,
    "work": 28,
    "minute": 4,
    "close": 3,
    "seconds": 2,
    "late": 0.5,
    "inbox": 4,
    "mark": 3,
    "rotate": 3,
}
_FAULTS = {"kill": 4, "pause": 4, "fail": 6, "ambush": 10, "search_away": 1}
_LOSSES = {"wipe": 2, "restart": 1, "fail_over": 2, "split": 1, "heal": 2}
# Where the store keeps all writes these lose nothing.
_KEPT = {"restart": 2, "fail_over": 2}
_LEAST_STEPS, _MOST_STEPS = 30, 120
_MOST_GAP = 24
# Of the others each run leaves some out, so that those that are left meet more often ("swarm testing":
# https://doi.org/10.1145/2338965.2336763).
_IN_ALL = {"chat", "post", "work"}
_LEFT_OUT = 0.4
# Every third run is of little else than leases that are begun and closed, keys that are replaced, or chats
# that are deleted: what goes wrong there takes three or four rare things in a row.
_LEASES = {"post": 4, "crowd": 8, "close": 3, "seconds": 4, "work": 6, "ambush_lease": 10}
_KEYS = {"post": 4, "crowd": 8, "rotate": 8, "seconds": 2, "read": 4, "ambush_keys": 10}
_DELETIONS = {"chat": 3, "post": 6, "edit": 2, "work": 12, "minute": 4, "delete_chat": 6} | {
    "search_away": 4,
    "late": 4,
}
_OF_ONE_THING = (_LEASES, _KEYS, _DELETIONS)
# In every third run somebody follows chats: a step for so many others.
_FOLLOW_ONE_IN = 3
# In every seventh run the application is deleted while all goes on.
_DELETED_IN = 7


class Step(msgspec.Struct, frozen=True):
    """One thing that is done to the simulated world; `who`, `which` and `size` are read by its kind.

    After it, `gap` slices of the processes run, chosen by `salt`: each step has chance of its own, so
    that the others go on alike where one is left out.
    """

    kind: str
    who: int
    which: int
    size: int
    gap: int
    salt: int


def plan_of(seed: int) -> list[Step]:
    """Odd seeds lose memory, even ones do not; of these, every other has a store that keeps all writes."""
    chance = random.Random(seed)
    losses = _KEPT if seed % 4 == 2 else _LOSSES if seed % 2 else {}
    weights: dict[str, float]
    if seed % 3 == 2:
        weights = {**_OF_ONE_THING[seed // 3 % len(_OF_ONE_THING)], **losses}
    else:
        weights = {
            kind: weight
            for kind, weight in (_ORDINARY | _FAULTS | losses).items()
            if kind in _IN_ALL or chance.random() >= _LEFT_OUT
        }
    length = chance.randint(_LEAST_STEPS, _MOST_STEPS)
    first = ["keep_writes"] if losses is _KEPT else []
    kinds = [
        *first,
        "chat",
        "chat",
        *chance.choices(list(weights), list(weights.values()), k=length),
    ]
    steps = [_step(kind, chance) for kind in kinds]
    if seed % _DELETED_IN == 0:
        steps.insert(chance.randrange(len(steps)), _step("delete_application", chance))
    if seed % 3 == 0:
        for _ in range(length // _FOLLOW_ONE_IN):
            steps.insert(chance.randrange(len(steps)), _step("follow", chance))
    return steps


def _step(kind: str, chance: random.Random) -> Step:
    return Step(
        kind,
        chance.randrange(1000),
        chance.randrange(1000),
        chance.choice((1, 1, 1, 2, 4, 12)),
        chance.randrange(_MOST_GAP),
        chance.getrandbits(32),
    )
