"""Made-up chat lines: words of a fixed vocabulary, frequent ones more often, as in real text."""

import random
from collections.abc import Iterator

WORDS = 20_000
_SYLLABLES = ("ba", "con", "der", "fi", "gru", "hal", "in", "kor", "lu", "mes", "no", "per", "qua")


def lines(seed: int) -> Iterator[str]:
    """Lines of 3 to 20 words, without end; the same for the same seed."""
    chance = random.Random(seed)
    words = vocabulary()
    while True:
        count = chance.randint(3, 20)
        # The share of a word falls with its rank (Zipf's law).
        yield " ".join(words[int(WORDS ** chance.random()) - 1] for _ in range(count))


def vocabulary() -> list[str]:
    """All words, the most frequent one first."""
    chance = random.Random(0)
    return [
        "".join(chance.choices(_SYLLABLES, k=1 + rank % 4)) + str(rank) for rank in range(WORDS)
    ]
