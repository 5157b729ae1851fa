"""Subgroups: each one's figures are those of its patients alone, and small cells are suppressed."""

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import expit, logit
from TACEResponseLib.messages.errors import TrainingError
from TACEResponseLib.statistics.intervals import auc_newcombe, observed_expected
from TACEResponseLib.statistics.subgroups import cut, subgroup_performance


@pytest.fixture
def cohort():
    """Labels, scores, probabilities and sex of 200 patients; women respond more than the model expects."""
    random = np.random.default_rng(17)
    sex = np.array(["female", "male"])[(random.random(200) < 0.7).astype(int)]
    linear = random.normal(0.3, 1, 200)
    labels = (random.random(200) < expit(linear + 1.2 * (sex == "female"))).astype(int)
    return labels, linear * 3 - 1, expit(linear), sex


def test_a_group_s_figures_are_those_of_its_patients_alone(cohort):
    labels, scores, probabilities, sex = cohort
    answers = subgroup_performance("sex", sex, labels, scores, probabilities)
    assert [(a.variable, a.group, a.patients) for a in answers] == [
        ("sex", "female", (sex == "female").sum()),
        ("sex", "male", (sex == "male").sum()),
    ]
    for answer in answers:
        mine = sex == answer.group
        assert answer.auc == auc_newcombe(labels[mine], scores[mine])
        assert answer.observed_expected == observed_expected(labels[mine], probabilities[mine])
        assert (answer.responders, answer.suppressed) == (labels[mine].sum(), False)
        # The intercept at which as many are expected as were observed.
        shift = brentq(
            lambda a, mine=mine: expit(logit(probabilities[mine]) + a).sum() - labels[mine].sum(), -9, 9
        )
        assert answer.in_the_large == pytest.approx(shift, abs=1e-8)
        low, high = answer.in_the_large_ci
        updated = expit(logit(probabilities[mine]) + shift)
        information = np.sum(updated * (1 - updated))
        assert (high - low) / 2 == pytest.approx(1.959964 / np.sqrt(information), rel=1e-6)


def test_a_model_that_expects_too_few_responders_among_women_is_seen(cohort):
    labels, scores, probabilities, sex = cohort
    female, male = subgroup_performance("sex", sex, labels, scores, probabilities)
    assert female.observed_expected.ci_low > 1 and female.in_the_large_ci[0] > 0
    assert male.in_the_large_ci[0] < 0 < male.in_the_large_ci[1]


def test_without_probabilities_only_the_ranking_is_judged(cohort):
    labels, scores, _, sex = cohort
    female, _ = subgroup_performance("sex", sex, labels, scores)
    assert female.auc is not None
    assert (female.in_the_large, female.in_the_large_ci, female.observed_expected) == (None, None, None)


def test_small_cells_are_suppressed_whichever_class_is_small():
    labels = np.array([1] * 4 + [0] * 20 + [1] * 20 + [0] * 4 + [1] * 5 + [0] * 5 + [1] * 6)
    groups = ["a"] * 24 + ["b"] * 24 + ["c"] * 10 + ["d"] * 6
    scores = np.linspace(0, 1, len(labels))
    answers = subgroup_performance("center", groups, labels, scores, scores)
    assert [(a.group, a.suppressed) for a in answers] == [("a", True), ("b", True), ("c", False), ("d", True)]
    for answer in answers:
        assert (answer.auc is None) == (answer.observed_expected is None) == answer.suppressed
        assert (answer.in_the_large is None) == answer.suppressed


def test_groups_come_in_the_order_asked_for_and_missing_ones_last():
    labels, scores = np.tile([0, 1], 6), np.arange(12.0)
    groups = ["small", "large", None, "", "zebra", "ape", float("nan"), *["large"] * 5]
    answers = subgroup_performance("size", groups, labels, scores, order=("small", "medium", "large"))
    assert [a.group for a in answers] == ["small", "large", "ape", "zebra", "missing"]
    assert [a.patients for a in answers] == [1, 6, 1, 1, 3]


def test_groups_of_other_patients_are_named():
    with pytest.raises(TrainingError, match="3 groups, 4 labels"):
        subgroup_performance("sex", ["f", "m", "f"], [0, 1, 0, 1], np.arange(4))


def test_a_column_is_cut_at_its_median_and_a_value_on_it_belongs_below():
    groups, names = cut([10, 20, 30, 40, 50, np.nan], unit="mm")
    assert names == ("up to 30 mm", "above 30 mm")
    assert groups.tolist() == ["up to 30 mm"] * 3 + ["above 30 mm"] * 2 + ["missing"]


def test_a_column_is_cut_at_its_terciles():
    values = np.random.default_rng(3).permutation(90) + 0.5
    groups, names = cut(values, parts=3)
    assert [int((groups == name).sum()) for name in names] == [30, 30, 30]
    assert [values[groups == name].max() for name in names] == [29.5, 59.5, 89.5]
    assert names[0].startswith("up to ") and names[1].startswith("above ") and " to " in names[1]


def test_equal_values_stay_together_and_nothing_is_cut_where_nothing_varies():
    groups, names = cut([1, 1, 1, 1, 5], parts=3)
    assert names == ("up to 1", "above 1") and groups.tolist() == ["up to 1"] * 4 + ["above 1"]
    assert cut([2, 2, 2])[1] == ("all",)
    groups, names = cut([np.nan, np.nan])
    assert names == () and groups.tolist() == ["missing", "missing"]
    groups, names = cut([0, 9, 9, 9])
    assert names == ("all",)
