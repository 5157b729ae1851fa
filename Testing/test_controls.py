"""Negative controls: planted texture vanishes where voxels are shuffled, planted shape stays."""

import csv
import dataclasses

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage
from TACEResponseLib import settings as settings_room
from TACEResponseLib.__main__ import main
from TACEResponseLib.cases import make_case
from TACEResponseLib.cohorts.table import read_cohort
from TACEResponseLib.measuring.controls import ALIKE_HU, GAP_MM, moved_region, shuffled_voxels
from TACEResponseLib.measuring.patient_table import PatientTable
from TACEResponseLib.messages.errors import MaskError
from TACEResponseLib.report.controls import control_tables
from TACEResponseLib.report.study import Study
from TACEResponseLib.settings import preset
from TACEResponseLib.statistics.outcome import Outcome
from TACEResponseLib.training.controls import SHUFFLES, negative_controls, shuffled
from TACEResponseLib.training.inputs import Labelled
from TACEResponseLib.training.model import fit_response_model
from TACEResponseLib.training.run import Trained, train_on_cohort

QUICK = {
    "network": None,
    "folds": 3,
    "models": ("size", "linear"),
    "fusion": {"headline": "linear"},
    "radiomics": {"image_types": ("Original",), "features": ("glcm_Correlation",)},
    "selection": {"sizes": [1], "trees": 10, "folds": 2, "number": 1, "bootstraps": 0},
}
PATIENTS = 40


def a_volume(voxels: np.ndarray, spacing_mm=(1.0, 1.0, 1.0)) -> sitk.Image:
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing(spacing_mm)
    return image


def a_ball(shape, centre, radius) -> np.ndarray:
    grid = np.indices(shape)
    return sum((axis - c) ** 2 for axis, c in zip(grid, centre, strict=True)) <= radius**2


def a_scan(rng: np.random.Generator, coarse: bool, radius: float) -> tuple[sitk.Image, sitk.Image]:
    """A liver of 100 HU with a ball of 60 HU on average; its HU are coarse blobs or fine noise.

    Both kinds hold the same HU in other places, so that only texture tells them apart.
    """
    shape = (24, 30, 48)
    voxels = 100 + 12 * rng.normal(size=shape)
    tumour = a_ball(shape, (12, 14, 14), radius)
    values = np.sort(60 + 25 * rng.normal(size=int(tumour.sum())))
    field = rng.normal(size=shape)
    field = ndimage.gaussian_filter(field, 2.5) if coarse else field
    voxels[tumour] = values[np.argsort(np.argsort(field[tumour]))]
    return a_volume(voxels.round().astype(np.int16)), a_volume(tumour.astype(np.uint8))


def write_cohort(folder, kinds: list[tuple[int, bool, float]]) -> None:
    """kinds: label, coarse texture or not, radius in voxels of each patient."""
    rng = np.random.default_rng(8)
    folder.mkdir()
    with (folder / "cohort.csv").open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["patient_id", "image", "mask", "label"])
        for n, (label, coarse, radius) in enumerate(kinds):
            for name, volume in zip(("image", "mask"), a_scan(rng, coarse, radius), strict=True):
                sitk.WriteImage(volume, str(folder / f"{n:02d}-{name}.nii.gz"))
            table.writerow([f"P{n:02d}", f"{n:02d}-image.nii.gz", f"{n:02d}-mask.nii.gz", label])


def with_controls(folder, tmp_path) -> Trained:
    cohort, settings = read_cohort(folder), preset("peng2021", **QUICK)
    trained = train_on_cohort(cohort, settings)
    of = (trained.usable, trained.training.outcome, settings, trained.record)
    return dataclasses.replace(trained, controls=negative_controls(*of, cohort, store=tmp_path / "store"))


@pytest.fixture(scope="module")
def texture(tmp_path_factory) -> Trained:
    """Response follows the texture alone, but for one patient of each kind; the radius is chance."""
    folder = tmp_path_factory.mktemp("texture")
    radii = np.random.default_rng(1).uniform(5, 8, PATIENTS)
    write_cohort(
        folder / "cohort", [(n % 2, (n % 2 == 0) ^ (n in (4, 7)), float(radii[n])) for n in range(PATIENTS)]
    )
    return with_controls(folder / "cohort", folder)


