"""What an export holds, for somebody who has nothing else."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from vae_cli import __version__
from vae_cli.data.described import in_words
from vae_cli.distributions.parameters import formula_of
from vae_cli.exporting.files import DECODER, ENCODER, WEIGHTS
from vae_cli.exporting.programs import Inputs
from vae_cli.loading import Run
from vae_cli.types import Levels, Site, Support, Trace

Shapes = Mapping[str, Mapping[str, list[int | str]]]  # inputs and outputs, by name

_ABOUT = (
    "A variational autoencoder that was trained with vae-train. Encoder and decoder are programs of torch.export in "
    f"float32, for any number of examples: torch.export.load('{ENCODER}').module()(x). Inputs are given in this order."
)


def record(run: Run, trace: Trace, encoder: Shapes, decoder: Shapes) -> dict[str, Any]:
    """As plain data.

    Args:
        trace: of some examples.

    """
    return {
        "about": _ABOUT,
        "version": __version__,
        "torch": torch.__version__,
        "weights": run.weights.title,
        "step": run.weights.step,
        "choices": run.directory.read_plain_config()[1]["choices"],
        "x": {
            "shape": list(run.data.shape),
            "values": _values(run.data.support),
            "binarize": run.config.dataset.binarize,
        },
        "c": run.condition.words,
        "latents": {name: f"q({name} | x{_given(site)}): {formula_of(site.q)}" for name, site in trace.sites.items()},
        "likelihood": f"p(x | z): {formula_of(trace.px)}",
        ENCODER: encoder,
        DECODER: decoder,
        WEIGHTS: "all weights of the model, by their names in its state",
    }


def _given(site: Site) -> str:
    """What else the posterior depends on: with a batch shape of draws, on latent variables that were drawn before."""
    return ", those before it at their means" if len(site.q.batch_shape) > 1 else ""


def shapes(inputs: Inputs, outputs: Mapping[str, Tensor]) -> Shapes:
    """Of what goes into a program and comes out, their first axis `examples`; `z.z1` is entry z1 of argument z."""
    return {
        title: {name: ["examples", *value.shape[1:]] for name, value in _flat(tensors)}
        for title, tensors in (("inputs", inputs), ("outputs", outputs))
    }


def _flat(tensors: Inputs) -> Iterator[tuple[str, Tensor]]:
    for name, value in tensors.items():
        if isinstance(value, Tensor):
            yield name, value
        else:
            yield from ((f"{name}.{inner}", tensor) for inner, tensor in value.items())


def _values(support: Support) -> str:
    scale = f", level / {support.count - 1}" if isinstance(support, Levels) else ""
    return f"{in_words(support)}{scale}"
