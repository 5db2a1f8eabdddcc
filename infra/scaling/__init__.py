"""What a stage costs, and what is its first bottleneck, at different rates: `python -m infra.scaling`."""