@pytest.fixture(scope="module")
def shape(tmp_path_factory) -> Trained:
    """Response follows the radius alone, smaller tumours respond; the texture is chance."""
    folder = tmp_path_factory.mktemp("shape")
    rng = np.random.default_rng(2)
    kinds = [(n % 2, bool(rng.random() < 0.5), 6.5 - (n % 2) + rng.uniform(-1, 1)) for n in range(PATIENTS)]
    write_cohort(folder / "cohort", kinds)
    return with_controls(folder / "cohort", folder)


# The control cases


def a_case(tumour: np.ndarray, voxels: np.ndarray, spacing_mm=(1.0, 1.0, 1.0)):
    """With the noise of a CT, 8 HU."""
    voxels = voxels + np.random.default_rng(3).normal(scale=8, size=voxels.shape)
    image = a_volume(voxels.astype(np.int16), spacing_mm)
    return make_case("P1", image, a_volume(tumour.astype(np.uint8), spacing_mm))


def arrays(case) -> tuple[np.ndarray, np.ndarray]:
    return sitk.GetArrayFromImage(case.image), sitk.GetArrayFromImage(case.mask) > 0


def test_shuffled_voxels_are_the_same_hu_in_other_places_inside_the_tumour_alone():
    tumour = a_ball((20, 24, 28), (10, 11, 12), 6)
    case = a_case(tumour, 40 + 100 * np.random.default_rng(1).normal(size=tumour.shape))
    before, _ = arrays(case)
    after, mask = arrays(shuffled_voxels(case))
    np.testing.assert_array_equal(mask, tumour)
    np.testing.assert_array_equal(after[~tumour], before[~tumour])
    np.testing.assert_array_equal(np.sort(after[tumour]), np.sort(before[tumour]))
    assert (after[tumour] != before[tumour]).mean() > 0.9
    np.testing.assert_array_equal(arrays(shuffled_voxels(case))[0], after)
    other = dataclasses.replace(case, patient_id="P2")
    assert (arrays(shuffled_voxels(other))[0] != after).any()
    assert shuffled_voxels(case).image.GetOrigin() == case.image.GetOrigin()


def a_body(spacing_mm=(1.0, 1.0, 1.0)):
    """Air; a body of 0 HU; a liver of 100 HU in its left part that holds a tumour of 40 HU."""
    shape = (40, 60, 110)
    voxels = np.full(shape, -1000.0)
    voxels[:, 4:-4, 4:-4] = 0
    liver = np.zeros(shape, dtype=bool)
    liver[:, 6:-6, 6:70] = True
    voxels[liver] = 100
    tumour = a_ball(shape, (20, 28, 24), 11)
    tumour[20:30, 28, 24:40] = True  # a tail, so that a mirrored shape would be seen
    voxels[tumour] = 40
    return a_case(tumour, voxels, spacing_mm), liver


@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 1.0), (0.8, 0.8, 2.0)])
def test_a_moved_region_has_the_same_shape_keeps_its_distance_and_lies_in_liver(spacing_mm):
    case, liver = a_body(spacing_mm)
    voxels, tumour = arrays(case)
    after, moved = arrays(moved_region(case))
    np.testing.assert_array_equal(after, voxels)
    first, second = (np.argwhere(mask) for mask in (tumour, moved))
    np.testing.assert_array_equal(first - first.min(axis=0), second - second.min(axis=0))
    away_mm = ndimage.distance_transform_edt(~tumour, sampling=spacing_mm[::-1])
    assert away_mm[moved].min() > GAP_MM
    assert liver[moved].mean() >= 0.75
    assert abs(np.median(voxels[moved]) - 100) < 5


def test_a_region_that_has_no_alike_place_goes_to_the_most_alike_one_in_the_body():
    tumour = a_ball((30, 40, 90), (15, 20, 20), 12)
    voxels = np.full(tumour.shape, -1000.0)
    voxels[:, :, 40:] = 0
    voxels[a_ball(tumour.shape, (15, 20, 20), 19)] = 100  # liver is a rind around the tumour
    voxels[tumour] = 60
    voxels, moved = arrays(moved_region(a_case(tumour, voxels)))
    assert (voxels[moved] > -200).mean() >= 0.99
    assert np.median(voxels[moved]) + ALIKE_HU < 100


