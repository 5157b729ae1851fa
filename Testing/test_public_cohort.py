"""The model of the public collection: rebuilt, without a patient's row, and measurable elsewhere as there."""

import json
import shutil

import numpy as np
import pytest
from conftest import ROOT
from TACEResponseLib.__main__ import main
from TACEResponseLib.answer.comparing import compared
from TACEResponseLib.answer.similarity import TrainingSpread
from TACEResponseLib.bundle import load_bundle, public_cohort_bundle, read_card, read_manifest
from TACEResponseLib.cases import make_case
from TACEResponseLib.measuring.patient_table import PatientTable
from TACEResponseLib.models.fold_models import FoldModels
from TACEResponseLib.phantom import make_patient
from TACEResponseLib.radiomics import extract_row, feature_names
from TACEResponseLib.readers import read_case
from TACEResponseLib.training.inputs import tabled_patients
from test_radiomics import assert_same_values, give_pyradiomics_the_scipy_it_was_written_for, stock_row

ABOUT = ROOT / "Resources" / "PublicCohortAbout.md"
LARGEST_MB = 5


@pytest.fixture(scope="module")
def model():
    return load_bundle(public_cohort_bundle())


@pytest.fixture(scope="module")
def patients(real_data):
    """The collection's 90 patients as the training read them."""
    folder = real_data / "hcc-tace-seg"
    return tabled_patients(folder / "radiomics_tumour.csv", folder / "labels_majority.csv").training


def test_the_card_begins_with_what_must_be_known():
    lines = [line for line in read_card(public_cohort_bundle()).splitlines() if line]
    assert lines[0] == "For research use only; not a medical device."
    assert "90 patients of one hospital" in lines[2] and "portal venous or late arterial" in lines[2]
    assert "RadTACE" in lines[3]
    assert "10.7937/TCIA.5FNA-0924" in lines[4] and "CC BY 4.0" in lines[4]
    assert lines[7].startswith("Extremely randomised trees: out of fold AUC 0.")
    assert "95 % CI" in lines[7] and "tumour volume" in lines[7]


