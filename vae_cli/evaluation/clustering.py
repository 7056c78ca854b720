"""Whether classes are clusters of the codes."""

import numpy as np
from omegaconf import DictConfig

from vae_cli.evaluation.labelled import labelled
from vae_cli.evaluation.report import Finding, Report, require
from vae_cli.evaluation.subject import Subject
from vae_cli.metrics.clustering import agreement, k_means
from vae_cli.metrics.enough import FEWEST_A_CLASS, Need


def clustering(subject: Subject, _settings: DictConfig) -> Report:
    """K-means on the means of all latent variables side by side, with as many clusters as there are classes."""
    judged = labelled(subject.codes)
    classes = subject.spec.classes
    assert classes is not None
    require(
        Need(2, "classes", len(np.unique(judged.labels))),
        Need(FEWEST_A_CLASS * classes, f"examples of {classes} classes", len(judged.labels)),
    )
    clusters = k_means(judged.codes, classes, subject.seed)
    found = agreement(clusters, judged.labels)
    note = f"k-means of the means, {len(np.unique(clusters))} clusters"
    return Report(
        [
            Finding("cluster_accuracy", found.accuracy, "", note=f"{note}, optimal assignment"),
            Finding("nmi", found.nmi, "", note=note),
            Finding("ari", found.ari, "", note=note),
        ]
    )
