"""One scene in every format gives the same voxels; what cannot be read is one sentence."""

import re

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from scenes import (
    a_scene,
    as_labelmap,
    contours_of,
    write_dicom_seg,
    write_dicom_series,
    write_rtstruct,
    write_seg_nrrd,
)
from TACEResponseLib.cases.lesions import measure_lesions
from TACEResponseLib.messages.errors import GeometryError, InputError, MaskError
from TACEResponseLib.readers import list_segments, read_case

ANGLE = np.deg2rad(12)
OBLIQUE = (np.cos(ANGLE), -np.sin(ANGLE), 0, np.sin(ANGLE), np.cos(ANGLE), 0, 0, 0, 1)


@pytest.fixture(scope="module", params=[(1, 0, 0, 0, 1, 0, 0, 0, 1), OBLIQUE], ids=["axial", "oblique"])
def scene(request, tmp_path_factory):
    """The scene in every format, in a folder with a space and letters beyond ASCII."""
    folder = tmp_path_factory.mktemp("Häuser 肝") / "Läsion 1"
    folder.mkdir()
    image, segments = a_scene(request.param)
    labels = as_labelmap(image, segments)
    for name in ("nii.gz", "nrrd", "mha", "mhd"):
        sitk.WriteImage(image, str(folder / f"image.{name}"))
        sitk.WriteImage(labels, str(folder / f"mask.{name}"))
    write_seg_nrrd(folder / "mask.seg.nrrd", image, segments)
    slices = write_dicom_series(folder / "series", image, extension="")
    write_dicom_seg(folder / "seg.dcm", slices, segments)
    write_rtstruct(
        folder / "contours", {name: contours_of(image, inside) for name, inside in segments.items()}
    )
    return folder, image, segments


ROUTES = [
    ("image.nii.gz", "mask.nii.gz", {"label": 2}),
    ("image.nrrd", "mask.nrrd", {"label": 2}),
    ("image.mha", "mask.mha", {"label": 2}),
    ("image.mhd", "mask.mhd", {"label": 2}),
    ("image.nrrd", "mask.seg.nrrd", {"segment": "Mass"}),
    ("series", "seg.dcm", {"segment": "Mass"}),
    ("series", "mask.nii.gz", {"label": 2}),
    ("image.nii.gz", "seg.dcm", {"segment": "mass"}),
    ("series", "contours", {"segment": "Mass"}),
    ("image.mha", "contours", {"segment": "mass"}),
]


@pytest.mark.parametrize(("image", "mask", "choice"), ROUTES, ids=[f"{r[0]}+{r[1]}" for r in ROUTES])
def test_every_format_gives_the_same_voxels_in_the_same_place(scene, image, mask, choice):
    folder, truth, segments = scene
    case = read_case("0012", folder / image, folder / mask, **choice)
    np.testing.assert_array_equal(sitk.GetArrayViewFromImage(case.image), sitk.GetArrayViewFromImage(truth))
    np.testing.assert_array_equal(sitk.GetArrayViewFromImage(case.mask) > 0, segments["Mass"])
    np.testing.assert_allclose(case.image.GetOrigin(), truth.GetOrigin(), atol=1e-4)
    np.testing.assert_allclose(case.image.GetSpacing(), truth.GetSpacing(), atol=1e-5)
    np.testing.assert_allclose(case.image.GetDirection(), truth.GetDirection(), atol=1e-6)
    assert case.warnings == ()


def test_segments_are_listed_by_name(scene):
    folder, _, _ = scene
    assert list_segments(folder / "seg.dcm") == ["Liver", "Mass"]
    assert list_segments(folder / "mask.seg.nrrd") == ["Liver", "Mass"]
    assert list_segments(folder / "contours") == ["Liver", "Mass"]
    assert list_segments(folder / "mask.nii.gz") == []


def test_all_segments_are_their_union(scene):
    folder, _, segments = scene
    for image, mask in (("image.nrrd", "mask.seg.nrrd"), ("series", "seg.dcm"), ("series", "contours")):
        case = read_case("P", folder / image, folder / mask, segment="all")
        np.testing.assert_array_equal(
            sitk.GetArrayViewFromImage(case.mask) > 0, segments["Liver"] | segments["Mass"]
        )


