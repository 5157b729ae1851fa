"""The kinds of bad input of `Docs/bad-inputs.md` that no other file of tests builds, and that page itself."""

import ast
import re

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from conftest import ROOT
from scenes import SIZE_KJI, a_scene, as_labelmap, write_dicom_seg, write_dicom_series, write_seg_nrrd
from TACEResponseLib.cases import make_case
from TACEResponseLib.cases.lesions import measure_lesions
from TACEResponseLib.cases.repair import REPAIRS
from TACEResponseLib.cohorts.table import read_cohort
from TACEResponseLib.measuring.patient_table import PatientTable
from TACEResponseLib.messages.errors import FeatureError, GeometryError, InputError, MaskError, Problem
from TACEResponseLib.radiomics import extract_row
from TACEResponseLib.readers import read_case, read_image
from TACEResponseLib.resumable import CaseJob, run_cases
from TACEResponseLib.settings import RadiomicsSettings
from TACEResponseLib.storage import whole_file

IMAGE, SEGMENTS = a_scene()
MASS = SEGMENTS["Mass"]


def mask_of(voxels: np.ndarray, like: sitk.Image = IMAGE) -> sitk.Image:
    mask = sitk.GetImageFromArray(np.asarray(voxels))
    mask.CopyInformation(like)
    return mask


def voxels(case) -> np.ndarray:
    return sitk.GetArrayFromImage(case.mask) > 0


def bare(mask: sitk.Image) -> sitk.Image:
    return sitk.GetImageFromArray(sitk.GetArrayFromImage(mask))


# --- geometry -----------------------------------------------------------------------------------


def test_a_mask_one_slice_short_is_completed_in_its_place_and_said():
    case = make_case("P", IMAGE, mask_of(MASS.astype(np.uint8))[:, :, :9])
    np.testing.assert_array_equal(voxels(case), MASS)
    assert [str(w) for w in case.warnings] == [
        "Patient P: the mask covers 56 x 48 x 9 voxels and the CT 56 x 48 x 10. The rest was taken as "
        "outside the tumour; look at the outline."
    ]


def test_a_volume_with_one_time_point_is_a_volume(tmp_path):
    mask = mask_of(MASS.astype(np.uint8))
    sitk.WriteImage(sitk.JoinSeries([IMAGE]), str(tmp_path / "ct.nii.gz"))
    sitk.WriteImage(sitk.JoinSeries([mask]), str(tmp_path / "m.nii.gz"))
    case = read_case("P", tmp_path / "ct.nii.gz", tmp_path / "m.nii.gz")
    np.testing.assert_array_equal(voxels(case), MASS)
    sitk.WriteImage(sitk.JoinSeries([IMAGE, IMAGE]), str(tmp_path / "ct.nii.gz"))
    with pytest.raises(GeometryError, match="not a three-dimensional volume"):
        read_case("P", tmp_path / "ct.nii.gz", tmp_path / "m.nii.gz")


def test_a_sheared_header_is_refused_and_never_read_as_straight(tmp_path):
    """A NIfTI of a tilted gantry: its sform is sheared, and it has no other orientation."""
    sitk.WriteImage(IMAGE, str(tmp_path / "ct.nii"))
    content = bytearray((tmp_path / "ct.nii").read_bytes())
    content[252:254] = (0).to_bytes(2, "little")  # qform_code: none
    content[254:256] = (1).to_bytes(2, "little")  # sform_code: scanner
    rows = np.array([[-0.75, 0, 0, 120.5], [0, -0.75, 0.8, 60.25], [0, 0, 2.5, 410]], "<f4")
    content[280:328] = rows.tobytes()
    (tmp_path / "ct.nii").write_bytes(bytes(content))
    with pytest.raises(InputError, match="cannot be read as a volume"):
        read_image(tmp_path / "ct.nii")


