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
        self.reads = "y"
        self._classes = data.classes
        self.size = Size((data.classes,))

    def __call__(self, batch: Batch) -> Batch:
        """The batch with c filled in."""
        assert batch.y is not None
        return batch._replace(c=F.one_hot(batch.y, self._classes).to(batch.x.dtype))
