"""What each release said to its tables and put on its queues, recorded: upgrades are held to it."""
