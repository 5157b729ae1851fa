"""Two models on the same patients: figures, the paired test, who changes sides, and what is refused."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from TACEResponseLib.__main__ import main
from TACEResponseLib.bundle import demonstration_bundle, load_bundle, public_cohort_bundle
from TACEResponseLib.cohorts.table import read_cohort
from TACEResponseLib.messages.errors import SettingsError
from TACEResponseLib.phantom import write_cohort
from TACEResponseLib.statistics.discrimination import auc_delong, paired_delong
from TACEResponseLib.training.comparing import compare_models

PATIENTS = 60  # half of them for validation, more than ten of either class


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    folder = tmp_path_factory.mktemp("elsewhere")
    write_cohort(folder, PATIENTS, 11, "small")
    return folder


def test_two_bundles_on_one_cohort(cohort, tmp_path, capsys):
    bundles = [demonstration_bundle(), public_cohort_bundle()]
    assert main(["compare", *map(str, bundles), "--cohort", str(cohort), "--out", str(tmp_path / "out")]) == 0
    figures = json.loads((tmp_path / "out" / "comparison.json").read_text(encoding="utf-8"))
    with (tmp_path / "out" / "comparison.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    models = [load_bundle(folder) for folder in bundles]
    one, other = (np.array([float(row[m.identity]) for row in rows]) for m in models)
    labels = np.array([int(row["label"]) for row in rows])
    validation = read_cohort(cohort).part(training=False)
    assert len(rows) == PATIENTS // 2
    assert [row["patient_id"] for row in rows] == [p.patient_id for p in validation]
    assert figures["patients"] == len(rows) and figures["responders"] == labels.sum()
    for model, probabilities, said in zip(models, (one, other), figures["models"], strict=True):
        assert said["bundle_id"] == model.identity and said["headline"] == model.headline
        assert said["auc"] == pytest.approx(auc_delong(labels, probabilities).auc)
        assert said["brier"] == pytest.approx(((probabilities - labels) ** 2).mean(), abs=1e-5)
        assert said["observed_expected"] == pytest.approx(labels.sum() / probabilities.sum(), abs=1e-4)
    expected = paired_delong(labels, one, other).difference
    assert figures["auc_difference"]["difference"] == pytest.approx(expected)
    sides = [p > m.thresholds[m.headline] for p, m in zip((one, other), models, strict=True)]
    assert figures["other_class"] == (sides[0] != sides[1]).sum() == sum(r["same_class"] == "0" for r in rows)
    printed = capsys.readouterr().out
    assert f"{len(rows)} patients, {labels.sum()} of them responders" in printed
    assert "on the other side of the cut-off" in printed


def test_one_model_is_not_compared_with_itself_nor_with_another_outcome(cohort, tmp_path, capsys):
    bundle = str(demonstration_bundle())
    assert main(["compare", bundle, bundle, "--cohort", str(cohort), "--out", str(tmp_path / "out")]) == 2
    assert "Both folders hold the same model" in capsys.readouterr().err
    model = load_bundle(bundle)
    other = replace(model, settings=replace(model.settings, outcome="majority"))
    with pytest.raises(SettingsError, match="different readings"):
        compare_models([model, other], read_cohort(cohort))
