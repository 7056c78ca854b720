"""THE LightningModule: minimises any objective over any model, and adds up what there is to log.

Lightning's `self.log` costs 0.3 to 0.5 ms a scalar and step, so training adds its terms to one tensor; `drain` empties
it. The sums are part of the checkpoint: a resumed run logs what the uninterrupted one does.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from pytorch_lightning import LightningModule
from torch import Tensor

from vae_cli.errors import TrainingError
from vae_cli.monitors import Monitor
from vae_cli.noise import seed, stream
from vae_cli.schedules import FINAL_STEP
from vae_cli.types import Batch, Model, Objective, OptimizerFactory, Schedule, Terms


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
        self._monitors = monitors
        self._seed = seed
        self._training_sums = Sums()
        self._evaluation_sums = Sums()
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

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Set the learning rate, which follows from the step alone: it needs no place in a checkpoint."""
        factor = self._lr_factor(self.global_step)
        for optimizer in self.trainer.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = factor * optimizer.defaults["lr"]

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """One step; its noise follows from (seed, step, process)."""
        seed(self.device, self._seed, "step", self.global_step, self.global_rank)
        terms = self.objective(self.model, batch, self.schedule_values(self.global_step))
        values = _values(terms)
        if self.device.type == "cpu":  # elsewhere the host would wait for the device: `drain` finds out
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

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keeps the sums that wait to be logged.

        Raises:
            TrainingError: where they or a weight are no finite numbers, so that the checkpoint before stays.
        """
        sums = self._training_sums.over_processes(self.trainer.strategy.reduce)
        _refuse_non_finite(sums.means(), f"step {self.global_step} or shortly before")
        self._refuse_lost_weights()
        checkpoint["training_sums"] = sums.state()

    def _refuse_lost_weights(self) -> None:
        """A finite loss may have gradients that are not; the weights then are lost before the next loss tells."""
        weights = [parameter for parameter in self.parameters() if parameter.is_floating_point()]
        if not torch.stack([weight.detach().isfinite().all() for weight in weights]).all():
            lost = next(name for name, weight in self.named_parameters() if not weight.isfinite().all())
            raise TrainingError(f"the weights {lost} are not finite after step {self.global_step}: {_STOPPED}")

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Takes them up again."""
        if self.trainer.is_global_zero:
            self._training_sums = Sums(**checkpoint["training_sums"])

    def _evaluate(self, batch: Batch, split: str, batch_idx: int) -> None:
        """Objective, with the values that its schedules end with so that runs at different steps compare; monitors."""
        with stream(self.device, self._seed, split, batch_idx, self.global_rank):
            terms = self.objective(self.model, batch, self.schedule_values(FINAL_STEP))
            for monitor in self._monitors[split]:
                terms = {**terms, **monitor(self.model, batch, terms)}
        self._evaluation_sums.add(list(terms), _values(terms), len(batch.x))

    def _log_evaluation(self, split: str) -> None:
        means = self._evaluation_sums.over_processes(self.trainer.strategy.reduce).means()
        self._evaluation_sums = Sums()
        _refuse_non_finite(means, f"step {self.global_step}", split)
        self.figures = {f"{split}/{name}": value for name, value in means.items()}
        self.log_dict(self.figures, logger=False)  # for callbacks that monitor a figure


def _values(terms: Terms) -> Tensor:
    """All of them, [number of terms], without their gradients."""
    return torch.stack([term.detach() for term in terms.values()])


def _refuse_non_finite(values: Mapping[str, float], when: str, split: str = "train") -> None:
    """TrainingError that names the term, the parts of the bound before their sums."""
    wrong = [name for name in reversed(list(values)) if not math.isfinite(values[name])]
    if wrong:
        raise TrainingError(f"{split}/{wrong[0]} is {values[wrong[0]]} at {when}: {_STOPPED}")


_STOPPED = (
    "training stopped and the last checkpoint is kept; "
    "try a smaller optimizer.lr, trainer.gradient_clip_val, or a likelihood of another scale"
)


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
