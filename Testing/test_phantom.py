"""The phantom: the same patient from the same seed, a CT in HU, and an answer that is known."""

import csv
import functools
import json

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage, stats
from sklearn.metrics import roc_auc_score
from TACEResponseLib import phantom
from TACEResponseLib.cases import make_case
from TACEResponseLib.cases.lesions import measure_lesions
from TACEResponseLib.cohorts.table import read_cohort
from TACEResponseLib.messages.errors import Cancelled, InputError
from TACEResponseLib.phantom import make_patient, write_cohort
from TACEResponseLib.phantom.response import (
    RESPONDERS,
    SHARED,
    auc_interval,
    best_auc,
    draw_clinical,
    draw_response,
    random_streams,
)

SEED = 20
IMAGES = ("image", "mask", "mask_reader2", "anatomy")


def voxels(volume: sitk.Image) -> np.ndarray:
    return sitk.GetArrayFromImage(volume)


@pytest.fixture(scope="module")
def patients():
    return [make_patient(index, SEED) for index in range(1, 13)]


@pytest.fixture(scope="module")
def full_patient():
    return make_patient(1, SEED, "full")


@pytest.fixture(scope="module")
def truths():
    return [draw_response(index, SEED) for index in range(4000)]


def test_the_same_seed_and_index_give_the_same_bytes(patients):
    again = make_patient(2, SEED)
    for name in IMAGES:
        assert voxels(getattr(again, name)).tobytes() == voxels(getattr(patients[1], name)).tobytes()
    assert (again.truth, again.clinical) == (patients[1].truth, patients[1].clinical)


def test_the_population_of_version_2_stays_what_it_was(patients):
    assert phantom.PHANTOM_VERSION == 2
    patient = patients[4]
    assert patient.truth.latent == pytest.approx(-0.5234011641, abs=1e-9)
    assert (patient.truth.response, patient.lesions) == ("SD", 2)
    assert patient.image.GetSize() == (247, 206, 44)
    assert voxels(patient.mask).sum() == pytest.approx(144145, rel=1e-3)
    inside = voxels(patient.image)[voxels(patient.mask) > 0]
    assert inside.mean() == pytest.approx(107.735, abs=0.1)


def test_another_index_or_seed_gives_another_patient(patients):
    other_seed = make_patient(1, SEED + 1)
    assert len({p.truth.latent for p in [*patients, other_seed]}) == len(patients) + 1
    assert len({voxels(p.image).tobytes() for p in [*patients[:3], other_seed]}) == 4


def test_the_small_image_is_a_crop_of_the_full_one(patients, full_patient):
    small = patients[0]
    start = full_patient.image.TransformPhysicalPointToIndex(small.image.GetOrigin())
    for name in IMAGES:
        cut = sitk.RegionOfInterest(getattr(full_patient, name), small.image.GetSize(), start)
        assert np.allclose(cut.GetOrigin(), small.image.GetOrigin(), atol=1e-6)
        difference = np.abs(voxels(cut).astype(int) - voxels(getattr(small, name)))
        assert difference.max() <= (1 if name == "image" else 0)
    assert voxels(full_patient.mask).sum() == voxels(small.mask).sum()


def test_sizes_spacing_and_types_are_those_of_an_abdominal_ct(patients, full_patient):
    assert full_patient.image.GetSize()[:2] == (512, 512)
    assert 100 <= full_patient.image.GetSize()[2] <= 120
    for patient in [*patients, full_patient]:
        x_mm, y_mm, z_mm = patient.image.GetSpacing()
        assert x_mm == y_mm and 0.7 <= x_mm <= 0.8 and 2.3 <= z_mm <= 2.7
        assert patient.image.GetDirection() == (1, 0, 0, 0, 1, 0, 0, 0, 1)
        assert patient.image.GetPixelID() == sitk.sitkInt16
        for name in IMAGES[1:]:
            volume = getattr(patient, name)
            assert volume.GetPixelID() == sitk.sitkUInt8
            assert volume.GetSize() == patient.image.GetSize()
            assert volume.GetOrigin() == patient.image.GetOrigin()
    for patient in patients:
        width, height, slices = patient.image.GetSize()
        assert 200 <= width <= 262 and 180 <= height <= 225 and 36 <= slices <= 48


