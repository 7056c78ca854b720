"""The same z under every class: analogies (Kingma et al. 2014, figure 1)."""

import torch
from omegaconf import DictConfig

from vae_cli.callbacks.sheet import Sheet
from vae_cli.errors import ConfigError
from vae_cli.noise import derive_seed
from vae_cli.sampling.request import Request
from vae_cli.sampling.result import Result

_USUAL = 8


def class_grid(request: Request, _settings: DictConfig) -> Result:
    """A column a class, a row a draw; under a conditional prior, the same noise gives each class its own z."""
    if not request.is_by_label:
        raise ConfigError("what=class_grid needs a run that was trained with condition=label (model=cvae)")
    assert request.data.classes is not None
    labels, rows = list(request.labels or range(request.data.classes)), request.num(_USUAL)
    seed = derive_seed(request.subject.seed, "class_grid")
    drawn = [
        request.run.generate(rows, y=[label] * rows, seed=seed, temperature=request.temperature) for label in labels
    ]
    means = torch.stack([one.px.mean[0] for one in drawn], 1)  # [rows, classes, *X]
    latents = {name: torch.stack([one.values[name][0] for one in drawn], 1) for name in drawn[0].values}
    arrays = {"mean": means, **latents, "y": torch.tensor(labels)}
    names = [request.data.named_classes[label] for label in labels]
    sheet = Sheet(means.flatten(0, 1), len(labels), column_titles=names)
    return Result(f"{rows} draws under each of {len(labels)} classes", arrays, sheet)
