"""Objectives: model and batch -> named scalars in nats per example."""
