"""AUC, DeLong, thresholds, calibration and the rest against R, pROC's aSAH data and slow twins."""

import json
import math
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from TACEResponseLib.messages.errors import TrainingError
from TACEResponseLib.statistics.associations import compare_counts, correlations, table_one, univariable
from TACEResponseLib.statistics.calibration import calibration, decision_curve
from TACEResponseLib.statistics.discrimination import (
    at_threshold,
    auc_delong,
    compare_all,
    holm,
    paired_delong,
    proportion,
    roc_curve,
    youden_threshold,
)
from TACEResponseLib.statistics.logistic import fit_logistic

ORACLE = Path(__file__).parent / "data" / "r-oracle"
R = json.loads((ORACLE / "models.json").read_text())
SCORES = pd.read_csv(ORACLE / "scores.csv")
COHORTS = ("train", "valid")


def cohort_scores(cohort: str, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Labels and scores of a cohort, turned so that higher means responder (pROC turns silently)."""
    rows = SCORES[SCORES.cohort == cohort]
    sign = -1 if R[f"roc_{cohort}"][name]["direction"] == ">" else 1
    return rows.response.to_numpy(), sign * rows[name].to_numpy()


# AUC and DeLong against pROC


@pytest.mark.parametrize(("cohort", "name"), list(product(COHORTS, R["roc_train"])))
def test_auc_variance_interval_and_p_equal_proc(cohort, name):
    theirs, ours = R[f"roc_{cohort}"][name], auc_delong(*cohort_scores(cohort, name))
    assert ours.auc == pytest.approx(theirs["auc"], abs=1e-12)
    assert ours.variance == pytest.approx(theirs["var"], abs=1e-12)
    assert (ours.ci_low, ours.ci_high) == pytest.approx((theirs["ci_low"], theirs["ci_high"]), abs=1e-12)
    assert ours.mann_whitney_p == pytest.approx(theirs["wilcox_p"], rel=1e-9)


@pytest.mark.parametrize("cohort", COHORTS)
def test_paired_delong_equals_roc_test(cohort):
    pairs = R[f"delong_{cohort}"]
    assert len(pairs) == 15
    for pair in pairs:
        labels, first = cohort_scores(cohort, pair["a"])
        ours = paired_delong(labels, first, cohort_scores(cohort, pair["b"])[1])
        assert ours.z == pytest.approx(pair["z"], abs=2e-12)
        assert ours.p == pytest.approx(pair["p"], abs=2e-12)


def test_tied_scores_equal_proc():
    theirs, ours = R["ties"], auc_delong(R["ties"]["y"], R["ties"]["s"])
    assert (ours.auc, ours.variance) == pytest.approx((theirs["auc"], theirs["var"]), abs=1e-13)
    assert youden_threshold(theirs["y"], theirs["s"]) == theirs["youden"][0]["threshold"]


def test_the_published_values_of_the_asah_patients_come_out(real_data):
    asah = pd.read_csv(real_data / "proc-asah" / "aSAH.csv")
    labels = (asah.outcome == "Poor").to_numpy().astype(int)
    auc = {name: auc_delong(labels, asah[name]) for name in ("s100b", "ndka", "wfns")}
    assert {name: round(a.auc, 7) for name, a in auc.items()} == {
        "s100b": 0.7313686,
        "ndka": 0.6119580,
        "wfns": 0.8236789,
    }
    assert (round(auc["ndka"].ci_low, 7), round(auc["ndka"].ci_high, 7)) == (0.5012450, 0.7226710)
    # wfns-ndka: the p that belongs to pROC's z; sources that print 0.0051446 contradict their own z.
    expected = {
        ("wfns", "s100b"): (2.2089836, 0.0271758),
        ("wfns", "ndka"): (2.7977759, 0.0051456),
        ("ndka", "s100b"): (-1.3907700, 0.1642952),
    }
    for (a, b), (z, p) in expected.items():
        ours = paired_delong(labels, asah[a], asah[b])
        assert (round(ours.z, 7), round(ours.p, 7)) == (z, p)


def slow_delong(labels: np.ndarray, scores: list[np.ndarray]) -> tuple[list[float], np.ndarray]:
    """DeLong's definition pair by pair: AUCs and covariance."""
    psi = lambda a, b: 1.0 if a > b else 0.5 if a == b else 0.0
    v10, v01, auc = [], [], []
    for s in scores:
        x, y = s[labels == 1], s[labels == 0]
        v10.append([np.mean([psi(a, b) for b in y]) for a in x])
        v01.append([np.mean([psi(a, b) for a in x]) for b in y])
        auc.append(float(np.mean(v10[-1])))
    m, n = (labels == 1).sum(), (labels == 0).sum()
    covariance = np.zeros((len(scores), len(scores)))
    for r, s in product(range(len(scores)), repeat=2):
        s10 = sum((a - auc[r]) * (b - auc[s]) for a, b in zip(v10[r], v10[s], strict=True)) / (m - 1)
        s01 = sum((a - auc[r]) * (b - auc[s]) for a, b in zip(v01[r], v01[s], strict=True)) / (n - 1)
        covariance[r, s] = s10 / m + s01 / n
    return auc, covariance


patients = st.lists(
    st.tuples(st.integers(0, 1), st.integers(-4, 4), st.floats(-3, 3)), min_size=6, max_size=30
).filter(lambda rows: 2 <= sum(label for label, _, _ in rows) <= len(rows) - 2)


@settings(max_examples=80, deadline=None)
@given(patients)
def test_delong_by_midranks_equals_the_definition_pair_by_pair(rows):
    labels, coarse, fine = (np.array(column) for column in zip(*rows, strict=True))
    auc, covariance = slow_delong(labels, [coarse, fine])
    for k, scores in enumerate((coarse, fine)):
        ours = auc_delong(labels, scores)
        assert ours.auc == pytest.approx(auc[k], abs=1e-12)
        assert ours.variance == pytest.approx(covariance[k, k], abs=1e-12)
        # The same area under the curve as drawn, by trapezoids.
        curve = roc_curve(labels, scores)
        heights = (curve.sensitivity[1:] + curve.sensitivity[:-1]) / 2
        assert heights @ -np.diff(curve.specificity) == pytest.approx(auc[k], abs=1e-12)
    pair = paired_delong(labels, coarse, fine)
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    assert pair.difference == pytest.approx(auc[0] - auc[1], abs=1e-12)
    if variance > 1e-9:
        assert pair.z == pytest.approx((auc[0] - auc[1]) / math.sqrt(variance), rel=1e-6, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(patients)
def test_turning_the_score_mirrors_the_auc_and_a_monotone_map_changes_nothing(rows):
    labels, scores, _ = (np.array(column) for column in zip(*rows, strict=True))
    auc = auc_delong(labels, scores)
    assert auc_delong(labels, -scores).auc == pytest.approx(1 - auc.auc)
    assert auc_delong(labels, np.exp(scores / 7)).variance == pytest.approx(auc.variance)


def test_holm_gives_the_textbook_values_in_the_given_order():
    assert holm([0.01, 0.04, 0.03, 0.005]).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]).tolist() == [1, 1]
    assert holm([]).tolist() == []


