"""What training and evaluation refuse, name or carry along instead of computing on with it."""

import csv
import dataclasses
import json
import types

import numpy as np
import pytest
import SimpleITK as sitk
from TACEResponseLib.__main__ import main
from TACEResponseLib.bundle import load_bundle
from TACEResponseLib.cases import make_case
from TACEResponseLib.cohorts.table import Cohort, Patient
from TACEResponseLib.measuring.patient_table import PatientTable
from TACEResponseLib.messages.errors import Problem, SettingsError, TableError, TrainingError
from TACEResponseLib.models.combination import fit_combinations
from TACEResponseLib.models.network import TrainedNetwork
from TACEResponseLib.radiomics import extract_row
from TACEResponseLib.readers.volumes import files_of
from TACEResponseLib.report import write_validation_report
from TACEResponseLib.report.model_card import save_trained
from TACEResponseLib.report.performance import repeat_table
from TACEResponseLib.report.study import Study
from TACEResponseLib.resumable import CaseJob, CaseResult, forget, run_cases
from TACEResponseLib.selection.elimination import tolerated_size
from TACEResponseLib.settings import RadiomicsSettings, preset
from TACEResponseLib.statistics.discrimination import auc_delong
from TACEResponseLib.statistics.outcome import Outcome
from TACEResponseLib.training import run as training_room
from TACEResponseLib.training.external import external_patients
from TACEResponseLib.training.inputs import Labelled
from TACEResponseLib.training.model import fit_response_model
from TACEResponseLib.training.run import train_on_cohort, train_on_features

QUICK = {
    "network": None,
    "folds": 3,
    "selection": {"sizes": [2], "trees": 20, "folds": 2, "number": 2, "bootstraps": 0},
}
SETTINGS = preset("peng2021", **QUICK)
HASH = "diagnostics_Image-original_Hash"


def patients_of(number: int, seed: int = 0) -> Labelled:
    rng = np.random.default_rng(seed)
    labels = np.arange(number) % 2
    features = rng.normal(size=(number, 4)) + labels[:, None]
    ids = tuple(f"P{n:03d}" for n in range(number))
    names = tuple(f"original_firstorder_{n}" for n in ("Mean", "Median", "Minimum", "Maximum"))
    table = PatientTable(ids, names, features, None, rng.uniform(20, 90, number))
    return Labelled(table, Outcome(labels))


def write_tables(folder, patients: Labelled, more=None, labels_more=None, labelled=None):
    """Feature table and labels; more, labels_more: name -> cells (n,) of further columns."""
    more, labels_more, inputs = more or {}, labels_more or {}, patients.table
    with (folder / "features.csv").open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["patient_id", *more, *inputs.feature_names])
        for n, row in enumerate(inputs.features):
            table.writerow([inputs.patient_ids[n], *(cells[n] for cells in more.values()), *row])
    with (folder / "labels.csv").open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["patient_id", "label", *labels_more])
        for n, label in enumerate(patients.outcome.labels):
            table.writerow([inputs.patient_ids[n], label, *(cells[n] for cells in labels_more.values())])
        for patient_id in labelled or ():
            table.writerow([patient_id, 1, *("" for _ in labels_more)])
    return folder / "features.csv", folder / "labels.csv"


def ct() -> sitk.Image:
    rng = np.random.default_rng(3)
    return sitk.GetImageFromArray(rng.normal(60, 20, (12, 14, 14)).astype(np.int16))


def case_of(image: sitk.Image):
    voxels = np.zeros((12, 14, 14), np.uint8)
    voxels[3:9, 3:11, 3:11] = 1
    mask = sitk.GetImageFromArray(voxels)
    mask.CopyInformation(image)
    return make_case("new", image, mask)


# What would let a model see the answer


@pytest.mark.parametrize("column", ["label", "Center", "cohort", "afp_ng_ml"])
def test_a_column_of_the_outcome_among_the_features_is_refused(tmp_path, column):
    patients = patients_of(40)
    tables = write_tables(tmp_path, patients, {column: patients.outcome.labels}, {"afp_ng_ml": np.arange(40)})
    with pytest.raises(TableError, match="holds columns that are no features") as caught:
        train_on_features(*tables, SETTINGS)
    assert caught.value.problem.received == column


@pytest.mark.parametrize("part", ["training", "validation"])
def test_one_ct_under_two_ids_is_refused_where_it_would_be_trained_on(tmp_path, part):
    patients = patients_of(44)
    hashes = [f"{n:040x}" for n in range(44)]
    hashes[43] = hashes[2]
    tables = write_tables(tmp_path, patients, {HASH: hashes}, {"cohort": [""] * 40 + ["x"] * 3 + [part]})
    with pytest.raises(TrainingError, match="same CT stands under several patient IDs") as caught:
        train_on_features(*tables, SETTINGS)
    assert caught.value.problem.received == "P002 = P043"
    hashes[2] = "another"
    hashes[42] = hashes[43]
    tables = write_tables(tmp_path, patients, {HASH: hashes}, {"cohort": [""] * 40 + ["x"] * 4})
    assert len(train_on_features(*tables, SETTINGS).model.training.image_hashes) == 40


