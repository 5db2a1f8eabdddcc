"""Faults on the running stack under load. `make faults` runs this program."""
