"""Statistics of nested cross-validation against slow twins that follow the definitions word by word."""

from itertools import combinations, product
from math import sqrt
from statistics import mean, variance

import numpy as np
import pytest
from scipy.stats import norm
from TACEResponseLib.models.combination import fit_combinations
from TACEResponseLib.settings import FusionSettings
from TACEResponseLib.statistics.crossvalidation import (
    LEAST_COVARIANCE,
    auc_difference,
    auc_interval,
    comparable_scores,
    fixed_score,
    fold_covariance,
    subgroup_bounds,
    within_folds,
)
from TACEResponseLib.statistics.discrimination import auc_delong, paired_delong
from TACEResponseLib.statistics.fusion import fit_calibration, fit_fusion
from TACEResponseLib.statistics.intervals import auc_variance, newcombe_bounds
from TACEResponseLib.statistics.outcome import Outcome
from TACEResponseLib.statistics.small_classes import exchange_test, paired_comparison
from TACEResponseLib.statistics.thresholds import nested_thresholds
from TACEResponseLib.training.nested import auc_parts, nested

FOLDS, PATIENTS = 3, 36
Z = norm.ppf(0.975)


def a_cohort(seed: int, repeats: int = 1):
    """Labels, folds, and scores of two models with ties, each with the other folds' help and without."""
    rng = np.random.default_rng(seed)
    labels = np.arange(PATIENTS) % 2
    folds = np.array([Outcome(labels).split(FOLDS, seed + r) for r in range(repeats)])
    models = {}
    for name, effect in (("logistic", 1.5), ("svm", 0.5)):
        out = np.round(effect * labels + rng.normal(size=folds.shape), 1)
        inner = np.round(out[:, None] + 0.8 * rng.normal(size=(repeats, FOLDS, PATIENTS)), 1)
        for repeat, patient in product(range(repeats), range(PATIENTS)):
            inner[repeat, folds[repeat, patient], patient] = np.nan
        models[name] = (out, inner)
    return labels, folds, models


def won(score: float, other: float) -> float:
    return 1.0 if score > other else 0.5 if score == other else 0.0


def slow_auc(labels, scores, here) -> float:
    pairs = [(i, j) for i in here for j in here if labels[i] == 1 and labels[j] == 0]
    return mean(won(scores[i], scores[j]) for i, j in pairs)


def slow_parts(labels, folds, out, inner):
    """AUCs [repeat][fold], AUCs without [repeat][fold][other], and placements [repeat][patient]."""
    aucs, without, placements = [], [], []
    for of, scores, helped in zip(folds, out, inner, strict=True):
        of_fold = [[i for i in range(len(labels)) if of[i] == fold] for fold in range(FOLDS)]
        aucs.append([slow_auc(labels, scores, here) for here in of_fold])
        without.append(
            [
                [None if k == m else slow_auc(labels, helped[m], of_fold[k]) for m in range(FOLDS)]
                for k in range(FOLDS)
            ]
        )
        placed = []
        for i in range(len(labels)):
            others = [j for j in of_fold[of[i]] if labels[j] != labels[i]]
            above = mean(won(scores[i], scores[j]) for j in others)
            placed.append(above if labels[i] == 1 else 1 - above)
        placements.append(placed)
    return aucs, without, placements


def slow_scatter(labels, placements) -> float:
    classes = [[p for p, y in zip(placements, labels, strict=True) if y == label] for label in (0, 1)]
    return sum(variance(of_class) / len(of_class) for of_class in classes)


def slow_covariance(aucs, without) -> float:
    return mean(
        (aucs[r][k] - without[r][k][m]) * (aucs[r][m] - without[r][m][k])
        for r in range(len(aucs))
        for k, m in combinations(range(FOLDS), 2)
    )


def averaged(placements):
    return [mean(of_patient) for of_patient in zip(*placements, strict=True)]


def taken_from(first, second):
    """Elementwise difference of nested lists of numbers; None stays None."""
    if isinstance(first, list):
        return [taken_from(a, b) for a, b in zip(first, second, strict=True)]
    return None if first is None else first - second


