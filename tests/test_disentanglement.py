"""Scores of codes whose disentanglement is known: ideal, rotated, random, and with dead dimensions."""

import numpy as np
import pytest

from vae_cli.metrics.beta_vae_score import beta_vae_score
from vae_cli.metrics.dci import concentration, dci
from vae_cli.metrics.factor_vae_score import factor_vae_score
from vae_cli.metrics.irs import interventional_robustness
from vae_cli.metrics.mig import mutual_information_gap
from vae_cli.metrics.modularity import modularity
from vae_cli.metrics.mutual_information import entropies, equal_width, information
from vae_cli.metrics.points import Points
from vae_cli.metrics.sap import separated_predictability
from vae_cli.metrics.sharing import Sharing, telling

POINTS = Points(fitted=1000, judged=500, examples=64)
BINS = 20


def every_combination(*counts, times):
    """Each as often as any other, so that factors are exactly independent, [N, F]."""
    return np.repeat(np.indices(counts).reshape(len(counts), -1).T, times, axis=0)


def scores(codes, factors):
    told = information(codes, factors, BINS)
    of_trees = dci(codes, factors, 0)
    return {
        "mig": mutual_information_gap(told, entropies(factors)),
        "modularity": modularity(told),
        "disentanglement": of_trees.disentanglement,
        "completeness": of_trees.completeness,
        "informativeness": of_trees.informativeness,
        "sap": separated_predictability(codes, factors, 0),
        "irs": interventional_robustness(codes, factors),
        "beta_vae": beta_vae_score(codes, factors, POINTS, 0),
        "factor_vae": factor_vae_score(codes, factors, POINTS, 0),
    }


FACTORS = every_combination(3, 5, 4, times=20)  # [1200, 3]
SQUARE = every_combination(4, 4, times=75)  # [1200, 2]
ROTATION = np.array([[1, 1], [1, -1]]) / np.sqrt(2)  # by 45 degrees, and a reflection
IDEAL = dict.fromkeys(("mig", "modularity", "disentanglement", "completeness", "informativeness"), 1.0) | {
    "sap": 1 - (1 / 3 + 1 / 5 + 1 / 4) / 3,  # the second best dimension reaches 1 / values
    "irs": 1.0,
    "beta_vae": 1.0,
    "factor_vae": 1.0,
}


def test_factors_themselves_score_one_whatever_their_order_sign_and_scale():
    codes = FACTORS[:, [2, 0, 1]] * np.array([100.0, -0.03, 7.0]) + np.array([5.0, 0.0, -1.0])
    assert scores(codes, FACTORS) == pytest.approx(IDEAL, abs=0.01)


def test_codes_rotated_by_45_degrees():
    """Both dimensions tell as much of both factors: all that compares them is 0, by symmetry."""
    codes = (SQUARE - 1.5) @ ROTATION
    found = scores(codes, SQUARE)
    assert found["mig"] == pytest.approx(0, abs=1e-9)
    assert found["modularity"] == pytest.approx(0, abs=1e-9)
    assert found["disentanglement"] == pytest.approx(0, abs=0.02)
    assert found["completeness"] == pytest.approx(0, abs=0.02)
    assert found["informativeness"] == 1.0  # nothing is lost
    assert found["sap"] == pytest.approx(0, abs=0.05)
    assert found["beta_vae"] == pytest.approx(0.5, abs=0.06)
    assert found["factor_vae"] == pytest.approx(0.5, abs=0.06)
    # A factor fixed, sums of the other's four values lie at most 1.5 from their middle, of 3 at most in all.
    assert found["irs"] == pytest.approx(0.5, abs=1e-9)


def test_random_codes_score_next_to_nothing():
    codes = np.random.default_rng(0).normal(size=FACTORS.shape)
    found = scores(codes, FACTORS)
    for name in ("mig", "disentanglement", "completeness", "sap"):
        assert found[name] == pytest.approx(0, abs=0.05), name
    for name in ("beta_vae", "factor_vae"):
        assert found[name] == pytest.approx(1 / 3, abs=0.07), name
    assert found["informativeness"] == pytest.approx((1 / 3 + 1 / 5 + 1 / 4) / 3, abs=0.05)
    assert found["irs"] < 0.35  # the 0.99 quantile of a few hundred normals against the largest of all


