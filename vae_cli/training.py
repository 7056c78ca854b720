"""One training run, from a config and an empty folder to figures; or from an interrupted run onwards.

A run has phases: training; the pictures of its end; the test; the record. What comes after training follows from the
last checkpoint alone, and what it logs is taken back where the run goes on from there: until the status says that the
run has finished, whoever continues it goes through all of it again, so that it leaves the same wherever it was stopped.
Only a test that was asked to stop goes on where it was.
"""

import io
import logging
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from lightning_fabric.utilities.rank_zero import rank_zero_only
from omegaconf import DictConfig, ListConfig, OmegaConf
from pytorch_lightning import Callback, Trainer

from vae_cli.accelerator import accelerator_of
from vae_cli.advice import collapsed, diverged, slow_precision, unfinished
from vae_cli.allocator import keep_freed_memory
from vae_cli.build import build_data, build_experiment, rehearse
from vae_cli.callbacks.checkpoints import AtomicCheckpointIO, Checkpoints, load_checkpoint
from vae_cli.callbacks.codes import Codes
from vae_cli.callbacks.content import check_progress, check_weights
from vae_cli.callbacks.event_files import are_there, take_back
from vae_cli.callbacks.interruption import Interrupted, Interruption, Pauses
from vae_cli.callbacks.latents import Latents
from vae_cli.callbacks.layout import add_layout
from vae_cli.callbacks.patience import Patience, waited_in
from vae_cli.callbacks.pictures import Pictures
from vae_cli.callbacks.progress import ProgressBar, ProgressLines
from vae_cli.callbacks.scalars import Scalars
from vae_cli.callbacks.session import Hyperparameters, end_session, start_session
from vae_cli.callbacks.tensorboard import TensorBoard
from vae_cli.compilation import compile_networks
from vae_cli.consoles import console
from vae_cli.data.described import describe
from vae_cli.data.module import DataModule
from vae_cli.errors import ConfigError, TrainingError
from vae_cli.experiment import Experiment
from vae_cli.files import appended
from vae_cli.loading import recorded_data, weights_of
from vae_cli.loop import StepLoop
from vae_cli.metrics.enough import FEWEST
from vae_cli.precision import MixedInNetworks, set_float32_precision
from vae_cli.runs import RunDirectory, resolved
from vae_cli.telling import clean, is_quiet, is_verbose, warn
from vae_cli.threads import threads_for
from vae_cli.types import Spec

log = logging.getLogger("vae_cli")

_NOT_HYPERPARAMETERS = ("logging", "name", "run", "init", "trust", "trainer.accelerator", "trainer.devices")
_NOT_FLATTENED = ("_target_", "_partial_", "source", "root", "path", "download")  # in whichever node they stand


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    directory: Path
    state: str  # finished or interrupted
    step: int
    weights: str  # which weights the figures are of
    figures: Mapping[str, float]  # by tag, nats
    signal: int | None = None  # that came during the run, whether or not there was anything left to interrupt

    @property
    def is_first_process(self) -> bool:
        """Whether this is the process that reports, where a run has several."""
        return _is_first_process()


def train(config: DictConfig, choices: Mapping[str, str], overrides: list[str], directory: RunDirectory) -> Outcome:
    """Train from the start (or from the weights of `init`) in a folder that holds no run yet.

    Raises:
        ConfigError: for what the user can put right; then nothing was written.

    """
    config = resolved(config)
    run = _Run(config, directory, checkpoint=None)
    if config.init is not None:
        _load_weights(run.experiment, RunDirectory(Path(config.init)))
    with _alone(directory):
        if run.writes:
            if directory.holds_a_run():
                raise ConfigError(
                    f"{directory.path} already holds a run: continue it with run={directory.path}, "
                    "or choose another folder"
                )
            directory.write_config(config, {"choices": dict(choices), "overrides": overrides, "data": run.data})
        return run.go(choices)


def resume(config: DictConfig, record: Mapping[str, Any], directory: RunDirectory) -> Outcome:
    """Continue the run in `directory`; a finished one continues where `config` has a larger budget."""
    config = resolved(config)
    with _alone(directory):
        checkpoint = directory.checkpoints / "last.ckpt"
        recorded = recorded_data(directory, record)
        run = _Run(config, directory, checkpoint if checkpoint.exists() else None, recorded)
        if config.init is not None and not checkpoint.exists():
            _load_weights(run.experiment, RunDirectory(Path(config.init)))
        outcome = _finished(directory) if directory.status().get("state") == "finished" else None
        if run.spent and outcome is not None:
            return outcome
        if run.writes:
            directory.remove_parts()
            if outcome is None:  # what a finished run logged stays where it goes on
                take_back(directory.path, run.first_step)
            directory.write_config(config, record)
        return run.go(record["choices"])


