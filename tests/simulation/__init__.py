"""The whole protocol on one thread: real use cases, real Redis scripts, and one seed for every choice."""
