"""Arrays of any length as a parquet file: a row an example, a column a number."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from vae_cli.encoding.columns import Columns
from vae_cli.errors import ConfigError
from vae_cli.files import replacing

_GROUP = 2**24  # bytes of a row group, at least: what a file says of each of its groups stays in memory


def write_parquet(out: Path, _examples: int, names: Mapping[str, Sequence[str]], batches: Iterable[Columns]) -> None:
    """Columns `z_mean_0`, `z_scale_tril_1_0`, ..., `y`, the names of the factors, `index`; memory holds a row group.

    Where classes have names, the name of each example's is in `label`.

    Raises:
        ConfigError: where two columns have one name.
        OSError: that names `out`, where it cannot be written; nothing of it is left.

    """
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    with replacing(out) as file:
        groups = (pa.table(_flat(group, names)) for group in _groups(batches))
        first = next(groups)
        with ParquetWriter(file, first.schema, use_dictionary=False) as writer:  # real numbers do not repeat
            writer.write_table(first)
            for table in groups:
                writer.write_table(table)


def _groups(batches: Iterable[Columns]) -> Iterator[Columns]:
    """Batches put together until they are large enough."""
    waiting: list[Columns] = []
    for columns in batches:
        waiting.append(columns)
        if sum(values.nbytes for columns in waiting for values in columns.values()) >= _GROUP:
            yield _joined(waiting)
            waiting = []
    if waiting:
        yield _joined(waiting)


def _joined(parts: list[Columns]) -> Columns:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _flat(columns: Columns, names: Mapping[str, Sequence[str]]) -> dict[str, np.ndarray]:
    """Arrays [B, ...] as columns [B]."""
    found: dict[str, np.ndarray] = {}
    if "y" in columns and names["class_names"]:
        known = np.array([*names["class_names"], ""])  # the last for -1, of a label that is hidden
        columns = {**columns, "label": known[columns["y"]]}
    factor_names = names["factor_names"]
    for name, values in columns.items():
        for place in np.ndindex(*values.shape[1:]):
            column = factor_names[int(place[0])] if name == "factors" else "_".join([name, *map(str, place)])
            if column in found:
                raise ConfigError(f"two columns of a parquet file would be {column}; name a file that ends in .npz")
            found[column] = values[:, *place]
    return found