def _alone(directory: RunDirectory) -> AbstractContextManager[None]:
    """The lock on the folder, held by the first process of a run; the others work under it."""
    return directory.locked() if _is_first_process() else nullcontext()


def _is_first_process() -> bool:
    """Where a run has several, before and after there is a trainer to ask."""
    return getattr(rank_zero_only, "rank", 0) == 0


def _quieten() -> None:
    """No adverts, and none of the warnings that speak of Lightning's insides."""
    for name in ("pytorch_lightning.utilities.rank_zero", "lightning_fabric.utilities.distributed"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=r".*isinstance\(treespec, LeafSpec\).*", category=FutureWarning)
    warnings.filterwarnings("ignore", module=r"pytorch_lightning\..*|lightning_fabric\..*")


class _Run:
    """A trainer with all that it needs, built before anything is written."""

    def __init__(
        self, config: DictConfig, directory: RunDirectory, checkpoint: Path | None, recorded: Spec | None = None
    ) -> None:
        self._config, self._directory, self._checkpoint = config, directory, checkpoint
        _quieten()
        keep_freed_memory()
        set_float32_precision(config.matmul_precision)
        self._data = build_data(config, recorded)
        self.experiment = build_experiment(config, self._data)
        terms = rehearse(self.experiment, self._data)
        self._take_threads()
        place = _START if checkpoint is None else _place_in(checkpoint, self.experiment, terms)
        if config.compile:
            compile_networks(self.experiment)
        if place.data not in (None, self._data.fingerprint):
            raise ConfigError(
                f"run={directory.path}: the data is not what this run began on (checksum {self._data.fingerprint}, "
                f"then {place.data}): restore the files, or start a new run with init={directory.path}"
            )
        self.first_step, budget = place.step, config.trainer
        waited = budget.patience is not None and place.waited >= budget.patience
        self.spent = waited or place.step >= budget.max_steps > 0 or place.epochs >= budget.max_epochs > 0
        self._logger = TensorBoard(directory.path, place.step)
        self._interruption = Interruption(at_once=lambda: self._write_status("interrupted", "at once"))
        epochs = place.epochs if self.spent else budget.max_epochs  # no more than there are: none is trained
        self._begun = place.epochs + place.inside_epoch
        self._latents, self._patience = Latents(), Patience(budget.patience)
        self._pictures = _pictures(config, directory)
        watching: list[Callback] = [self._latents, self._patience, *self._pictures]
        self._trainer = _trainer(config, epochs, directory, self._logger, watching, self._interruption)
        self._data.share(self._trainer.global_rank, self._trainer.world_size)
        if place.inside_epoch and place.world != self._trainer.world_size:
            raise ConfigError(
                f"run={directory.path} stopped inside an epoch that {place.world} device(s) shared: "
                f"continue it with trainer.devices={place.world}"
            )

    def _take_threads(self) -> None:
        """Chosen once, and kept: they change the last digits of sums."""
        settings = self._config.trainer
        device = accelerator_of(settings.accelerator, "trainer.accelerator")
        settings.threads = threads_for(settings.threads, self.experiment, self._data, device)
        torch.set_num_threads(settings.threads)

    @property
    def data(self) -> dict[str, Any]:
        """What the data says of itself, as plain values."""
        return describe(self._data.spec)

    @property
    def writes(self) -> bool:
        """Whether this process is the one that writes to the run directory."""
        return self._trainer.is_global_zero

    def go(self, choices: Mapping[str, str]) -> Outcome:
        """All phases; a status is left whatever happens."""
        try:
            with self._interruption.handlers(), self._log_file():
                self._start_session(choices)
                self._write_status("running")
                outcome = self._phases()
                self._write_status(outcome.state)
            return outcome
        except Exception as error:
            with suppress(OSError):  # of a full disk, too, the error itself is told
                self._write_status("failed", reason=f"{type(error).__name__}: {error}")
            if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
                raise _stopped_by(error, self._directory) from error
            raise
        finally:
            self._data.close()
            with suppress(OSError):  # everything was saved, or an error is on its way already
                self._logger.close()

    def _phases(self) -> Outcome:
        path, trainer = self._directory.path, self._trainer
        try:
            self._train()
            self._draw()
            weights = self._take_best_weights()
            figures = self._test(weights)
        except Interrupted:
            step = self._step_kept()
            log.info("interrupted after step %d", step)
            return Outcome(path, "interrupted", step, "", {}, signal=self._interruption.signal)
        self._record(weights, figures)
        return Outcome(path, "finished", trainer.global_step, weights, figures, signal=self._interruption.signal)

    def _train(self) -> None:
        """To the end of the budget, from the checkpoint; where that is the end, only take up what it holds."""
        self._say_what_was_read()
        log.info("training from step %d, threads: %d", self.first_step, torch.get_num_threads())
        schedules, seen = self.experiment.objective.schedules, self._patience
        self._warn(unfinished(schedules, self._last_step()))
        self._warn(slow_precision(self._config.trainer.precision, self._trainer.strategy.root_device.type))
        self._trainer.fit(self.experiment, datamodule=self._data, ckpt_path=self._checkpoint, weights_only=True)
        self._warn(collapsed(self._config, schedules, self._latents.active, self._trainer.global_step))
        if self._data.val.num_rows() >= FEWEST:
            self._warn(diverged(self._config, seen.first, seen.best, seen.last))

    def _draw(self) -> None:
        """What the last weights show: pictures where the last epoch drew none, the latent space."""
        self._pause()
        begun = self._begun if self.spent else self._trainer.current_epoch
        self.experiment.to(self._trainer.strategy.root_device)
        for pictures in self._pictures:
            pictures.at_the_end(self._trainer, self.experiment, begun)
            self._pause()

    def _take_best_weights(self) -> str:
        """Of the best validation where there was one; which they are, in words."""
        best = self._directory.checkpoints / "best.ckpt"
        if not best.exists():
            return f"last (step {self._trainer.global_step})"
        content = load_checkpoint(best)
        self.experiment.load_state_dict(content["state_dict"])
        return f"best validation loss (step {content['global_step']})"

    def _test(self, weights: str) -> Mapping[str, float]:
        """Figures by tag. A process that is alone goes on with a test that was asked to stop, of the same weights and
        under the same config.
        """
        alone = self._trainer.world_size == 1
        of = {
            "weights": weights,
            "step": self._trainer.global_step,
            "data": self._data.fingerprint,
            "config": OmegaConf.to_yaml(self._config, resolve=True, sort_keys=True),
        }
        done = _sums_of(self._directory.unfinished_test(), of) if alone else None
        if done is not None:
            self.experiment.go_on_evaluating(**done)
            self._data.test.load_state_dict({"epoch": 0, "position": done["batches"]})
        try:
            self._trainer.test(self.experiment, datamodule=self._data, verbose=False)
        except Interrupted:
            if alone:
                self._directory.write_unfinished_test({"of": of, "done": self.experiment.evaluated()})
            raise
        return self.experiment.figures

    def _record(self, weights: str, figures: Mapping[str, float]) -> None:
        """metrics.json, and for TensorBoard that the run was a success."""
        if not self.writes:
            return
        self._directory.write_metrics(
            {
                "unit": "nats per example",
                "weights": weights,
                "steps": self._trainer.global_step,
                "epochs": self._data.train.completed_epochs,
                "waited": self._patience.waited,
                "test": figures,
            }
        )
        self._directory.forget_unfinished_test()
        end_session(self._logger.experiment)
        self._logger.save()

    def _pause(self) -> None:
        """Between two phases."""
        if self._interruption.asked(self._trainer):
            raise Interrupted

    def _step_kept(self) -> int:
        """Of the last checkpoint: one interrupted in a validation trains the steps since then again."""
        last = self._directory.checkpoints / "last.ckpt"
        return load_checkpoint(last)["global_step"] if last.exists() else self.first_step

    def _say_what_was_read(self) -> None:
        log.info("%s", self._data.told)
        if self.writes:
            warn(self._data.told)
        self._warn(self._data.warnings)

    def _warn(self, texts: Iterable[str]) -> None:
        """In the log, and where the user sees them."""
        for text in texts:
            log.warning("warning: %s", text)
            if self.writes:
                warn(f"warning: {text}")

    def _last_step(self) -> int:
        """Of the budget, which limits epochs, steps or both."""
        budget = self._config.trainer
        limits = [budget.max_epochs * len(self._data.train), budget.max_steps]
        return min(limit for limit in limits if limit > 0)

    @contextmanager
    def _log_file(self) -> Iterator[None]:
        """What `vae_cli` logs goes to train.log while inside."""
        handler = _LogFile(self._directory.path / "train.log") if self.writes else logging.NullHandler()
        handler.setFormatter(_Line("%(asctime)s %(message)s"))
        log.addHandler(handler)
        spoken = _Spoken()
        if self.writes and is_verbose():
            log.addHandler(spoken)
        log.setLevel(logging.INFO)
        log.propagate = False
        try:
            yield
        finally:
            log.removeHandler(handler)
            log.removeHandler(spoken)
            handler.close()

    def _start_session(self, choices: Mapping[str, str]) -> None:
        if not self.writes:
            return
        before = self.first_step > 0 and are_there(self._directory.path)
        self._logger.save()  # opens a file
        if not before:
            hyperparameters = _hyperparameters(self._config, choices)
            start_session(self._logger.experiment, hyperparameters, OmegaConf.to_yaml(self._config, resolve=True))
            add_layout(self._logger.experiment, self.experiment.model, self.experiment.objective)

    def _write_status(self, state: str, reason: str | None = None) -> None:
        if self.writes:
            step = max(self.first_step, self._trainer.global_step)
            self._directory.write_status(state, step, reason)


