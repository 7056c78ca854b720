"""Trained models as files that need this package no more."""
