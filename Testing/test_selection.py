"""caret's rfe fed with R's importances, the forest beside R's forest, and what noise does."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from TACEResponseLib.messages.errors import Cancelled, TrainingError
from TACEResponseLib.messages.progress import silent
from TACEResponseLib.models.fitting import fit_classifier, score
from TACEResponseLib.selection.elimination import (
    _run_folds,
    accuracy_curve,
    best_size,
    bootstrap_frequency,
    candidates,
    eliminate,
    elimination_order,
    mean_importance,
    pick,
    stratified_folds,
    subset_sizes,
    tolerated_size,
    vote_accuracy,
)
from TACEResponseLib.selection.forest import ForestData, _best_split, grow_and_vote
from TACEResponseLib.settings import SelectionSettings
from TACEResponseLib.statistics.discrimination import auc_delong

ORACLE = Path(__file__).parent / "data" / "r-oracle"
R = json.loads((ORACLE / "rfe_small.json").read_text())
FOLDS = ("Fold1", "Fold2", "Fold3", "Fold4", "Fold5")
QUICK = SelectionSettings(sizes=(2, 5, 10), trees=100)


@pytest.fixture(scope="module")
def cohort() -> pd.DataFrame:
    return pd.read_csv(ORACLE / "cohort_small.csv")


@pytest.fixture(scope="module")
def training(cohort) -> tuple[np.ndarray, tuple[str, ...], np.ndarray]:
    """Features (139, 40), their names and labels of the training part of R's small cohort."""
    names = tuple(c for c in cohort if c[0] == "f" and c[1:].isdigit())
    rows = cohort[cohort.cohort == "train"]
    return rows[list(names)].to_numpy(), names, rows.response.to_numpy()


@pytest.fixture(scope="module")
def r_importances(training) -> np.ndarray:
    """R's importance (5, 40) of every feature in every fold, columns as in the cohort."""
    variables = pd.read_csv(ORACLE / "rfe_small_variables.csv").query("Variables == 40")
    table = variables.pivot(index="Resample", columns="var", values="Overall")
    return table.loc[list(FOLDS), list(training[1])].to_numpy()


# The deterministic parts, fed with R's importances and votes


def test_sizes_are_those_that_caret_tried():
    ours = subset_sizes(tuple(R["sizes"]), 40)
    assert ours.tolist() == [row["Variables"] for row in R["results"]]
    assert subset_sizes((50, 3, 3, 40), 40).tolist() == [3, 40]


def test_every_fold_keeps_at_every_size_the_features_that_caret_kept(training, r_importances):
    rows = pd.read_csv(ORACLE / "rfe_small_variables.csv")
    names = np.array(training[1])
    for fold, importance in zip(FOLDS, r_importances, strict=True):
        order = names[elimination_order(importance)]
        for size in R["sizes"]:
            kept = rows[(rows.Resample == fold) & (rows.Variables == size)]["var"]
            assert kept.tolist() == order[:size].tolist()


def test_held_out_accuracy_and_its_sd_equal_caret_s_curve():
    votes = pd.read_csv(ORACLE / "rfe_small_pred.csv")
    votes["right"] = votes.pred == votes.obs
    accuracy = votes.pivot_table(index="Resample", columns="Variables", values="right").to_numpy()
    mean, sd = accuracy_curve(accuracy)
    np.testing.assert_allclose(mean, [row["Accuracy"] for row in R["results"]], atol=1e-12)
    np.testing.assert_allclose(sd, [row["AccuracySD"] for row in R["results"]], atol=1e-12)


def test_votes_become_the_accuracy_that_caret_counts():
    votes = pd.read_csv(ORACLE / "rfe_small_pred.csv")
    compared = 0
    for _, part in votes.groupby(["Resample", "Variables"]):
        if (part.R == 0.5).any():
            continue  # R throws a coin
        ours = vote_accuracy(part.R.to_numpy(), (part.obs == "R").to_numpy().astype(int), 0.6)
        assert ours == pytest.approx((part.pred == part.obs).mean())
        compared += 1
    assert compared > 90


