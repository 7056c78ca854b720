"""Speed of the importance-weighted bound, beside a loop of one image at a time and the machine's matrix products.

    python benchmarks/evaluation.py [--samples 5000] [--images 4] [--rounds 7] [--threads 1] [--precision bf16-mixed]
                                    [--device cuda]

The gated MLP 784-300-300-40. Every round runs each contestant once, in turn, in this process, and the products just
before each; a share of the peak is the time that the decoder's products alone take, by that of the contestant. The
naive loop is that of published code: for each image, 500 copies of it at a time through encoder and decoder.
"""

import argparse
import math
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial

import torch
from contestants import CASES
from rich.console import Console
from rich.table import Table
from torch import Size, Tensor, nn
from torch.nn import functional as F  # noqa: N812

from vae_cli.allocator import keep_freed_memory
from vae_cli.heads.bernoulli import BernoulliHead
from vae_cli.heads.gaussian_posterior import Diagonal
from vae_cli.inference.likelihood import bounds
from vae_cli.networks.mlp import GatedMLP
from vae_cli.precision import lower_networks
from vae_cli.priors.standard import Standard
from vae_cli.structures.single import Single
from vae_cli.types import Batch, Binary, Model, Parts, Spec

CASE = CASES["gated"]
CHUNK = 500  # rows of the loops, as in published code
PRODUCTS = ((CASE.latent_dim, 600), (300, 600), (300, 784))  # of the decoder: numbers in, numbers out
MEMORY = 10**9  # bytes, the default of vae-eval
Contestant = Callable[[], Tensor]  # -> bounds [images]


def main() -> None:
    """Print one table."""
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    keep_freed_memory()
    device = torch.device(arguments.device)
    x = torch.bernoulli(torch.full((arguments.images, *CASE.shape), 0.2)).to(device)
    contestants = _contestants(x, arguments.samples, device, arguments.precision == "bf16-mixed")
    peak = partial(_products, arguments.images * arguments.samples, device, arguments.precision == "bf16-mixed")
    console = Console()
    console.print(_machine(arguments))
    with torch.inference_mode():
        seconds, shares = _alternate(contestants, peak, arguments.rounds, device)
    console.print(_table(seconds, shares, arguments.images))


def _contestants(x: Tensor, samples: int, device: torch.device, low: bool) -> dict[str, Contestant]:
    model = _ours(device, low)
    encoder, decoder = CASE.encoder().to(device), CASE.decoder().to(device)
    context = partial(torch.autocast, device.type, torch.bfloat16) if low else nullcontext
    return {
        "vae-eval": lambda: bounds(model, Batch(x), samples, seed=0, memory=MEMORY).importance_weighted,
        "bare loop": lambda: _bare(encoder, decoder, x, samples, context),
        "naive loop": lambda: _naive(encoder, decoder, x, samples, context),
    }


def _ours(device: torch.device, low: bool) -> Model:
    net = partial(GatedMLP, width=300, depth=2)
    likelihood = partial(BernoulliHead, from_mean=False)
    parts = Parts(CASE.latent_dim, net, net, likelihood, Diagonal, Standard)
    model = Single(Spec(Size(CASE.shape), Binary()), parts).eval().requires_grad_(False).to(device)
    if low:
        lower_networks(model, device.type, torch.bfloat16)
    return model


