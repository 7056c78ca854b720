"""The cases that are timed, and those who run them: ours, a bare loop in plain PyTorch, and pythae."""

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_module
from omegaconf import DictConfig
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from vae_cli.cli.schema import register
from vae_cli.runs import RunDirectory

register()


@dataclass(frozen=True)
class Case:
    """What is trained: the same net under each contestant, written anew for the bare ones."""

    title: str
    overrides: tuple[str, ...]  # for vae-train
    shape: tuple[int, ...]
    examples: int
    batch_size: int
    latent_dim: int
    encoder: Callable[[], nn.Module]  # [B, *shape] -> [B, 2 latent_dim]
    decoder: Callable[[], nn.Module]  # [B, latent_dim] -> logits [B, *shape]
    channels_last: bool = False  # whether a bare loop in that memory format is tried too
    pseudo_inputs: int = 0  # of a VampPrior; 0: the prior is N(0, I)


class _Gated(nn.Module):
    """h * sigmoid(g), as two matrices."""

    def __init__(self, fan_in: int, fan_out: int) -> None:
        super().__init__()
        self.h, self.g = nn.Linear(fan_in, fan_out), nn.Linear(fan_in, fan_out)

    def forward(self, x: Tensor) -> Tensor:
        return self.h(x) * torch.sigmoid(self.g(x))


def _halvings() -> list[nn.Module]:
    return [layer for fan_in in (1, 32, 32, 32) for layer in (nn.Conv2d(fan_in, 32, 4, 2, 1), nn.ReLU())]


def _doublings() -> list[nn.Module]:
    return [layer for _ in range(3) for layer in (nn.ConvTranspose2d(32, 32, 4, 2, 1), nn.ReLU())]


def _dense(*units: int) -> list[nn.Module]:
    return [layer for a, b in pairwise(units) for layer in (nn.Linear(a, b), nn.ReLU())]


_GATED: dict[str, Any] = {
    "shape": (784,),
    "examples": 50_000,
    "batch_size": 100,
    "latent_dim": 40,
    "encoder": lambda: nn.Sequential(_Gated(784, 300), _Gated(300, 300), nn.Linear(300, 80)),
    "decoder": lambda: nn.Sequential(_Gated(40, 300), _Gated(300, 300), nn.Linear(300, 784)),
}

CASES = {
    "mlp": Case(
        "MLP 784-400-20, batch 128",
        ("architecture.width=400",),
        (784,),
        50_000,
        128,
        20,
        lambda: nn.Sequential(*_dense(784, 400), nn.Linear(400, 40)),
        lambda: nn.Sequential(*_dense(20, 400), nn.Linear(400, 784)),
    ),
    "gated": Case(
        "Gated MLP 784-300-300-40, batch 100",
        ("architecture=gated_mlp", "latent_dim=40"),
        **_GATED,
    ),
    "vamp": Case(
        "The same with a VampPrior of 500 pseudo-inputs",
        ("model=vampprior", "latent_dim=40"),
        **_GATED,
        pseudo_inputs=500,
    ),
    "conv": Case(
        "Convolutions of Burgess et al. (2018), 64 x 64, batch 64",
        ("architecture=burgess", "latent_dim=10"),
        (1, 64, 64),
        20_000,
        64,
        10,
        lambda: nn.Sequential(*_halvings(), nn.Flatten(), *_dense(512, 256, 256), nn.Linear(256, 20)),
        lambda: nn.Sequential(
            *_dense(10, 256, 256, 512), nn.Unflatten(1, (32, 4, 4)), *_doublings(), nn.ConvTranspose2d(32, 1, 4, 2, 1)
        ),
        channels_last=True,
    ),
}


def ours(case: Case, folder: Path, steps: int, warm_up: int, words: list[str]) -> float:
    """Images a second of `vae-train <words>` between two of the steps that it logs."""
    from vae_cli.training import train

    overrides = [
        "dataset=arrays",
        f"dataset.path={folder / 'x.npz'}",
        f"dataset.batch_size={case.batch_size}",
        "dataset.val=0.01",
        "dataset.test=0.01",
        f"latent_dim={case.latent_dim}",
        *case.overrides,
        *words,
        f"trainer.max_steps={steps}",
        "trainer.max_epochs=-1",
        "logging.validate_every_n_epochs=0",
        "logging.pictures_every_n_epochs=0",
    ]
    run = folder / f"run_{time.monotonic_ns()}"
    train(_composed(overrides), {}, [], RunDirectory(run))
    events = EventAccumulator(str(run), size_guidance={"scalars": 0}).Reload().Scalars("train/loss")
    first = next(event for event in events if event.step >= warm_up)
    last = events[-1]
    return (last.step - first.step) * case.batch_size / (last.wall_time - first.wall_time)


def _composed(overrides: list[str]) -> DictConfig:
    with initialize_config_module("vae_cli.conf", version_base="1.3"):
        return compose("train", ["name=benchmark", *overrides])