def test_an_even_vote_goes_to_the_commoner_class():
    assert vote_accuracy(np.array([0.5, 0.5]), np.array([1, 0]), prevalence=0.6) == 0.5
    assert vote_accuracy(np.array([0.5]), np.array([1]), prevalence=0.6) == 1
    assert vote_accuracy(np.array([0.5]), np.array([1]), prevalence=0.4) == 0


def test_best_and_tolerated_sizes_equal_caret_s():
    sizes = np.array([row["Variables"] for row in R["results"]])
    accuracy = np.array([row["Accuracy"] for row in R["results"]])
    assert best_size(sizes, accuracy) == R["optsize"] == 40
    assert tolerated_size(sizes, accuracy, 1.5) == R["pickSizeTolerance_1.5"]
    assert tolerated_size(sizes, accuracy, 3) == R["pickSizeTolerance_3"]


def test_of_equally_accurate_sizes_the_smallest_is_best():
    assert best_size(np.array([1, 4, 8]), np.array([0.6, 0.7, 0.7])) == 4


def test_the_final_lists_equal_caret_s_and_not_a_plain_mean_s(training, r_importances):
    sizes = np.array([row["Variables"] for row in R["results"]])
    overall = mean_importance(r_importances, sizes)
    assert pick(overall, training[1], 14) == tuple(R["pickVars14"])
    assert pick(overall, training[1], 40) == tuple(R["optVariables"])
    plain = pick(r_importances.mean(axis=0), training[1], 14)
    assert plain == tuple(R["plain_mean14"]) != tuple(R["pickVars14"])


def test_mean_importance_is_the_mean_over_all_rows_that_caret_lists(training, r_importances):
    rows = pd.read_csv(ORACLE / "rfe_small_variables.csv")
    theirs = rows.groupby("var").Overall.mean()
    ours = mean_importance(r_importances, np.array([row["Variables"] for row in R["results"]]))
    np.testing.assert_allclose(ours, theirs[list(training[1])], rtol=1e-12)


def test_equal_importances_are_listed_alphabetically():
    assert pick(np.array([1.0, 2, 1, 2]), ("d", "c", "b", "a"), 3) == ("a", "c", "b")


# The forest beside R's


def test_importances_agree_with_r_s_as_r_s_do_between_seeds(cohort, training):
    theirs = np.loadtxt(ORACLE / "rf_importance_10seeds.csv", delimiter=",", skiprows=1)
    names = json.loads((ORACLE / "models.json").read_text())["features"]
    rows = cohort[cohort.cohort == "train"]
    features, labels = rows[names].to_numpy(), rows.response.to_numpy()
    data = ForestData(features)
    ours = np.array(
        [
            grow_and_vote(data, labels, features[:0], trees=500, seed=s, importance=True).importance.mean(1)
            for s in range(10)
        ]
    )
    among_r = np.corrcoef(theirs.T)[np.triu_indices(10, 1)].mean()
    across = np.corrcoef(theirs.T, ours)[:10, 10:].mean()
    assert across > among_r - 0.02
    assert np.corrcoef(theirs.mean(axis=1), ours.mean(axis=0))[0, 1] > 0.98
    # Not only alike but equal in size, to the noise of ten forests.
    np.testing.assert_allclose(ours.mean(axis=0), theirs.mean(axis=1), atol=0.8)


def test_out_of_bag_and_validation_auc_are_r_s_within_seed_noise(cohort):
    models = json.loads((ORACLE / "models.json").read_text())
    train, valid = (cohort[cohort.cohort == part] for part in ("train", "valid"))
    names = models["features"]
    data, labels = ForestData(train[names].to_numpy()), train.response.to_numpy()
    forests = [grow_and_vote(data, labels, valid[names].to_numpy(), trees=500, seed=s) for s in range(10)]
    out_of_bag = [auc_delong(labels, f.out_of_bag).auc for f in forests]
    held_out = [auc_delong(valid.response.to_numpy(), f.held_out).auc for f in forests]
    assert models["rf_oob_train"]["auc"] == pytest.approx(np.mean(out_of_bag), abs=3 * np.std(out_of_bag))
    assert models["roc_valid"]["rf"]["auc"] == pytest.approx(np.mean(held_out), abs=3 * np.std(held_out))