def test_organs_have_the_intensities_of_a_late_arterial_phase(full_patient):
    image, anatomy = voxels(full_patient.image), voxels(full_patient.anatomy)
    tumour = ndimage.binary_dilation(voxels(full_patient.mask), iterations=3)
    expected_hu = {
        "liver": (60, 95),
        "spleen": (105, 145),
        "aorta": (260, 340),
        "portal vein": (100, 150),
        "inferior vena cava": (85, 125),
        "kidneys": (95, 190),
        "spine": (120, 350),
        "lungs": (-880, -800),
        "gallbladder": (0, 25),
    }
    for organ, (low, high) in expected_hu.items():
        inside = ndimage.binary_erosion(anatomy == full_patient.organs[organ], iterations=1) & ~tumour
        assert inside.sum() > 100, organ
        assert low < np.median(image[inside]) < high, organ
    stomach = image[anatomy == full_patient.organs["stomach"]]
    assert stomach.min() < -900 and stomach.max() > 50  # gas above, wall around
    assert image.min() == -1024 and image[anatomy == 0].max() > 500  # air outside, ribs
    assert np.median(image[:, :20, :]) < -980


def test_the_noise_in_the_liver_is_that_of_a_ct_and_correlated(patients):
    for patient in patients[:4]:
        image, anatomy = voxels(patient.image).astype(float), voxels(patient.anatomy)
        tumour = ndimage.binary_dilation(voxels(patient.mask), iterations=3)
        liver = ndimage.binary_erosion(anatomy == patient.organs["liver"], iterations=3) & ~tumour
        assert 6 < stats.iqr(image[liver]) / 1.349 < 20
        pairs = liver[:, :, :-1] & liver[:, :, 1:]
        left, right = image[:, :, :-1][pairs], image[:, :, 1:][pairs]
        typical = (np.abs(left - np.median(left)) < 40) & (np.abs(right - np.median(right)) < 40)
        assert 0.3 < np.corrcoef(left[typical], right[typical])[0, 1] < 0.9


def test_one_to_four_lesions_are_found_where_they_were_put(patients):
    numbers = []
    for patient in patients:
        lesions = measure_lesions(make_case(patient.patient_id, patient.image, patient.mask))
        assert lesions.number == patient.lesions
        assert lesions.dropped == 0
        assert abs(lesions.largest_diameter_mm - patient.diameter_mm) < 2.5
        assert patient.diameter_mm == patient.truth.diameter_mm
        outside = voxels(patient.anatomy)[voxels(patient.mask) > 0] != patient.organs["liver"]
        assert not outside.any()
        numbers.append(lesions.number)
    assert 1 in numbers and max(numbers) > 1 and max(numbers) <= 4


@pytest.mark.parametrize("diameter_mm", [30.0, 60.0, 100.0])
def test_a_requested_diameter_is_met(diameter_mm):
    patient = make_patient(3, SEED, diameter_mm=diameter_mm)
    lesions = measure_lesions(make_case(patient.patient_id, patient.image, patient.mask))
    assert abs(lesions.largest_diameter_mm - diameter_mm) < 2.5
    assert patient.diameter_mm == pytest.approx(diameter_mm)
    edge = voxels(patient.mask).copy()
    edge[3:-3, 8:-8, 8:-8] = 0
    assert edge.sum() == 0  # room around the lesion for filters


def test_the_second_reader_deviates_by_a_millimetre_or_two_without_bias(patients):
    ratios, mean_deviations_mm = [], []
    for patient in patients:
        first, second = voxels(patient.mask) > 0, voxels(patient.mask_reader2) > 0
        dice = 2 * (first & second).sum() / (first.sum() + second.sum())
        assert 0.8 < dice < 0.985
        ratios.append(second.sum() / first.sum())
        layer = first.sum((1, 2)).argmax()
        first, second, pixel_mm = first[layer], second[layer], patient.image.GetSpacing()[0]
        outward, inward = (ndimage.distance_transform_edt(part) for part in (~first, first))
        signed_mm = np.where(first, 0.5 - inward, outward - 0.5) * pixel_mm
        at_edge = signed_mm[second & ~ndimage.binary_erosion(second)] + 0.5 * pixel_mm
        mean_deviations_mm.append(at_edge.mean())
        assert 0.4 < at_edge.std() < 2.0
    assert abs(np.mean(ratios) - 1) < 0.05
    assert abs(np.mean(mean_deviations_mm)) < 0.35


def test_what_acts_on_response_can_be_measured_in_the_picture(patients):
    measured = {"size": [], "necrosis": [], "heterogeneity": []}
    for patient in patients:
        image, mask = voxels(patient.image).astype(np.float32), voxels(patient.mask) > 0
        smooth = ndimage.gaussian_filter(image, (0.3, 0.8, 0.8))
        liver = np.median(image[(voxels(patient.anatomy) == patient.organs["liver"]) & ~mask])
        layer = mask & (np.arange(len(mask)) == mask.sum((1, 2)).argmax())[:, None, None]
        viable = ndimage.binary_erosion(mask & (smooth > liver + 5), np.ones((1, 3, 3)))
        measured["size"].append(layer.sum())
        measured["necrosis"].append((smooth[layer] < liver - 10).mean())
        measured["heterogeneity"].append(np.ptp(np.percentile(smooth[viable], [25, 75])))
    for trait, values in measured.items():
        drawn = [getattr(p.truth, trait) for p in patients]
        assert stats.spearmanr(drawn, values).statistic > 0.7, trait