def test_unevenly_spaced_slices_are_an_error_with_positions(tmp_path):
    for number, data in enumerate(write_dicom_series(tmp_path, IMAGE)):
        data.ImagePositionPatient = [-120.5, -60.25, 410 + 2.5 * number + (0.6 if number > 6 else 0)]
        data.save_as(tmp_path / f"slice{number:03d}.dcm", enforce_file_format=True)
    with pytest.raises(GeometryError) as caught:
        read_image(tmp_path)
    assert caught.value.problem.expected == "2.50 mm everywhere"
    assert caught.value.problem.received == "3.10 mm after 425.00 mm"


def test_slices_with_pixels_of_different_sizes_are_an_error(tmp_path):
    data = write_dicom_series(tmp_path, IMAGE)[0]
    data.PixelSpacing = [0.8, 0.8]
    data.save_as(tmp_path / "slice000.dcm", enforce_file_format=True)
    with pytest.raises(GeometryError, match="pixels of different sizes"):
        read_image(tmp_path)


# --- labels -------------------------------------------------------------------------------------


def test_a_label_that_wrapped_around_is_still_one_label():
    case = make_case("P", IMAGE, mask_of(np.where(MASS, -1, 0).astype(np.int8)))  # 255 in eight signed bits
    np.testing.assert_array_equal(voxels(case), MASS)
    assert case.provenance["label"] == -1


def test_one_voxel_is_refused_and_never_answered():
    values = np.zeros(SIZE_KJI, np.uint8)
    values[4, 20, 30] = 1
    with pytest.raises(MaskError) as caught:
        make_case("P", IMAGE, mask_of(values))
    assert str(caught.value) == (
        "Patient P: the tumour is one voxel. Expected a tumour of many voxels, on every slice it reaches; "
        "received 1 voxel. Draw the tumour, or choose another label or segment."
    )


@pytest.mark.parametrize("fill", [np.nan, np.inf])
def test_a_mask_that_holds_no_numbers_is_refused(fill):
    values = np.where(MASS, 1.0, fill).astype(np.float32)
    with pytest.raises(MaskError, match="the mask holds fractions"):
        make_case("P", IMAGE, mask_of(values))


def test_a_label_that_is_a_word_is_refused_with_those_that_are_there():
    with pytest.raises(MaskError, match="label tumour is not in the mask.*received labels 1"):
        make_case("P", IMAGE, mask_of(MASS.astype(np.uint8)), label="tumour")


def test_values_that_are_no_numbers_outside_the_tumour_do_no_harm():
    values = sitk.GetArrayFromImage(IMAGE).astype(np.float32)
    values[0, 0, 0] = np.nan
    case = make_case("P", mask_of(values), mask_of(MASS.astype(np.uint8)))
    assert case.warnings == ()


# --- filters ------------------------------------------------------------------------------------


def test_a_tumour_that_vanishes_when_resampled_is_an_error_and_never_fewer_columns():
    values = np.zeros(SIZE_KJI, np.uint8)
    values[4:6, 20:22, 30:32] = 1  # 1.5 x 1.5 x 5 mm
    case = make_case("P", IMAGE, mask_of(values))
    with pytest.raises(FeatureError) as caught:
        extract_row(case, RadiomicsSettings(resampled_spacing_mm=(9.0, 9.0, 9.0)))
    assert caught.value.problem.patient_id == "P"
    assert caught.value.problem.received


# --- lesions ------------------------------------------------------------------------------------


def test_lesions_that_touch_at_a_corner_are_one_and_apart_by_a_voxel_are_two():
    values = np.zeros(SIZE_KJI, np.uint8)
    values[2:5, 10:18, 10:18] = 1
    values[5:8, 18:26, 18:26] = 1
    touching = measure_lesions(make_case("P", IMAGE, mask_of(values)))
    assert touching.number == 1
    values[5] = 0
    apart = measure_lesions(make_case("P", IMAGE, mask_of(values)))
    assert apart.number == 2
    assert apart.volume_ml == pytest.approx(values.sum() * 0.75 * 0.75 * 2.5 / 1000)


# --- DICOM --------------------------------------------------------------------------------------