def test_all_pairs_are_compared_and_adjusted_together():
    labels = cohort_scores("valid", "linear")[0]
    scores = {name: cohort_scores("valid", name)[1] for name in ("linear", "gbm", "rf")}
    pairs = compare_all(labels, scores)
    assert [(p.first, p.second) for p in pairs] == [("linear", "gbm"), ("linear", "rf"), ("gbm", "rf")]
    assert [p.p_adjusted for p in pairs] == pytest.approx(holm([p.p for p in pairs]).tolist())
    assert pairs[0].ci_low < pairs[0].difference < pairs[0].ci_high


def test_scores_that_rank_alike_do_not_differ():
    labels, scores = np.array([0, 1, 0, 1, 1]), np.array([1.0, 2, 3, 4, 5])
    answer = paired_delong(labels, scores, scores * 10 - 3)
    assert (answer.difference, answer.z, answer.p) == (0, 0, 1)


# One class, ties, NaN, constant scores


def test_one_class_and_a_single_patient_of_a_class_are_named_errors():
    with pytest.raises(TrainingError, match="Only one class is present"):
        auc_delong([1, 1, 1], [1, 2, 3])
    with pytest.raises(TrainingError, match="single patient"):
        auc_delong([1, 0, 0], [1, 2, 3])
    with pytest.raises(TrainingError, match="Only one class"):
        youden_threshold([0, 0], [1, 2])


