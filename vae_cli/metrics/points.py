"""How much the scores draw that let a classifier guess which factor was fixed."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Points:
    """Points that a classifier is fitted on and judged by, and what each is made of."""

    fitted: int
    judged: int
    examples: int  # a point: so many pairs, or so many examples of one value