def test_a_training_patient_is_known_by_the_ct_under_any_name_and_in_the_bundle(tmp_path):
    patients = patients_of(40)
    hashes = [f"{n:040x}" for n in range(40)]
    trained = train_on_features(*write_tables(tmp_path, patients, {HASH: hashes}), SETTINGS)
    save_trained(trained, tmp_path / "bundle")
    model = load_bundle(tmp_path / "bundle")
    assert model.training.among(["A", "P003", "B", "C"], [hashes[5], "", "f" * 40, ""]) == ("A", "P003")
    renamed = dataclasses.replace(
        patients.table,
        patient_ids=tuple(f"X{n}" for n in range(40)),
        diagnostics=tuple({HASH: h} for h in hashes),
    )
    again = dataclasses.replace(patients, table=renamed)
    study = Study(model, again, {})
    assert len(study.fitted) == 40
    assert [group.estimate for group in study.scored] == ["resubstitution"]
    folder = write_validation_report(model, again, {}, tmp_path / "report")
    rows = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
    assert {row["estimate"] for row in rows} == {"resubstitution"}
    with (folder / "scores_validation.csv").open(encoding="utf-8", newline="") as stream:
        assert {row["fitted"] for row in csv.DictReader(stream)} == {"yes"}
    readme = (folder / "README.txt").read_text(encoding="utf-8")
    assert "Probabilities of every validation patient, resubstitution (optimistic)" in readme


# What would be left out in silence


def test_a_patient_with_a_label_and_no_features_is_named(tmp_path):
    trained = train_on_features(*write_tables(tmp_path, patients_of(40), labelled=["ghost"]), SETTINGS)
    assert str(trained.left_out["ghost"]) == (
        "Patient ghost: the feature table has no row for this patient. The patient was left out."
    )


def test_outlines_of_a_second_reader_that_cannot_be_measured_stop_the_training(tmp_path, monkeypatch):
    patients = [
        Patient(f"P{n}", tmp_path / "i", tmp_path / "m", tmp_path / "m2", label=n % 2) for n in range(30)
    ]
    fault = Problem("mask", "the mask is empty", field="mask")

    def measure(patients, *arguments, reader=1, **options):
        ids = [patient.patient_id for patient in patients]
        return (dict.fromkeys(ids), {}) if reader == 1 else ({}, dict.fromkeys(ids, fault))

    monkeypatch.setattr(training_room, "measure_patients", measure)
    with pytest.raises(TrainingError, match="o outline of the second reader can be measured") as caught:
        train_on_cohort(Cohort(tmp_path, tuple(patients)), SETTINGS)
    assert "the mask is empty" in caught.value.problem.remedy


def test_one_outline_of_a_second_reader_that_fails_is_named_in_result_and_report(tmp_path, capsys):
    cohort = tmp_path / "cohort"
    assert main(["phantom", "--patients", "40", "--out", str(cohort), "--seed", "3"]) == 0
    with (cohort / "cohort.csv").open(encoding="utf-8", newline="") as stream:
        rows = [{**row, "cohort": "training"} for row in csv.DictReader(stream)]
    with (cohort / "cohort.csv").open("w", encoding="utf-8", newline="") as stream:
        table = csv.DictWriter(stream, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    broken = next(row for row in rows if row["mask_reader2"])
    (cohort / broken["mask_reader2"]).write_bytes(b"no image")
    code = main(
        ["train", "--cohort", str(cohort), "--out", str(tmp_path / "model"), "--no-cnn", "--folds", "3"]
    )
    printed, complaint = capsys.readouterr()
    assert code == 0, complaint
    sentence = f"Patient {broken['patient_id']}"
    assert "the second reader's outline was left out: the file cannot be read as a volume" in printed
    text = (tmp_path / "model-report" / "warnings.csv").read_text(encoding="utf-8")
    assert sentence in text
    assert not (tmp_path / "model-work").exists()


class Network:
    """Stands for a trained network: the mean of a picture, and what `similarity` asks for."""

    blocks = (types.SimpleNamespace(bias=np.zeros(4)),)

    def probability(self, pixels):
        return pixels.mean(axis=(1, 2, 3)).astype(float)

    def penultimate(self, pixels):
        return np.repeat(pixels.mean(axis=(1, 2))[:, None], 4, axis=1)


def test_what_a_network_s_training_warns_of_is_in_the_record(monkeypatch):
    note = Problem("device", "the GPU ran out of memory", severity="warning")
    trained = TrainedNetwork(b"", {"loss": (1.0,)}, 1, (), "a framework", (note,))
    monkeypatch.setattr("TACEResponseLib.models.network.train_network", lambda *arguments, **options: trained)
    monkeypatch.setattr(
        "TACEResponseLib.models.network.keras_file.read_keras_file", lambda content: Network()
    )
    patients = patients_of(40)
    pixels = np.random.default_rng(0).random((40, 8, 8, 3), dtype=np.float32)
    inputs = dataclasses.replace(patients.table, pixels=pixels)
    settings = preset("peng2021", **QUICK | {"network": {"epochs": 1}})
    _, record = fit_response_model(inputs, patients.outcome, settings)
    assert record.warnings == (note,)  # of four fits, once


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--cohort", "nowhere", "--no-cnn", "--epochs", "7"], "--epochs"),
        (["--features", "f.csv", "--labels", "l.csv", "--device", "cpu"], "--device"),
        (["--features", "f.csv", "--labels", "l.csv", "--engine", "fast"], "--engine"),
    ],
)
def test_an_option_that_would_be_ignored_is_refused(tmp_path, capsys, options, named):
    assert main(["train", *options, "--out", str(tmp_path / "model")]) == 2
    assert "An option would have no effect. Expected options of a CNN with images" in capsys.readouterr().err
    assert not (tmp_path / "model").exists()


