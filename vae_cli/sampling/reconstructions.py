"""Examples beside what the model makes of them."""

import torch
from omegaconf import DictConfig

from vae_cli.callbacks.grid import is_image
from vae_cli.callbacks.pictures import columns_for, in_pairs
from vae_cli.callbacks.sheet import Sheet
from vae_cli.callbacks.tables import errors_by_column
from vae_cli.inference.means import posterior_means
from vae_cli.sampling.request import Request
from vae_cli.sampling.result import Result
from vae_cli.types import Tokens

_ROWS = 4


def reconstructions(request: Request, _settings: DictConfig) -> Result:
    """The mean of p(x | z) at the mean of q(z | x); without latent variables that of p(x | c). What is given stays."""
    columns = columns_for(request.data)
    batch = request.examples(request.num(min(_ROWS * columns, request.subject.num_examples)))
    model = request.run.model
    z = posterior_means(model, batch)
    with torch.no_grad():
        means = batch.completed(model.decode(z, batch.c).mean[0])
    known = {"y": batch.y, "index": batch.index, **{name: value[0] for name, value in z.items()}}
    arrays = {"x": batch.x, "mean": means, **{name: value for name, value in known.items() if value is not None}}
    rows = -(-len(means) // columns)
    sheet = Sheet(in_pairs(batch.x, means, columns), columns, ["x", "model"] * rows)
    told = f"{len(means)} examples of the {request.subject.split} split"
    if is_image(request.data.shape) or isinstance(request.data.support, Tokens):
        return Result(told, arrays, sheet)
    return Result(told, arrays, sheet, table=errors_by_column(batch.x.flatten(1), means.flatten(1)))
