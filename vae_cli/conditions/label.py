"""c = the label: p(x | y) (Kingma et al. 2014; Sohn et al. 2015)."""

from torch import Size
from torch.nn import functional as F  # noqa: N812 (torch's own abbreviation)

from vae_cli.classes import told
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
        self._names = data.named_classes
        self.reads, self.words = "y", f"the label ({told(self._names)}) as a one-hot vector"
        self.size = Size((len(self._names),))

    def check(self, data: Spec) -> None:
        """ConfigError where data has no labels, or labels that no training example has."""
        if not data.class_names:
            raise ConfigError(f"this model's condition is {self.words}, and this data set has no labels")
        if strangers := [name for name in data.class_names if name not in self._names]:
            raise ConfigError(
                f"this model's condition is {self.words}, and no training example has the label "
                f"{told(strangers)}: leave these examples out, bring more of each class, or choose condition=none"
            )

    def __call__(self, batch: Batch) -> Batch:
        """The batch with c filled in."""
        assert batch.y is not None
        return batch._replace(c=F.one_hot(batch.y, len(self._names)).to(batch.x.dtype))
