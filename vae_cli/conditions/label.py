"""c = the label: p(x | y) (Kingma et al. 2014; Sohn et al. 2015)."""

from torch import Size
from torch.nn import functional as F  # noqa: N812 (torch's own abbreviation)

from vae_cli.errors import ConfigError
from vae_cli.types import Batch, Condition, Spec


class Label(Condition):
    """c is the label as a one-hot vector, [B, classes].

    Raises:
        ConfigError: where the data has no labels.

    """

    def __init__(self, data: Spec) -> None:
        if data.classes is None:
            raise ConfigError(
                "condition=label needs labels and this data set has none: choose condition=none "
                "or a labelled data set (digits, mnist, fashion_mnist, omniglot, an npz with `y`, pictures in folders)"
            )
        self.reads, self.words = "y", f"the label 0 .. {data.classes - 1} as a one-hot vector"
        self._classes = data.classes
        self.size = Size((data.classes,))

    def check(self, data: Spec) -> None:
        """ConfigError where other data has no labels, or labels beyond those of training."""
        if data.classes is None or data.classes > self._classes:
            found = "no labels" if data.classes is None else f"labels 0 .. {data.classes - 1}"
            raise ConfigError(f"this model's condition is {self.words}, and this data set has {found}")

    def __call__(self, batch: Batch) -> Batch:
        """The batch with c filled in."""
        assert batch.y is not None
        return batch._replace(c=F.one_hot(batch.y, self._classes).to(batch.x.dtype))
