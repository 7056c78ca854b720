"""Data sets: files -> splits, on the training device or left on disk -> batches by index."""
