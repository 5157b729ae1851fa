"""Fusion: what stacking learns, where it could break, and that it survives JSON."""

import json

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit
from TACEResponseLib.messages.errors import BundleError, SettingsError, TrainingError
from TACEResponseLib.models.combination import fusions_of
from TACEResponseLib.statistics.discrimination import auc_delong
from TACEResponseLib.statistics.fusion import (
    LEAST_SLOPE,
    RIDGE_OF_FUSED,
    RIDGE_OF_INTERCEPTS,
    RIDGE_OF_ONE,
    Fusion,
    fit_calibration,
    fit_falling_curve,
    fit_fusion,
)
from TACEResponseLib.statistics.logistic import fit_logistic

#: The models of the paper, the CNN first.
PAPER = ("cnn", "size", "linear", "logistic", "svm", "gbm", "random_forest")


@pytest.fixture
def out_of_fold() -> tuple[np.ndarray, np.ndarray]:
    """Scores (400, 2) of a good and a weak model whose errors are independent, and labels."""
    random = np.random.default_rng(6)
    labels = np.arange(400) % 2
    good, weak = labels * 1.5 + random.normal(size=400), labels * 0.7 + random.normal(size=400)
    return np.column_stack([good, 100 * weak + 3000]), labels


def test_the_named_fusions_are_the_paper_s():
    assert list(fusions_of(PAPER)) == [
        "cnn+size",
        "cnn+linear",
        "cnn+logistic",
        "cnn+svm",
        "cnn+gbm",
        "cnn+random_forest",
        "all",
    ]
    fusions = fusions_of(PAPER)
    assert all(fusions[name] == tuple(name.split("+")) for name in fusions if name != "all")


def test_without_images_all_fuses_the_classical_models():
    assert fusions_of(["svm", "linear", "size"]) == {"all": ("size", "linear", "svm")}
    assert fusions_of(["cnn", "svm"]) == {"cnn+svm": ("cnn", "svm"), "all": ("cnn", "svm")}
    assert fusions_of(["svm"]) == {}
    assert fusions_of(PAPER)["all"] == PAPER


def slopes_of_a_slow_twin(standard, labels, groups, ridge):
    """Penalised likelihood with an intercept a group, by a general optimiser."""
    levels = (groups[:, None] == np.unique(groups)).astype(float)
    means = levels @ (levels.T @ standard / levels.sum(axis=0)[:, None])
    design = np.column_stack([standard - means, levels])
    penalty = np.r_[np.full(standard.shape[1], ridge), np.full(levels.shape[1], RIDGE_OF_INTERCEPTS)]

    def loss(beta):
        linear = design @ beta
        return np.logaddexp(0, np.where(labels == 1, -linear, linear)).sum() + penalty @ beta**2 / 2

    return minimize(loss, np.zeros(design.shape[1]), method="BFGS", tol=1e-12).x[: standard.shape[1]]


def test_stacking_has_the_slopes_of_a_slow_twin_and_the_mean_probability_of_the_outcome(out_of_fold):
    scores, labels = out_of_fold
    groups = np.arange(400) % 5
    fusion = fit_fusion(scores, labels, "stacking", groups)
    standard = (scores - fusion.means) / fusion.scales
    twin = slopes_of_a_slow_twin(standard, labels, groups, RIDGE_OF_FUSED)
    np.testing.assert_allclose(fusion.slopes, twin, atol=1e-5)
    assert fusion.probability(scores).mean() == pytest.approx(labels.mean(), abs=1e-9)


def test_scores_of_folds_at_other_levels_flatten_no_slope(out_of_fold):
    """The models of two folds score on other levels; pooled, that would count as noise."""
    scores, labels = out_of_fold
    groups = np.arange(400) % 5
    shifted = scores[:, 0] + 2.0 * groups
    plain = fit_calibration(scores[:, 0], labels, groups)
    moved = fit_calibration(shifted, labels, groups)
    pooled = fit_calibration(shifted, labels)
    slope = lambda fusion: fusion.slopes[0] / fusion.scales[0]
    assert slope(moved) == pytest.approx(slope(plain), rel=1e-9)
    assert slope(pooled) < 0.5 * slope(plain)
    twin = slopes_of_a_slow_twin(
        ((scores[:, 0] - plain.means[0]) / plain.scales[0])[:, None], labels, groups, RIDGE_OF_ONE
    )
    np.testing.assert_allclose(plain.slopes, twin, atol=1e-5)