def _on_a_terminal() -> bool:
    """Whether somebody looks at standard error there; it may be closed."""
    return not is_quiet() and sys.stderr is not None and sys.stderr.isatty()


def _stopped_by(error: OSError, directory: RunDirectory) -> TrainingError:
    """For a file that cannot be written: which, why, and how to go on."""
    if not directory.path.is_dir():
        return TrainingError(
            f"{directory.path} was removed or renamed while the run was at work: if it lies elsewhere, continue it "
            "there with run=<its folder>; else start it anew"
        )
    file = error.filename or directory.path
    return TrainingError(
        f"{file} cannot be written ({error.strerror or error}): put that right, and continue with run={directory.path}"
    )


class _Line(logging.Formatter):
    """A record as one line that a terminal may show."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (logging's own name)
        """The message, without a traceback."""
        return clean(super().formatMessage(record))


class _Spoken(logging.Handler):
    """On standard error, but for warnings, which are told there anyway."""

    def emit(self, record: logging.LogRecord) -> None:
        """A line."""
        if record.levelno < logging.WARNING:
            warn(self.format(record))


class _LogFile(logging.FileHandler):
    """At the end of a file that is no link; raises what other handlers print with a traceback."""

    def _open(self) -> io.TextIOWrapper:
        return io.TextIOWrapper(appended(Path(self.baseFilename)), write_through=True)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (logging's own name)
        """Called where an error is being handled."""
        raise


def _trainer(
    config: DictConfig,
    max_epochs: int,
    directory: RunDirectory,
    logger: TensorBoard,
    watching: Sequence[Callback],
    interruption: Interruption,
) -> Trainer:
    settings, logs = config.trainer, config.logging
    callbacks: list[Callback] = [Scalars(logs.every_n_steps), *watching]
    if _is_first_process() and logs.progress != "never":
        moving = logs.progress == "always" or _on_a_terminal()
        callbacks.append(ProgressBar(console(), settings.max_steps) if moving else ProgressLines(settings.max_steps))
    callbacks.append(Pauses(interruption))
    callbacks.append(
        Checkpoints(directory.checkpoints, logs.checkpoint_every_n_steps, settings.max_steps, interruption)
    )
    accelerator = accelerator_of(settings.accelerator, "trainer.accelerator")
    precision: dict[str, Any] = {"precision": settings.precision}
    plugins: list[Any] = [AtomicCheckpointIO()]
    if settings.precision in ("16-mixed", "bf16-mixed"):
        precision = {}
        plugins.append(MixedInNetworks(settings.precision, accelerator))
    try:
        trainer = Trainer(
            accelerator=accelerator,
            devices=settings.devices,
            max_epochs=max_epochs,
            gradient_clip_val=settings.gradient_clip_val,
            check_val_every_n_epoch=max(1, logs.validate_every_n_epochs),
            limit_val_batches=None if logs.validate_every_n_epochs else 0,
            num_sanity_val_steps=0,
            logger=logger,
            callbacks=callbacks,
            plugins=plugins,
            default_root_dir=directory.path,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            inference_mode=False,  # a test then runs what validation compiled
            log_every_n_steps=1,  # ours is Scalars'; Lightning only warns about this one
            **precision,
        )
    except (MisconfigurationException, ValueError, TypeError) as error:
        raise ConfigError(f"trainer: {' '.join(str(error).split())}") from error
    trainer.fit_loop.epoch_loop = StepLoop(trainer)
    return trainer


def _pictures(config: DictConfig, directory: RunDirectory) -> list[Pictures | Codes]:
    every = config.logging.pictures_every_n_epochs
    return [Pictures(directory.images, every), Codes(directory.path, directory.images)] if every else []


def _load_weights(experiment: Experiment, source: RunDirectory) -> None:
    """The best weights of a finished run, else its last."""
    state = weights_of(source, "best", "init").state
    try:
        check_weights(state, experiment)
    except ValueError as error:
        raise ConfigError(
            f"init={source.path}: its weights do not fit this model ({error}): choose the axes, widths and latent_dim "
            "of that run"
        ) from error
    experiment.load_state_dict(state)


@dataclass(frozen=True)
class _Place:
    """How far a checkpoint is, on which data, and over how many devices."""

    step: int
    epochs: int  # completed
    inside_epoch: bool
    data: str | None
    world: int
    waited: int  # validations since the best


_START = _Place(0, 0, False, None, 1, 0)


def _place_in(checkpoint: Path, experiment: Experiment, terms: Sequence[str]) -> _Place:
    """Where it is; ConfigError where it, or the best one beside it, is not one of this experiment."""
    for path in (checkpoint.with_name("best.ckpt"), checkpoint):
        content = load_checkpoint(path) if path.exists() else {}
        try:
            if content:
                check_progress(content, experiment, terms)
        except ValueError as error:
            raise ConfigError(f"{path} is not a checkpoint of this run ({error}): remove it, or restore it") from error
    progress, data = content["loops"]["fit_loop"]["epoch_progress"]["current"], content[DataModule.__qualname__]
    inside, waited = progress["started"] > progress["processed"], waited_in(content)
    return _Place(content["global_step"], progress["processed"], inside, data["fingerprint"], data["world"], waited)


def _sums_of(unfinished: Mapping[str, Any], of: Mapping[str, Any]) -> dict[str, Any] | None:
    """What an unfinished test added up; None where it is damaged, or was of other weights or settings."""
    match unfinished:
        case {
            "of": told,
            "done": {
                "batches": int(batches),
                "names": list(names),
                "totals": list(totals),
                "examples": int(examples),
            },
        } if told == of and batches > 0 and examples > 0 and len(names) == len(totals):
            if all(isinstance(name, str) for name in names) and all(isinstance(total, float) for total in totals):
                return {"batches": batches, "names": names, "totals": totals, "examples": examples}
    return None


def _finished(directory: RunDirectory) -> Outcome | None:
    """What a run left when it finished; None where that is damaged, and the test must be repeated."""
    match directory.metrics():
        case {"steps": int(step), "weights": str(weights), "test": dict(figures)}:
            whole = all(isinstance(value, float) for value in figures.values())
            return Outcome(directory.path, "finished", step, weights, figures) if whole else None
    return None


def _hyperparameters(config: DictConfig, choices: Mapping[str, str]) -> Hyperparameters:
    """The choice on every axis, and every number, word and switch below it, flat and once."""
    kept = {key: value for key, value in _flatten(config, "", {}) if not key.startswith(_NOT_HYPERPARAMETERS)}
    return {**{key: str(value) for key, value in choices.items()}, **kept}


def _flatten(node: DictConfig, prefix: str, above: Mapping[Any, Any]) -> Iterator[tuple[str, bool | str | float | int]]:
    """What a node above says under the same name is not said again: parts take it from there."""
    known = {**above, **node}
    for key in map(str, node):
        value = node[key]
        if key in _NOT_FLATTENED or (key in above and above[key] == value):
            continue
        if isinstance(value, DictConfig):
            yield from _flatten(value, f"{prefix}{key}.", known)
        elif isinstance(value, ListConfig):
            yield f"{prefix}{key}", str(value)
        elif isinstance(value, bool | str | float | int):
            yield f"{prefix}{key}", value
