"""A table in which noise would look like knowledge is refused with the reason, or trained without help."""

import csv

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from TACEResponseLib.__main__ import main
from TACEResponseLib.measuring.patient_table import PatientTable
from TACEResponseLib.messages.errors import TableError
from TACEResponseLib.models.fitting import fit_classifier
from TACEResponseLib.selection.inner_folds import stratified_folds
from TACEResponseLib.settings import preset
from TACEResponseLib.statistics.outcome import Outcome
from TACEResponseLib.training.model import fit_response_model
from TACEResponseLib.training.refusals import require_believable
from TACEResponseLib.training.run import train_on_features

SETTINGS = preset(
    "peng2021",
    network=None,
    folds=5,
    selection={"sizes": [2], "trees": 20, "folds": 2, "number": 3, "bootstraps": 0},
)
NAMES = tuple(f"original_firstorder_{k}" for k in range(8))


def noise(patients: int, rows_each: int = 1, seed: int = 0) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Features (n, 8), labels (n,) and the patient of each row; rows of a patient differ by 1 % of SD."""
    random = np.random.default_rng(seed)
    features = np.repeat(random.normal(size=(patients, 8)), rows_each, axis=0)
    features = features + 0.01 * random.normal(size=features.shape) * (rows_each > 1)
    of = np.repeat([f"G{n:03d}" for n in range(patients)], rows_each)
    return features, np.repeat(np.arange(patients) % 2, rows_each), of.tolist()


def table_of(features, groups=(), ids=(), names=NAMES) -> PatientTable:
    ids = tuple(ids) or tuple(f"P{n:03d}" for n in range(len(features)))
    return PatientTable(ids, tuple(names), features, groups=tuple(groups))


def write(folder, features, labels, names=NAMES, more_labels=None):
    """Two tables; more_labels: column -> cells (n,) beside the labels."""
    ids, more = [f"P{n:03d}" for n in range(len(labels))], more_labels or {}
    for name, header, rows in (
        ("features.csv", names, features),
        ("labels.csv", ("label", *more), zip(labels, *more.values(), strict=True)),
    ):
        with (folder / name).open("w", encoding="utf-8", newline="") as stream:
            table = csv.writer(stream)
            table.writerow(["patient_id", *header])
            table.writerows([one, *row] for one, row in zip(ids, rows, strict=True))
    return folder / "features.csv", folder / "labels.csv"


def kinds(problems) -> set[tuple[str, str]]:
    return {(problem.kind, problem.field) for problem in problems}


def test_three_rows_of_noise_a_patient_under_other_ids_are_named():
    features, labels, _ = noise(30, 3)
    said = require_believable(table_of(features), Outcome(labels), None)
    assert [problem.kind for problem in said] == ["copied_rows"]
    assert said[0].received.startswith("90 rows: P000 = P001 = P002; ")
    assert "`group`" in said[0].remedy


def test_three_rows_of_noise_a_patient_give_half_with_a_group_and_more_without():
    features, labels, groups = noise(40, 3)
    auc = {}
    for name, given in (("grouped", groups), ("free", ())):
        table = table_of(features, given)
        if given:
            assert require_believable(table, Outcome(labels), None) == ()
        _, record = fit_response_model(table, Outcome(labels), SETTINGS)
        forest = record.out_of_fold.scores["random_forest"][0]
        folds = record.out_of_fold.folds[0]
        auc[name] = np.mean([roc_auc_score(labels[folds == k], forest[folds == k]) for k in range(5)])
    assert auc["free"] > 0.9
    # 40 patients of noise: the AUC has a standard error of about 0.09.
    assert abs(auc["grouped"] - 0.5) < 0.2


def test_copies_under_other_ids_are_refused_with_both_names(tmp_path):
    features, labels, _ = noise(30)
    tables = write(tmp_path, np.concatenate([features, features[:2]]), [*labels, *labels[:2]])
    with pytest.raises(TableError, match="copies of each other") as caught:
        train_on_features(*tables, SETTINGS)
    assert "P000 = P030; P001 = P031" in str(caught.value)
    assert "features.csv" in str(caught.value)


def test_a_copy_in_the_validation_part_is_refused():
    features, labels, _ = noise(30)
    with pytest.raises(TableError, match="P000 = V000"):
        external = table_of(features[:1], ids=["V000"])
        require_believable(table_of(features), Outcome(labels), external)


def test_a_group_in_training_and_in_validation_is_refused():
    features, labels, groups = noise(30)
    other = np.random.default_rng(9).normal(size=(1, 8))
    external = table_of(other, groups=["G004"], ids=["V000"])
    with pytest.raises(TableError, match=r"for training and for validation.*G004"):
        require_believable(table_of(features, groups), Outcome(labels), external)


def test_a_column_that_knows_the_response_is_refused(tmp_path):
    features, labels, _ = noise(60)
    features[:, 3] = labels + 0.1 * features[:, 3]
    with pytest.raises(TableError, match="a column alone ranks every patient") as caught:
        train_on_features(*write(tmp_path, features, labels), SETTINGS)
    assert caught.value.problem.field == NAMES[3]
    assert caught.value.problem.received == "AUC 1.000"


def test_every_finding_is_listed_in_one_error(tmp_path, capsys):
    features, labels, _ = noise(60)
    features[:, 0] = labels
    features[59] = features[57]
    names = ("OS_weeks", "ttp", *NAMES[2:])
    tables = write(tmp_path, features, labels, names)
    arguments = ["train", "--features", str(tables[0]), "--labels", str(tables[1]), "--out"]
    assert main([*arguments, str(tmp_path / "bundle")]) == 2
    said = "".join(capsys.readouterr())
    for part in ("4 faults", "features: OS_weeks", "features: ttp", "every patient: OS_weeks", "P057 = P059"):
        assert part in said
    assert not (tmp_path / "bundle").exists()


def test_a_clinical_column_is_named_and_the_training_goes_on(tmp_path):
    features, labels, _ = noise(60)
    trained = train_on_features(*write(tmp_path, features, labels, ("Age", *NAMES[1:])), SETTINGS)
    assert ("clinical_column", "Age") in kinds(trained.warnings)


def test_an_empty_column_is_a_sentence(tmp_path, capsys):
    features, labels, _ = noise(60)
    cells = features.astype(object)
    cells[:, 2] = ""
    tables = write(tmp_path, cells, labels)
    arguments = ["train", "--features", str(tables[0]), "--labels", str(tables[1]), "--out"]
    assert main([*arguments, str(tmp_path / "bundle")]) == 2
    said = "".join(capsys.readouterr())
    assert f"a column has no value at all: {NAMES[2]}" in said


def test_a_table_without_a_row_to_train_on_is_a_sentence(tmp_path, capsys):
    features, labels, _ = noise(20)
    cells = features.astype(object)
    cells[::2, 2] = cells[1::2, 3] = ""
    tables = write(tmp_path, cells, labels)
    arguments = ["train", "--features", str(tables[0]), "--labels", str(tables[1]), "--out"]
    assert main([*arguments, str(tmp_path / "bundle")]) == 2
    assert "A fault of" not in "".join(capsys.readouterr())


def test_a_number_too_large_to_compute_with_is_a_sentence(tmp_path):
    features, labels, _ = noise(60)
    features[7, 5] = 1e300
    with pytest.raises(TableError, match=r"too large to be computed with.*1e\+300"):
        train_on_features(*write(tmp_path, features, labels), SETTINGS)


def test_inner_folds_of_selection_and_tuning_keep_groups_together(monkeypatch):
    features, labels, groups = noise(30, 3)
    folds = stratified_folds(labels, 5, 1, groups)
    assert set(folds) == set(range(5))
    assert all(len(set(folds[k : k + 3])) == 1 for k in range(0, 90, 3))

    seen = []
    from TACEResponseLib.models import fitting

    def watched(*args, cv, **more):
        seen.extend(cv)
        return search(*args, cv=cv, **more)

    search = fitting.GridSearchCV
    monkeypatch.setattr(fitting, "GridSearchCV", watched)
    fit_classifier("svm", features, labels, variant="tuned", seed=1, groups=groups)
    named = np.array(groups)
    assert len(seen) == 5
    assert all(set(named[trained]).isdisjoint(named[judged]) for trained, judged in seen)