def test_an_average_is_the_mean_of_the_models_log_odds_with_one_slope(out_of_fold):
    scores, labels = out_of_fold
    fusion = fit_fusion(scores, labels)
    alone = [
        slopes_of_a_slow_twin(
            ((column - column.mean()) / column.std())[:, None], labels, np.zeros(400), RIDGE_OF_FUSED
        )[0]
        for column in scores.T
    ]
    # One common factor: the slopes keep the proportion that each model earned alone.
    assert fusion.slopes[0] / fusion.slopes[1] == pytest.approx(alone[0] / alone[1], rel=1e-4)


def test_the_fusion_of_two_models_is_better_than_either_on_fresh_patients(out_of_fold):
    fusion = fit_fusion(*out_of_fold)
    random = np.random.default_rng(7)
    labels = np.arange(4000) % 2
    good, weak = labels * 1.5 + random.normal(size=4000), labels * 0.7 + random.normal(size=4000)
    fused = auc_delong(labels, fusion.probability(np.column_stack([good, 100 * weak + 3000]))).auc
    # Theory: Phi(sqrt(1.5**2 + 0.7**2) / sqrt 2) = 0.879 fused, 0.856 for the good one.
    assert fused == pytest.approx(0.879, abs=0.012)
    assert fused > auc_delong(labels, good).auc + 0.01
    assert fusion.slopes[0] > fusion.slopes[1] > 0


def test_the_mean_is_the_mean_of_the_calibrated_probabilities(out_of_fold):
    scores, labels = out_of_fold
    fusion = fit_fusion(scores, labels, "mean")
    single = [fit_calibration(column, labels).probability(column) for column in scores.T]
    np.testing.assert_allclose(fusion.probability(scores), np.mean(single, axis=0), atol=1e-12)


def test_a_calibration_turns_decision_values_into_calibrated_probabilities():
    random = np.random.default_rng(1)
    decision = random.normal(size=5000) * 3
    labels = (random.random(5000) < expit(0.8 * decision - 0.5)).astype(int)
    probability = fit_calibration(decision, labels).probability(np.array([-2.0, 0.0, 2.0]))
    np.testing.assert_allclose(probability, expit(0.8 * np.array([-2.0, 0.0, 2.0]) - 0.5), atol=0.03)


@pytest.mark.parametrize("method", ["average", "stacking", "mean"])
def test_scores_that_separate_the_classes_give_finite_slopes(method):
    labels = np.repeat([0, 1], 30)
    scores = np.column_stack([labels * 2.0 - 1, labels + np.linspace(0, 0.1, 60)])
    fusion = fit_fusion(scores, labels, method)
    assert np.isfinite(fusion.slopes).all() and max(fusion.slopes) < 10
    probability = fusion.probability(scores)
    assert probability[labels == 1].min() > 0.9 and probability[labels == 0].max() < 0.1


def test_models_that_agree_share_the_weight(out_of_fold):
    scores, labels = out_of_fold
    twice = fit_fusion(scores[:, [0, 0]], labels)
    assert twice.slopes[0] == pytest.approx(twice.slopes[1], rel=1e-6)


@pytest.mark.parametrize("method", ["average", "stacking", "mean"])
def test_a_fusion_survives_json_without_loss(out_of_fold, method):
    fusion = fit_fusion(*out_of_fold, method)
    again = Fusion.from_json(json.loads(json.dumps(fusion.to_json())))
    assert again == fusion
    np.testing.assert_array_equal(again.probability(out_of_fold[0]), fusion.probability(out_of_fold[0]))


@pytest.mark.parametrize(
    "damage",
    [
        {"slopes": [1.0]},
        {"intercepts": []},
        {"scales": [0.0, 1.0]},
        {"method": "vote"},
        {"means": None},
        {"means": ["x", 1]},
    ],
)
def test_a_damaged_fusion_file_is_a_bundle_error(out_of_fold, damage):
    content = fit_fusion(*out_of_fold).to_json() | damage
    with pytest.raises(BundleError, match=r"[Ff]usion"):
        Fusion.from_json(content)


