"""What users' commands do, called in this process: torch is loaded once for many of them."""

import logging
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from hydra import compose, initialize_config_module
from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig

from gpu_check.parts import Place
from vae_cli.cli.encode import EncodeConfig
from vae_cli.cli.eval import GROUPS, EvalConfig
from vae_cli.cli.export import ExportConfig
from vae_cli.cli.sample import SampleConfig
from vae_cli.cli.schema import register
from vae_cli.encoding.encode import encode
from vae_cli.evaluation.judging import Voice, judge
from vae_cli.exporting.export import export_run
from vae_cli.progress import silent
from vae_cli.runs import RunDirectory
from vae_cli.sampling.making import make
from vae_cli.training import Outcome, resume, train

EXAMPLES, BATCH_SIZE = 400, 32  # grey pictures of 16 x 16 pixels in 4 classes, with 2 factors

_QUICK = [
    "likelihood.samples=8",
    "likelihood.subset=2",
    "likelihood.ais.chains=1",
    "likelihood.ais.steps=3",
    "likelihood.gaps.steps=2",
    "latents.draws=40",
    "probes.examples=100",
    "probes.labels=[40]",
    "probes.repeats=2",
    "disentanglement.fitted_points=100",
    "disentanglement.judged_points=100",
]
ON_THE_DEVICE = (
    "likelihood",
    "latents",
)  # groups of figures; the others are computed from arrays, on any machine alike


@cache
def _once() -> None:
    register()
    schemas = {"eval": EvalConfig, "sample": SampleConfig, "encode": EncodeConfig, "export": ExportConfig}
    for name, schema in schemas.items():
        ConfigStore.instance().store(name=f"{name}_schema", node=schema)
    logging.getLogger("matplotlib").setLevel(logging.ERROR)


def composed(command: str, words: Sequence[str]) -> DictConfig:
    """The config that a command sees."""
    _once()
    with initialize_config_module("vae_cli.conf", version_base="1.3"):
        return compose(command, list(words))


def data(folder: Path) -> Path:
    """The file of examples, made where it is not there yet."""
    path = folder / "examples.npz"
    if not path.exists():
        rng = np.random.default_rng(0)
        labels = np.arange(EXAMPLES) % 4
        centres = rng.integers(0, 256, (4, 1, 16, 16))
        x = np.clip(centres[labels] + rng.normal(0, 20, (EXAMPLES, 1, 16, 16)), 0, 255).astype(np.uint8)
        np.savez(path, x=x, y=labels, factors=np.stack([labels, np.arange(EXAMPLES) % 2], 1))
    return path


def settings(place: Place, words: Sequence[str]) -> DictConfig:
    """Of a run of three steps, unless the words say otherwise."""
    common = [
        "name=gpu_check",
        "dataset=arrays",
        f"dataset.path={data(place.folder)}",
        f"dataset.batch_size={BATCH_SIZE}",
        f"trainer.accelerator={place.device}",
        "trainer.max_epochs=-1",
        "trainer.max_steps=3",
    ]
    return composed("train", [*common, *words])


def trained(place: Place, name: str, words: Sequence[str]) -> tuple[RunDirectory, Outcome]:
    """`vae-train <words>` into a folder of that name."""
    directory = RunDirectory(place.folder / "runs" / name)
    return directory, train(settings(place, words), {}, list(words), directory)


def resumed(directory: RunDirectory, steps: int) -> Outcome:
    """`vae-train run=<directory> trainer.max_steps=<steps>`."""
    config, record = directory.read_config([])
    config.trainer.max_steps = steps
    return resume(config, record, directory)


def evaluated(
    directory: RunDirectory, place: Place, precision: str, groups: Sequence[str] = ON_THE_DEVICE
) -> list[str]:
    """The lines of `vae-eval run=<directory>`, every figure from few draws."""
    words = [f"run={directory.path}", f"accelerator={place.device}", f"precision={precision}", *_QUICK]
    words.append(f"metrics=[{','.join(groups)}]")
    lines: list[str] = []
    judge(directory, composed("eval", words), silent, Voice(lines.append, lines.append))
    return lines


def used(directory: RunDirectory, place: Place) -> list[str]:
    """The lines of vae-sample, vae-encode, vae-export, and of all that vae-eval has."""
    words = [f"run={directory.path}", f"accelerator={place.device}"]
    kinds = "what=[samples,reconstructions,traversals,interpolations,impute]"
    sample = composed("sample", [*words, kinds, "n=2", "impute.steps=3"])
    encoding, export = composed("encode", words), composed("export", words[:1])
    return [
        *make(directory, sample, silent),
        *encode(directory, encoding, directory.path / "latents.npz", silent),
        *export_run(directory, export, directory.path / "export"),
        *evaluated(directory, place, "32-true", GROUPS),
    ]
