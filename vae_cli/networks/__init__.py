"""Networks: (in, out, condition, **config) -> features to features."""