def _bare(encoder: nn.Module, decoder: nn.Module, x: Tensor, samples: int, context: Callable[[], object]) -> Tensor:
    """The least that has to be done: encode once, noise from the generator as it comes."""
    found = []
    for image in x:
        mean, log_sigma = _encode(encoder, image[None], context)
        parts = [_log_w(decoder, image, mean, log_sigma, CHUNK, context) for _ in range(samples // CHUNK)]
        found.append(torch.cat(parts).logsumexp(0) - math.log(samples))
    return torch.stack(found)


def _naive(encoder: nn.Module, decoder: nn.Module, x: Tensor, samples: int, context: Callable[[], object]) -> Tensor:
    """As the code of Tomczak & Welling (2018) does it, log-weights brought to the host chunk by chunk."""
    found = []
    for image in x:
        parts = []
        for _ in range(samples // CHUNK):
            mean, log_sigma = _encode(encoder, image.expand(CHUNK, -1), context)
            parts.append(_log_w(decoder, image, mean, log_sigma, CHUNK, context).cpu())
        found.append(torch.cat(parts).logsumexp(0) - math.log(samples))
    return torch.stack(found)


def _encode(encoder: nn.Module, x: Tensor, context: Callable[[], object]) -> tuple[Tensor, Tensor]:
    with context():  # pyright: ignore[reportGeneralTypeIssues]
        return encoder(x).float().chunk(2, 1)


def _log_w(
    decoder: nn.Module, image: Tensor, mean: Tensor, log_sigma: Tensor, rows: int, context: Callable[[], object]
) -> Tensor:
    """[rows]; the constants of q and p cancel."""
    noise = torch.randn(rows, CASE.latent_dim, device=image.device)
    z = mean + log_sigma.exp() * noise
    with context():  # pyright: ignore[reportGeneralTypeIssues]
        logits = decoder(z).float()
    log_px = -F.binary_cross_entropy_with_logits(logits, image.expand_as(logits), reduction="none").sum(1)
    return log_px - 0.5 * z.square().sum(1) + 0.5 * noise.square().sum(1) + log_sigma.sum(1)


def _products(rows: int, device: torch.device, low: bool) -> None:
    """The products of the decoder and nothing else, for so many rows."""
    at_once = CHUNK if device.type == "cpu" else rows
    dtype = torch.bfloat16 if low else torch.float32
    sizes = [(torch.randn(at_once, a), torch.randn(b, a)) for a, b in PRODUCTS]
    sizes = [(h.to(device, dtype), w.to(device, dtype)) for h, w in sizes]
    _wait(device)
    for _ in range(rows // at_once):
        for h, w in sizes:
            torch.mm(h, w.T)


def _alternate(
    contestants: dict[str, Contestant], peak: Callable[[], None], rounds: int, device: torch.device
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Seconds of each by round, and shares of the peak."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    shares: dict[str, list[float]] = {name: [] for name in contestants}
    for contestant in (peak, *contestants.values()):  # the first, untimed round
        contestant()
    for _ in range(rounds):
        for name, contestant in contestants.items():
            ideal, taken = _timed(peak, device), _timed(contestant, device)
            seconds[name].append(taken)
            shares[name].append(ideal / taken)
    return seconds, shares


def _timed(work: Callable[[], object], device: torch.device) -> float:
    _wait(device)
    begin = time.perf_counter()
    work()
    _wait(device)
    return time.perf_counter() - begin


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def _table(seconds: dict[str, list[float]], shares: dict[str, list[float]], images: int) -> Table:
    table = Table(title=f"{CASE.title.split(',')[0]}", title_justify="left")
    for column in ("", "images a second", "share of peak", "range", "vae-eval is faster by", "range"):
        table.add_column(column, justify="left" if column == "" else "right")
    for name, taken in seconds.items():
        ratios = [theirs / mine for mine, theirs in zip(seconds["vae-eval"], taken, strict=True)]
        table.add_row(name, f"{images / statistics.median(taken):.1f}", *_spread(shares[name]), *_spread(ratios))
    return table


def _spread(values: list[float]) -> tuple[str, str]:
    return f"{statistics.median(values):.2f}", f"{min(values):.2f} to {max(values):.2f}"


def _machine(arguments: argparse.Namespace) -> str:
    return (
        f"torch {torch.__version__}, {arguments.device}, {torch.get_num_threads()} thread(s), "
        f"precision {arguments.precision}, {arguments.samples} samples, {arguments.rounds} rounds, "
        f"{time.strftime('%Y-%m-%d')}"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=5000, help=f"a multiple of {CHUNK}")
    parser.add_argument("--images", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precision", choices=["32-true", "bf16-mixed"], default="32-true")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
