"""How many draws fit into a bound of memory."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from vae_cli.noise import by_example, digests
from vae_cli.types import Batch, Model

_CACHED = 2**24  # bytes that one pass makes on a CPU: more than that leaves its caches, and is slower


def draws_within(memory: int, model: Model, batch: Batch) -> int:
    """Draws (of any examples) that one pass should take at most, 1 or more.

    A draw is counted as all tensors that a pass of one draw of the first example makes, as if none were freed: about
    what the pass keeps for its gradient, and two to three times what it takes without.
    """
    one = batch.part(slice(1))
    with torch.no_grad():
        draw = model.passes(one, model.read(one))
        with by_example(digests(one), "memory"), _Made() as made:
            draw(1).log_px.sum()
    bound = min(memory, _CACHED) if batch.x.device.type == "cpu" else memory
    return max(1, bound // made.bytes)


class _Made(TorchDispatchMode):
    """Counts the bytes of all tensors that are made inside; views are made of nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        fresh = all(returned.alias_info is None for returned in func._schema.returns)  # noqa: SLF001 (no other name)
        made = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)] if fresh else []
        self.bytes += sum(tensor.nbytes for tensor in made)
        return result


def parts(total: int, most: int) -> list[int]:
    """As few numbers as can be, each at most `most` and all about alike, that add up to `total`."""
    count = math.ceil(total / most)
    return [total // count + (part < total % count) for part in range(count)]