def test_a_segmentation_of_frames_in_several_directions_is_no_volume(tmp_path):
    slices = write_dicom_series(tmp_path / "ct", IMAGE)
    write_dicom_seg(tmp_path / "s.dcm", slices, {"Mass": MASS}, omit_empty_frames=False)
    data = pydicom.dcmread(tmp_path / "s.dcm")
    frame = data.PerFrameFunctionalGroupsSequence[3]
    frame.PlanePositionSequence[0].ImagePositionPatient = [-120.5, -60.25, 418.4]
    data.save_as(tmp_path / "s.dcm")
    with pytest.raises(GeometryError) as caught:
        read_case("P", tmp_path / "ct", tmp_path / "s.dcm")
    assert caught.value.problem.message == "the segmentation's frames do not form a volume"


def test_files_without_an_extension_in_nested_folders_are_one_series(tmp_path):
    write_dicom_series(tmp_path / "a" / "b", IMAGE, extension="")
    (tmp_path / "a" / "c").mkdir()
    for number in range(5):
        name = f"slice{number:03d}"
        (tmp_path / "a" / "b" / name).rename(tmp_path / "a" / "c" / name)
    (tmp_path / "README").write_text("not DICOM")
    image, source = read_image(tmp_path)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), sitk.GetArrayFromImage(IMAGE))
    assert source["slices"] == 10


# --- repairs ------------------------------------------------------------------------------------


def test_no_repair_happens_unasked():
    mask = mask_of(MASS.astype(np.uint8))
    far = sitk.Image(mask)
    far.SetSpacing((1.5, 1.5, 2.5))
    for broken in (bare(mask), far):
        with pytest.raises(GeometryError):
            make_case("P", IMAGE, broken)
    with pytest.raises(MaskError, match="several labels"):
        make_case("P", IMAGE, as_labelmap(IMAGE, SEGMENTS))


def test_the_geometry_of_the_ct_is_copied_when_asked_and_written_down():
    case = make_case("P", IMAGE, bare(mask_of(MASS.astype(np.uint8))), repairs=("copy-geometry",))
    np.testing.assert_array_equal(voxels(case), MASS)
    assert case.mask.GetOrigin() == IMAGE.GetOrigin()
    assert case.provenance["repairs"] == ["the mask had lost its geometry and got that of the CT"]
    assert [str(w) for w in case.warnings] == [
        "Patient P: the mask had lost its geometry and got that of the CT. Look at the outline; this was "
        "asked for as copy-geometry."
    ]


def test_geometry_is_never_copied_to_a_mask_that_has_its_own():
    mask = mask_of(MASS.astype(np.uint8))
    mask.SetOrigin((-100.0, -60.25, 410.0))
    with pytest.raises(GeometryError, match="another grid"):
        make_case("P", IMAGE, mask, repairs=("copy-geometry",))


def test_a_mask_on_a_finer_grid_is_resampled_when_asked_and_its_volumes_are_written_down():
    mask = mask_of(MASS.astype(np.uint8))
    fine = sitk.Image(112, 96, 20, sitk.sitkUInt8)
    fine.SetSpacing((0.375, 0.375, 1.25))
    fine.SetOrigin((-120.5 - 0.1875, -60.25 - 0.1875, 410 - 0.625))
    fine = sitk.Resample(mask, fine, sitk.Transform(), sitk.sitkNearestNeighbor, 0)
    case = make_case("P", IMAGE, fine, repairs=("resample-mask",))
    assert np.mean(voxels(case) != MASS) < 0.01
    (note,) = case.provenance["repairs"]
    before, after = map(float, re.search(r"went from ([\d.]+) to ([\d.]+) mL", note).groups())
    assert before == pytest.approx(MASS.sum() * 0.75**2 * 2.5 / 1000, rel=0.02)
    assert after == pytest.approx(voxels(case).sum() * 0.75**2 * 2.5 / 1000, abs=6e-4)


def test_a_mask_of_another_place_is_refused_even_when_resampling_is_asked():
    mask = mask_of(np.ones(SIZE_KJI, np.uint8))
    mask.SetOrigin((-90.0, -60.25, 411.1))
    with pytest.raises(GeometryError, match="part of the tumour lies outside the CT"):
        make_case("P", IMAGE, mask, repairs=("resample-mask",))