def test_the_latent_score_reaches_the_best_auc_and_no_more(truths):
    responder = np.array([t.responder for t in truths])
    auc = roc_auc_score(responder, [t.latent for t in truths])
    low, high = auc_interval(best_auc(), responder.sum(), (~responder).sum(), level=0.99)
    assert low < auc < high
    assert high - low < 0.04
    assert 0.85 < best_auc() < 0.88
    for trait in ("size", "heterogeneity", "necrosis"):
        alone = roc_auc_score(responder, [-getattr(t, trait) for t in truths])
        assert 0.75 < alone < 0.85


def test_the_traits_go_together_as_much_as_they_share(truths):
    traits = np.array([[t.size, t.heterogeneity, t.necrosis] for t in truths])
    together = np.corrcoef(traits.T)[np.triu_indices(3, 1)]
    # Standard error of a correlation of 0.6 over 4000 patients: 0.010.
    assert np.abs(together - SHARED).max() < 3 * 0.010


def test_responders_are_as_frequent_as_in_the_paper(truths):
    share = np.mean([t.responder for t in truths])
    assert abs(share - RESPONDERS) < 3 * np.sqrt(0.24 / len(truths))
    assert np.mean([t.probability for t in truths]) == pytest.approx(RESPONDERS, abs=0.015)
    for truth in truths:
        assert (truth.response in ("CR", "PR")) == truth.responder
    assert {t.response for t in truths} == {"CR", "PR", "SD", "PD"}


def test_the_probability_is_calibrated(truths):
    for low in (0.0, 0.2, 0.4, 0.6, 0.8):
        band = [t for t in truths if low <= t.probability < low + 0.2]
        expected = np.mean([t.probability for t in band])
        error = 3.5 * np.sqrt(expected * (1 - expected) / len(band))
        assert abs(np.mean([t.responder for t in band]) - expected) < error


def test_strength_zero_makes_response_independent_of_the_picture():
    assert best_auc(0.0) == pytest.approx(0.5, abs=1e-12)
    truths = [draw_response(index, SEED, strength=0.0) for index in range(2000)]
    responder = np.array([t.responder for t in truths])
    low, high = auc_interval(0.5, responder.sum(), (~responder).sum(), level=0.99)
    assert low < roc_auc_score(responder, [t.latent for t in truths]) < high
    with_effect = draw_response(7, SEED)
    assert truths[7].latent == with_effect.latent  # the same pictures, other labels


def test_the_auc_interval_is_as_wide_as_the_spread_over_cohorts(truths):
    aucs = []
    for cohort in np.array_split(np.arange(len(truths)), 40):
        responder = [truths[i].responder for i in cohort]
        aucs.append(roc_auc_score(responder, [truths[i].latent for i in cohort]))
    low, high = auc_interval(best_auc(), 60, 40)
    assert np.mean([low <= auc <= high for auc in aucs]) >= 0.85
    assert (high - low) / (2 * 1.96) == pytest.approx(np.std(aucs), rel=0.35)


def test_clinical_values_have_units_in_their_names_and_say_little_about_response():
    truths = [draw_response(index, SEED) for index in range(1500)]
    draws = [
        draw_clinical(random_streams(SEED, index)["clinical"], truth) for index, truth in enumerate(truths)
    ]
    responder = [truth.responder for truth in truths]
    for column in ("age_years", "albumin_g_l", "bilirubin_umol_l", "inr", "crp_mg_dl"):
        assert abs(roc_auc_score(responder, [d[column] for d in draws]) - 0.5) < 0.05, column
    assert 0.43 < roc_auc_score(responder, [d["afp_ng_ml"] for d in draws]) < 0.51
    assert 0.75 < np.mean([d["child_pugh"][0] == "A" for d in draws]) < 0.95
    healthy = next(
        d for d in draws if d["albumin_g_l"] > 35 and d["bilirubin_umol_l"] < 34 and d["ascites"] == "none"
    )
    assert healthy["child_pugh"] == "A5"


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"index": -1, "seed": 1}, "index"),
        ({"index": 1, "seed": 2.5}, "seed"),
        ({"index": 1, "seed": 1, "size": "huge"}, "size"),
        ({"index": 1, "seed": 1, "diameter_mm": 300.0}, "diameter_mm"),
    ],
)
def test_a_patient_that_cannot_be_made_is_a_named_error(arguments, field):
    with pytest.raises(InputError) as error:
        make_patient(**arguments)
    assert error.value.problem.field == field
    assert error.value.problem.expected