def test_dead_dimensions_change_nothing_but_what_completeness_is_measured_against():
    codes = np.random.default_rng(0).normal(size=(len(SQUARE), 2)) * 0.3 + (SQUARE - 1.5) @ [[1, 0.3], [0.2, 1]]
    dead = np.concatenate([codes, np.full((len(codes), 2), 0.7)], axis=1)
    told, still = information(codes, SQUARE, BINS), information(dead, SQUARE, BINS)
    assert np.array_equal(still, np.concatenate([told, np.zeros((2, 2))]))
    assert mutual_information_gap(still, entropies(SQUARE)) == mutual_information_gap(told, entropies(SQUARE))
    assert modularity(still) == modularity(told)
    assert interventional_robustness(dead, SQUARE) == pytest.approx(interventional_robustness(codes, SQUARE), abs=1e-9)
    assert separated_predictability(dead, SQUARE, 0) == separated_predictability(codes, SQUARE, 0)
    assert dci(dead, SQUARE, 0).disentanglement == pytest.approx(dci(codes, SQUARE, 0).disentanglement, abs=0.02)


def test_constant_dimensions_beside_ideal_codes_win_no_vote():
    codes = np.concatenate([1.0 * FACTORS, np.full((len(FACTORS), 3), [0.0, 0.7, -2.0])], axis=1)
    assert modularity(information(codes, FACTORS, BINS)) >= 0.999
    assert factor_vae_score(codes, FACTORS, POINTS, 0) == 1
    assert beta_vae_score(codes, FACTORS, POINTS, 0) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("function", [beta_vae_score, factor_vae_score])
def test_votes_are_the_same_for_the_same_seed_and_differ_for_another(function):
    codes = np.random.default_rng(0).normal(size=FACTORS.shape) + FACTORS
    found = [function(codes, FACTORS, POINTS, seed) for seed in (0, 0, 1)]
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize("function", [beta_vae_score, factor_vae_score])
def test_the_scale_of_a_dimension_moves_no_vote(function):
    codes = (SQUARE - 1.5) @ ROTATION + np.random.default_rng(0).normal(size=SQUARE.shape)
    votes = [function(codes * np.array([1.0, scale]), SQUARE, POINTS, 0) for scale in (1, 100)]
    assert votes[0] == pytest.approx(votes[1], abs=0.005)


def test_a_factor_told_twice_is_disentangled_and_incomplete():
    """Two dimensions of the three tell of the first factor, half each."""
    found = dci(SQUARE[:, [0, 0, 1]] * 1.0, SQUARE, 0)
    assert found.disentanglement == pytest.approx(1, abs=0.01)
    assert found.completeness == pytest.approx(1 - 0.5 * np.log(2) / np.log(3), abs=0.05)


def test_nothing_told_is_no_division_by_zero():
    told = np.zeros((3, 2))
    assert mutual_information_gap(told, np.array([1.0, 2.0])) == 0
    assert modularity(told) == 0
    assert concentration(told) == 0
    assert interventional_robustness(np.ones((6, 3)), FACTORS[:6]) == 0


# ---- the equations by hand ------------------------------------------------------------------------------------------


def test_bins_have_equal_width():
    codes = np.array([[0.0, 5], [1.0, 5], [2.4, 5], [2.6, 5], [10.0, 5]])
    assert equal_width(codes, 4).T.tolist() == [[0, 0, 0, 1, 3], [0] * 5]