def test_a_nan_score_a_foreign_label_and_unequal_lengths_are_named_errors():
    with pytest.raises(TrainingError, match="1 of 4") as caught:
        auc_delong([0, 1, 0, 1], [1, np.nan, 2, 3])
    assert caught.value.problem.field == "scores"
    with pytest.raises(TrainingError, match="neither 0 nor 1"):
        auc_delong([0, 1, 2, 1], [1, 2, 3, 4])
    with pytest.raises(TrainingError, match="3 labels, 2 scores"):
        auc_delong([0, 1, 1], [1, 2])


def test_a_constant_score_is_said_to_be_constant():
    answer = auc_delong([0, 1, 0, 1], [2, 2, 2, 2])
    assert (answer.auc, answer.variance, answer.mann_whitney_p, answer.constant) == (0.5, 0, 1, True)
    with pytest.raises(TrainingError, match="constant score"):
        youden_threshold([0, 1, 0, 1], [2, 2, 2, 2])


def test_a_perfect_score_has_the_interval_that_proc_gives():
    answer = auc_delong([0, 0, 0, 1, 1, 1], [1, 2, 3, 4, 5, 6])
    assert (answer.auc, answer.ci_low, answer.ci_high) == (1, 1, 1)
    assert answer.mann_whitney_p == pytest.approx(R["perfect"]["wilcox_p"], abs=1e-12)


def test_a_score_worse_than_chance_stays_below_one_half():
    assert auc_delong([1, 1, 0, 0], [1, 2, 3, 4]).auc == 0


# Thresholds


@pytest.mark.parametrize(("cohort", "name"), list(product(COHORTS, R["roc_train"])))
def test_youden_and_what_it_does_equal_proc(cohort, name):
    labels, scores = cohort_scores(cohort, name)
    theirs = R[f"roc_{cohort}"][name]["youden"][0]
    threshold = youden_threshold(labels, scores)
    assert abs(threshold) == pytest.approx(abs(theirs["threshold"]), abs=1e-12)
    ours = at_threshold(labels, scores, threshold)
    for measure in ("sensitivity", "specificity", "ppv", "npv", "accuracy"):
        assert getattr(ours, measure).estimate == pytest.approx(theirs[measure], abs=1e-12), measure
    counts = (ours.true_positive, ours.false_positive, ours.true_negative, ours.false_negative)
    assert counts == tuple(theirs[c] for c in ("tp", "fp", "tn", "fn"))


@pytest.mark.parametrize("name", ["linear", "logistic", "gbm", "rf"])
def test_the_training_threshold_carried_over_gives_r_s_counts(name):
    theirs = R["carried"][name]
    ours = at_threshold(*cohort_scores("valid", name), youden_threshold(*cohort_scores("train", name)))
    counts = (ours.true_positive, ours.false_positive, ours.true_negative, ours.false_negative)
    assert counts == tuple(theirs[c] for c in ("tp", "fp", "tn", "fn"))


def test_of_equal_youden_thresholds_the_lowest_is_taken():
    # 1.5 and 3.5 both give sensitivity + specificity - 1 = 0.5.
    assert youden_threshold([0, 1, 0, 1], [1, 2, 3, 4]) == 1.5


