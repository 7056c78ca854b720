"""Priors: (c, infer) -> Distribution."""
