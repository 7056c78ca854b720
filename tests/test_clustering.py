"""Clusters against labels, and probes: hand computations, and codes whose classes are known."""

import numpy as np
import pytest

from vae_cli.metrics.clustering import agreement, k_means
from vae_cli.metrics.probes import Labelled, evenly_labelled, linear_probe, neighbour_probe

LABELS = np.repeat([0, 1, 2], [5, 3, 4])


def test_clusters_with_other_numbers_agree_completely():
    found = agreement(np.array([7, 3, 5])[LABELS], LABELS)
    assert (found.accuracy, found.nmi, found.ari) == pytest.approx((1, 1, 1))


def test_agreement_by_hand():
    """Clusters A, B, C of labels 0: 4, 1, 0; 1: 0, 3, 0; 2: 0, 2, 2. Named 0, 1, 2: 4 + 3 + 2 of 12."""
    clusters = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 2, 2])
    found = agreement(clusters, LABELS)
    assert found.accuracy == pytest.approx(9 / 12)
    table = np.array([[4, 1, 0], [0, 3, 0], [0, 2, 2]]) / 12
    of_label, of_cluster = table.sum(1), table.sum(0)
    there = table > 0
    told = (table[there] * np.log(table[there] / np.outer(of_label, of_cluster)[there])).sum()
    entropies = [-(p * np.log(p)).sum() for p in (of_label, of_cluster)]
    assert found.nmi == pytest.approx(told / np.mean(entropies))

    def pairs(counts):
        return (counts * (counts - 1) / 2).sum()

    both, rows, columns = (pairs(12 * counts) for counts in (table, of_label, of_cluster))
    expected = rows * columns / pairs(np.array([12]))
    assert found.ari == pytest.approx((both - expected) / ((rows + columns) / 2 - expected))


def test_a_name_is_given_once():
    """Two clusters of one class: only one of them can be right."""
    assert agreement(np.array([0, 0, 0, 1, 1, 1]), np.zeros(6, int)).accuracy == 0.5


def test_more_clusters_than_classes_and_fewer():
    assert agreement(np.arange(12), LABELS).accuracy == pytest.approx(3 / 12)
    assert agreement(np.zeros(12, int), LABELS).accuracy == pytest.approx(5 / 12)


def clouds(examples, spread):
    """Three classes around corners of a triangle, in 2 dimensions and one of noise."""
    rng = np.random.default_rng(0)
    labels = np.arange(examples) % 3
    centres = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]])
    return Labelled(centres[labels] + spread * rng.normal(size=(examples, 3)), labels)


def test_k_means_finds_clouds_and_not_noise():
    found = clouds(300, 0.05)
    assert agreement(k_means(found.codes, 3, 0), found.labels).accuracy == 1
    noise = agreement(k_means(clouds(300, 100.0).codes, 3, 0), found.labels)
    assert noise.accuracy < 0.45
    assert abs(noise.ari) < 0.02


def test_probes_of_clouds_and_of_noise():
    train, judged = clouds(300, 0.05), clouds(90, 0.06)
    assert linear_probe(train, judged) == 1
    assert neighbour_probe(train, judged, 5) == 1
    noise = Labelled(np.random.default_rng(1).normal(size=(900, 3)), clouds(900, 1).labels)
    assert linear_probe(train, noise) == pytest.approx(1 / 3, abs=0.06)
    assert neighbour_probe(train, noise, 5) == pytest.approx(1 / 3, abs=0.06)


def test_the_scale_of_a_dimension_moves_no_linear_probe():
    few, judged = clouds(30, 0.2), clouds(300, 0.25)
    scale = np.array([1e-3, 1, 1])  # else weights of the first would have to be large, which the penalty forbids
    small = [Labelled(one.codes * scale, one.labels) for one in (few, judged)]
    assert linear_probe(*small) == linear_probe(few, judged) > 0.8


def test_neighbours_find_what_no_line_can():
    """A class in the middle of a ring."""
    angles = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    ring = np.stack([np.cos(angles), np.sin(angles)], 1)
    rings = Labelled(np.concatenate([ring, 0.3 * ring]), np.repeat([0, 1], 60))
    assert neighbour_probe(rings, rings, 5) == 1
    assert linear_probe(rings, rings) == pytest.approx(0.5, abs=0.05)


def test_labels_are_given_evenly():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2, 5], [500, 100, 30, 2])
    train = Labelled(np.arange(632.0)[:, None], labels)
    assert np.bincount(evenly_labelled(train, 4, rng).labels).tolist() == [1, 1, 1, 0, 0, 1]
    assert np.bincount(evenly_labelled(train, 20, rng).labels).tolist() == [6, 6, 6, 0, 0, 2]
    some = evenly_labelled(train, 100, rng)
    counts = np.bincount(some.labels)
    assert sorted(counts[[0, 1]].tolist()) in ([34, 34], [33, 35])
    assert counts[[2, 5]].tolist() == [30, 2]
    assert len(np.unique(some.codes)) == 100
    assert (labels[some.codes[:, 0].astype(int)] == some.labels).all()
    assert len(np.unique([evenly_labelled(train, 4, rng).codes[:, 0].min() for _ in range(20)])) > 10
