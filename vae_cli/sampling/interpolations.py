"""From one example to another."""

from dataclasses import dataclass

import torch
from omegaconf import DictConfig
from torch import Tensor

from vae_cli.callbacks.sheet import Sheet
from vae_cli.evaluation.settings import at_least, settings_of
from vae_cli.inference.means import posterior_means
from vae_cli.sampling.request import Request
from vae_cli.sampling.result import Result
from vae_cli.types import Batch

_USUAL = 8


@dataclass(frozen=True)
class Settings:
    """Of `what=interpolations`."""

    steps: int

    def __post_init__(self) -> None:
        at_least(2, "interpolations", steps=self.steps)


def interpolations(request: Request, settings: DictConfig) -> Result:
    """On straight lines between posterior means, and between conditions; the ends are reconstructions."""
    chosen = settings_of(Settings, settings, "interpolations")
    request.need_latents("interpolations")
    pairs = request.num(min(_USUAL, request.subject.num_examples // 2))
    both = request.examples(2 * pairs)
    first, second = both.part(slice(0, pairs)), both.part(slice(pairs, None))
    share = torch.linspace(0, 1, chosen.steps, device=both.x.device)
    model = request.run.model
    ends = [posterior_means(model, batch) for batch in (first, second)]
    z = {name: _between(ends[0][name][0], ends[1][name][0], share) for name in ends[0]}  # [T, pairs, *Z]
    means = [
        _decoded(request, {name: one[step] for name, one in z.items()}, (first, second), share[step])
        for step in range(chosen.steps)
    ]
    mean = torch.stack(means, 1)  # [pairs, T, *X]
    index = {name: batch.index for name, batch in (("first", first), ("second", second)) if batch.index is not None}
    arrays = {"mean": mean, **{name: one.transpose(0, 1) for name, one in z.items()}, **index}
    frames = [Sheet(one, pairs) for one in means]
    told = f"{pairs} pairs of examples of the {request.subject.split} split"
    shown = torch.cat([first.x[:, None], mean, second.x[:, None]], 1)  # [pairs, x and T and x, *X]
    titles = ["x", *[f"{one:.2f}" for one in share.tolist()], "x'"]
    title = "from the example x to the example x': means of p(x | z) on the line between their posterior means"
    return Result(told, arrays, Sheet(shown.flatten(0, 1), len(titles), (), titles, title), frames)


def _between(start: Tensor, end: Tensor, share: Tensor) -> Tensor:
    """[T, *start.shape]."""
    return torch.lerp(start, end, share.view(-1, *[1] * start.ndim))


def _decoded(request: Request, z: dict[str, Tensor], ends: tuple[Batch, Batch], share: Tensor) -> Tensor:
    """[pairs, *X]; what is given of x is interpolated too."""
    first, second = ends
    c = None if first.c is None or second.c is None else torch.lerp(first.c, second.c, share)
    with torch.no_grad():
        mean = request.run.model.decode({name: one[None] for name, one in z.items()}, c).mean[0]
    return first._replace(x=torch.lerp(first.x, second.x, share)).completed(mean)