def test_neighbouring_floats_are_still_parted():
    low = 1.0
    high = np.nextafter(low, 2)
    threshold = youden_threshold([0, 0, 1, 1], [low, low, high, high])
    assert at_threshold([0, 0, 1, 1], [low, low, high, high], threshold).accuracy.estimate == 1


@settings(max_examples=60, deadline=None)
@given(patients)
def test_the_curve_holds_what_every_threshold_does(rows):
    labels, scores, _ = (np.array(column) for column in zip(*rows, strict=True))
    curve = roc_curve(labels, scores)
    for threshold, sensitivity, specificity in zip(
        curve.thresholds, curve.sensitivity, curve.specificity, strict=True
    ):
        point = at_threshold(labels, scores, threshold)
        assert point.sensitivity.estimate == pytest.approx(sensitivity)
        assert point.specificity.estimate == pytest.approx(specificity)


def test_wilson_intervals_equal_published_ones():
    # Newcombe, Stat Med 1998;17:857, table I, method 3.
    published = {
        (81, 263): (0.2553, 0.3662),
        (15, 148): (0.0624, 0.1605),
        (0, 20): (0, 0.1611),
        (1, 29): (0.0061, 0.1718),
    }
    for (count, total), interval in published.items():
        ours = proportion(count, total)
        assert (round(ours.ci_low, 4), round(ours.ci_high, 4)) == interval


def test_a_cohort_of_one_class_has_no_specificity_and_says_so():
    answer = at_threshold([1, 1, 1], [0.2, 0.8, 0.9], 0.5)
    assert answer.sensitivity.estimate == pytest.approx(2 / 3)
    assert (answer.specificity.estimate, answer.specificity.total) == (None, 0)
    assert answer.npv.estimate == 0


# Calibration and decision curve


def test_calibration_equals_glm_on_the_logit():
    theirs = R["calibration_logistic_valid"]
    ours = calibration(*cohort_scores("valid", "logistic"))
    assert ours.slope == pytest.approx(theirs["slope"], abs=1e-9)
    assert ours.intercept == pytest.approx(theirs["intercept"], abs=1e-9)
    assert ours.in_the_large == pytest.approx(theirs["citl"], abs=1e-9)
    assert ours.slope_ci[0] < ours.slope < ours.slope_ci[1] < 1
    assert ours.bin_count.sum() == 171


@pytest.mark.parametrize(("cohort", "name"), list(product(COHORTS, ("logistic", "svm_prob", "gbm", "rf"))))
def test_brier_equals_r(cohort, name):
    assert calibration(*cohort_scores(cohort, name)).brier == pytest.approx(
        R[f"roc_{cohort}"][name]["brier"], abs=1e-12
    )


def test_probabilities_drawn_from_are_calibrated_and_stretched_ones_are_not():
    random = np.random.default_rng(2)
    linear = random.normal(size=20_000)
    labels = (random.random(20_000) < 1 / (1 + np.exp(-linear))).astype(int)
    right = calibration(labels, 1 / (1 + np.exp(-linear)))
    assert right.slope == pytest.approx(1, abs=0.06) and right.intercept == pytest.approx(0, abs=0.05)
    assert right.ece < 0.015
    stretched = calibration(labels, 1 / (1 + np.exp(-2 * linear)))
    assert stretched.slope == pytest.approx(0.5, abs=0.03)
    assert stretched.ece > 0.05


def test_ece_and_brier_of_four_patients_by_hand():
    answer = calibration([0, 1, 0, 1], [0.2, 0.2, 0.9, 0.9], bins=2)
    assert answer.bin_count.tolist() == [2, 2]
    assert answer.ece == pytest.approx((0.3 + 0.4) / 2)
    assert answer.brier == pytest.approx((0.04 + 0.64 + 0.81 + 0.01) / 4)
    assert answer.scaled_brier == pytest.approx(1 - 0.375 / 0.25)