def test_a_headline_that_is_no_model_is_refused():
    patients = patients_of(40)
    settings = preset("peng2021", **QUICK, fusion={"headline": "cnn+rf"})
    with pytest.raises(SettingsError, match="o model has the name of the headline"):
        fit_response_model(patients.table, patients.outcome, settings)


# What a table says of its extraction


def test_a_table_s_diagnostics_decide_how_a_new_patient_is_measured(tmp_path):
    chosen = RadiomicsSettings(resampled_spacing_mm=(3.0, 3.0, 3.0), bin_width=5.0, image_types=("Original",))
    row = extract_row(case_of(ct()), chosen)
    recorded = {n: [row[n]] * 40 for n in row if n.startswith("diagnostics_Configuration")}
    trained = train_on_features(*write_tables(tmp_path, patients_of(40), recorded), SETTINGS)
    assert trained.model.settings.radiomics == chosen
    assert trained.model.extraction_known
    assert not any("do not rely" in text for text in trained.model.predict(case_of(ct())).warnings)


def test_settings_that_python_wrote_are_read_and_foreign_ones_are_not():
    from TACEResponseLib.radiomics.parameters import recorded_settings, to_parameters

    chosen = RadiomicsSettings(bin_width=10.0, image_types=("Original", "LoG"), log_sigmas_mm=(2.0,))
    content, image_types = to_parameters(chosen)
    names = ("diagnostics_Configuration_Settings", "diagnostics_Configuration_EnabledImageTypes")
    row = dict(zip(names, (str({**content, "label": 2}), str(image_types)), strict=True))
    assert recorded_settings([row, row]) == chosen
    assert recorded_settings([row, {**row, names[0]: str({**content, "binWidth": 5})}]) is None
    assert recorded_settings([{**row, names[0]: str({**content, "unheard": 1})}]) is None
    assert recorded_settings([{**row, names[0]: "__import__('os').getcwd()"}]) is None
    assert recorded_settings([{**row, names[0]: "[" * 10_000}]) is None
    assert recorded_settings([{}]) is None


def test_a_model_that_does_not_know_its_extraction_says_so_and_is_not_evaluated_on_images(tmp_path):
    trained = train_on_features(*write_tables(tmp_path, patients_of(40)), SETTINGS)
    unrecorded, mute = map(str, trained.warnings)
    assert unrecorded.startswith("features.csv: the table does not say how its features were extracted.")
    assert mute.startswith("The model gradient boosting was left out. Received one score for every patient")
    save_trained(trained, tmp_path / "bundle")
    model = load_bundle(tmp_path / "bundle")
    warnings = model.predict(case_of(ct())).warnings
    assert any("come from a table that does not say how they were extracted" in text for text in warnings)
    card = (tmp_path / "bundle" / "model_card.md").read_text(encoding="utf-8")
    assert "features from a table that does not say how they were extracted" in card
    cohort = Cohort(tmp_path, (Patient("new", tmp_path / "i", tmp_path / "m", label=1),))
    with pytest.raises(TrainingError, match="cannot be evaluated on images"):
        external_patients(model, cohort)


# One repeat is what is fitted and stated


