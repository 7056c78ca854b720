"""What was read of a data set, in a line, and what of it may be wrong."""

from collections.abc import Iterator

import numpy as np

from vae_cli.classes import told
from vae_cli.data.base import Source
from vae_cli.data.described import in_words
from vae_cli.types import Binary, Real, Stored

_BINARISED = {
    "none": "",
    "threshold": ", 0 and 1 by a threshold of one half",
    "static": ", drawn as 0 and 1 once",
    "dynamic": ", drawn as 0 and 1 anew at every access in training",
}


def read_line(source: Source, choice: str) -> str:
    """Examples by split, shape, values, classes, factors, binarisation, and what was left out."""
    sizes = " / ".join(f"{len(examples):,}" for examples in source.splits)
    shape = " x ".join(map(str, source.train.shape))
    parts = [f"{sizes} examples of {shape}, {_values(source)}{_BINARISED[choice]}", *_known(source), *source.remarks]
    return f"read: {'; '.join(parts)}"


def _values(source: Source) -> str:
    words, summary = in_words(source.support), source.summary
    return words if isinstance(source.support, Binary) else f"{words} ({summary.low:g} to {summary.high:g})"


def _known(source: Source) -> Iterator[str]:
    if source.classes is not None:
        names = source.classes.names[: source.classes.trained]
        yield f"{len(names)} {'class' if len(names) == 1 else 'classes'} ({told(names)})"
    if source.factors:
        yield f"{len(source.factors)} factors ({told([factor.name for factor in source.factors])})"


def doubts(source: Source) -> Iterator[str]:
    """Labels without training examples, and columns whose scale no net takes well."""
    if source.classes is not None and source.classes.trained and source.classes.strangers:
        yield (
            f"labels that no training example has: {told(source.classes.strangers)}; figures by class leave such "
            "examples out"
        )
    if isinstance(source.support, Real):
        yield from _scales(source)


_LARGE = (
    30.0  # root mean square of a column that a net of weights near 1 is slow to reach; as its inverse for a deviation
)
_MOST_NAMED = 3


def _scales(source: Source) -> Iterator[str]:
    """The columns (coordinates of x) that are furthest from a mean near 0 and a deviation near 1."""
    mean, square = source.summary.mean, source.summary.square
    if square is None:
        return
    size, deviation = np.sqrt(square), np.sqrt(np.maximum(square - mean**2, 0))
    with np.errstate(divide="ignore"):
        excess = np.maximum(size, np.where(deviation > 1e-6 * size, 1 / deviation, 0))
    wrong = [place for place in np.argsort(-excess.ravel(), kind="stable") if excess.ravel()[place] > _LARGE]
    if wrong:
        named = [
            f"{','.join(map(str, np.unravel_index(place, mean.shape)))} (mean {mean.ravel()[place]:.3g}, deviation "
            f"{deviation.ravel()[place]:.3g})"
            for place in wrong[:_MOST_NAMED]
        ]
        more = f" and {len(wrong) - _MOST_NAMED} more" if len(wrong) > _MOST_NAMED else ""
        yield (
            f"columns of x are far from a mean of 0 and a deviation of 1: {', '.join(named)}{more}: nets learn these "
            "slowly or not at all, and likelihoods of one scale see no other column; scale the columns"
        )


_BEYOND, _NARROW = 0.5, 0.25  # parts of the range of training


def outside(stored: Stored | None, low: float, high: float) -> Iterator[str]:
    """What to say of values in another range than those of training; nothing where that was not kept."""
    if stored is None:
        return
    width = stored.high - stored.low
    beyond = max(stored.low - low, high - stored.high) > _BEYOND * width
    if beyond or high - low < _NARROW * width:
        yield (
            f"x has values from {low:.4g} to {high:.4g}, and this model was trained on {stored.low:.4g} to "
            f"{stored.high:.4g}: is it of another scale?"
        )