@pytest.mark.parametrize("repeats", [1, 3])
def test_aucs_inside_the_folds_are_those_counted_pair_by_pair(repeats):
    labels, folds, models = a_cohort(1, repeats)
    found = within_folds(labels, folds, *models["logistic"])
    aucs, without, placements = slow_parts(labels, folds, *models["logistic"])
    assert found.aucs == pytest.approx(np.array(aucs), abs=1e-12)
    assert found.without == pytest.approx(np.array(without, dtype=float), abs=1e-12, nan_ok=True)
    assert found.placements == pytest.approx(np.array(averaged(placements)), abs=1e-12)
    assert found.single_variance == pytest.approx(mean(slow_scatter(labels, p) for p in placements))
    assert found.auc == pytest.approx(mean(a for of in aucs for a in of))


@pytest.mark.parametrize("repeats", [1, 3])
def test_the_covariance_of_two_folds_is_the_mean_product_of_what_they_did_to_each_other(repeats):
    labels, folds, models = a_cohort(2, repeats)
    found = within_folds(labels, folds, *models["logistic"])
    aucs, without, _ = slow_parts(labels, folds, *models["logistic"])
    assert fold_covariance(found.aucs, found.without) == pytest.approx(slow_covariance(aucs, without))


@pytest.mark.parametrize(("seed", "repeats"), [(1, 1), (5, 1), (6, 3)])
def test_the_interval_of_an_auc_is_newcombes_at_the_effective_number_of_patients(seed, repeats):
    labels, folds, models = a_cohort(seed, repeats)
    found = auc_interval(within_folds(labels, folds, *models["logistic"]))
    aucs, without, placements = slow_parts(labels, folds, *models["logistic"])
    single = mean(slow_scatter(labels, p) for p in placements)
    covariance = max(slow_covariance(aucs, without), LEAST_COVARIANCE * FOLDS * single)
    total = slow_scatter(labels, averaged(placements)) + (FOLDS - 1) / FOLDS * covariance
    assert found.variance == pytest.approx(total)
    assert found.design_effect == pytest.approx(total / single)
    of_class = PATIENTS / 2 / found.design_effect
    for bound in (found.ci_low, found.ci_high):
        away = Z * sqrt(auc_variance(bound, of_class, of_class))
        assert abs(found.auc - bound) == pytest.approx(away, abs=1e-9)


def test_both_the_floor_and_the_covariance_itself_are_met_by_the_cohorts_above():
    met = set()
    for seed in (1, 5):
        labels, folds, models = a_cohort(seed)
        parts = within_folds(labels, folds, *models["logistic"])
        floor = LEAST_COVARIANCE * FOLDS * parts.single_variance
        met.add(fold_covariance(parts.aucs, parts.without) > floor)
    assert met == {True, False}


def test_a_score_without_training_has_a_design_effect_of_one_and_plain_newcombe():
    labels, folds, models = a_cohort(3)
    parts = within_folds(labels, folds, *fixed_score(models["logistic"][0][0], folds))
    found = auc_interval(parts)
    assert not parts.trained
    assert found.design_effect == pytest.approx(1)
    expected = newcombe_bounds(found.auc, PATIENTS / 2, PATIENTS / 2)
    assert (found.ci_low, found.ci_high) == pytest.approx(expected)


@pytest.mark.parametrize(("seed", "repeats"), [(1, 1), (2, 1), (4, 3)])
def test_the_difference_of_two_models_is_that_of_the_slow_twin(seed, repeats):
    labels, folds, models = a_cohort(seed, repeats)
    first, second = (within_folds(labels, folds, *models[name]) for name in ("logistic", "svm"))
    found = auc_difference(first, second)
    slow = [slow_parts(labels, folds, *models[name]) for name in ("logistic", "svm")]
    aucs, without, placements = (taken_from(a, b) for a, b in zip(*slow, strict=True))
    level = (first.auc + second.auc) / 2
    covariance = 4 * level * (1 - level) * max(0.0, slow_covariance(aucs, without))
    error = sqrt(slow_scatter(labels, averaged(placements)) + (FOLDS - 1) / FOLDS * covariance)
    assert found.difference == pytest.approx(mean(a for of in aucs for a in of))
    assert found.ci_high - found.difference == pytest.approx(Z * error)
    assert found.difference - found.ci_low == pytest.approx(Z * error)
    assert found.p == pytest.approx(2 * norm.sf(abs(found.difference) / error))