def test_labels_and_segments_are_united_when_asked(tmp_path):
    labels = as_labelmap(IMAGE, SEGMENTS)
    both = SEGMENTS["Liver"] | MASS
    case = make_case("P", IMAGE, labels, repairs=("union",))
    np.testing.assert_array_equal(voxels(case), both)
    assert case.provenance["repairs"] == ["labels 1, 2 were united into one tumour"]
    sitk.WriteImage(IMAGE, str(tmp_path / "ct.nrrd"))
    write_seg_nrrd(tmp_path / "s.seg.nrrd", IMAGE, SEGMENTS)
    case = read_case("P", tmp_path / "ct.nrrd", tmp_path / "s.seg.nrrd", repairs=("union",))
    np.testing.assert_array_equal(voxels(case), both)
    assert case.provenance["mask"]["segment"] == "Liver, Mass"


def test_a_repair_that_was_not_needed_changes_and_says_nothing():
    case = make_case("P", IMAGE, mask_of(MASS.astype(np.uint8)), repairs=tuple(REPAIRS))
    np.testing.assert_array_equal(voxels(case), MASS)
    assert case.warnings == ()
    assert "repairs" not in case.provenance


# --- paths, models, processes -------------------------------------------------------------------


def test_a_long_path_with_letters_beyond_ascii_is_read(tmp_path):
    folder = tmp_path
    for part in ("Zentrum für Radiologie und Nuklearmedizin", "肝细胞癌 动脉期 图像数据", "Ω" * 60, "p" * 80):
        folder = folder / part
    folder.mkdir(parents=True)
    write_dicom_series(folder / "ct", IMAGE)
    sitk.WriteImage(mask_of(MASS.astype(np.uint8)), str(folder / "Läsion 1.nrrd"))
    (folder / "cohort.csv").write_text("patient_id,image,mask\nP,ct,Läsion 1.nrrd\n", encoding="utf-8")
    (patient,) = read_cohort(folder).patients
    np.testing.assert_array_equal(voxels(patient.read_case()), MASS)


def test_features_in_another_order_give_the_model_the_same_columns():
    values = np.arange(6.0).reshape(2, 3)
    one = PatientTable(("P", "Q"), ("a", "b", "c"), values)
    other = PatientTable(("P", "Q"), ("c", "a", "b"), values[:, [2, 0, 1]])
    np.testing.assert_array_equal(one.columns(["b", "c"]).features, other.columns(["b", "c"]).features)
    with pytest.raises(FeatureError, match="1 features that the model needs were not extracted"):
        one.columns(["b", "d"])


def _takes_all_memory(job: CaseJob):
    raise MemoryError


def test_a_case_that_the_memory_does_not_hold_is_that_cases_problem(tmp_path):
    (problem,) = run_cases([CaseJob("P", ())], _takes_all_memory, store=tmp_path, recipe={})
    assert isinstance(problem, Problem)
    assert str(problem) == "Patient P: the memory does not hold this case. Use fewer processes."


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    (tmp_path / "f.txt").write_bytes(b"before")
    with pytest.raises(KeyboardInterrupt), whole_file(tmp_path / "f.txt") as stream:
        stream.write(b"half")
        raise KeyboardInterrupt
    assert (tmp_path / "f.txt").read_bytes() == b"before"
    assert [p.name for p in tmp_path.iterdir()] == ["f.txt"]


# --- the page -----------------------------------------------------------------------------------


def test_the_page_names_tests_that_exist_for_every_kind():
    page = (ROOT / "Docs" / "bad-inputs.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| ") and not line.startswith("| input")]
    assert len(rows) >= 70
    for row in rows:
        named = re.findall(r"`(test_\w+)\.(test_\w+)`", row)
        assert named, row
        for file, test in named:
            tree = ast.parse((ROOT / "Testing" / f"{file}.py").read_text(encoding="utf-8"))
            assert test in {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)}, row
