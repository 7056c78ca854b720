"""No condition: p(x)."""

from vae_cli.types import Batch, Condition, Spec


class Unconditional(Condition):
    """Leaves c empty."""

    def __init__(self, data: Spec) -> None:
        self.size = self.reads = self.words = None

    def check(self, data: Spec) -> None:
        """Nothing is asked for."""

    def __call__(self, batch: Batch) -> Batch:
        """The batch as it is."""
        return batch
