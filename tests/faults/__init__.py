"""Faults on the real stack under load: `make faults`."""
