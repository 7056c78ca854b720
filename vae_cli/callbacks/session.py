"""The run as TensorBoard's HPARAMS and TEXT tabs show it.

Only the start and the end of a session are written, and no experiment summary: TensorBoard then shows the union of the
hyper-parameters of all runs beside each other, and takes every scalar as a metric (no `hp_metric`).
"""

import re
import time
from typing import Any

from tensorboard.compat.proto import summary_pb2
from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2
from tensorboard.plugins.hparams.metadata import PLUGIN_DATA_VERSION, PLUGIN_NAME, SESSION_END_INFO_TAG
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from vae_cli.telling import clean

Hyperparameters = dict[str, bool | str | float | int]


def start_session(writer: SummaryWriter, hyperparameters: Hyperparameters, config: str) -> None:
    """Hyper-parameters, and the resolved config as text."""
    _, start, _ = hparams({clean(key): _seen(value) for key, value in hyperparameters.items()}, {})
    _write(writer, start)
    lines = [clean(line) for line in config.split("\n")]
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", config)), default=0))  # longer than any within
    writer.add_text("config", "\n".join([f"{fence}yaml", *lines]) + fence)


def _seen(value: bool | str | float | int) -> bool | str | float | int:
    return clean(value) if isinstance(value, str) else value


def end_session(writer: SummaryWriter) -> None:
    """Success. TensorBoard keeps the first end that it reads, so a run that may yet go on writes none, and shows as
    unknown; `status.json` says how it ended.
    """
    messages: Any = plugin_data_pb2  # generated at run time, so that no type checker sees what is in them
    summaries: Any = summary_pb2
    statuses: Any = api_pb2
    end = messages.SessionEndInfo(status=statuses.STATUS_SUCCESS, end_time_secs=time.time())
    content = messages.HParamsPluginData(session_end_info=end, version=PLUGIN_DATA_VERSION).SerializeToString()
    plugin = summaries.SummaryMetadata.PluginData(plugin_name=PLUGIN_NAME, content=content)
    summary = summaries.Summary()
    summary.value.add(tag=SESSION_END_INFO_TAG, metadata=summaries.SummaryMetadata(plugin_data=plugin))
    _write(writer, summary)


def _write(writer: SummaryWriter, summary: Any) -> None:
    file_writer = writer._get_file_writer()  # noqa: SLF001 (the only way to a summary that has no add_* method)
    file_writer.add_summary(summary)