def test_a_tumour_that_leaves_no_room_is_an_error_that_names_the_patient():
    tumour = a_ball((20, 30, 30), (10, 15, 15), 9)
    with pytest.raises(MaskError, match="Patient P1: no other place in the body") as caught:
        moved_region(a_case(tumour, np.full(tumour.shape, 50.0) + tumour))
    assert caught.value.problem.remedy == "the patient is left out of this control"


# Trained on them


def auc(of, name: str) -> float:
    return of[name].auc


def test_a_texture_effect_vanishes_when_voxels_are_shuffled_or_the_region_is_moved(texture):
    found = texture.controls
    assert auc(found.tumours, "linear") > 0.95
    for name in ("shuffled_voxels", "moved_region"):
        control = found.regions[name]
        assert control.problem is None
        assert (control.patients, control.left_out) == (PATIENTS, {})
        # Nothing is left to be found: 0.5 with a standard error of about 0.1 in 40 patients.
        assert abs(auc(control.aucs, "linear") - 0.5) < 0.25, name
    assert np.median(found.tumour_hu) == pytest.approx(60, abs=5)
    assert np.median(found.regions["moved_region"].tumour_hu) == pytest.approx(100, abs=3)


def test_a_shape_effect_stays_when_voxels_are_shuffled_or_the_region_is_moved(shape):
    found = shape.controls
    assert auc(found.tumours, "size") > 0.7
    for control in found.regions.values():
        # The same diameters, folds and seeds: not nearly the same, the same.
        assert auc(control.aucs, "size") == auc(found.tumours, "size")
        assert control.same_patients


def test_shuffled_labels_give_one_half_where_the_tumours_give_almost_one(texture):
    aucs = texture.controls.shuffled_labels["linear"]
    assert aucs.shape == (SHUFFLES,)
    assert len(set(aucs)) > SHUFFLES / 2
    # The AUC of one shuffle has an SD of about 0.11 with 40 patients, their mean a third of it.
    assert abs(aucs.mean() - 0.5) < 3 * 0.11 / np.sqrt(SHUFFLES)


def test_a_second_run_takes_what_is_stored(texture, tmp_path, monkeypatch):
    from TACEResponseLib.training import controls

    table = dataclasses.replace(texture.usable, pixels=None)
    of = (table, texture.training.outcome, texture.model.settings, texture.record)
    first = negative_controls(*of, store=tmp_path)
    assert first.regions == {}
    monkeypatch.delattr(controls, "score_out_of_fold")
    again = negative_controls(*of, store=tmp_path)
    for name, values in texture.controls.shuffled_labels.items():
        np.testing.assert_array_equal(first.shuffled_labels[name], values)
        np.testing.assert_array_equal(again.shuffled_labels[name], values)


def test_shuffling_keeps_the_number_of_responders_and_the_labels_of_a_group_together():
    labels = np.array([1, 1, 0, 0, 1, 0, 0, 1, 1, 0])
    groups = ("a", "a", "b", "b", "c", "d", "e", "f", "g", "g")
    seen = set()
    for seed in range(30):
        after = shuffled(Outcome(labels), groups, seed).labels
        assert after.sum() == labels.sum()
        pairs = [tuple(after[k : k + 2]) for k in (0, 2, 8)]
        assert sorted(pairs) == [(0, 0), (1, 0), (1, 1)]
        seen.add(tuple(after))
    assert len(seen) > 10


# In words


def test_the_report_names_each_control_what_may_still_tell_and_the_loss(texture):
    table, left_out = control_tables(Study.of_training(texture))
    rows = {(row["control"], row["model"]): row for row in table.rows}
    row = rows["tumour, voxels shuffled", "linear"]
    here, there = (auc(of, "linear") for of in (texture.controls.tumours, _region(texture).aucs))
    assert row["loss"] == pytest.approx(here - there)
    assert row["loss_ci_low"] > 0
    assert row["p"] < 0.05
    assert row["may_still_tell"] == "shape, distribution of HU, surroundings at the edge"
    assert f"{here:.3f} in the tumours, {there:.3f} with tumour, voxels shuffled" in table.note
    assert "median 100 HU there, 60 HU in the tumours" in table.note
    nothing = rows[f"labels shuffled, {SHUFFLES} times", "linear"]
    assert nothing["lowest"] <= nothing["auc"] <= nothing["highest"]
    assert left_out.absent == "none was left out"


