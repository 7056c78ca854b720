"""Structures: how latent variables hang together; batch -> Trace."""
