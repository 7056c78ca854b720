"""A training step asks the device for nothing: there is no number in it that the host waits for.

Read off a CPU: the step runs on torch's device `meta`, whose tensors have shapes and no values, so that whoever asks
for one (`.item()`, `if tensor`, `nonzero`, `.cpu()`) fails. What would wait on CUDA, and passes there, is refused by
name.
"""

from typing import Any

import pytest
import torch
from conftest import composed
from parts import choices, often, small_model
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from vae_cli.build import build_data, build_experiment
from vae_cli.experiment import Experiment
from vae_cli.optimizers import AdamNormGrad

_META = torch.device("meta")

_WAITING = {
    torch.ops.aten.normal.Tensor_Tensor,  # looks for scales below 0
    torch.ops.aten.normal.float_Tensor,
    torch.ops.aten.multinomial.default,  # looks for weights below 0
    torch.ops.aten._linalg_check_errors.default,  # of linalg.cholesky and others; cholesky_ex has none
    torch.ops.aten.repeat_interleave.Tensor,  # adds up the repeats
    torch.ops.aten.bincount.default,
}


class NoWaiting(TorchDispatchMode):
    """Refuses what copies between host and device, but for single numbers, and what waits inside."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = [one for one in tree_leaves((args, kwargs)) if isinstance(one, Tensor)]
        result = func(*args, **(kwargs or {}))
        tensors = given + [one for one in tree_leaves(result) if isinstance(one, Tensor)]
        places = {one.device for one in tensors if one.device == _META or one.ndim > 0}
        assert len(places) < 2, f"{func} copies {[tuple(one.shape) for one in tensors]} between host and device"
        assert func not in _WAITING or _META not in places, f"{func} waits for the device"
        return result


class NoCopies(TorchFunctionMode):
    """Refuses numbers of the host as a new tensor of the device."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        made = func in (torch.tensor, torch.as_tensor, Tensor.new_tensor)
        listed = func is Tensor.__getitem__ and any(isinstance(one, list) for one in (args[1], *_parts(args[1])))
        assert not ((made or listed) and result.device == _META), f"{func.__name__} copies from the host"
        return result


def _parts(index: Any) -> tuple[Any, ...]:
    return index if isinstance(index, tuple) else ()


def on_meta(words: list[str]) -> tuple[Experiment, Any]:
    """An experiment and one of its batches."""
    config = composed([*words, "dataset=arrays", "dataset.batch_size=10"])
    data = build_data(config)
    batch = next(iter(data.train))
    fields = {name: None if value is None else value.to(_META) for name, value in batch._asdict().items()}
    return build_experiment(config, data).to(_META), batch._replace(**fields)


def step(experiment: Experiment, batch: Any) -> None:
    """Loss, gradients, clipping: what runs on the device in each step, but for torch's own optimiser."""
    loss = experiment.training_step(batch, 0)
    assert loss.device == _META
    loss.backward()
    nn.utils.clip_grad_norm_(experiment.parameters(), 1.0)


@pytest.fixture
def at_step_1(monkeypatch):
    """Without a trainer."""
    monkeypatch.setattr(Experiment, "global_step", 1)
    monkeypatch.setattr(Experiment, "global_rank", 0)


SMALL = ["architecture.width=8"]
CASES = {f"model={name}": small_model(name) for name in choices("model")}
CASES |= {f"likelihood={name}": [*SMALL, f"likelihood={name}"] for name in choices("likelihood")}
CASES |= {f"posterior={name}": [*SMALL, f"posterior={name}"] for name in ("isotropic", "cholesky", "spline")}
CASES |= {f"prior={name}": [*SMALL, f"prior={name}"] for name in ("mixture", "vamp")}
CASES |= {
    f"prior={name}": [*SMALL, "condition=label", f"prior={name}"] for name in ("conditional", "conditional_mixture")
}
CASES |= {f"corruption={name}": [*SMALL, f"corruption={name}"] for name in ("gaussian", "flipping")}
PRESETS = [case for case in CASES if case.startswith("model=")]


@pytest.mark.parametrize("case", often(CASES, PRESETS))
def test_no_step_waits_for_the_device(case, small_npz, at_step_1):
    experiment, batch = on_meta([*CASES[case], f"dataset.path={small_npz}"])
    with NoCopies(), NoWaiting():
        step(experiment, batch)
    assert all(parameter.grad is None or parameter.grad.device == _META for parameter in experiment.parameters())


def test_an_optimiser_of_ours_waits_for_nothing():
    parameter = nn.Parameter(torch.ones(3, device=_META))
    parameter.grad = torch.ones(3, device=_META)
    with NoCopies(), NoWaiting():
        AdamNormGrad([parameter], lr=1e-3, fused=False, foreach=False).step()


WAITING = {
    "item": lambda x: x.sum().item(),
    "if": lambda x: bool(x.sum() > 0),
    "nonzero": lambda x: x.nonzero(),
    "a mask as index": lambda x: x[x > 0],
    "a list as index": lambda x: x[[0, 1]],
    "cpu": lambda x: x.cpu(),
    "numbers": lambda x: torch.tensor([1.0, 2.0], device=x.device),
    "one number": lambda x: x.new_tensor(1.0),
    "a constant": lambda x: torch.arange(2.0).to(x.device),
    "two devices": lambda x: x + torch.ones(2),
    "normal": lambda x: torch.distributions.Normal(x, x.exp(), validate_args=False).sample(),
    "checked": lambda x: torch.distributions.Normal(x, x.exp(), validate_args=True),
    "categorical": lambda x: torch.distributions.Categorical(logits=x, validate_args=False).sample(),
    "cholesky": lambda x: torch.linalg.cholesky(torch.diag(x)),
    "unique": lambda x: x.unique(),
}


@pytest.mark.parametrize("name", WAITING)
def test_what_waits_is_seen(name):
    x = torch.ones(2, device=_META)
    with NoCopies(), NoWaiting(), pytest.raises((AssertionError, RuntimeError, NotImplementedError)):
        WAITING[name](x)
