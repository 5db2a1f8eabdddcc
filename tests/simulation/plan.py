"""The plan of one run: a list of steps, made from a seed. Any step may be left out."""

import random

import msgspec

# How often each kind of step occurs, relative to the others.
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
    "release": 3,
    "seconds": 2,
    "late": 0.5,
    "inbox": 4,
    "mark_read": 3,
    "rotate": 3,
}
_FAULTS = {"kill": 4, "pause": 4, "fail": 6, "ambush": 10, "search_down": 1}
_LOSSES = {"wipe": 2, "restart": 1, "fail_over": 2, "split": 1, "heal": 2}
# These lose nothing if Redis is durable.
_WITHOUT_LOSS = {"restart": 2, "fail_over": 2}
_LEAST_STEPS, _MOST_STEPS = 30, 120
_MOST_GAP = 24
# Each run leaves out some of the other kinds, so that the remaining kinds meet more often
# ("swarm testing": https://doi.org/10.1145/2338965.2336763).
_IN_ALL = {"chat", "post", "work"}
_LEFT_OUT_SHARE = 0.4
# Every third run has one theme: leases, keys, or deletions. A violation there takes three or four rare
# events in a row.
_LEASES = {"post": 4, "crowd": 8, "release": 3, "seconds": 4, "work": 6, "ambush_lease": 10}
_KEYS = {"post": 4, "crowd": 8, "rotate": 8, "seconds": 2, "read": 4, "ambush_keys": 10}
_DELETIONS = {"chat": 3, "post": 6, "edit": 2, "work": 12, "minute": 4, "delete_chat": 6} | {
    "search_down": 4,
    "late": 4,
}
_THEMES = (_LEASES, _KEYS, _DELETIONS)
# In every twelfth run nothing fails. These runs have no theme and lose nothing.
_FAULTLESS_ONE_IN, _FAULTLESS_REST = 12, 4
# In every third run clients follow change feeds. One step in so many is a "follow".
_FOLLOW_ONE_IN = 3
# In runs that lose nothing, clients also read and edit slowly. One step in so many is such a step.
_SLOW_ONE_IN = 4
# Every seventh run deletes the application in the middle.
_DELETED_ONE_IN = 7


class Step(msgspec.Struct, frozen=True):
    """One event of a run. Each kind reads `who`, `which` and `size` in its own way.

    After the step, `gap` slices of the processes run. `salt` seeds the choice of the processes: each step
    has a random generator of its own, so the other steps stay the same if one is left out.
    """

    kind: str
    who: int
    which: int
    size: int
    gap: int
    salt: int


def plan_of(seed: int) -> list[Step]:
    """Odd seeds lose data of Redis, even seeds do not. Every other even seed has a durable Redis.

    In every twelfth seed nothing fails, so that nothing may be refused.
    """
    chance = random.Random(seed)
    losses = _WITHOUT_LOSS if seed % 4 == 2 else _LOSSES if seed % 2 else {}
    is_faultless = seed % _FAULTLESS_ONE_IN == _FAULTLESS_REST
    faults = {} if is_faultless else _FAULTS
    weights: dict[str, float]
    if seed % 3 == 2:
        weights = {**_THEMES[seed // 3 % len(_THEMES)], **losses}
    else:
        weights = {
            kind: weight
            for kind, weight in (_ORDINARY | faults | losses).items()
            if kind in _IN_ALL or chance.random() >= _LEFT_OUT_SHARE
        }
    length = chance.randint(_LEAST_STEPS, _MOST_STEPS)
    first = ["make_durable"] if losses is _WITHOUT_LOSS else []
    if is_faultless:
        first = ["be_faultless"]
    kinds = [
        *first,
        "chat",
        "chat",
        *chance.choices(list(weights), list(weights.values()), k=length),
    ]
    steps = [_step(kind, chance) for kind in kinds]
    if seed % _DELETED_ONE_IN == 0:
        steps.insert(chance.randrange(len(steps)), _step("delete_application", chance))
    if seed % 3 == 0:
        for _ in range(length // _FOLLOW_ONE_IN):
            steps.insert(chance.randrange(len(steps)), _step("follow", chance))
    if seed % 2 == 0:
        for kind in ("slow_read", "slow_edit"):
            for _ in range(length // _SLOW_ONE_IN):
                steps.insert(chance.randrange(len(steps)), _step(kind, chance))
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