def test_on_r_s_own_folds_rankings_and_curve_are_r_s_within_seed_noise(training, r_importances):
    features, _, labels = training
    folds = np.empty(139, dtype=int)
    for fold, name in enumerate(FOLDS):
        folds[np.setdiff1d(np.arange(139), R["train_index0"][name])] = fold
    sizes = subset_sizes(tuple(R["sizes"]), 40)
    runs = [_run_folds(features, labels, folds, sizes, 500, seed, 2, silent) for seed in range(3)]
    importances, accuracies = (np.array(part) for part in zip(*runs, strict=True))
    theirs = np.array([row["Accuracy"] for row in R["results"]])
    ours = accuracies.mean(axis=1)  # (runs, sizes)
    spread = ours.std(axis=0, ddof=1).mean()
    # R's single run lies about as far from our mean as our own runs do.
    assert np.abs(theirs - ours.mean(axis=0)).mean() < 2 * spread
    for fold in range(5):
        among_us = np.corrcoef(importances[:, fold])[np.triu_indices(3, 1)].mean()
        with_r = np.corrcoef(r_importances[fold], importances[:, fold])[0, 1:].mean()
        assert with_r > among_us - 0.1


def test_on_its_own_patients_the_forest_is_right_every_time_even_on_noise():
    random = np.random.default_rng(0)
    features, labels = random.normal(size=(60, 30)), np.arange(60) % 2
    forest = grow_and_vote(ForestData(features), labels, features, trees=200, seed=1)
    assert auc_delong(labels, forest.held_out).auc == 1
    assert abs(auc_delong(labels, forest.out_of_bag).auc - 0.5) < 0.2


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    patients=st.integers(4, 40),
    features=st.integers(1, 4),
    values=st.integers(2, 30),
)
def test_the_split_taken_is_the_best_of_all_splits_one_by_one(seed, patients, features, values):
    random = np.random.default_rng(seed)
    columns = random.integers(0, values, (patients, features)).astype(float)
    labels = random.integers(0, 2, patients)
    weights = random.integers(0, 3, patients)
    in_node = random.random(patients) < random.choice([0.2, 1.0])
    members = np.flatnonzero((weights > 0) & in_node)
    data = ForestData(columns)
    home = np.where(np.isin(np.arange(patients), members), 7, -1)
    best, cut = _best_split(
        data.columns,
        data.order,
        data.ranks,
        labels,
        weights,
        members,
        home,
        7,
        weights[members].sum(),
        (weights * labels)[members].sum(),
        np.arange(features),
        features,
        np.array([seed], np.uint64),
        np.empty(patients, np.int64),
    )

    def purity(feature: int, threshold: float) -> float:
        left = members[columns[members, feature] <= threshold]
        right = members[columns[members, feature] > threshold]
        sides = [np.bincount(labels[s], weights=weights[s], minlength=2) for s in (left, right)]
        return sum((side**2).sum() / side.sum() for side in sides)

    cuts = [(f, (a + b) / 2) for f in range(features) for a, b in pairwise(np.unique(columns[members, f]))]
    if not cuts:
        assert best == -1
    else:
        assert (best, cut) in cuts
        assert purity(best, cut) == pytest.approx(max(purity(*c) for c in cuts))


def test_a_feature_that_parts_the_classes_is_found_and_a_constant_never_used():
    labels = np.arange(50) % 2
    features = np.column_stack([np.full(50, 3.0), labels * 2.0, np.random.default_rng(1).normal(size=50)])
    forest = grow_and_vote(ForestData(features), labels, features, trees=300, seed=2, importance=True)
    assert (forest.importance[1] > 10).all()
    assert (forest.importance[0] == 0).all()


