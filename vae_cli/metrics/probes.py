"""Simple classifiers on codes: what a few labels, or neighbours, make of them.

Shape legend: N examples, Z dimensions of the codes.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

_ITERATIONS = 1000  # at most, of L-BFGS


@dataclass(frozen=True)
class Labelled:
    """Codes [N, Z] and their labels [N]."""

    codes: np.ndarray
    labels: np.ndarray

    def take(self, rows: np.ndarray) -> "Labelled":
        """Those rows."""
        return Labelled(self.codes[rows], self.labels[rows])


def linear_probe(train: Labelled, judged: Labelled) -> float:
    """Accuracy of logistic regression (L2, C = 1) on dimensions scaled to variance 1."""
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=_ITERATIONS))
    return float(classifier.fit(train.codes, train.labels).score(judged.codes, judged.labels))


def neighbour_probe(train: Labelled, judged: Labelled, neighbours: int) -> float:
    """Accuracy of a vote of the nearest, by Euclidean distance."""
    classifier = KNeighborsClassifier(neighbours)
    return float(classifier.fit(train.codes, train.labels).score(judged.codes, judged.labels))


def evenly_labelled(train: Labelled, num: int, rng: np.random.Generator) -> Labelled:
    """`num` examples drawn without replacement, as many of each class as of any other, or one more.

    A class that has fewer gives what it has, and others give the rest.
    """
    order = rng.permutation(len(train.labels))
    labels = train.labels[order]
    _, numbered, counts = np.unique(labels, return_inverse=True, return_counts=True)
    starts = counts.cumsum() - counts
    by_class = np.argsort(numbered, kind="stable")
    place = np.empty_like(by_class)  # 0 for the first of its class, 1 for the second, ...
    place[by_class] = np.arange(len(labels)) - np.repeat(starts, counts)
    return train.take(order[np.argsort(place, kind="stable")[:num]])
