"""vae-train: train, log and resume variational autoencoders from the command line."""

__version__ = "0.1.0"
