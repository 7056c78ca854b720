"""Encoder and decoder as programs of torch.export, which run where torch is and nothing of ours.

Shape legend: N examples, Z latent event, X data event.
"""

import io
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from traceback import walk_tb

from torch import Tensor, nn
from torch.export import Dim, ExportedProgram, export
from torch.utils._pytree import tree_map

from vae_cli.distributions.parameters import parameters_of, posterior_of
from vae_cli.errors import ConfigError
from vae_cli.noise import still
from vae_cli.types import Batch, Head, Model, Network, Prior


class Encoder(nn.Module):
    """X [N, *X], c [N, *C] -> the parameters of every posterior, `<name>_mean` [N, *Z] and more.

    A latent variable below another is given the mean of that one.
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, c: Tensor | None = None) -> dict[str, Tensor]:
        """By names, which are those of `vae-encode`."""
        with still():
            sites = self.model(Batch(x, c=c)).sites
        return {f"{name}_{key}": value for name, site in sites.items() for key, value in posterior_of(site).items()}


class Decoder(nn.Module):
    """Z [N, *Z], or of several latent variables a dict of them; c [N, *C] -> parameters of p(x | z), `mean` [N, *X]."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, z: Tensor | dict[str, Tensor], c: Tensor | None = None) -> dict[str, Tensor]:
        """By names."""
        values = z if isinstance(z, dict) else {self.model.latents[0]: z}
        px = self.model.decode({name: value.unsqueeze(0) for name, value in values.items()}, c)
        return {name: value[0] for name, value in {"mean": px.mean, **parameters_of(px)}.items()}


Inputs = Mapping[str, Tensor | Mapping[str, Tensor]]  # by argument; of several latent variables, by their names


def program(part: nn.Module, example: Inputs) -> ExportedProgram:
    """What `part` makes of any number of examples.

    It is traced twice: the first pass also computes what the outputs do not need (an encoder's pass decodes), and the
    second has neither that nor its weights.

    Args:
        example: inputs by name, with 2 examples or more; the file keeps them.

    Raises:
        ConfigError: where torch.export cannot follow a part; it names the part.

    """
    inputs = tuple(example.values())
    shapes = tree_map(lambda _: {0: Dim("examples", min=1)}, dict(example))
    try:
        with _quiet():
            traced = export(part, inputs, dynamic_shapes=shapes).module()
    except Exception as error:  # torch.export raises errors of every type for code that it cannot follow
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ConfigError(f"{_named(error, part)} cannot be exported: {reason}") from error
    traced.graph.eliminate_dead_code()
    traced.delete_all_unused_submodules()
    for node in traced.graph.nodes:
        node.meta.pop("stack_trace", None)  # places on this machine
    traced.recompile()
    return export(traced, inputs, dynamic_shapes=shapes)


@contextmanager
def _quiet() -> Iterator[None]:
    """Where it fails, torch.export logs and prints what it had traced: pages, for whoever works on it."""
    before = logging.root.manager.disable
    logging.disable()
    try:
        with redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(before)


def _named(error: BaseException, part: nn.Module) -> str:
    """The innermost part of the model in which it was raised, by its name there and its class."""
    owners = [frame.f_locals.get("self") for frame, _ in walk_tb(error.__traceback__)]
    inner = [owner for owner in owners if isinstance(owner, Network | Head | Prior)]
    names = {module: name.removeprefix("model.") for name, module in part.named_modules()}
    return f"{names[inner[-1]]} ({type(inner[-1]).__name__})" if inner else f"the {type(part).__name__.lower()}"
