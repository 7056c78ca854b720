"""What a checkpoint holds: the form of what every run writes, and of what one run would write.

torch takes more than fits: a moment of another shape, or one that lies over others in memory, reaches Adam's fused
kernel, which writes past its end. So shapes, types and places in memory are compared before anything is restored.
"""

import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from vae_cli.callbacks.patience import Patience
from vae_cli.data.module import DataModule
from vae_cli.experiment import MONITOR, Experiment
from vae_cli.forms import (
    Form,
    anything,
    count,
    fits,
    flag,
    items,
    nothing,
    number,
    or_none,
    real,
    record,
    shown,
    single,
    size,
    table,
    word,
)
from vae_cli.precision import MixedInNetworks


def plain(content: Any) -> Any:
    """The same in containers that have nothing but their items: attributes of an OrderedDict are stored with it."""
    if type(content) in (dict, OrderedDict):
        return {name: plain(value) for name, value in dict.items(content)}
    return [plain(value) for value in content] if type(content) is list else content


def check(content: Any) -> None:
    """ValueError that names the first difference from what every run writes."""
    _FORM(content, "")
    fit_loop, data = content["loops"]["fit_loop"], content[DataModule.__qualname__]
    stepped = fit_loop[_STEPS]["optimizer"]["step"]["total"]["completed"]
    fits(content["global_step"], "global_step", content["global_step"] == stepped, f"{stepped}, as in loops,")
    (place,) = fit_loop["state_dict"]["combined_loader"]
    for name, value in place.items():
        fits(data[name], f"{DataModule.__qualname__}.{name}", data[name] == value, f"{value}, as in loops,")
    _check_sums(**content["training_sums"])


def check_weights(state: Mapping[str, Tensor], module: nn.Module) -> None:
    """ValueError that names the first of the weights that is none of the module's, or is no finite number."""
    own, learned = module.state_dict(), dict(module.named_parameters())
    record({name: _like(tensor) for name, tensor in own.items()})(dict(state), "state_dict")
    for name in learned:
        if not state[name].isfinite().all():
            raise ValueError(f"state_dict.{name} is not finite")


def check_progress(content: Mapping[str, Any], experiment: Experiment, terms: Sequence[str]) -> None:
    """ValueError that names the first difference from what this run writes.

    Args:
        terms: names of what training adds up.

    """
    check_weights(content["state_dict"], experiment)
    names = content["training_sums"]["names"]
    fits(names, "training_sums.names", names in ([], list(terms)), f"the terms {', '.join(terms)}")
    (stored,) = content["optimizer_states"]
    expected = experiment.optimizer_state()
    _check_groups(stored["param_groups"], expected["param_groups"])
    fits(stored["state"], "optimizer_states[0].state", isinstance(stored["state"], dict), "a mapping")
    for index, kept in stored["state"].items():
        key = f"optimizer_states[0].state.{shown(index)}"
        fits(index, f"a key of {key}", type(index) is int and index in expected["state"], "that of a weight")
        _check_kept(kept, expected["state"][index], key, content["global_step"])


def _check_groups(stored: Any, expected: list[dict[str, Any]]) -> None:
    """Those of this run, but for the learning rate, which follows from the step."""
    key = "optimizer_states[0].param_groups"
    fits(stored, key, isinstance(stored, list) and len(stored) == len(expected), f"a list of {len(expected)}")
    for number_, (group, own) in enumerate(zip(stored, expected, strict=True)):
        record(dict.fromkeys(own, anything))(group, f"{key}[{number_}]")
        for name, value in own.items():
            where = f"{key}[{number_}].{name}"
            if name == "lr":
                number(group[name], where)
            else:
                fits(group[name], where, _same(group[name], value), f"{_short(value)} as in config.yaml")


def _check_kept(kept: Any, expected: Mapping[str, Any], key: str, steps: int) -> None:
    """Of one weight: moments as they would be made, finite, in memory of their own; and steps that were taken."""
    record({name: _stored_as(value) for name, value in expected.items()})(kept, key)
    for name, value in kept.items():
        if isinstance(value, Tensor) and not value.isfinite().all():
            raise ValueError(f"{key}.{name} is not finite")
        if name == "step":
            taken = float(value)
            fits(taken, f"{key}.{name}", 0 <= taken <= steps, f"a number of steps up to {steps}")


def _like(own: Tensor) -> Form:
    """A tensor of that shape and type."""

    def check(value: Any, key: str) -> None:
        _tensor(value, key)
        if (value.shape, value.dtype) != (own.shape, own.dtype):
            raise ValueError(f"{key} is {_in_words(value)}, and {_in_words(own)} is needed")

    return check


def _stored_as(own: Any) -> Form:
    """A tensor that lies in memory as `own` does, alone in what it lies in; anything else is equal in type."""
    if not isinstance(own, Tensor):
        return lambda value, key: fits(value, key, type(value) is type(own), f"a {type(own).__name__}")

    def check(value: Any, key: str) -> None:
        _like(own)(value, key)
        if _strides(value) != _strides(own):
            raise ValueError(f"{key} lies in memory with strides {_strides(value)}, and {_strides(own)} are needed")
        if value.untyped_storage().nbytes() != value.numel() * value.itemsize:
            raise ValueError(f"{key} shares its memory with others")

    return check