def test_faults_of_the_scores_are_named(out_of_fold):
    scores, labels = out_of_fold
    with pytest.raises(TrainingError, match="both classes"):
        fit_fusion(scores, np.ones(400))
    with pytest.raises(TrainingError, match="not a finite number"):
        fit_fusion(np.where(scores > 3000, np.nan, scores), labels)
    with pytest.raises(TrainingError, match="same score") as caught:
        fit_fusion(np.column_stack([scores[:, 0], np.full(400, 0.1)]), labels)
    assert caught.value.problem.received == "member 2 of 2"
    with pytest.raises(TrainingError, match="belong together"):
        fit_fusion(scores[:10], labels)
    with pytest.raises(SettingsError, match="average, stacking, mean"):
        fit_fusion(scores, labels, "vote")
    with pytest.raises(SettingsError, match="another number of scores"):
        fit_fusion(scores, labels).probability(scores[:, :1])


def test_without_a_penalty_separation_is_named_and_collinear_columns_are_refused():
    design = np.column_stack([np.ones(6), np.arange(6.0)])
    assert fit_logistic(design, [0, 0, 0, 1, 1, 1]).separated
    assert fit_logistic(design, [0, 0, 1, 1, 1, 1]).separated
    # Parted but for a tie at 2: still no maximum.
    tied = np.column_stack([np.ones(6), [0, 1, 2, 2, 3, 4]])
    assert fit_logistic(tied, [0, 0, 0, 1, 1, 1]).separated
    assert not fit_logistic(design, [0, 0, 1, 0, 1, 1]).separated
    with pytest.raises(TrainingError, match="not independent"):
        fit_logistic(np.ones((6, 2)), [0, 1, 0, 1, 0, 1])


def test_noise_never_turns_a_model_around_and_keeps_its_order_of_patients():
    rng = np.random.default_rng(2)
    labels = np.arange(60) % 2
    contrary = rng.normal(size=60) - 0.8 * labels
    fusion = fit_calibration(contrary, labels)
    assert fusion.slopes == (LEAST_SLOPE,)
    assert (np.argsort(fusion.probability(contrary)) == np.argsort(contrary)).all()
    # Here the number falls with response, as the diameter does, and the other direction is not learned.
    falling, kept = (fit_falling_curve(values, labels) for values in (contrary, -contrary))
    assert falling.slopes[0] < -0.2 and kept.slopes == (-LEAST_SLOPE,)
    for fit, values in ((falling, contrary), (kept, -contrary)):
        assert (np.argsort(fit.probability(values)) == np.argsort(-values)).all()
        assert fit.probability(values).mean() == pytest.approx(0.5, abs=1e-6)


def test_a_contrary_member_gets_no_weight_and_the_rest_is_fitted_as_if_alone():
    rng = np.random.default_rng(3)
    labels = np.arange(200) % 2
    useful, contrary = rng.normal(size=200) + labels, rng.normal(size=200) - labels
    both = fit_fusion(np.column_stack([useful, contrary]), labels, "stacking")
    alone = fit_fusion(np.column_stack([useful, useful]), labels, "stacking")
    assert both.slopes[1] == LEAST_SLOPE
    assert both.slopes[0] == pytest.approx(sum(alone.slopes), rel=0.02)  # the ridge counts twice there


def test_one_score_far_away_flattens_no_slope_and_the_rest_is_not_touched(out_of_fold):
    scores, labels = out_of_fold
    groups, good = np.arange(400) % 5, scores[:, 0]
    honest = fit_calibration(good, labels, groups)
    damaged = good.copy()
    damaged[7] = -300.0  # a responder's, by a linear model that had seen nothing like it
    fitted = fit_calibration(damaged, labels, groups)
    slope, expected = (fit.slopes[0] / fit.scales[0] for fit in (fitted, honest))
    assert 0.9 < slope / expected < 1
    # The fence is where the outermost score already lies: nothing changes inside it.
    low, high = np.quantile(good - [np.median(good[groups == g]) for g in groups], (0.25, 0.75))
    assert np.ptp(good) < 6 * (high - low)
    assert honest.means == (pytest.approx(good.mean(), rel=1e-15),)


def test_scores_of_which_most_are_equal_have_no_fence():
    labels = np.arange(80) % 2
    scores = np.where(np.arange(80) < 8, labels - 0.5, 0.0)
    fit = fit_calibration(scores, labels)
    assert fit.slopes[0] > 0.1 and np.unique(fit.probability(scores)).size == 3