def test_constant_and_separating_probabilities_have_a_status_and_no_slope():
    constant = calibration([0, 1, 1, 1], [0.75] * 4)
    assert (constant.status, constant.slope, constant.slope_ci) == ("constant", None, None)
    assert constant.in_the_large == pytest.approx(0, abs=1e-9) and constant.ece == 0
    separated = calibration([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9])
    assert (separated.status, separated.slope) == ("separated", None)
    assert separated.brier == pytest.approx(0.025)


def test_what_is_no_probability_is_a_named_error():
    with pytest.raises(TrainingError, match=r"outside 0 to 1.*-0.1 to 0.9"):
        calibration([0, 1], [-0.1, 0.9])
    with pytest.raises(TrainingError, match="outside its limits"):
        decision_curve([0, 1], [0.1, 0.9], [1.0])


def test_net_benefit_by_hand_and_at_its_ends():
    labels, probabilities = np.array([1, 1, 0, 0]), np.array([0.9, 0.4, 0.6, 0.1])
    curve = decision_curve(labels, probabilities, np.array([0.0, 0.5, 0.95]))
    # At 0.5: one true, one false positive of four, odds 1.
    assert curve.model.tolist() == pytest.approx([0.5, 0.25 - 0.25, 0.0])
    assert curve.treat_all.tolist() == pytest.approx([0.5, 0.0, 0.5 - 0.5 * 19])


# Correlations, cohort table, univariable association


@pytest.mark.parametrize(("cohort", "method"), list(product(COHORTS, ("pearson", "spearman"))))
def test_correlation_matrices_equal_r(cohort, method):
    theirs = R[f"cor_{cohort}_{method}"]
    rows = SCORES[SCORES.cohort == cohort]
    ours = correlations({name: rows[name] for name in theirs["names"]}, method)
    np.testing.assert_allclose(ours.r, theirs["r"], atol=1e-12)
    np.testing.assert_allclose(ours.p, theirs["p"], atol=1e-12)
    assert ours.constant == ()


def test_a_constant_column_has_no_correlation_and_is_named():
    answer = correlations({"a": [1.0, 2, 4], "flat": [3.0, 3, 3], "b": [2.0, 1, 0]})
    assert answer.constant == ("flat",)
    assert np.isnan(answer.r[1]).all() and np.isfinite(answer.r[np.ix_([0, 2], [0, 2])]).all()
    with pytest.raises(TrainingError, match="finite values"):
        correlations({"a": [1.0, np.nan, 2], "b": [1.0, 2, 3]})


@pytest.mark.parametrize("variable", list(R["chisq"]))
def test_the_paper_s_cohort_table_gives_r_s_chi_squared_p(variable):
    theirs = R["chisq"][variable]
    test, p = compare_counts(np.array(theirs["table"]).reshape(2, 2))
    assert test == "chi-squared (Yates)"
    assert p == pytest.approx(theirs["yates"], abs=1e-12)
    assert p > 0.05


def test_the_paper_s_printed_counts_become_its_rows():
    sex = ["male"] * 121 + ["female"] * 18 + ["male"] * 152 + ["female"] * 19
    groups = ["training"] * 139 + ["validation"] * 171
    (row,) = table_one({"sex": sex}, groups)
    assert row.levels == ("female", "male")
    assert row.summary == (("18 (12.9 %)", "121 (87.1 %)"), ("19 (11.1 %)", "152 (88.9 %)"))
    assert row.p == pytest.approx(R["chisq"]["sex"]["yates"], abs=1e-12)


def test_small_counts_are_compared_by_fisher_s_exact_test():
    # Fisher's tea: R's fisher.test gives 0.4857142857.
    assert compare_counts([[3, 1], [1, 3]]) == ("Fisher", pytest.approx(0.4857142857142857))
    assert compare_counts([[5, 3], [0, 0]])[1] is None


