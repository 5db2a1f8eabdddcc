"""The whole protocol on one thread: the real use cases and the real Redis scripts, every step decided
by a seed. `python -m tests.simulation --seeds 10000` runs it."""
