"""Optimisers that torch does not have."""

from collections.abc import Callable
from typing import Any

import torch

_LEAST = 1e-7  # added to norms, as theirs


class AdamNormGrad(torch.optim.Adam):
    """Adam on gradients of length 1: each parameter's, a matrix or a bias, is divided by its norm.

    From the code of Tomczak & Welling (2018), after Yu et al. (2017). Gradients stay as divided.
    """

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Adam's step."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        parameters = (parameter for group in self.param_groups for parameter in group["params"])
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        for gradient in gradients:
            gradient.div_(gradient.norm() + _LEAST)
        super().step()
        return loss