def _strides(tensor: Tensor) -> list[int]:
    """Of the axes that have more than one place."""
    return [stride for length, stride in zip(tensor.shape, tensor.stride(), strict=True) if length > 1]


def _in_words(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"


def _short(value: Any) -> str:
    return shown(value) if not isinstance(value, list | tuple) or len(value) > 3 else str(value)


def _same(stored: Any, own: Any) -> bool:
    """Equal in type and value; never asks a tensor."""
    if isinstance(own, list | tuple):
        pairs = type(stored) is type(own) and len(stored) == len(own)
        return pairs and all(map(_same, stored, own))
    return type(stored) is type(own) and not isinstance(own, Tensor) and stored == own


def _tensor(value: Any, key: str) -> None:
    """Plain numbers, as many as there is memory for."""
    fits(value, key, type(value) is Tensor and value.layout is torch.strided, "a tensor")
    fits(value, key, not (value.is_quantized or value.is_nested or value.requires_grad), "a plain tensor")
    if value.numel() * value.itemsize > value.untyped_storage().nbytes():
        raise ValueError(f"{key} is {_in_words(value)}, and only {value.untyped_storage().nbytes()} bytes are there")


def _check_sums(names: list[str], totals: Tensor | None, examples: int) -> None:
    """Of as many scalars as there are names, over some examples."""
    key = "training_sums.totals"
    if totals is None:
        fits(names, "training_sums.names", not names, "an empty list, as there are no totals,")
        return
    _like(torch.empty(len(names), dtype=torch.float64))(totals, key)
    if not totals.isfinite().all():
        raise ValueError(f"{key} are not finite")
    size(examples, "training_sums.examples")


def _version(value: Any, key: str) -> None:
    """Of the Lightning that wrote it, which brings older checkpoints up to date in ways of its own."""
    word(value, key)
    fits(value, key, re.fullmatch(r"2\.\d{1,3}\.\d{1,3}([.a-z]+\d{1,3})?", value) is not None, "a version 2.x.y")


_STEPS = "epoch_loop.automatic_optimization.optim_progress"


def _counts(*names: str, **beside: Form) -> Form:
    """Lightning's counts of something, `ready` first: altogether, and in the present epoch."""
    counts = record(dict.fromkeys(("ready", *names), count))
    return record({"total": counts, "current": counts, **beside})


_TAKEN = _counts("completed")
_BEGUN = _counts("started", "completed")
_EPOCHS = _counts("started", "processed", "completed")
_BATCHES = _counts("started", "processed", "completed", is_last_batch=flag)
_EVALUATION = record({"state_dict": nothing, "batch_progress": _BATCHES})
_PREDICTION = record({"state_dict": nothing, "batch_progress": _EPOCHS})
_PLACE = {"epoch": count, "position": count}

_FIT = record(
    {
        "state_dict": record({"combined_loader": single(record(_PLACE))}),
        "epoch_loop.state_dict": record({"_batches_that_stepped": count}),
        "epoch_loop.batch_progress": _BATCHES,
        "epoch_loop.scheduler_progress": _TAKEN,
        "epoch_loop.automatic_optimization.state_dict": nothing,
        _STEPS: record({"optimizer": record({"step": _TAKEN, "zero_grad": _BEGUN})}),
        "epoch_loop.manual_optimization.state_dict": nothing,
        "epoch_loop.manual_optimization.optim_step_progress": _TAKEN,
        "epoch_loop.val_loop.state_dict": nothing,
        "epoch_loop.val_loop.batch_progress": _BATCHES,
        "epoch_progress": _EPOCHS,
    }
)
_LOOPS = record({"fit_loop": _FIT, "validate_loop": _EVALUATION, "test_loop": _EVALUATION, "predict_loop": _PREDICTION})


def _best(value: Any, key: str) -> None:
    """Infinity, before there is one."""
    real(value, key)
    fits(value, key, value > -float("inf"), "a real number")


_WAITING = {"best": _best, "waited": count, "first": or_none(number), "last": or_none(number)}
_SUMS = {"names": items(word), "totals": or_none(_tensor), "examples": count}
_SCALER = {
    "scale": number,
    "growth_factor": number,
    "backoff_factor": number,
    "growth_interval": size,
    "_growth_tracker": count,
}
_FORM = record(
    {
        "epoch": count,
        "global_step": count,
        "pytorch-lightning_version": _version,
        "state_dict": table(_tensor),
        "loops": _LOOPS,
        "callbacks": record({Patience.__qualname__: record(_WAITING)}),
        "optimizer_states": single(record({"state": anything, "param_groups": anything})),
        "lr_schedulers": nothing,
        DataModule.__qualname__: record({**_PLACE, "fingerprint": word, "world": size}),
        MONITOR: or_none(number),
        "training_sums": record(_SUMS),
    },
    optional={MixedInNetworks.__qualname__: record(_SCALER)},
)
