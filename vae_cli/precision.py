"""Mixed precision inside networks, float32 everywhere else.

Lightning's autocast spans the whole step, and under it even `x @ W` of float32 tensors is bf16: densities, KL and
objectives would lose their last digits. Here each network runs under autocast and hands on float32.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from pytorch_lightning.plugins.precision import MixedPrecision, Precision
from pytorch_lightning.utilities import GradClipAlgorithmType
from torch import Tensor, nn

from vae_cli.types import Network


def set_float32_precision(name: str) -> None:
    """Of products of float32 matrices, and of convolutions, which torch by itself computes in TF32 wherever it can.

    Args:
        name: `highest`, or `high` or `medium`, which are faster where the hardware has TF32 or bfloat16.
    """
    torch.set_float32_matmul_precision(name)
    torch.backends.cudnn.allow_tf32 = name != "highest"


class MixedInNetworks(MixedPrecision):
    """`16-mixed` or `bf16-mixed`, for networks alone."""

    _converted = False

    def clip_gradients(
        self,
        optimizer: torch.optim.Optimizer,
        clip_val: int | float = 0.0,
        gradient_clip_algorithm: GradClipAlgorithmType = GradClipAlgorithmType.NORM,
    ) -> None:
        """Lightning refuses to clip for fused optimisers, which is right only where gradients are scaled."""
        clip = Precision.clip_gradients if self.scaler is None else MixedPrecision.clip_gradients
        clip(self, optimizer, clip_val, gradient_clip_algorithm)

    def convert_module(self, module: nn.Module) -> nn.Module:
        """Wrap the forward of every network in place, once; the keys of its state stay."""
        if self._converted:  # for training; testing asks again
            return module
        self._converted = True
        lower_networks(module, self.device, torch.bfloat16 if self.precision == "bf16-mixed" else torch.float16)
        return module

    @contextmanager
    def forward_context(self) -> Iterator[None]:
        """Nothing around the step as a whole."""
        yield


def lower_networks(module: nn.Module, device: str, dtype: torch.dtype) -> None:
    """Wrap the forward of every network in place: autocast inside, float32 outside; the keys of the state stay."""
    for part in module.modules():
        if isinstance(part, Network):
            _lower_inside(part, device, dtype)


def _lower_inside(network: Network, device: str, dtype: torch.dtype) -> None:
    forward: Any = network.forward

    def lowered(h: Tensor, c: Tensor | None = None) -> Tensor:
        with torch.autocast(device, dtype):
            return forward(h, c).float()

    network.forward = lowered
