"""The whole stack on one machine, without Docker and without root.

It uses only the standard library, since it runs before any environment exists. Programs that need more run
as separate processes, in `.venv/` or in an environment under `var/tools/`.
"""
