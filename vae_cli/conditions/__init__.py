"""Conditions: what c is."""
