"""Under which tags TensorBoard shows what a run leaves. It sorts them by name, opens the first, and chooses by them.

- TIME SERIES and SCALARS open their first groups: `test`, `train` and `val` come before `via_vae-eval` and `visual`.
- HPARAMS ticks its first five figures, and PARALLEL COORDINATES draws the runs that have all of them: `test/` begins
  with what every run has, `elbo`, `kl`, `loss`, `reconstruction` and `steps`; the rest is below `test/terms/`.

In `metrics.json` and `vae-runs` figures keep their plain names.
"""

from collections.abc import Mapping

_OF_EVERY_RUN = ("elbo", "kl", "loss", "reconstruction")  # but an autoencoder, which has no bound


def of_figures(figures: Mapping[str, float]) -> dict[str, float]:
    """Figures of a validation or test by name (`test/iwae_50`), by tag."""
    return {_of_figure(name): value for name, value in figures.items()}


def _of_figure(name: str) -> str:
    split, _, term = name.partition("/")
    return f"test/terms/{term}" if split == "test" and term not in _OF_EVERY_RUN else name


STEPS_TESTED = "test/steps"  # optimiser steps of the whole run, whichever weights were tested


def of_finding(group: str, name: str) -> str:
    """Of what `vae-eval` found."""
    return f"via_vae-eval/{group}/{name}"


def of_picture(name: str) -> str:
    """Of a picture."""
    return f"visual/{name}"
