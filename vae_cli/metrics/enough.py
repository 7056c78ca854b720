"""Whether there is enough to judge by: below some count a figure is chance, or a matter of course."""

from dataclasses import dataclass

FEWEST = 10  # examples to judge by; of a unit of variance 0.1, ten means vary by less than 0.01 once in a thousand
FEWEST_A_CLASS = 3  # on average: of fewer, as many clusters as classes fit the examples one by one
FEWEST_A_VALUE = 10  # of a factor, on average


@dataclass(frozen=True)
class Need:
    """What a figure needs, and what there is."""

    least: int
    of: str  # what is counted, in the plural
    there: int

    @property
    def met(self) -> bool:
        """Whether there is enough."""
        return self.there >= self.least

    def __str__(self) -> str:
        """For the user, where there is not."""
        return f"not enough {self.of}: needs {self.least}, has {self.there}"