@pytest.fixture
def each_patient_once(monkeypatch):
    """Writing is tested many times; the pictures are computed once."""
    monkeypatch.setattr(phantom, "make_patient", _made_once)


@functools.cache
def _made_once(index, seed, size, strength):
    return make_patient(index, seed, size, strength=strength)


def bytes_of(folder) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_cohort_reads_back(tmp_path, each_patient_once):
    folder = write_cohort(tmp_path / "Köhörte 群 1", 3, SEED)
    with (folder / "cohort.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    cohort = read_cohort(folder)
    assert [patient.label for patient in cohort.patients] == [int(row["label"]) for row in rows]
    columns = ["patient_id", "image", "mask", "mask_reader2", "label", "response", "cohort", "center"]
    assert list(rows[0])[:8] == columns
    assert "albumin_g_l" in rows[0]
    assert [row["patient_id"] for row in rows] == ["P0001", "P0002", "P0003"]
    assert [row["cohort"] for row in rows] == ["training", "validation", "training"]
    assert [row["center"] for row in rows] == ["A", "C", "A"]
    for index, row in enumerate(rows, 1):
        patient = _made_once(index, SEED, "small", phantom.STRENGTH)
        assert row["label"] == str(int(row["response"] in ("CR", "PR")))
        for name in ("image", "mask", "mask_reader2"):
            assert getattr(cohort.patients[index - 1], name) == folder / row[name]
            stored = sitk.ReadImage(str(folder / row[name]))
            assert np.array_equal(voxels(stored), voxels(getattr(patient, name)))
            assert np.allclose(stored.GetOrigin(), patient.image.GetOrigin())
            assert np.allclose(stored.GetSpacing(), patient.image.GetSpacing())


def test_the_truth_stands_beside_the_cohort(tmp_path, each_patient_once):
    folder = write_cohort(tmp_path / "cohort", 3, SEED)
    truth = json.loads((folder / "truth.json").read_text("utf-8"))
    assert truth["best_auc"] == best_auc()
    assert (truth["seed"], truth["size"], truth["patients"]) == (SEED, "small", 3)
    assert truth["weights"] == {"size": -0.55, "heterogeneity": -0.6, "necrosis": -0.58}
    for file in ("truth.json", "README.txt"):
        assert "no patient is in them" in (folder / file).read_text("utf-8")
    with (folder / "truth.csv").open(encoding="utf-8", newline="") as stream:
        scores = list(csv.DictReader(stream))
    assert float(scores[1]["latent"]) == draw_response(2, SEED).latent


def test_a_cancelled_cohort_goes_on_where_it_stopped(tmp_path, each_patient_once, monkeypatch):
    whole = write_cohort(tmp_path / "whole", 3, SEED)

    def cancel_after_one(stage, done, total):
        if done == 1:
            raise Cancelled()

    with pytest.raises(Cancelled):
        write_cohort(tmp_path / "cancelled", 3, SEED, progress=cancel_after_one)
    left = [p.name for p in (tmp_path / "cancelled").iterdir()]
    assert "cohort.csv" not in left
    assert not [name for name in left if "partial" in name]
    assert "P0001" in left and "P0003" not in left
    first = (tmp_path / "cancelled" / "P0001" / "image.nrrd").stat().st_mtime_ns
    resumed = write_cohort(tmp_path / "cancelled", 3, SEED)
    assert (resumed / "P0001" / "image.nrrd").stat().st_mtime_ns == first
    assert bytes_of(resumed) == bytes_of(whole)


def test_several_jobs_and_a_larger_cohort_leave_every_patient_as_it_was(tmp_path, each_patient_once):
    two = bytes_of(write_cohort(tmp_path / "two", 2, SEED))
    three = bytes_of(write_cohort(tmp_path / "three", 3, SEED, jobs=2))
    for name in two:
        if "/" in name:
            assert three[name] == two[name]
    grown = bytes_of(write_cohort(tmp_path / "two", 3, SEED))
    assert grown == three


def test_a_folder_with_anything_else_is_refused_and_left_alone(tmp_path, each_patient_once):
    write_cohort(tmp_path / "cohort", 1, SEED)
    before = bytes_of(tmp_path / "cohort")
    with pytest.raises(InputError, match="seed 21") as error:
        write_cohort(tmp_path / "cohort", 1, SEED + 1)
    assert "seed 20" in error.value.problem.received
    assert bytes_of(tmp_path / "cohort") == before
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "letter.txt").write_text("keep me", encoding="utf-8")
    with pytest.raises(InputError, match="something else"):
        write_cohort(tmp_path / "notes", 1, SEED)
    with pytest.raises(InputError, match="needs patients"):
        write_cohort(tmp_path / "none", 0, SEED)
    assert not (tmp_path / "none").exists()