def test_neighbouring_floats_split_without_an_endless_tree():
    low = np.float64(1.0)
    features = np.where(np.arange(20) % 2, np.nextafter(low, 2), low)[:, None]
    labels = np.arange(20) % 2
    assert grow_and_vote(ForestData(features), labels, features, trees=9, seed=0).held_out.tolist() == (
        labels.astype(float).tolist()
    )


# The whole elimination


def test_same_seed_same_numbers_on_one_or_two_threads(training):
    features, names, labels = training
    one = eliminate(features, names, labels, QUICK, seed=11, jobs=1)
    two = eliminate(features, names, labels, QUICK, seed=11, jobs=2)
    assert one.chosen == two.chosen and one.importance == two.importance
    assert one.rankings == two.rankings and one.frequency == two.frequency
    np.testing.assert_array_equal(one.accuracy, two.accuracy)
    other = eliminate(features, names, labels, QUICK, seed=12)
    assert other.importance != one.importance


def test_a_planted_effect_is_chosen_and_frequent():
    random = np.random.default_rng(8)
    labels = np.repeat([0, 1], [56, 83])
    features = random.normal(size=(139, 60))
    features[:, [7, 21]] += 1.5 * labels[:, None]
    names = tuple(f"f{k:02}" for k in range(60))
    selection = eliminate(features, names, labels, SelectionSettings(sizes=(2, 4), number=2), seed=1)
    assert set(selection.chosen) == {"f07", "f21"}
    assert selection.frequency["f07"] == selection.frequency["f21"] == 1
    assert selection.sizes.tolist() == [2, 4, 60]
    assert selection.accuracy[0] > 0.75
    again = bootstrap_frequency(
        features, names, labels, SelectionSettings(bootstraps=10, trees=200), size=2, seed=1, jobs=2
    )
    assert again["f07"] + again["f21"] > 1.8 and sum(again.values()) == pytest.approx(2)


def test_the_choice_of_size_follows_the_rule(training):
    features, names, labels = training
    run = lambda **rule: eliminate(
        features, names, labels, SelectionSettings(sizes=(2, 5, 10), trees=100, **rule), seed=4
    )
    by_number, best, tolerated = run(number=7), run(rule="best"), run(rule="tolerance", tolerance_percent=50)
    assert by_number.size == len(by_number.chosen) == 7
    assert best.size == best_size(best.sizes, best.accuracy)
    assert tolerated.size == 2
    assert by_number.importance == best.importance


def test_asking_for_more_features_than_there_are_keeps_all(training):
    features, names, labels = training
    selection = eliminate(features[:, :5], names[:5], labels, QUICK, seed=1)
    assert selection.size == 5 and set(selection.chosen) == set(names[:5])
    assert selection.sizes.tolist() == [2, 5]


def test_redundant_and_constant_features_are_dropped_by_name(training):
    features, names, labels = training
    copied = np.column_stack([features[:, :5], -2 * features[:, 0] + 1, np.full(139, 4.0)])
    names = (*names[:5], "copy", "flat")
    selection = eliminate(
        copied, names, labels, SelectionSettings(sizes=(2,), trees=50, max_correlation=0.9), seed=1
    )
    assert selection.dropped == {"copy": f"correlated 1.000 with {names[0]}", "flat": "constant"}
    assert set(selection.importance) == set(names[:5])
    kept, dropped = candidates(copied, names, 1.0)
    assert kept.tolist() == [0, 1, 2, 3, 4, 5] and dropped == {"flat": "constant"}


def test_folds_are_even_stratified_and_seeded(training):
    labels = training[2]
    folds = stratified_folds(labels, 5, seed=3)
    assert sorted(np.bincount(folds)) == [27, 28, 28, 28, 28]
    for label in (0, 1):
        counts = np.bincount(folds[labels == label])
        assert counts.max() - counts.min() <= 1
    assert (folds == stratified_folds(labels, 5, seed=3)).all()
    assert (folds != stratified_folds(labels, 5, seed=4)).any()


