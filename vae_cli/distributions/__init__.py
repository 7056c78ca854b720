"""Densities without parameters of their own. Importing the package registers the KL pairs that torch lacks."""

from vae_cli.distributions import kl as kl
