"""A model of what a stage costs at different rates, and of the limit that it reaches first.

`python -m docs.cost_model` prints the tables of `docs/scaling.md`.
"""