def _region(trained: Trained):
    return trained.controls.regions["shuffled_voxels"]


def test_a_patient_without_a_control_is_named_and_no_pairs_are_compared(tmp_path):
    kinds = [(n % 2, (n % 2 == 0) ^ (n in (4, 7)), 9 if n == 5 else 6) for n in range(PATIENTS)]
    write_cohort(tmp_path / "cohort", kinds)
    image, _ = a_scan(np.random.default_rng(5), True, 6)
    filled = a_ball((24, 30, 48), (12, 14, 24), 21)  # leaves no room
    for path, volume in (("05-image", image), ("05-mask", a_volume(filled.astype(np.uint8)))):
        sitk.WriteImage(volume, str(tmp_path / "cohort" / f"{path}.nii.gz"))
    trained = with_controls(tmp_path / "cohort", tmp_path)
    control = trained.controls.regions["moved_region"]
    assert list(control.left_out) == ["P05"]
    assert (control.patients, control.same_patients) == (PATIENTS - 1, False)
    table, left_out = control_tables(Study.of_training(trained))
    moved = [row for row in table.rows if row["control"].startswith("same shape")]
    assert moved[0]["auc"] is not None
    assert {row["loss"] for row in moved} == {None}
    assert [(row["what"], row["reason"][:14]) for row in left_out.rows] == [("P05", "no other place")]


def test_train_writes_the_controls_of_a_feature_table_and_says_that_images_are_missing(tmp_path, monkeypatch):
    rng = np.random.default_rng(7)
    labels = np.arange(50) % 2
    values = rng.normal(size=(50, 3)) + labels[:, None] * (1.5, 0, 0)
    rows = ["patient_id,original_a,original_b,original_c"]
    rows += [f"P{n:02d},{','.join(map(str, of))}" for n, of in enumerate(values)]
    (tmp_path / "f.csv").write_text("\n".join(rows))
    (tmp_path / "l.csv").write_text(
        "\n".join(["patient_id,label", *(f"P{n:02d},{label}" for n, label in enumerate(labels))])
    )
    recipe = preset("peng2021", **QUICK | {"models": ("linear",)})
    monkeypatch.setattr(settings_room, "preset", lambda name, **changes: recipe)
    asked = ["train", "--features", str(tmp_path / "f.csv"), "--labels", str(tmp_path / "l.csv")]
    assert main([*asked, "--out", str(tmp_path / "b"), "--jobs", "1", "--negative-control"]) == 0
    with (tmp_path / "b-report" / "negative_controls.csv").open(encoding="utf-8") as stream:
        found = list(csv.DictReader(stream))
    assert [row["control"] for row in found] == ["none: the tumours", f"labels shuffled, {SHUFFLES} times"]
    assert float(found[0]["auc"]) > 0.75
    assert abs(float(found[1]["auc"]) - 0.5) < 0.15
    page = (tmp_path / "b-report" / "report.html").read_text(encoding="utf-8")
    assert "without images no region can be measured anew" in page


def test_a_recipe_of_pictures_alone_has_no_controls(tmp_path):
    from TACEResponseLib.messages.errors import TrainingError

    rng = np.random.default_rng(9)
    table = PatientTable(tuple(map(str, range(40))), ("original_a",), rng.normal(size=(40, 1)))
    of = Labelled(table, Outcome(np.arange(40) % 2))
    _, record = fit_response_model(
        of.table, of.outcome, preset("peng2021", **QUICK | {"models": ("linear",)})
    )
    pictures = dataclasses.replace(preset("peng2021"), models=("cnn",))
    with pytest.raises(TrainingError, match="no model that can be fitted many times"):
        negative_controls(of.table, of.outcome, pictures, record, store=tmp_path)
