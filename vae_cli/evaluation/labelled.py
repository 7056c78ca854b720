"""Codes and labels of the examples whose labels are known."""

import numpy as np

from vae_cli.evaluation.codes import Codes
from vae_cli.evaluation.report import NotApplicable
from vae_cli.metrics.probes import Labelled


def labelled(codes: Codes) -> Labelled:
    """The means of all latent variables side by side; NotApplicable where no label is known."""
    known = None if codes.labels is None else np.flatnonzero(codes.labels >= 0)
    if codes.labels is None or known is None or not len(known):
        raise NotApplicable("the data has no labels")
    return Labelled(codes.means[known], codes.labels[known])
