"""Random streams that depend on where a run stands and on nothing else; draws recorded, replayed, or by example.

Every training step seeds the generators from (seed, purpose, position), so noise needs no place in a checkpoint and
nothing that is drawn elsewhere (validation, pictures) can change a training number.
"""

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from vae_cli.types import Batch


def derive_seed(*parts: int | str) -> int:
    """A seed of 63 bits from any number of words and counters; different parts give unrelated streams."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def seed(device: torch.device, *parts: int | str) -> None:
    """Draw from the stream named by `parts` from now on, on that device and on the CPU.

    `torch.manual_seed` also seeds every other kind of device; where one is absent it keeps the call, with a formatted
    traceback, for ever: half a millisecond and a kilobyte a step.
    """
    number = derive_seed(*parts)
    torch.default_generator.manual_seed(number)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index].manual_seed(number)


@contextmanager
def stream(device: torch.device, *parts: int | str) -> Iterator[None]:
    """Draw from the stream named by `parts`, then leave the generators as they were found."""
    cuda = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        seed(device, *parts)
        yield


# What torch.distributions calls to draw standard noise; each is replayed as it was drawn.
_DRAWS: frozenset[Callable[..., Tensor]] = frozenset(
    {torch.normal, torch.rand, torch.randn, torch.bernoulli, torch.multinomial, torch.poisson}
    | {torch.rand_like, torch.randn_like}
    | {Tensor.normal_, Tensor.uniform_, Tensor.exponential_, Tensor.bernoulli_, Tensor.random_, Tensor.cauchy_}
)


class record(TorchFunctionMode):  # noqa: N801 (reads as a verb: `with record() as draws`)
    """Keep every random tensor that is drawn inside: `with record() as noise: ...; noise.draws`."""

    def __init__(self) -> None:
        super().__init__()
        self.draws: list[Tensor] = []

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func in _DRAWS:
            self.draws.append(result.detach().clone())
        return result


class replay(TorchFunctionMode):  # noqa: N801
    """Hand out given random tensors, in order, in place of fresh ones; works alone and under `torch.func.vmap`."""

    def __init__(self, draws: Sequence[Tensor]) -> None:
        super().__init__()
        self._left = list(draws)

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func in _DRAWS:
            assert self._left, "more draws were asked for than were recorded"
            return self._left.pop(0)
        return func(*args, **(kwargs or {}))


class still(TorchFunctionMode):  # noqa: N801
    """Normal noise is zero: each latent variable is given the mean of those above it."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func not in _DRAWS:
            return func(*args, **(kwargs or {}))
        assert func is Tensor.normal_, f"{func.__name__} has no mean"
        return torch.zeros_like(args[0])


def digests(batch: Batch) -> list[str]:
    """A name of each example by what it holds (x and c): two that are alike have the same."""
    parts = [field.flatten(1).cpu().numpy() for field in (batch.x, batch.c) if field is not None]
    rows = zip(*parts, strict=True)
    return [hashlib.blake2b(b"".join(part.tobytes() for part in row), digest_size=16).hexdigest() for row in rows]


class by_example(TorchFunctionMode):  # noqa: N801
    """Standard noise [S, B, *rest] that depends on example and sample alone, not on what else is in the batch.

    Each number follows from (seed, example, number of the draw, number of the sample, coordinate), so that neither the
    size nor the order of batches changes it, nor how the samples of an example are divided among passes. Examples that
    are alike share their noise. The generator is SplitMix64 (Steele, Lea & Flood 2014), whose state after n steps is
    known without taking them, started for each example and draw from their digest.

    Args:
        examples: `digests` of the batch.
        seed: words and counters, as of `derive_seed`.
        first: number of the first sample of this pass; the samples of earlier passes come before it.

    """

    def __init__(self, examples: Sequence[str], *seed: int | str, first: int = 0) -> None:
        super().__init__()
        self._examples, self._seed, self._first = examples, seed, first
        self._number = 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func not in _DRAWS:
            return func(*args, **(kwargs or {}))
        fill = _FILLS.get(func)
        assert fill is not None, f"there is no {func.__name__} by example"
        assert len(args) == 1, f"{func.__name__} by example is standard"
        assert not kwargs, f"{func.__name__} by example is standard"
        noise: Tensor = args[0]
        assert noise.shape[1] == len(self._examples), f"noise of shape {list(noise.shape)} has no example an entry"
        return noise.copy_(fill(self._starts(noise.device), self._first, noise))

    def _starts(self, device: torch.device) -> Tensor:
        """Of the next draw, one for each example, [B]."""
        starts = [derive_seed(*self._seed, example, self._number) for example in self._examples]
        self._number += 1
        return torch.tensor(starts, device=device)


def _normal(starts: Tensor, first: int, noise: Tensor) -> Tensor:
    """Box & Muller (1958): two uniform numbers make two normal ones."""
    pairs = (noise[0, 0].numel() + 1) // 2
    radius, angle = _pairs(starts, first, len(noise), pairs, noise.dtype)
    radius, angle = radius.log_().mul_(-2).sqrt_(), angle.mul_(2 * math.pi)
    both = torch.cat([radius * angle.cos(), radius * angle.sin()], -1)
    return both[..., : noise[0, 0].numel()].view_as(noise)


def _uniform(starts: Tensor, first: int, noise: Tensor) -> Tensor:
    """In (0, 1]."""
    value, _ = _pairs(starts, first, len(noise), noise[0, 0].numel(), noise.dtype)
    return value.view_as(noise)


_FILLS: dict[Callable[..., Tensor], Callable[[Tensor, int, Tensor], Tensor]] = {
    Tensor.normal_: _normal,
    Tensor.uniform_: _uniform,
}

_GOLDEN, _FIRST, _SECOND = -0x61C8864680B583EB, -0x40A7B892E31B1A47, -0x6B2FB644ECCEEE15  # of SplitMix64, signed


def _pairs(starts: Tensor, first: int, samples: int, number: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Two uniform numbers in (0, 1] from each of `number` steps for every sample and example, [S, B, number]."""
    steps = torch.arange(first * number + 1, (first + samples) * number + 1, device=starts.device)
    bits = starts.view(1, -1, 1) + steps.mul_(_GOLDEN).view(samples, 1, number)
    bits.bitwise_xor_(_right(bits, 30)).mul_(_FIRST)
    bits.bitwise_xor_(_right(bits, 27)).mul_(_SECOND)
    bits.bitwise_xor_(_right(bits, 31))
    halves = bits.view(torch.int32).bitwise_and_(2**31 - 1).to(dtype).add_(0.5).mul_(2**-31)
    return halves[..., 0::2], halves[..., 1::2]


def _right(bits: Tensor, by: int) -> Tensor:
    """Shifted without its sign."""
    return (bits >> by).bitwise_and_(2 ** (64 - by) - 1)
