"""The deployment of Ordinal: stacks, functions, migration, and the checks after it.

The same code deploys to AWS, to the stack without Docker (`infra/local`) and to the compose file. It reads
its settings from the environment (`settings.py`).
"""
