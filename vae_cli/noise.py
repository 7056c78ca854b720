"""Random streams that depend on where a run stands and on nothing else; and draws recorded and replayed.

Every training step seeds the generators from (seed, purpose, position), so noise needs no place in a checkpoint and
nothing that is drawn elsewhere (validation, pictures) can change a training number.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


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