@pytest.mark.parametrize("mask", ["mask.seg.nrrd", "seg.dcm", "contours"])
def test_several_segments_ask_for_a_choice_and_a_wrong_name_lists_the_right_ones(scene, mask):
    folder, _, _ = scene
    with pytest.raises(MaskError) as caught:
        read_case("0012", folder / "image.nrrd", folder / mask)
    assert str(caught.value) == (
        f"Patient 0012, {mask}: the segmentation holds several segments. Expected one segment, or a "
        'choice; received "Liver", "Mass". Name the tumour\'s segment, or all.'
    )
    with pytest.raises(MaskError, match='no segment is named "Tumor"'):
        read_case("0012", folder / "image.nrrd", folder / mask, segment="Tumor")


def test_a_segment_name_for_a_plain_labelmap_is_refused(scene):
    folder, _, _ = scene
    with pytest.raises(MaskError, match="has no segment names"):
        read_case("0012", folder / "image.nrrd", folder / "mask.nrrd", segment="Mass")


def test_two_series_in_one_folder_ask_for_a_choice(scene, tmp_path):
    folder, image, _ = scene
    write_dicom_series(tmp_path, image, "arterial")
    write_dicom_series(tmp_path / "more", image + 100, "portal venous")
    mask = folder / "mask.nii.gz"
    with pytest.raises(InputError) as caught:
        read_case("0012", tmp_path, mask, label=2)
    assert caught.value.problem.message == "the folder holds several series"
    listed = re.findall(r"(\w[\w ]+) \(10 slices", caught.value.problem.received)
    assert sorted(listed) == ["arterial", "portal venous"]
    chosen = read_case("0012", tmp_path, mask, label=2, series="portal")
    np.testing.assert_array_equal(
        sitk.GetArrayViewFromImage(chosen.image), sitk.GetArrayFromImage(image) + 100
    )


def test_a_missing_slice_is_an_error_that_says_where(scene, tmp_path):
    folder, image, _ = scene
    write_dicom_series(tmp_path, image)
    (tmp_path / "slice004.dcm").unlink()
    with pytest.raises(GeometryError) as caught:
        read_case("0012", tmp_path, folder / "mask.nii.gz", label=2)
    assert caught.value.problem.message == "slices are missing or unevenly spaced"
    assert "5.00 mm after" in caught.value.problem.received


def test_a_slice_twice_is_an_error(scene, tmp_path):
    folder, image, _ = scene
    slices = write_dicom_series(tmp_path, image)
    slices[3].SOPInstanceUID = slices[3].file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    slices[3].save_as(tmp_path / "copy.dcm", enforce_file_format=True)
    with pytest.raises(GeometryError, match="slices twice"):
        read_case("0012", tmp_path, folder / "mask.nii.gz", label=2)


def test_a_tilted_gantry_is_refused_and_never_sheared(scene, tmp_path):
    folder, image, _ = scene
    for number, data in enumerate(write_dicom_series(tmp_path, image)):
        data.ImagePositionPatient = [
            data.ImagePositionPatient[0],
            data.ImagePositionPatient[1] + 0.6 * number,
            data.ImagePositionPatient[2],
        ]
        data.save_as(tmp_path / f"slice{number:03d}.dcm", enforce_file_format=True)
    with pytest.raises(GeometryError, match="gantry was tilted"):
        read_case("0012", tmp_path, folder / "mask.nii.gz", label=2)


def test_missing_and_damaged_files_are_one_sentence(scene, tmp_path):
    folder, _, _ = scene
    with pytest.raises(InputError, match="image not found: .*nothing.nrrd"):
        read_case("0012", folder / "nothing.nrrd", folder / "mask.nrrd")
    with pytest.raises(InputError, match="no DICOM slices"):
        read_case("0012", tmp_path, folder / "mask.nrrd")


@pytest.mark.parametrize("name", ["image.nii", "image.nii.gz", "image.nrrd", "image.mha"])
@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_a_file_that_ends_early_is_one_sentence_and_never_zeros(scene, tmp_path, name, share):
    folder, image, _ = scene
    whole = tmp_path / name
    sitk.WriteImage(image, str(whole))
    content = whole.read_bytes()
    half = tmp_path / f"half.{name.partition('.')[2]}"
    half.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError) as caught:
        read_case("0012", half, folder / "mask.nrrd", label=2)
    assert str(caught.value).startswith(f"Patient 0012, {half.name}: the file cannot be read as a volume.")
    assert "\n" not in str(caught.value)


def test_real_ct_and_seg_agree_with_the_nrrd_of_the_same_segmentation(real_data):
    liver = real_data / "dcmqi-liver"
    by_seg = read_case("dcmqi", liver, liver / "liver.dcm", segment="Liver")
    by_nrrd = read_case("dcmqi", liver, liver / "liver_seg.nrrd")
    np.testing.assert_array_equal(
        sitk.GetArrayViewFromImage(by_seg.mask), sitk.GetArrayViewFromImage(by_nrrd.mask)
    )
    assert measure_lesions(by_seg).volume_ml == pytest.approx(70.359, abs=1e-3)