def test_it_is_small_and_no_demonstration():
    files = [path for path in public_cohort_bundle().rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < LARGEST_MB * 1e6
    assert not read_manifest(public_cohort_bundle()).demonstration


def test_one_command_rebuilds_it(real_data, tmp_path):
    folder, rebuilt = real_data / "hcc-tace-seg", tmp_path / "bundle"
    features, labels = folder / "radiomics_tumour.csv", folder / "labels_majority.csv"
    command = ["train", "--features", features, "--labels", labels, "--preset", "public2026"]
    assert main([*map(str, command), "--about", str(ABOUT), "--out", str(rebuilt)]) in (0, 1)
    shipped = read_manifest(public_cohort_bundle())
    assert read_manifest(rebuilt).id == shipped.id
    evaluated = json.loads((tmp_path / "bundle-report" / "evaluation.json").read_text(encoding="utf-8"))
    rows = {row["model"]: row for row in evaluated if row["estimate"] == "out_of_fold"}
    figure = f"AUC {rows['extra_trees']['auc']:.3f}"
    assert figure in read_card(public_cohort_bundle())
    page = (ROOT / "Docs" / "public-cohort.md").read_text(encoding="utf-8")
    assert f"public2026 | extremely randomised trees | 90 (59 responders) | {figure[4:]} (" in page
    shutil.rmtree(rebuilt)


def test_no_row_of_the_table_is_in_it(model, patients):
    """Whichever patient, no stored row holds more than a few of the patient's values."""
    table = patients.table
    names = model.background.feature_names
    kept, rows = model.background.features, table.columns(names).features
    spread = rows.std(axis=0)
    for row in rows:
        near = np.abs(kept - row) < 1e-3 * spread
        assert near.mean(axis=1).max() < 0.2  # one feature may be near by chance, a whole row is not


def test_about_one_in_twenty_held_out_patients_is_outside(model, patients):
    """Similarity is fitted without the fold that it judges."""
    table, folds = patients.table, np.arange(len(patients.table)) % 10
    outside = 0
    for fold in range(10):
        held_out = np.flatnonzero(folds == fold)
        measures = compared(table.rows(np.flatnonzero(folds != fold)), model.models)
        spread = TrainingSpread.of(measures, seed=1)
        for n in held_out:
            one = {name: values[0] for name, values in compared(table.rows([n]), model.models).items()}
            names = tuple(map(str, range(len(one["features"]))))
            outside += spread.compare(one, names).verdict == "outside"
    assert 0 <= outside <= 12  # 5 % of 90 are 4.5; binomial limits at 99.9 %


@pytest.mark.parametrize("seed", [3, 4, 5])
def test_three_phantom_patients_have_an_answer(model, seed):
    patient = make_patient(0, seed, "small")
    answer = model.predict(make_case("p", patient.image, patient.mask))
    assert answer.headline == "extra_trees" and 0 < answer.fused < 1
    assert not answer.demonstration
    assert answer.training_share == pytest.approx(59 / 90)


@pytest.mark.parametrize("number", [1, 2])
def test_a_tumour_of_the_lung_is_outside(model, real_data, number):
    folder = real_data / "pyradiomics"
    image, mask = (folder / f"lung{number}_{what}_crop.nrrd" for what in ("image", "label"))
    answer = model.predict(read_case("p", image, mask))
    assert answer.reading().kind == "outside"
    assert any("in a liver" in reason for reason in answer.similarity.reasons)


def test_the_whole_liver_of_a_coarse_ct_is_outside(model, real_data):
    folder = real_data / "totalsegmentator"
    case = read_case("p", folder / "example_ct_sm.nii.gz", folder / "example_seg.nii.gz", label=5)
    answer = model.predict(case)
    assert answer.reading().kind == "outside"
    assert any(reason.startswith("pixel size in mm 3,") for reason in answer.similarity.reasons)


def test_it_is_measured_as_the_table_was(model, real_data):
    tabled, ours = columns_of(real_data), set(feature_names(model.settings.radiomics))
    assert len(tabled) == 2016 and tabled < ours  # the newer pyradiomics has MCC and SumAverage as well
    assert set(model.needed) == tabled


def columns_of(real_data) -> set[str]:
    """The feature columns of the collection's table."""
    with (real_data / "hcc-tace-seg" / "radiomics_tumour.csv").open(encoding="utf-8") as stream:
        columns = stream.readline().strip().split(",")
    return {name for name in columns if not name.startswith("diagnostics_")} - {"patient_id"}


def images_and_masks(real_data):
    patient = make_patient(0, 3, "small")
    yield "phantom", patient.image, patient.mask
    for number in (1, 2):
        folder = real_data / "pyradiomics"
        image, mask = (folder / f"lung{number}_{what}_crop.nrrd" for what in ("image", "label"))
        case = read_case("p", image, mask)
        yield f"lung {number}", case.image, case.mask


def test_all_its_columns_have_stock_pyradiomics_values(model, real_data, monkeypatch):
    pytest.importorskip("radiomics", reason="pyradiomics is not installed")
    pytest.importorskip("trimesh", reason="trimesh is not installed, from which pyradiomics takes the points")
    give_pyradiomics_the_scipy_it_was_written_for(monkeypatch)
    for _, image, mask in images_and_masks(real_data):
        row = extract_row(make_case("p", image, mask), model.settings.radiomics, threads=2)
        assert columns_of(real_data) < set(row)
        assert_same_values(row, stock_row(image, mask, model.settings.radiomics))


def test_where_the_table_does_not_tell_a_measure_is_not_compared():
    features = np.arange(12.0).reshape(6, 2)
    scans = np.column_stack([np.arange(6.0), np.full(6, np.nan), np.ones(6), np.r_[np.nan, np.ones(5)]])
    table = PatientTable(tuple("abcdef"), ("x", "y"), features, scans=scans)
    found = compared(table, FoldModels({}, {}))
    assert set(found) == {"tumour_hu", "pixel_mm"}