def test_combinations_and_thresholds_come_from_one_repeat_and_the_others_are_shown():
    patients = patients_of(60, seed=4)
    settings = preset("peng2021", **QUICK, repeats=3)
    model, record = fit_response_model(patients.table, patients.outcome, settings)
    labels, held_out = patients.outcome.labels, record.out_of_fold
    first = {name: values[0] for name, values in held_out.scores.items()}
    assert model.combinations == fit_combinations(first, patients.outcome, settings.fusion, held_out.folds[0])
    for name, threshold in model.thresholds.items():
        assert held_out.calibrated[name].shape == (3, 60)
        assert np.isfinite(held_out.calibrated[name]).all()
        assert threshold == np.median(held_out.thresholds[name].thresholds)
    study = Study(model, None, {}, training=patients, record=record)
    row = next(row for row in repeat_table(study).rows if row["model"] == "linear")
    aucs = [
        np.mean([auc_delong(labels[fold_of == k], scores[fold_of == k]).auc for k in range(3)])
        for fold_of, scores in zip(held_out.folds, held_out.scores["linear"], strict=True)
    ]
    assert row == {
        "model": "linear",
        "repeats": 3,
        "mean": pytest.approx(np.mean(aucs), abs=1e-14),
        "sd": pytest.approx(np.std(aucs, ddof=1), abs=1e-14),
        "lowest": pytest.approx(min(aucs), abs=1e-14),
        "highest": pytest.approx(max(aucs), abs=1e-14),
    }


def test_a_diameter_that_all_share_is_no_model_and_stops_nothing():
    patients = patients_of(40)
    inputs = dataclasses.replace(patients.table, diameters_mm=np.full(40, 30.0))
    model, _ = fit_response_model(inputs, patients.outcome, SETTINGS)
    assert "size" not in model.models.models
    assert "size" not in model.combinations
    assert "linear" in model.combinations


def test_an_accuracy_of_nothing_tolerates_the_smallest_size():
    assert tolerated_size(np.array([2, 5, 9]), np.zeros(3), 1.5) == 2


# What runs leave behind, and what they must not touch


def measured_mean(job: CaseJob) -> CaseResult:
    return CaseResult({"mean": float(sitk.GetArrayFromImage(sitk.ReadImage(str(job.files[0]))).mean())})


@pytest.mark.parametrize("header", ["ct.mhd", "ct.nhdr"])
def test_voxels_beside_their_header_decide_about_a_stored_result(tmp_path, header):
    path, found = tmp_path / header, []
    (tmp_path / "other.raw").write_bytes(b"another file")
    for value in (40, 90):
        sitk.WriteImage(sitk.Image([4, 4, 4], sitk.sitkInt16) + value, str(path))
        job = CaseJob("p", files_of(path))
        found.append(run_cases([job], measured_mean, store=tmp_path / "store", recipe={})[0].values["mean"])
        assert {file.name for file in files_of(path)} == {header, "ct.raw"}
    assert found == [40, 90]


def test_only_its_own_files_are_taken_from_a_store(tmp_path):
    path = tmp_path / "ct.mhd"
    sitk.WriteImage(sitk.Image([4, 4, 4], sitk.sitkInt16), str(path))
    run_cases([CaseJob("p", (path,))], measured_mean, store=tmp_path / "work", recipe={})
    (tmp_path / "work" / "my notes.json").write_text("{}")
    forget(tmp_path / "work")
    assert [file.name for file in (tmp_path / "work").iterdir()] == ["my notes.json"]
    (tmp_path / "work" / "my notes.json").unlink()
    forget(tmp_path / "work")
    assert not (tmp_path / "work").exists()
    forget(tmp_path / "work")  # there is none


def test_training_on_a_table_touches_no_folder_beside_the_bundle(tmp_path):
    (tmp_path / "model-work").mkdir()
    (tmp_path / "model-work" / "0123456789abcdef0123456789abcdef.json").write_text("{}")
    features, labels = write_tables(tmp_path, patients_of(40))
    options = ["--features", str(features), "--labels", str(labels), "--folds", "3"]
    assert main(["train", *options, "--out", str(tmp_path / "model")]) == 0
    assert len(list((tmp_path / "model-work").iterdir())) == 1


def test_a_table_of_an_earlier_run_does_not_stand_for_one_that_measured_nobody(tmp_path, capsys):
    (tmp_path / "cohort.csv").write_text("patient_id,image,mask\nP1,ct.nrrd,mask.nrrd\n")
    for name in ("ct.nrrd", "mask.nrrd"):
        (tmp_path / name).write_bytes(b"no image")
    (tmp_path / "features.csv").write_text("patient_id,a\nP0,1\n")
    assert main(["extract", "--cohort", str(tmp_path), "--out", str(tmp_path / "features.csv")]) == 1
    assert "No patient could be measured: no table" in capsys.readouterr().out
    assert not (tmp_path / "features.csv").exists()
    assert "P1" in (tmp_path / "features-problems.csv").read_text()
