"""A training that is done again, in another process and on more of them, writes the same bytes."""

import csv
import json
import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesRegressor, RandomForestClassifier
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from TACEResponseLib.bundle import load_bundle, save_bundle
from TACEResponseLib.models.skops_file import read_skops, write_skops

ROOT = Path(__file__).resolve().parent.parent
TRAIN = """
import sys
from pathlib import Path
from TACEResponseLib.report.model_card import save_trained
from TACEResponseLib.settings import preset
from TACEResponseLib.training.run import train_on_features
folder, out, jobs = sys.argv[1:]
selection = {"sizes": [2], "trees": 20, "folds": 2, "number": 2, "bootstraps": 0}
settings = preset("peng2021", network=None, folds=3, repeats=1, selection=selection)
tables = (Path(folder) / name for name in ("features.csv", "labels.csv"))
save_trained(train_on_features(*tables, settings, jobs=int(jobs)), Path(out))
"""


@pytest.fixture
def forest():
    """A fitted pipeline and the table that it was fitted on."""
    random = np.random.default_rng(0)
    table, labels = random.normal(size=(60, 4)), np.arange(60) % 2
    model = make_pipeline(StandardScaler(), RandomForestClassifier(20, random_state=0))
    return model.fit(table, labels), table


@pytest.fixture
def tables(tmp_path):
    """A feature table and its labels, 60 patients."""
    random = np.random.default_rng(5)
    names = [f"original_firstorder_{k}" for k in ("Mean", "Median", "Minimum", "Maximum")]
    features, labels = ([",".join(["patient_id", *names])], ["patient_id,label"])
    for n in range(60):
        features.append(",".join([f"P{n:03d}", *(f"{v + n % 2:.6f}" for v in random.normal(size=4))]))
        labels.append(f"P{n:03d},{n % 2}")
    for name, lines in (("features.csv", features), ("labels.csv", labels)):
        (tmp_path / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path


def trained_elsewhere(tables: Path, name: str, jobs: int, hash_seed: str) -> dict[str, bytes]:
    """Files of the bundle that a process of its own trains, by their paths."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "TACEResponse"), "PYTHONHASHSEED": hash_seed}
    command = [sys.executable, "-c", TRAIN, str(tables), str(tables / name), str(jobs)]
    subprocess.run(command, env=environment, check=True)
    files = (path for path in (tables / name).rglob("*") if path.is_file())
    return {path.relative_to(tables / name).as_posix(): path.read_bytes() for path in files}


def test_two_trainings_give_bundles_that_are_equal_byte_by_byte(tables):
    once = trained_elsewhere(tables, "once", 1, "1")
    again = trained_elsewhere(tables, "again", 2, "2")
    assert set(once) == set(again)
    assert [name for name in once if once[name] != again[name]] == []
    assert any(name.endswith(".skops") for name in once)


def test_the_name_of_a_bundle_follows_every_file(tables):
    trained_elsewhere(tables, "once", 1, "1")
    model = load_bundle(tables / "once")
    copy = load_bundle(save_bundle(tables / "copy", model, None, "a card"))
    other = load_bundle(save_bundle(tables / "other", model, None, "another card"))
    again = load_bundle(save_bundle(tables / "again", copy, None, "a card"))
    assert copy.identity == again.identity != other.identity


def test_scores_name_the_fold_that_held_each_patient_out_and_a_bundle_without_folds_loads(tables):
    """The folds of the settings' seed are drawn again: `scores.csv` counts them from 1."""
    trained_elsewhere(tables, "once", 1, "1")
    model = load_bundle(tables / "once")
    labels = np.arange(60) % 2
    splits = StratifiedKFold(3, shuffle=True, random_state=model.settings.seed).split(labels, labels)
    expected = np.empty(60, int)
    for fold, (_, held_out) in enumerate(splits):
        expected[held_out] = fold
    np.testing.assert_array_equal(model.training.folds, expected)
    with (tables / "once" / "scores.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0])[:3] == ["patient_id", "label", "fold"]
    assert [int(row["fold"]) - 1 for row in rows] == expected.tolist()
    assert set(model.training.out_of_fold) == set(model.combinations)

    older = replace(model, training=replace(model.training, folds=None))
    copy = load_bundle(save_bundle(tables / "older", older, None, "a card"))
    assert copy.training.folds is None
    assert (
        (tables / "older" / "scores.csv").read_text(encoding="utf-8").startswith("patient_id,label,linear,")
    )
    assert set(copy.training.out_of_fold) == set(model.combinations)


def test_a_model_is_read_back_as_it_was_written(forest, tmp_path):
    model, table = forest
    write_skops(model, tmp_path / "model.skops")
    np.testing.assert_array_equal(
        read_skops(tmp_path / "model.skops").predict_proba(table), model.predict_proba(table)
    )


def test_no_place_in_memory_and_no_date_is_written(forest, tmp_path):
    model, _ = forest
    write_skops(model, tmp_path / "model.skops")
    with zipfile.ZipFile(tmp_path / "model.skops") as stored:
        arrays = [entry for entry in stored.infolist() if entry.filename != "schema.json"]
        assert [entry.filename for entry in arrays] == [f"{n}.npy" for n in range(len(arrays))]
        assert {entry.date_time for entry in stored.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        numbers = []
        json.loads(stored.read("schema.json"), object_hook=lambda node: numbers.append(node.get("__id__")))
    found = sorted(number for number in numbers if number is not None)
    assert found == list(range(len(found)))


def test_what_lies_between_the_fields_of_a_node_is_not_written(tmp_path):
    random = np.random.default_rng(0)
    trees = ExtraTreesRegressor(1, random_state=0).fit(random.normal(size=(30, 3)), random.normal(size=30))
    written = []
    for n in range(2):
        nodes = trees.estimators_[0].tree_.__getstate__()["nodes"]
        described = nodes.dtype.fields["missing_go_to_left"]
        padding = range(described[1] + described[0].itemsize, nodes.dtype.itemsize)
        assert len(padding), "a node has no padding any more, and this test nothing to do"
        state = trees.estimators_[0].tree_.__getstate__()
        raw = np.frombuffer(bytearray(nodes.tobytes()), np.uint8).reshape(len(nodes), -1)
        raw[:, list(padding)] = n
        trees.estimators_[0].tree_.__setstate__({**state, "nodes": raw.reshape(-1).view(nodes.dtype)})
        write_skops(trees, tmp_path / f"{n}.skops")
        written.append((tmp_path / f"{n}.skops").read_bytes())
    assert written[0] == written[1]
