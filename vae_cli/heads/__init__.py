"""Heads: features -> Distribution. Likelihoods and posteriors."""

import vae_cli.distributions as distributions  # registers the divergences that the posteriors need