def test_numbers_are_compared_by_t_or_by_ranks_and_missing_ones_counted():
    random = np.random.default_rng(4)
    normal = np.r_[random.normal(60, 10, 40), random.normal(66, 10, 40)]
    skewed = np.exp(random.normal(size=80) * 2)
    gappy = normal.copy()
    gappy[[0, 50, 51]] = np.nan
    groups = ["a"] * 40 + ["b"] * 40
    age, afp, gaps, flat = table_one(
        {"age": normal, "afp": skewed, "gaps": gappy, "flat": np.full(80, 2.5)},
        groups,
        kinds={"flat": "number"},
    )
    assert age.test == "Welch's t"
    assert age.p == pytest.approx(stats.ttest_ind(normal[:40], normal[40:], equal_var=False).pvalue)
    assert afp.test == "Mann-Whitney"
    assert afp.p == pytest.approx(stats.mannwhitneyu(skewed[:40], skewed[40:]).pvalue)
    assert gaps.missing == (1, 2)
    assert flat.p is None and flat.test == "not tested: constant"


def test_a_table_without_two_groups_and_columns_without_values_are_named():
    with pytest.raises(TrainingError, match="two groups"):
        table_one({"age": [1, 2]}, ["a", "a"])
    (empty,) = table_one({"age": [None, None, None, None]}, ["a", "a", "b", "b"])
    assert empty.p is None and empty.missing == (2, 2)
    (nullable,) = table_one({"afp": pd.array([1, None, 0, 1], dtype="Int64")}, ["a", "a", "b", "b"])
    assert nullable.missing == (1, 0) and nullable.levels == ("0", "1")


def test_univariable_association_equals_glm_and_does_not_depend_on_the_unit():
    rows = pd.read_csv(ORACLE / "cohort_small.csv")
    labels, size_mm = rows.response.to_numpy(), rows.size_mm.to_numpy()
    fit = fit_logistic(np.column_stack([np.ones(len(labels)), size_mm]), labels)
    mm, micrometres = univariable(labels, {"mm": size_mm, "um": size_mm * 1000})
    assert mm.odds_ratio == pytest.approx(np.exp(fit.coefficients[1]), rel=1e-9)
    assert micrometres.odds_ratio**1000 == pytest.approx(mm.odds_ratio, rel=1e-9)
    assert micrometres.p == pytest.approx(mm.p, rel=1e-9)
    assert mm.ci_low < mm.odds_ratio < mm.ci_high < 1


def test_logistic_coefficients_errors_and_deviance_equal_glm():
    rows = pd.read_csv(ORACLE / "cohort_small.csv").query("cohort == 'train'")
    fit = fit_logistic(np.column_stack([np.ones(139), rows[R["features"]]]), rows.response)
    np.testing.assert_allclose(fit.coefficients, R["logistic"]["coef"], atol=4e-10)
    # glm prints the errors of its last but one step.
    np.testing.assert_allclose(fit.errors, R["logistic"]["se"], atol=5e-6)
    assert fit.deviance == pytest.approx(R["logistic"]["deviance"], abs=1e-9)


def test_a_separating_a_constant_and_an_absent_variable_have_a_status():
    labels = np.array([0, 0, 0, 1, 1, 1])
    answers = univariable(
        labels,
        {
            "parts": [1.0, 2, 3, 4, 5, 6],
            "flat": np.ones(6),
            "absent": np.full(6, np.nan),
            "half": [1, 2, np.nan, 1, 3, 2],
        },
    )
    assert [a.status for a in answers] == ["separated", "constant", "one class", "ok"]
    parts = answers[0]
    assert parts.odds_ratio is None
    # Likelihood ratio: the null deviance is 12 log 2, the separated one 0.
    assert parts.p == pytest.approx(stats.chi2.sf(12 * math.log(2), 1), rel=1e-3)
    assert (answers[3].n, answers[3].missing) == (5, 1)
