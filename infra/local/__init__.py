"""The whole stack on one machine, without Docker and without root.

Standard library only: this package runs before any virtual environment exists. What needs more
runs in an environment of its own under `var/tools/` (or in `.venv/`) as a separate process.
"""
