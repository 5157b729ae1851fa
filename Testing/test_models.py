"""The one contract: every learner of the table fits, scores, saves, loads and is named alike."""

import ast
import re

import numpy as np
import pytest
from conftest import ROOT
from TACEResponseLib.bundle import load_bundle, save_bundle
from TACEResponseLib.measuring.patient_table import PatientTable
from TACEResponseLib.messages.errors import SettingsError, TrainingError
from TACEResponseLib.models.combination import fusions_of, title
from TACEResponseLib.models.learners import LEARNERS, configured
from TACEResponseLib.settings import TrainingSettings, preset
from TACEResponseLib.statistics.discrimination import auc_delong
from TACEResponseLib.statistics.outcome import Outcome
from TACEResponseLib.training.model import fit_response_model

FEATURES = tuple(f"original_firstorder_{n}" for n in range(5))
WITHOUT_NETWORK = [name for name, learner in LEARNERS.items() if learner.needs != "pixels"]


def a_cohort(n: int, seed: int) -> tuple[PatientTable, Outcome]:
    """The first feature and a small diameter mean response."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    features = rng.normal(size=(n, len(FEATURES))) + 1.6 * labels[:, None] * (np.arange(5) == 0)
    diameters_mm = rng.normal(60, 10, n) - 16 * labels
    ids = tuple(f"P{k}" for k in range(n))
    return PatientTable(ids, FEATURES, features, diameters_mm=diameters_mm), Outcome(labels)


@pytest.mark.parametrize("name", WITHOUT_NETWORK)
def test_every_learner_finds_a_planted_effect_with_higher_meaning_response(name, tmp_path):
    (table, outcome), (fresh, truth) = a_cohort(120, 1), a_cohort(300, 2)
    fitted = LEARNERS[name].fit(table, outcome, 5)
    scores = fitted.score(fresh)
    assert scores.shape == (300,)
    # Phi(1.6 / sqrt 2) = 0.871 is the best that anybody could do.
    auc = auc_delong(truth.labels, scores)
    assert auc.auc > 0.75 and auc.ci_low < 0.871
    fitted.save(tmp_path)
    again = LEARNERS[name].load(tmp_path, fitted.features)
    np.testing.assert_array_equal(again.score(fresh), scores)
    assert LEARNERS[name].load(tmp_path / "nowhere", fitted.features) is None


@pytest.mark.parametrize("name", WITHOUT_NETWORK)
def test_the_same_seed_gives_the_same_model_and_columns_may_stand_in_any_order(name):
    table, outcome = a_cohort(60, 3)
    one, other = (LEARNERS[name].fit(table, outcome, 9).score(table) for _ in range(2))
    np.testing.assert_array_equal(one, other)
    turned = table.columns(FEATURES[::-1])
    np.testing.assert_array_equal(LEARNERS[name].fit(table, outcome, 9).score(turned), one)


def test_a_learner_says_whether_a_table_holds_what_it_looks_at():
    table, _ = a_cohort(20, 1)
    bare = PatientTable(table.patient_ids, (), np.empty((20, 0)))
    able = {name for name, learner in LEARNERS.items() if learner.can_score(table)}
    assert able == set(WITHOUT_NETWORK)
    assert [name for name, learner in LEARNERS.items() if learner.can_score(bare)] == []


def test_extra_trees_look_at_every_feature_and_know_which_matter():
    table, outcome = a_cohort(120, 1)
    fitted = LEARNERS["extra_trees"].fit(table, outcome, 1)
    assert fitted.features == FEATURES
    assert fitted.by_importance[0] == FEATURES[0]


def test_extra_trees_learn_from_the_share_of_readers_who_saw_a_response():
    table, outcome = a_cohort(120, 1)
    readers = np.column_stack([outcome.labels, outcome.labels, np.where(np.arange(120) < 6, np.nan, 0)])
    soft = Outcome(outcome.labels, readers)
    assert set(np.round(soft.soft, 3)) == {0.0, 0.667, 1.0}
    one, other = (LEARNERS["extra_trees"].fit(table, of, 1).score(table) for of in (outcome, soft))
    assert other.max() < one.max()


def test_a_sixth_model_goes_through_training_fusion_bundle_and_back(tmp_path):
    table, outcome = a_cohort(60, 4)
    quick = {"folds": 3, "network": None, "models": ["size", "extra_trees"]}
    model, record = fit_response_model(
        table, outcome, preset("peng2021", **quick, fusion={"headline": "all"}, extra_trees={"trees": 40})
    )
    assert tuple(model.models.models) == ("size", "extra_trees")
    assert model.models.steps == {}  # nothing looks at selected features, so nothing is selected
    assert model.combinations["all"].models == ("size", "extra_trees")
    assert record.fold_selected == ((), (), ())
    again = load_bundle(save_bundle(tmp_path / "bundle", model, None, "card\n"))
    np.testing.assert_array_equal(again.probabilities(table)["all"], model.probabilities(table)["all"])
    assert again.needed == FEATURES


def test_a_model_that_is_none_is_refused_with_those_that_are():
    with pytest.raises(SettingsError, match="no model has this name|No model has this name") as caught:
        configured(TrainingSettings(models=("size", "boosting")))
    assert caught.value.problem.received == "boosting"
    assert caught.value.problem.expected == ", ".join(LEARNERS)


def test_names_and_titles_of_models_stand_in_the_table_of_learners_alone():
    """A name in quotes anywhere else would be a second list to keep."""
    library = ROOT / "TACEResponse"
    titles = {learner.title for learner in LEARNERS.values()}
    names = LEARNERS.keys() - {"size", "linear", "logistic", "cnn"}  # words that mean other things, too
    allowed = {"models", "settings"}
    for path in sorted(library.rglob("*.py")):
        part = path.relative_to(library)
        if part.parts[0] == "TACEResponseLib" and part.parts[1] in allowed:
            continue
        texts = {
            node.value
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
        assert texts & titles == set(), f"{part} writes the title of a model"
        assert texts & names == set(), f"{part} names a model"


def test_a_title_is_words_and_fusions_are_made_of_what_is_there():
    assert title("cnn+random_forest") == "CNN + random forest"
    assert title("all") == "all models"
    assert fusions_of(["extra_trees", "size"]) == {"all": ("size", "extra_trees")}
    assert fusions_of(["extra_trees", "cnn"])["cnn+extra_trees"] == ("cnn", "extra_trees")


def test_outcome_refuses_labels_that_are_none_and_splits_classes_evenly():
    with pytest.raises(TrainingError, match=re.compile("neither 0 nor 1", re.IGNORECASE)):
        Outcome(np.array([0, 1, 2]))
    outcome = Outcome(np.array([0, 1] * 15))
    fold_of = outcome.split(5, seed=3)
    assert np.bincount(fold_of).tolist() == [6] * 5
    assert [outcome.labels[fold_of == fold].sum() for fold in range(5)] == [3] * 5
    groups = [f"patient {n // 3}" for n in range(30)]
    together = outcome.split(5, 3, groups)
    assert all(len(set(together[n : n + 3])) == 1 for n in range(0, 30, 3))


def test_rows_and_columns_of_a_table_keep_everything_aligned():
    table, _ = a_cohort(6, 1)
    picked = table.rows(np.array([4, 1])).columns(FEATURES[3:1:-1])
    assert picked.patient_ids == picked.groups == ("P4", "P1")
    np.testing.assert_array_equal(picked.features, table.features[[4, 1]][:, [3, 2]])
    np.testing.assert_array_equal(picked.diameters_mm, table.diameters_mm[[4, 1]])
    assert table.rows(np.arange(6) < 2).patient_ids == ("P0", "P1")
    with pytest.raises(ValueError, match="centers has 2 entries for 6 patients"):
        PatientTable(table.patient_ids, FEATURES, table.features, centers=("A", "B"))