def test_faults_of_the_data_are_named(training):
    features, names, labels = training
    with pytest.raises(TrainingError, match=r"fewer patients than there are folds.*5 patients.*3"):
        eliminate(features, names, np.arange(139) < 3, QUICK, seed=1)
    holed = features.copy()
    holed[3, 2] = np.inf
    with pytest.raises(TrainingError, match="not finite") as caught:
        eliminate(holed, names, labels, QUICK, seed=1)
    assert caught.value.problem.field == names[2]
    with pytest.raises(TrainingError, match="No feature varies"):
        eliminate(np.ones((139, 3)), names[:3], labels, QUICK, seed=1)
    with pytest.raises(TrainingError, match="belong together"):
        eliminate(features, names[:-1], labels, QUICK, seed=1)


def test_progress_counts_every_forest_and_can_cancel(training):
    features, names, labels = training
    said = []
    eliminate(features, names, labels, QUICK, seed=1, progress=lambda *event: said.append(event))
    assert said == [("select features", done, 20) for done in range(1, 21)]

    def stop(stage: str, done: int, total: int) -> None:
        if done == 7:
            raise Cancelled

    with pytest.raises(Cancelled):
        eliminate(features, names, labels, QUICK, seed=1, jobs=2, progress=stop)


TRAINED, ALL = slice(139), slice(None)


def noise(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Features (310, 710) without any meaning and labels (310,), the first 139 for training."""
    random = np.random.default_rng(seed)
    labels = [random.permutation(np.arange(n) < responders) for n, responders in ((139, 83), (171, 104))]
    return random.normal(size=(310, 710)), np.concatenate(labels).astype(int)


def validation_auc(features: np.ndarray, labels: np.ndarray, chosen: list[int]) -> float:
    model = fit_classifier("logistic", features[:139, chosen], labels[:139], variant="paper", seed=1)
    return auc_delong(labels[139:], score(model, features[139:, chosen])).auc


def eliminated(features: np.ndarray, labels: np.ndarray, seen: slice, seed: int) -> list[int]:
    """Columns of the 14 features that the elimination chooses on the patients it may see."""
    names = [f"{k:03}" for k in range(710)]
    recipe = SelectionSettings(sizes=(14,), trees=150)
    selection = eliminate(features[seen], names, labels[seen], recipe, seed=seed, jobs=2)
    return [int(name) for name in selection.chosen]


def most_different(features: np.ndarray, labels: np.ndarray, seen: slice) -> list[int]:
    """Columns of the 14 features whose class means differ most among the patients seen."""
    features, labels = features[seen], labels[seen]
    difference = features[labels == 1].mean(axis=0) - features[labels == 0].mean(axis=0)
    return np.argsort(-np.abs(difference))[:14].tolist()


def test_noise_stays_noise_when_elimination_sees_the_training_patients_only():
    aucs = [validation_auc(*noise(seed), eliminated(*noise(seed), TRAINED, seed)) for seed in range(3)]
    # Standard error of an AUC of 0.5 in 104 + 67 patients: 0.0455.
    assert abs(np.mean(aucs) - 0.5) < 1.96 * 0.0455 / np.sqrt(len(aucs))


def test_noise_looks_like_a_finding_when_elimination_saw_everybody():
    aucs = [validation_auc(*noise(seed), eliminated(*noise(seed), ALL, seed)) for seed in range(3)]
    assert np.mean(aucs) > 0.5 + 3 * 0.0455 / np.sqrt(len(aucs))


def test_choosing_by_class_means_on_everybody_gives_0_73_on_noise_and_on_training_0_50():
    leaking, honest = (
        np.mean([validation_auc(*noise(s), most_different(*noise(s), seen)) for s in range(20)])
        for seen in (ALL, TRAINED)
    )
    assert leaking == pytest.approx(0.73, abs=0.02)
    assert honest == pytest.approx(0.50, abs=0.02)
