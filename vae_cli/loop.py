"""Lightning's loop over the batches of an epoch, without the hooks that nothing here uses.

Between two steps of a small MLP, Lightning 2.6 calls some thirty hooks, which cost a fifth of the step itself. Here a
batch is one step of one optimiser; all that counts, saves and resumes stays Lightning's.
"""

from pytorch_lightning.loops.fetchers import _DataFetcher
from pytorch_lightning.loops.training_epoch_loop import _TrainingEpochLoop

from vae_cli.experiment import Experiment


class StepLoop(_TrainingEpochLoop):
    """One process, gradients that are not scaled: the short way. Else, and where a run is taken up, Lightning's."""

    def advance(self, data_fetcher: _DataFetcher) -> None:
        """One batch: `training_step`, gradients, their clipping, the optimiser's step, `on_train_batch_end`."""
        trainer = self.trainer
        scaled = getattr(trainer.precision_plugin, "scaler", None) is not None
        if self.restarting or trainer.world_size > 1 or scaled:
            super().advance(data_fetcher)
            return
        experiment = trainer.lightning_module
        assert isinstance(experiment, Experiment)
        batch, _, _ = next(data_fetcher)
        progress, steps = self.batch_progress, self.automatic_optimization.optim_progress.optimizer.step
        progress.is_last_batch = data_fetcher.done
        progress.increment_ready()
        progress.increment_started()
        index = self.batch_idx
        experiment.on_train_batch_start(batch, index)
        loss = experiment.training_step(batch, index)
        (optimizer,) = trainer.optimizers
        optimizer.zero_grad()
        loss.backward()
        trainer.precision_plugin.clip_gradients(optimizer, trainer.gradient_clip_val or 0.0)
        steps.increment_ready()
        optimizer.step()
        steps.increment_completed()
        progress.increment_processed()
        for callback in trainer.callbacks:  # pyright: ignore[reportAttributeAccessIssue] (Lightning sets it)
            callback.on_train_batch_end(trainer, experiment, None, batch, index)
        progress.increment_completed()
