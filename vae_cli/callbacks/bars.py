"""The KL of every latent dimension as bars, the largest first."""

from collections.abc import Mapping

import numpy as np
import torch
from matplotlib.axes import Axes
from torch import Tensor

from vae_cli.canvas import own_style, panels, pixels

_INCHES = (6.4, 2.6)  # of the bars of one latent variable
_MOST_NAMED = 50  # dimensions; of more the bars alone


def kl_bars(kls: Mapping[str, Tensor], examples: int) -> Tensor:
    """By latent variable, KL [Z] in nats, averaged over examples -> the picture, [3, H, W], uint8."""
    with own_style():
        title = f"KL(q(z | x) || p(z)) of each dimension, over {examples} validation examples"
        figure, axes = panels(len(kls), 1, _INCHES, title)
        for one, (name, kl) in zip(axes, kls.items(), strict=True):
            _draw(one, name, kl.cpu().numpy())
        return torch.from_numpy(pixels(figure)).permute(2, 0, 1)


def _draw(axes: Axes, name: str, kl: np.ndarray) -> None:
    order = np.argsort(-kl, kind="stable")
    places = np.arange(len(kl))
    axes.bar(places, kl[order], width=0.8, color=(0.12, 0.47, 0.71, 1.0))
    axes.set_ylabel("nats")
    axes.set_xlabel(f"dimension of {name}, {kl.sum():.2f} nats together")
    small = len(kl) > _MOST_NAMED // 2
    named = places if len(kl) <= _MOST_NAMED else places[:0]
    axes.set_xticks(named, [str(i) for i in order[: len(named)]], fontsize=6 if small else 8)
