"""Everything that runs Ordinal somewhere: on one machine, and in the cloud."""
