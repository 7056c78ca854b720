"""Examples of which a part is hidden, and what the model puts there."""

from dataclasses import dataclass

import torch
from omegaconf import DictConfig
from torch import Size, Tensor

from vae_cli.callbacks.grid import is_image
from vae_cli.callbacks.sheet import Sheet
from vae_cli.errors import ConfigError
from vae_cli.evaluation.settings import at_least, settings_of
from vae_cli.inference.impute import Imputing, imputed
from vae_cli.noise import stream
from vae_cli.sampling.request import Request
from vae_cli.sampling.result import Result
from vae_cli.types import Batch

_USUAL = 8
_PARTS = ("bottom", "top", "left", "right", "random")


@dataclass(frozen=True)
class Settings:
    """Of `what=impute`."""

    missing: str
    fraction: float
    steps: int
    chains: int

    def __post_init__(self) -> None:
        if self.missing not in _PARTS:
            raise ConfigError(f"impute.missing={self.missing}: choose one of {', '.join(_PARTS)}")
        if not (0 < self.fraction < 1):
            raise ConfigError(f"impute.fraction={self.fraction}: a number between 0 and 1")
        at_least(1, "impute", chains=self.chains)


def impute(request: Request, settings: DictConfig) -> Result:
    """Several draws of what is missing for every example, each the end of a chain of its own."""
    chosen = settings_of(Settings, settings, "impute")
    how, subject = Imputing(chosen.steps), request.subject
    if not subject.bounds:
        raise ConfigError("what=impute needs p(x), and an autoencoder has none")
    request.need_latents("impute")
    if request.run.reads == "x":
        raise ConfigError(
            "what=impute: this model was trained with part of x given (condition): what=samples completes x"
        )
    batch = request.examples(request.num(min(_USUAL, subject.num_examples)))
    with stream(subject.device, subject.seed, "impute"):
        observed = _observed(batch.x, chosen)
        found = imputed(subject.model, _repeated(batch, chosen.chains), _repeat(observed, chosen.chains), how)
    draws, shown = (_by_example(values, chosen.chains) for values in (found.draw, found.mean_at_draw))
    mean = _by_example(found.mean, chosen.chains).mean(1)
    arrays = {"x": batch.x, "observed": observed.bool(), "draws": draws, "mean": mean}
    hidden = torch.where(observed.bool(), batch.x, 0.5)
    rows = torch.cat([batch.x[:, None], hidden[:, None], shown, mean[:, None]], 1)  # [B, columns, *X]
    titles = ["x", "given", *[f"draw {1 + chain}" for chain in range(chosen.chains)], "mean"]
    told = (
        f"{chosen.fraction:.0%} missing ({chosen.missing}) of {len(batch.x)} examples, {chosen.chains} draws each; "
        f"acceptance {float(found.acceptance.mean()):.2f}"
    )
    return Result(told, arrays, Sheet(rows.flatten(0, 1), len(titles), (), titles))


def _observed(x: Tensor, settings: Settings) -> Tensor:
    """1 where x is given, 0 where it is hidden, [B, *X]; the same for all channels of a pixel."""
    shape = x.shape[1:]
    if settings.missing == "random":
        places = (len(x), *[1] * (len(shape) - 2), *shape[-2:])
        return (torch.rand(places, device=x.device) >= settings.fraction).to(x.dtype).expand_as(x)
    if not is_image(Size(shape)):
        raise ConfigError(f"impute.missing={settings.missing}: x is no image, use impute.missing=random")
    upright = settings.missing in ("top", "bottom")
    side = shape[-2] if upright else shape[-1]
    cut = min(max(1, round(settings.fraction * side)), side - 1)
    line = torch.arange(side, device=x.device)
    there = line >= cut if settings.missing in ("top", "left") else line < side - cut
    return (there[:, None] if upright else there).to(x.dtype).expand_as(x)


def _repeated(batch: Batch, times: int) -> Batch:
    return Batch(*(None if field is None else _repeat(field, times) for field in batch))  # pyright: ignore[reportArgumentType]


def _repeat(values: Tensor, times: int) -> Tensor:
    return values.repeat_interleave(times, 0)


def _by_example(values: Tensor, times: int) -> Tensor:
    """[B times, ...] -> [B, times, ...]."""
    return values.unflatten(0, (-1, times))
