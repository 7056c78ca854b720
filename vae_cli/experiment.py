"""THE LightningModule: minimises any objective over any model, and adds up what there is to log.

Lightning's `self.log` costs 0.3 to 0.5 ms a scalar and step, so training adds its terms to one tensor; `drain` empties
it. The sums are part of the checkpoint: a resumed run logs what the uninterrupted one does.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from pytorch_lightning import LightningModule
from torch import Tensor

from vae_cli.errors import TrainingError
from vae_cli.monitors import Monitor, no_pause
from vae_cli.noise import seed, stream
from vae_cli.schedules import FINAL_STEP
from vae_cli.types import Batch, Model, Objective, OptimizerFactory, Schedule, Staged, Terms

MONITOR = "val/loss"  # of the objective that is trained, at the values that its schedules end with


class Experiment(LightningModule):
    """Training, validation and test of one model under one objective.

    Args:
        optimizer: called with the parameters of model and objective.
        lr_factor: what the optimiser's learning rates are multiplied with, by step.
        monitors: by split, figures that `val` and `test` report besides those of the objective.
        seed: all noise of a step follows from it, the step and the process.

    """

    def __init__(
        self,
        model: Model,
        objective: Objective,
        optimizer: OptimizerFactory,
        *,
        lr_factor: Schedule,
        monitors: Mapping[str, Sequence[Monitor]],
        seed: int,
    ) -> None:
        super().__init__()
        self.model = model
        self.objective = objective
        self._optimizer, self._lr_factor = optimizer, lr_factor
        self._staged = [part for part in model.modules() if isinstance(part, Staged)]
        self._monitors = monitors
        self._seed = seed
        self._training_sums = Sums()
        self._evaluation_sums, self._batches = Sums(), 0  # of those evaluated since the pass began
        self._first_batch = 0  # of the pass, where it goes on with an earlier one
        self.pause = no_pause  # between two parts of an evaluation
        self.figures: dict[str, float] = {}  # of the latest validation or test, by tag

    def schedule_values(self, step: int) -> dict[str, float]:
        """Every schedule of the objective at an absolute optimiser step."""
        return {name: schedule(step) for name, schedule in self.objective.schedules.items()}

    def drain(self) -> dict[str, float]:
        """Means over the training examples, of all processes, since the last time; empties the sums.

        Raises:
            TrainingError: where one of them is not a finite number.
        """
        means = self._training_sums.over_processes(self.trainer.strategy.reduce).means()
        _refuse_non_finite(means, f"step {self.global_step} or shortly before")
        self._training_sums = Sums()
        return means

    def means_here(self) -> dict[str, float]:
        """Means over the training examples of this process alone; nothing is emptied."""
        return self._training_sums.means()

    def evaluated(self) -> dict[str, Any]:
        """What was added up of the present pass, as plain data: its batches, sums of terms by name, examples."""
        state = self._evaluation_sums.state()
        totals = [] if state["totals"] is None else state["totals"].tolist()
        return {"batches": self._batches, **state, "totals": totals}

    def go_on_evaluating(self, batches: int, names: list[str], totals: list[float], examples: int) -> None:
        """Go on with a pass of which `evaluated` told: the next batch is the one after those."""
        self._evaluation_sums = Sums(names, torch.tensor(totals, dtype=torch.float64), examples)
        self._first_batch = self._batches = batches

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Set the learning rate, which follows from the step alone: it needs no place in a checkpoint."""
        factor = self._lr_factor(self.global_step)
        for optimizer in self.trainer.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = factor * optimizer.defaults["lr"]

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """One step; its noise follows from (seed, step, process)."""
        seed(self.device, self._seed, "step", self.global_step, self.global_rank)
        with _at(self._staged, self.global_step):
            terms = self.objective(self.model, batch, self.schedule_values(self.global_step))
        values = _values(terms)
        if self.device.type == "cpu" and self.trainer.world_size == 1:  # else waiting for others: `drain` finds out
            _refuse_non_finite(dict(zip(terms, values.tolist(), strict=True)), f"step {self.global_step + 1}")
        self._training_sums.add(list(terms), values, len(batch.x))
        return terms["loss"]

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Adds up one batch."""
        self._evaluate(batch, "val", batch_idx)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Adds up one batch."""
        self._evaluate(batch, "test", batch_idx)

    def on_validation_epoch_end(self) -> None:
        """Logs val/<term>, means over the split."""
        self._log_evaluation("val")

    def on_test_epoch_end(self) -> None:
        """Logs test/<term>, means over the split."""
        self._log_evaluation("test")

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """One optimiser for everything that learns."""
        return self._optimizer(self.parameters())

    def optimizer_state(self) -> dict[str, Any]:
        """What the optimiser would keep after a step, as its `state_dict`: tensors of the right forms alone."""
        kept: dict[tuple[Any, ...], Mapping[str, Any]] = {}
        state = {}
        for index, parameter in enumerate(self.parameters()):
            form = parameter.shape, parameter.stride(), parameter.dtype
            if form not in kept:
                kept[form] = self._kept_after_a_step(parameter)
            state[index] = kept[form]
        return {**self.configure_optimizers().state_dict(), "state": state}

    def _kept_after_a_step(self, parameter: Tensor) -> Mapping[str, Any]:
        """For one like it."""
        other = torch.nn.Parameter(torch.zeros_like(parameter))
        other.grad = torch.zeros_like(other)
        optimizer = self._optimizer([other])
        optimizer.step()
        return optimizer.state[other]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keeps the sums that wait to be logged.

        Raises:
            TrainingError: where they, a weight or what the optimiser keeps are no finite numbers, so that the
                checkpoint before stays.
        """
        sums = self._training_sums.over_processes(self.trainer.strategy.reduce)
        _refuse_non_finite(sums.means(), f"step {self.global_step} or shortly before")
        after = f"after step {self.global_step}"
        _refuse_lost(dict(self.named_parameters()), f"the weights {{}} are not finite {after}")
        _refuse_lost(
            dict(self._kept_by_optimizers()), f"gradients overflow: the optimiser's {{}} is not finite {after}"
        )
        checkpoint["training_sums"] = sums.state()

    def _kept_by_optimizers(self) -> Iterator[tuple[str, Tensor]]:
        """Moments of gradients, by name: where one overflows, its weights never move again, and the loss is finite."""
        names: dict[Tensor, str] = {parameter: name for name, parameter in self.named_parameters()}
        for optimizer in self.trainer.optimizers:
            for parameter, state in optimizer.state.items():
                for key, value in state.items():
                    if isinstance(value, Tensor):
                        yield f"{key} of {names[parameter]}", value

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Takes them up again."""
        if self.trainer.is_global_zero:
            self._training_sums = Sums(**checkpoint["training_sums"])

    def _evaluate(self, batch: Batch, split: str, batch_idx: int) -> None:
        """Objective, with the values that its schedules end with so that runs at different steps compare; monitors."""
        number = self._first_batch + batch_idx
        with stream(self.device, self._seed, split, number, self.global_rank):
            terms = self.objective(self.model, batch, self.schedule_values(FINAL_STEP))
            for monitor in self._monitors[split]:
                terms = {**terms, **monitor(self.model, batch, terms, self.pause)}
        self._evaluation_sums.add(list(terms), _values(terms), len(batch.x))
        self._batches = number + 1

    def _log_evaluation(self, split: str) -> None:
        means = self._evaluation_sums.over_processes(self.trainer.strategy.reduce).means()
        self._evaluation_sums, self._batches, self._first_batch = Sums(), 0, 0
        _refuse_non_finite(means, f"step {self.global_step}", split)
        self.figures = {f"{split}/{name}": value for name, value in means.items()}
        self.log_dict(self.figures, logger=False)  # for callbacks that monitor a figure


