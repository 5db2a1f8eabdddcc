"""The checker of the promises: it compares what clients saw with what is stored."""
