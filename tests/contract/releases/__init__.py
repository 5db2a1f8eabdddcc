"""What each release wrote to its tables, queues and keys, recorded. Tests run upgrades on it."""