@contextmanager
def _at(parts: Sequence[Staged], step: int) -> Iterator[None]:
    """As at that step while inside, and as they end afterwards: what validates, tests and draws sees no other."""
    for part in parts:
        part.at(step)
    try:
        yield
    finally:
        for part in parts:
            part.at(FINAL_STEP)


def _values(terms: Terms) -> Tensor:
    """All of them, [number of terms], without their gradients."""
    return torch.stack([term.detach() for term in terms.values()])


def _refuse_non_finite(values: Mapping[str, float], when: str, split: str = "train") -> None:
    """TrainingError that names the term, the parts of the bound before their sums."""
    wrong = [name for name in reversed(list(values)) if not math.isfinite(values[name])]
    if wrong:
        what_now = _TRAINED if split == "test" else _STOPPED
        raise TrainingError(f"{split}/{wrong[0]} is {values[wrong[0]]} at {when}: {what_now}")


def _refuse_lost(tensors: Mapping[str, Tensor], text: str) -> None:
    """TrainingError with the name of the first that is not finite in the text, found with one look at the device."""
    real = {name: tensor.detach() for name, tensor in tensors.items() if tensor.is_floating_point()}
    if real and not torch.stack([tensor.isfinite().all() for tensor in real.values()]).all():
        lost = next(name for name, tensor in real.items() if not tensor.isfinite().all())
        raise TrainingError(f"{text.format(lost)}: {_STOPPED}")


_STOPPED = (
    "training stopped, and no checkpoint holds it; start anew, from weights that a checkpoint holds with init=<run>, "
    "with a smaller optimizer.lr, trainer.gradient_clip_val, a likelihood of another scale, or x scaled"
)
_TRAINED = "training is complete, and some test example is beyond the model: look for outliers, or scale x"


class Sums:
    """Weighted sums of named scalars, in float64 on the device that made them."""

    def __init__(self, names: list[str] | None = None, totals: Tensor | None = None, examples: int = 0) -> None:
        self._names, self._totals, self._examples = names or [], totals, examples

    def add(self, names: list[str], means: Tensor, examples: int) -> None:
        """Adds batch means, one for each name, over that many examples."""
        values = means.double() * examples
        self._names = names
        self._totals = values if self._totals is None else self._totals.to(values.device) + values
        self._examples += examples

    def over_processes(self, reduce: Callable[..., Any]) -> "Sums":
        """The sums of all processes; `reduce` is the strategy's."""
        if self._totals is None:
            return self
        examples = torch.tensor(float(self._examples), device=self._totals.device, dtype=torch.float64)
        total = reduce(self._totals.clone(), reduce_op="sum")
        return Sums(self._names, total, int(reduce(examples, reduce_op="sum")))

    def means(self) -> dict[str, float]:
        """Means over all examples added; {} where there are none."""
        if self._totals is None:
            return {}
        return dict(zip(self._names, (self._totals / self._examples).tolist(), strict=True))

    def state(self) -> dict[str, Any]:
        """As plain data: the arguments of the constructor."""
        return {"names": self._names, "totals": self._totals, "examples": self._examples}
