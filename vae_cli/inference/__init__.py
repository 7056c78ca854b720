"""Algorithms over a trained model."""