def test_information_and_entropy_of_a_table():
    """Z takes two values, v two: p(z, v) = [[3, 1], [1, 3]] / 8."""
    z = np.array([0, 0, 0, 0, 1, 1, 1, 1.0])[:, None]
    v = np.array([0, 0, 0, 1, 0, 1, 1, 1])[:, None]
    expected = 2 * (3 / 8) * np.log((3 / 8) / (1 / 4)) + 2 * (1 / 8) * np.log((1 / 8) / (1 / 4))
    assert information(z, v, BINS) == pytest.approx(np.array([[expected]]))
    assert entropies(v) == pytest.approx(np.log(2))


def test_gap_of_a_matrix():
    told = np.array([[0.9, 0.1], [0.4, 0.8], [0.2, 0.3]])
    assert mutual_information_gap(told, np.array([1.0, 2.0])) == pytest.approx((0.5 / 1.0 + 0.5 / 2.0) / 2)
    assert mutual_information_gap(told[:1], np.array([1.0, 2.0])) == pytest.approx((0.9 + 0.05) / 2)


def test_modularity_of_a_matrix():
    """Rows of other factors' information relative to the largest: (1/2)^2 + 0, and 1/4^2 + 1."""
    told = np.array([[2.0, 1.0, 0.0], [0.25, 1.0, 1.0]])
    assert modularity(told) == pytest.approx(((1 - 0.25 / 2) + (1 - 1.0625 / 2)) / 2)


def test_concentration_of_a_matrix():
    """Weighted by row sums: a row on one factor, and an even one; of the transpose, both equations are the paper's."""
    importance = np.array([[3.0, 0.0], [0.5, 0.5], [0.0, 0.0]])
    assert concentration(importance) == pytest.approx((3 * 1 + 1 * 0) / 4)
    columns = [np.array([3, 0.5]) / 3.5, np.array([1.0])]
    entropy = [-(p * np.log(p)).sum() / np.log(3) for p in columns]
    assert concentration(importance.T) == pytest.approx((3.5 * (1 - entropy[0]) + 0.5 * (1 - entropy[1])) / 4)


def test_robustness_by_hand():
    """One dimension, two values of one factor: 0 and 2 around 1, 10 and 14 around 12; all around 6.5."""
    codes = np.array([[0.0], [2.0], [10.0], [14.0]])
    factors = np.array([[0], [0], [1], [1]])
    assert interventional_robustness(codes, factors) == pytest.approx(1 - 1.5 / 7.5)


def test_dimensions_that_move_further_count_more():
    codes = np.array([[0.0, 0], [2.0, 0.1], [10.0, 0], [14.0, 0.1]])  # the second moves as far whatever the factor
    factors = np.array([[0], [0], [1], [1]])
    expected = (7.5 * (1 - 1.5 / 7.5) + 0.05 * (1 - 1)) / (7.5 + 0.05)
    assert interventional_robustness(codes, factors) == pytest.approx(expected, abs=0.005)


def test_thresholds_tell_middle_values():
    """Values 0, 1, 2 in a row, which no linear classifier of one number tells apart; 2 dimensions tell of 2 factors."""
    factors = every_combination(3, 2, times=50)
    codes = np.stack([factors[:, 0], 0.0 * factors[:, 0]], 1)
    assert separated_predictability(codes, factors, 0) == pytest.approx(((1 - 1 / 3) + 0) / 2)


# ---- drawing examples that share a value ----------------------------------------------------------------------------


def test_partners_share_the_value_and_are_drawn_evenly():
    factor = np.array([2, 0, 2, 0, 2, 4])
    rows = np.tile(np.arange(6), (6000, 1))
    found = Sharing(factor).partners(rows, np.random.default_rng(0))
    assert (factor[found] == factor[rows]).all()
    assert np.bincount(found[:, 0], minlength=6) / 6000 == pytest.approx([1 / 3, 0, 1 / 3, 0, 1 / 3, 0], abs=0.03)
    assert Sharing(factor).not_alone().tolist() == [0, 1, 2, 3, 4]


def test_factors_that_cannot_be_judged():
    constant, unique, often = np.full(6, 3), np.arange(6), np.array([0, 0, 1, 1, 2, 5])
    assert telling(np.stack([constant, unique, often], 1)).tolist() == [False, False, True]
