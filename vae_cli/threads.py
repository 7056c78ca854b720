"""How many threads of the processor a run computes with.

OpenMP's threads wait for one another between the parts of a step, and a step of a small net has hundreds of parts: two
threads gain nothing on a quiet machine, and on a busy one, where one of them is often off its core, they wait for
minutes. So small steps take one thread.
"""

import os

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from vae_cli.data.module import DataModule
from vae_cli.experiment import Experiment
from vae_cli.noise import stream

_SMALL = 3e8  # floating-point operations a step, not yet measured: between the default nets of digits and MNIST
_SIZES = (2, 4)  # batches that a step is measured by
_BACKWARDS = 2  # passes back, in passes forward
_SET_BY_USER = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


def threads_for(setting: str | int | None, experiment: Experiment, data: DataModule, device: str) -> int:
    """From `trainer.threads`: a number, `auto`, or None for whatever torch finds.

    `auto` follows the user's environment where that names a number, and else takes one thread where a step on the CPU
    is small.
    """
    if isinstance(setting, int):
        return setting
    found = torch.get_num_threads()
    if setting is None or found == 1 or device != "cpu" or any(name in os.environ for name in _SET_BY_USER):
        return found
    return 1 if operations_of_a_step(experiment, data) < _SMALL else found


def operations_of_a_step(experiment: Experiment, data: DataModule) -> float:
    """Products and sums in the matrix products and convolutions of a training step, about; asking changes nothing."""
    buffers: dict[str, Tensor] = {name: buffer.clone() for name, buffer in experiment.named_buffers()}
    few, more = (_operations(experiment, data, size) for size in _SIZES)
    for name, buffer in experiment.named_buffers():
        buffer.copy_(buffers[name])
    an_example = (more - few) / (_SIZES[1] - _SIZES[0])
    return (1 + _BACKWARDS) * (few + (data.batch_size - _SIZES[0]) * an_example)


def _operations(experiment: Experiment, data: DataModule, size: int) -> int:
    """Of one pass forward over so many examples; a prior may take some however few there are."""
    row = torch.zeros(1, dtype=torch.long)
    batch = data.val.peek(row).part(row.expand(size))
    with torch.no_grad(), stream(torch.device("cpu"), "threads"), FlopCounterMode(display=False) as counter:
        experiment.objective(experiment.model, batch, experiment.schedule_values(0))
    return counter.get_total_flops()
