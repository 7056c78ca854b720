"""Heads: features -> Distribution. Likelihoods and posteriors."""

import vae_cli.distributions  # noqa: F401 (registers the divergences that the posteriors need)
