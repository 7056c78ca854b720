"""Data sets: files -> splits on the training device -> batches by index."""