def test_real_dicom_slices_and_a_flipped_nifti_mask_meet_on_one_grid(real_data):
    folder = real_data / "totalsegmentator"
    case = read_case("ts", folder / "ct_dicom", folder / "example_seg_dicom.nii.gz", label=5)
    (cut_off,) = case.warnings  # twenty slices hold no whole liver
    assert "cut off: it touches the first slice and the last slice of the scan" in cut_off.message
    inside = sitk.GetArrayFromImage(case.image)[sitk.GetArrayFromImage(case.mask) > 0]
    # Liver parenchyma, so the mask lies where the liver is: a wrong flip would hit lung and fat.
    assert 40 < np.median(inside) < 130
    assert measure_lesions(case).volume_ml == pytest.approx(699.44, rel=1e-3)


REAL = [
    ("dcmqi-liver", "dcmqi-liver/liver.dcm", {"segment": "Liver"}, 70.359),
    ("totalsegmentator/ct_dicom", "totalsegmentator/example_seg_dicom.nii.gz", {"label": 5}, 699.44),
    ("pyradiomics/lung1_image_crop.nrrd", "pyradiomics/lung1_label_crop.nrrd", {}, None),
    ("pyradiomics/lung2_image_crop.nrrd", "pyradiomics/lung2_label_crop.nrrd", {}, None),
]


@pytest.mark.parametrize(("image", "mask", "choice", "volume_ml"), REAL, ids=[r[0] for r in REAL])
def test_a_real_tumour_has_the_same_volume_by_every_route(
    real_data, tmp_path, image, mask, choice, volume_ml
):
    case = read_case("real", real_data / image, real_data / mask, **choice)
    truth = float(sitk.GetArrayViewFromImage(case.mask).sum() * np.prod(case.spacing_mm) / 1000)
    assert volume_ml is None or truth == pytest.approx(volume_ml, rel=1e-3)
    ct, inside = sitk.Cast(case.image, sitk.sitkInt16), sitk.GetArrayFromImage(case.mask) > 0
    slices = write_dicom_series(tmp_path / "series", ct)
    write_dicom_seg(tmp_path / "seg.dcm", slices, {"T": inside})
    write_rtstruct(tmp_path / "contours.dcm", {"T": contours_of(ct, inside)})
    sitk.WriteImage(ct, str(tmp_path / "ct.nii.gz"))
    for name in ("mask.nii.gz", "mask.mha", "mask.nrrd"):
        sitk.WriteImage(case.mask, str(tmp_path / name))
    for ct_name, mask_name in (
        ("series", "seg.dcm"),
        ("series", "contours.dcm"),
        ("series", "mask.nrrd"),
        ("ct.nii.gz", "mask.nii.gz"),
        ("ct.nii.gz", "mask.mha"),
        ("ct.nii.gz", "seg.dcm"),
    ):
        other = read_case("real", tmp_path / ct_name, tmp_path / mask_name)
        volume = float(sitk.GetArrayViewFromImage(other.mask).sum() * np.prod(other.spacing_mm) / 1000)
        assert volume == pytest.approx(truth, rel=1e-3), (ct_name, mask_name)


@pytest.mark.parametrize(
    ("changes", "known"),
    [
        ({}, {"series_number": "2", "study_date": "2020-01-01"}),
        ({"StudyDate": "2019.12.31"}, {"series_number": "2", "study_date": "2019-12-31"}),
        ({"StudyDate": "", "SeriesNumber": None}, {}),
        ({"StudyDate": "20201301"}, {"series_number": "2"}),
    ],
    ids=["as today", "as before 1993", "taken out", "no day"],
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR DA")
def test_a_case_knows_the_day_and_the_series_of_its_scan_and_no_name(tmp_path, changes, known):
    image, segments = a_scene()
    write_dicom_series(tmp_path / "ct", image, PatientName="Doe^John", **changes)
    sitk.WriteImage(as_labelmap(image, {"Mass": segments["Mass"]}), str(tmp_path / "mask.nrrd"))
    source = read_case("P1", tmp_path / "ct", tmp_path / "mask.nrrd").provenance["image"]
    assert {name: source[name] for name in ("series_number", "study_date") if name in source} == known
    assert "Doe" not in str(source)
