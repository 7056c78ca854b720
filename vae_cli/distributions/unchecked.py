"""What our own distributions have in common."""

from torch.distributions import Distribution
from torch.distributions.constraints import Constraint


class Unchecked(Distribution):
    """A distribution whose arguments are left to the head that makes it."""

    @property
    def arg_constraints(self) -> dict[str, Constraint]:
        """None."""
        return {}
