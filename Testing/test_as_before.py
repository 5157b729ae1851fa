"""What the library answered before its rooms and its statistics were rebuilt, it answers still.

`data/before` comes from the code before: its demonstration bundle (format 2) with the answers for ten
phantom patients, and the scores out of fold of one training.
"""

import csv
import json
import zipfile
from pathlib import Path

import numpy as np
from TACEResponseLib.bundle import load_bundle
from TACEResponseLib.cases import make_case
from TACEResponseLib.phantom import make_patient
from TACEResponseLib.settings import preset
from TACEResponseLib.training.run import train_on_features

DATA = Path(__file__).parent / "data"
BEFORE = DATA / "before"
SIZE = "original_shape_Maximum2DDiameterSlice"


def test_ten_phantom_patients_have_the_answers_of_a_bundle_of_format_2(tmp_path):
    with zipfile.ZipFile(BEFORE / "demonstration_format_2.zip") as packed:
        packed.extractall(tmp_path)
    model = load_bundle(tmp_path / "DemonstrationBundle")
    answers = json.loads((BEFORE / "phantom_answers.json").read_text())
    assert len(answers) == 10
    for seed, expected in answers.items():
        patient = make_patient(0, int(seed), "small")
        found = model.predict(make_case("p", patient.image, patient.mask)).probabilities
        assert found.keys() == expected.keys()
        for name, probability in expected.items():
            assert abs(found[name] - probability) <= 1e-12, (seed, name)


def test_one_training_has_the_scores_out_of_fold_of_before(tmp_path):
    with (DATA / "r-oracle" / "cohort_small.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    names = [name for name in rows[0] if name.startswith("f")]
    features, labels = tmp_path / "features.csv", tmp_path / "labels.csv"
    with features.open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["patient_id", SIZE, *names])
        table.writerows([row["patient"], row["size_mm"], *(row[name] for name in names)] for row in rows)
    parts = {"train": "training"}
    with labels.open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["patient_id", "label", "cohort"])
        table.writerows(
            [row["patient"], row["response"], parts.get(row["cohort"], "validation")] for row in rows
        )
    selection = {"trees": 200, "bootstraps": 0, "sizes": (4, 8, 14)}
    settings = preset("peng2021", network=None, folds=5, seed=3, selection=selection)
    scores = train_on_features(features, labels, settings).record.out_of_fold.scores
    expected = json.loads((BEFORE / "scores_out_of_fold.json").read_text())
    assert scores.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(scores[name][0], values, rtol=0, atol=1e-12, err_msg=name)
