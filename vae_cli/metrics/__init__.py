"""Figures of arrays."""
