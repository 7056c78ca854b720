"""Figures of arrays: what codes say of known factors and labels, and what a mixture of posteriors is like."""
