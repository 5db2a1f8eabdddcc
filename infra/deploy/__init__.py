"""Deploying Ordinal to LocalStack: queues, tables, mapping, functions, and the checks after it.

One piece of code for the stack without Docker (`infra/local`) and for the compose file. All it
needs comes from the environment; see `settings.py`.
"""
