"""Codes of examples, written as named arrays."""
