"""The model of a finished run as files that need this package no more."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from safetensors.torch import save
from torch import nn
from torch.export import ExportedProgram

from vae_cli import __version__
from vae_cli.distributions.parameters import parameters_of
from vae_cli.errors import ConfigError
from vae_cli.exporting.files import DECODER, ENCODER, RECORD, WEIGHTS
from vae_cli.exporting.programs import Decoder, Encoder, Inputs, program
from vae_cli.exporting.record import record, shapes
from vae_cli.files import replacing_folder
from vae_cli.loading import Run, load_run
from vae_cli.making import target_of
from vae_cli.noise import still
from vae_cli.runs import RunDirectory
from vae_cli.types import Batch, Trace, UnitSphere

_EXAMPLES = 2  # that programs are traced with: torch.export takes 1 for a shape that never changes


def export_run(directory: RunDirectory, config: DictConfig, out: Path) -> Iterator[str]:
    """Lines for the user, when all is written.

    Args:
        config: of `vae-export`.
        out: the folder, which takes the place of one that is there.

    Raises:
        ConfigError: where it is no run, or a part of its model cannot be exported.
        OSError: that names `out`, where it cannot be written.

    """
    run = load_run(directory.path, checkpoint=config.checkpoint, trust=list(config.trust), accelerator="cpu")
    run.model.to(memory_format=torch.contiguous_format)  # pyright: ignore[reportCallIssue] (torch's stub lacks it)
    trace, inputs = _tried(run)
    parts: dict[str, nn.Module] = {ENCODER: Encoder(run.model), DECODER: Decoder(run.model)}
    found = {name: shapes(inputs[name], part(*inputs[name].values())) for name, part in parts.items()}
    programs = {name: program(part, inputs[name]) for name, part in parts.items()}
    content = record(run, trace, found[ENCODER], found[DECODER])
    with replacing_folder(out) as folder:
        _write(folder, run, programs, content)
    yield f"{out}: weights: {run.weights.title}"
    for name, of in found.items():
        yield f"  {name:<20} {_listed(of['inputs'])} -> {_listed(of['outputs'])}"
    yield f"  {WEIGHTS:<20} {sum(value.numel() for value in run.model.state_dict().values())} numbers"
    yield f"  {RECORD:<20} what they are"


def _tried(run: Run) -> tuple[Trace, dict[str, Inputs]]:
    """A pass over examples of zeros, and the inputs of each program, by name."""
    if UnitSphere in target_of(run.config.posterior).models:
        raise ConfigError(
            "posterior=von_mises_fisher cannot be exported: its draws need random numbers, and a program has "
            "none; vae-encode writes its codes"
        )
    if not run.model.latents:
        raise ConfigError(
            "structure=density cannot be exported: without latent variables there is no encoder and no z to decode; "
            "vae_cli.load_run gives p(x | c) with generate"
        )
    condition = run.data.condition
    c = {} if condition is None else {"c": torch.zeros(_EXAMPLES, *condition)}
    x = torch.zeros(_EXAMPLES, *run.data.shape)
    with torch.no_grad(), still():
        trace = run.model(Batch(x, **c))
    for name, site in trace.sites.items():
        if not parameters_of(site.q):
            raise ConfigError(
                f"{type(site.q).__name__}, the posterior of {name}, cannot be exported: it is known by no parameters"
            )
    values = {name: trace.sites[name].value[0] for name in run.model.latents}
    z = next(iter(values.values())) if len(values) == 1 else values
    return trace, {ENCODER: {"x": x, **c}, DECODER: {"z": z, **c}}


def _write(folder: Path, run: Run, programs: Mapping[str, ExportedProgram], content: Mapping[str, Any]) -> None:
    weights = {name: value.clone() for name, value in run.model.state_dict().items()}  # none shares its memory
    about = {"format": "pt", "version": __version__, "weights": run.weights.title, "step": str(run.weights.step)}
    (folder / WEIGHTS).write_bytes(save(weights, about))
    for name, made in programs.items():
        with (folder / name).open("wb") as file:
            torch.export.save(made, file)
    (folder / RECORD).write_text(json.dumps(content, indent=2) + "\n")


def _listed(of: Mapping[str, list[int | str]]) -> str:
    return ", ".join(f"{name} [{', '.join(map(str, shape))}]" for name, shape in of.items())