class _Bare(nn.Module):
    """A VAE as the shortest script has it: loss = -ELBO, nats per example."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.encoder, self.decoder = case.encoder(), case.decoder()
        self.inputs = nn.Parameter(0.05 + 0.01 * torch.randn(case.pseudo_inputs, *case.shape))

    def forward(self, x: Tensor, lower: Callable[[], object]) -> Tensor:
        with lower():
            h = self.encoder(x)
        mean, log_sigma = h.float().chunk(2, dim=1)
        z = mean + log_sigma.exp() * torch.randn_like(mean)
        with lower():
            logits = self.decoder(z)
        nll = F.binary_cross_entropy_with_logits(logits.float(), x, reduction="sum")
        if len(self.inputs):
            kl = (_log_normal(z, mean, log_sigma) - self._log_mixture(z, lower)).sum()
        else:
            kl = 0.5 * (mean.square() + (2 * log_sigma).exp() - 1 - 2 * log_sigma).sum()
        return (nll + kl) / len(x)

    def _log_mixture(self, z: Tensor, lower: Callable[[], object]) -> Tensor:
        with lower():
            h = self.encoder(self.inputs.clamp(0, 1))
        mean, log_sigma = h.float().chunk(2, dim=1)
        each = _log_normal(z.unsqueeze(1), mean, log_sigma)  # [B, K]
        return each.logsumexp(1) - math.log(len(self.inputs))


def _log_normal(z: Tensor, mean: Tensor, log_sigma: Tensor) -> Tensor:
    """Without the constant, which the other density has too."""
    return (-log_sigma - 0.5 * ((z - mean) * (-log_sigma).exp()).square()).sum(-1)


def bare_loop(
    case: Case,
    x: Tensor,
    steps: int,
    warm_up: int,
    *,
    fused: bool,
    channels_last: bool,
    low: bool,
    compiled: bool,
    device: str,
) -> float:
    """Images a second of a loop that indexes x, which lies on the device, after `warm_up` steps."""
    model, x = _Bare(case).to(device), x.to(device)
    if channels_last:
        model = model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        x = x.contiguous(memory_format=torch.channels_last)
    if compiled:
        model.encoder.compile()
        model.decoder.compile()
    optimizer = torch.optim.Adam(model.parameters(), fused=fused, foreach=not fused)
    lower = (lambda: torch.autocast(device, torch.bfloat16)) if low else nullcontext
    done, started = 0, 0.0
    while done < steps:
        for index in torch.randperm(len(x), device=device).split(case.batch_size):
            if len(index) < case.batch_size or done == steps:
                break
            if done == warm_up:
                _wait(device)
                started = time.perf_counter()
            loss = model(x[index], lower)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            done += 1
    _wait(device)
    return (steps - warm_up) * case.batch_size / (time.perf_counter() - started)


def _wait(device: str) -> None:
    """Until the device has done what it was given."""
    if device == "cuda":
        torch.cuda.synchronize()


def _pythae_loop(case: Case, folder: Path, x: Tensor, steps: int) -> float:
    """Images a second of pythae's trainer in one epoch over as many rows as `steps` batches need, at most all."""
    from pythae.data.datasets import BaseDataset
    from pythae.models import VAE, VAMP, VAEConfig, VAMPConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    class Encoder(BaseEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.net = case.encoder()

        def forward(self, h: Tensor) -> ModelOutput:
            mean, log_variance = self.net(h).chunk(2, dim=1)
            return ModelOutput(embedding=mean, log_covariance=log_variance)

    class Decoder(BaseDecoder):
        def __init__(self) -> None:
            super().__init__()
            self.net = case.decoder()

        def forward(self, z: Tensor) -> ModelOutput:
            return ModelOutput(reconstruction=torch.sigmoid(self.net(z)))

    common = {"input_dim": case.shape, "latent_dim": case.latent_dim, "reconstruction_loss": "bce"}
    if case.pseudo_inputs:
        config = VAMPConfig(**common, number_components=case.pseudo_inputs)
        model = VAMP(config, encoder=Encoder(), decoder=Decoder())
    else:
        model = VAE(VAEConfig(**common), encoder=Encoder(), decoder=Decoder())
    rows = x[: steps * case.batch_size]
    trainer = BaseTrainer(
        model=model,
        train_dataset=BaseDataset(rows, torch.zeros(len(rows))),
        training_config=BaseTrainerConfig(
            output_dir=str(folder), num_epochs=1, per_device_train_batch_size=case.batch_size, no_cuda=True
        ),
        callbacks=[],
    )
    trainer.prepare_training()
    started = time.perf_counter()
    trainer.train_step(1)
    return len(rows) / (time.perf_counter() - started)


try:
    import pythae  # noqa: F401
except ImportError:
    pythae_loop = None
else:
    pythae_loop = _pythae_loop