def test_a_model_does_not_differ_from_itself():
    labels, folds, models = a_cohort(1)
    parts = within_folds(labels, folds, *models["logistic"])
    found = auc_difference(parts, parts)
    assert (found.difference, found.z, found.p) == (0, 0, 1)


def test_the_interval_of_a_part_lies_between_plain_newcombe_and_the_full_design_effect():
    assert subgroup_bounds(0.7, 20, 15, 1.0, 2.0) == newcombe_bounds(0.7, 10, 7.5)
    assert subgroup_bounds(0.7, 20, 15, 0.0, 2.0) == newcombe_bounds(0.7, 20, 15)
    low, high = subgroup_bounds(0.7, 20, 15, 0.25, 2.0)
    assert (low, high) == pytest.approx(newcombe_bounds(0.7, 20 / 1.25, 15 / 1.25))


def test_scores_of_folds_are_made_comparable_by_their_mean_and_spread():
    folds = np.array([0, 0, 0, 1, 1, 1, 2, 2])
    found = comparable_scores(np.array([1.0, 2, 3, 110, 120, 130, 5, 5]), folds)
    high = sqrt(3 / 2)
    assert found == pytest.approx([-high, 0, high, -high, 0, high, 0, 0])


def test_calibrations_of_the_folds_see_only_inner_scores_of_the_other_folds():
    labels, folds, models = a_cohort(7)
    scores, inner, folds, outcome = *single_repeat(models), folds[0], Outcome(labels)
    found = nested(scores, inner, outcome, folds, FusionSettings())
    for fold in range(FOLDS):
        rest = folds != fold
        alone = fit_calibration(inner["logistic"][fold, rest], labels[rest], folds[rest])
        fused = fit_fusion(
            np.column_stack([inner[name][fold, rest] for name in inner]),
            labels[rest],
            "average",
            folds[rest],
        )
        assert found.combinations[fold]["logistic"].fusion == alone
        assert found.combinations[fold]["all"].fusion == fused
        held_out = np.column_stack([values[~rest] for values in scores.values()])
        assert np.array_equal(found.probabilities["logistic"][~rest], alone.probability(held_out[:, 0]))
        assert np.array_equal(found.probabilities["all"][~rest], fused.probability(held_out))
        of_inner = alone.probability(inner["logistic"][fold, rest])
        chosen = Outcome(labels[rest]).threshold(of_inner)
        assert found.thresholds["logistic"].thresholds[fold] == chosen


def single_repeat(models):
    """Out-of-fold and inner scores of the first drawing, in the order of the models."""
    return ({n: out[0] for n, (out, _) in models.items()}, {n: inner[0] for n, (_, inner) in models.items()})


def test_labels_of_a_fold_turned_round_leave_its_own_fusion_bit_equal_and_move_the_others():
    labels, folds, models = a_cohort(8)
    scores, inner = single_repeat(models)
    turned = np.where(folds[0] == 1, 1 - labels, labels)
    honest, nonsense = (
        nested(scores, inner, Outcome(y), folds[0], FusionSettings()) for y in (labels, turned)
    )
    assert honest.combinations[1] == nonsense.combinations[1]
    assert honest.combinations[0] != nonsense.combinations[0]
    here = folds[0] == 1
    assert np.array_equal(honest.probabilities["all"][here], nonsense.probabilities["all"][here])


