"""The same weights under the same noise give the same figures on the device and on the CPU."""

from functools import partial
from pathlib import Path

import numpy as np
from torch import Tensor

from gpu_check.commands import data
from gpu_check.parts import Check, Passed, Place, Skipped, presets
from vae_cli.loading import load_run
from vae_cli.precision import set_float32_precision

_EXAMPLES, _SAMPLES = 20, 8
_LIMIT = 1e-4  # of figures in float32


def agreement() -> dict[str, Check]:
    """Every preset, as part `presets` trained it."""
    return {name: partial(_agrees, name) for name in presets()}


def _agrees(name: str, place: Place) -> Passed:
    run = place.folder / "runs" / f"{name}_32-true"
    if not (run / "metrics.json").exists():
        raise Skipped("part presets left no run of it")
    set_float32_precision("highest")
    there, here = (figures(run, data(place.folder), device) for device in ("cuda", "cpu"))
    apart = float((there - here).abs().max() / here.abs().max())
    assert apart <= _LIMIT, f"figures on the device and on the CPU differ by {apart:.1e} of the largest"
    return Passed("", {"apart": apart})


def figures(run: Path, examples: Path, device: str) -> Tensor:
    """The importance-weighted bound, whose noise follows from example and seed alone; of an autoencoder the codes."""
    loaded = load_run(run, accelerator=device)
    with np.load(examples) as file:
        x, y = (file["x"][:_EXAMPLES] > 127).astype(np.float32), file["y"][:_EXAMPLES]
    if loaded.bounds:
        return loaded.log_prob(x, y, samples=_SAMPLES).cpu()
    (code,) = loaded.encode(x, y).values()
    return code.mean.double().cpu()
