"""Gradients that reach some parameters of a model and not the others.

phi are the parameters of the parts that q(z | x) is made of (`Model.inference_parts`), theta all others.
"""

from collections.abc import Callable
from typing import TypeVar

from torch import nn
from torch.func import functional_call

from vae_cli.types import Model

T = TypeVar("T")


def with_inference_fixed(model: Model, compute: Callable[[Model], T]) -> T:
    """What `compute` makes of the model while phi are constants."""
    return _with_fixed(model, _inference(model), compute)


def with_generation_fixed(model: Model, compute: Callable[[Model], T]) -> T:
    """What `compute` makes of the model while theta are constants."""
    return _with_fixed(model, {name for name, _ in model.named_parameters()} - _inference(model), compute)


def _inference(model: Model) -> set[str]:
    """Names of phi."""
    phi = {parameter for part in model.inference_parts() for parameter in part.parameters()}
    return {name for name, parameter in model.named_parameters() if parameter in phi}


def _with_fixed(model: Model, names: set[str], compute: Callable[[Model], T]) -> T:
    constants = {f"model.{name}": value.detach() for name, value in model.named_parameters() if name in names}
    return functional_call(_Computed(model), constants, (compute,))


class _Computed(nn.Module):
    """A function of a model as a module: all that it asks of the model sees the parameters of `functional_call`."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, compute: Callable[[Model], T]) -> T:
        return compute(self.model)