def test_auc_parts_rank_a_model_by_its_scores_and_a_fusion_with_weights_refitted_without_both_folds():
    labels, folds, models = a_cohort(9)
    outcome, settings = Outcome(labels), FusionSettings()
    (scores, inner), fold_of = single_repeat(models), folds[0]
    of = nested(scores, inner, outcome, fold_of, settings).probabilities
    parts = auc_parts(
        {n: out for n, (out, _) in models.items()},
        {n: helped for n, (_, helped) in models.items()},
        {n: values[None] for n, values in of.items()},
        outcome,
        folds,
        settings,
    )
    assert parts["logistic"].aucs == pytest.approx(within_folds(labels, folds, *models["logistic"]).aucs)
    for own, other in ((0, 1), (1, 0), (2, 0)):
        here, rest = fold_of == own, ~np.isin(fold_of, (own, other))
        seen = {name: values[own, rest] for name, values in inner.items()}
        fusion = fit_combinations(seen, outcome.rows(rest), settings, fold_of[rest])["all"]
        fused = fusion.probability({name: values[other, here] for name, values in inner.items()})
        expected = auc_delong(labels[here], fused).auc
        assert parts["all"].without[0, own, other] == pytest.approx(expected)
        assert parts["all"].aucs[0, own] == pytest.approx(auc_delong(labels[here], of["all"][here]).auc)


def test_a_threshold_is_chosen_on_the_other_folds_and_tried_on_its_own():
    labels = np.array([1, 0, 1, 0, 1, 0])
    folds = np.array([0, 0, 1, 1, 2, 2])
    out = np.array([0.9, 0.3, 0.4, 0.6, 0.8, 0.2])
    missing = np.nan
    inner = np.array(
        [
            [missing, missing, 0.8, 0.2, 0.6, 0.4],
            [0.9, 0.5, missing, missing, 0.7, 0.3],
            [0.4, 0.2, 0.6, 0.3, missing, missing],
        ]
    )
    halfway = lambda y, p: (p[y == 1].min() + p[y == 0].max()) / 2
    found = nested_thresholds(labels, folds, out, inner, halfway)
    assert found.thresholds == pytest.approx([0.5, 0.6, 0.35])
    assert found.called.tolist() == [True, False, False, False, True, False]
    counts = (found.true_positive, found.false_negative, found.true_negative, found.false_positive)
    assert counts == (2, 1, 3, 0)
    assert found.shipped == pytest.approx(0.5)
    assert (found.sensitivity, found.specificity) == (pytest.approx(2 / 3), 1)
    assert found.youden_index == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ([8, 7, 6, 3, 5, 4, 2, 1], [3, 8, 1, 6, 4, 7, 2, 5]),
        ([8, 7, 6, 5, 4, 3, 2, 1], [1, 3, 5, 7, 2, 4, 6, 8]),
        ([8, 5, 6, 3, 7, 4, 2, 1], [8, 3, 7, 1, 6, 5, 4, 2]),
    ],
)
def test_the_exchange_test_is_the_share_among_all_exchanges_of_ranks(first, second):
    # The scores are ranks already, so that an exchange of scores is one of ranks.
    first, second = np.array(first), np.array(second)
    labels, everybody = np.array([1, 1, 1, 1, 0, 0, 0, 0]), range(8)
    observed = abs(slow_auc(labels, first, everybody) - slow_auc(labels, second, everybody))
    reached = []
    for exchange in product((False, True), repeat=8):
        one, other = np.where(exchange, second, first), np.where(exchange, first, second)
        gap = slow_auc(labels, one, everybody) - slow_auc(labels, other, everybody)
        reached.append(abs(gap) >= observed - 1e-9)
    exact, drawn = np.mean(reached), 40_000
    found = exchange_test(labels, first, second, seed=1, exchanges=drawn)
    assert found == pytest.approx(exact, abs=4 * sqrt(exact * (1 - exact) / drawn) + 2 / drawn)
    assert 0.02 < exact < 1


@pytest.mark.parametrize(
    ("of_class", "test"), [(9, "none"), (10, "exchange"), (19, "exchange"), (20, "delong")]
)
def test_the_paired_test_is_the_one_that_fits_the_smaller_class(of_class, test):
    rng = np.random.default_rng(of_class)
    labels = np.r_[np.zeros(of_class), np.ones(of_class + 5)].astype(int)
    first, second = labels + rng.normal(size=(2, len(labels)))
    found = paired_comparison(labels, first, second, ("first", "second"))
    if test == "none":
        assert found is None
        return
    delong = paired_delong(labels, first, second)
    expected = delong.p if test == "delong" else exchange_test(labels, first, second, seed=1)
    assert found.p == expected
    assert (found.p == delong.p) == (test == "delong")
    assert found.difference == delong.difference
