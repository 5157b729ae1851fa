"""DICOM SEG and RTSTRUCT of every kind: the same voxels as the scene, or where they do not fit."""

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless
from scenes import SIZE_KJI, a_scene, contours_of, write_dicom_seg, write_dicom_series, write_rtstruct
from TACEResponseLib.messages.errors import GeometryError, InputError, MaskError
from TACEResponseLib.readers import read_case, read_image
from TACEResponseLib.readers.rtstruct import fill

IMAGE, SEGMENTS = a_scene()
MASS = SEGMENTS["Mass"]


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    """The CT as a DICOM series: its folder and its datasets."""
    folder = tmp_path_factory.mktemp("formats") / "series"
    return folder, write_dicom_series(folder, IMAGE)


def voxels(case) -> np.ndarray:
    return sitk.GetArrayFromImage(case.mask) > 0


def ring(radius: float, k: float, centre=(28.0, 22.0), points: int = 90, turn: int = 1) -> np.ndarray:
    """A circle in index units as (n, 3) points in mm."""
    angle = turn * np.linspace(0, 2 * np.pi, points, endpoint=False)
    index = np.column_stack(
        [centre[0] + radius * np.cos(angle), centre[1] + radius * np.sin(angle), 0 * angle + k]
    )
    return np.array([IMAGE.TransformContinuousIndexToPhysicalPoint(p) for p in index.tolist()])


def flat(*rings: np.ndarray) -> list[list[float]]:
    return [r.ravel().tolist() for r in rings]


@pytest.mark.parametrize("omit_empty_frames", [True, False], ids=["sparse", "every frame"])
@pytest.mark.parametrize("segment", ["Liver", "Mass", "Whole"])
def test_overlapping_segments_are_each_read_whole(series, tmp_path, segment, omit_empty_frames):
    folder, slices = series
    segments = {**SEGMENTS, "Whole": SEGMENTS["Liver"] | MASS}
    seg = write_dicom_seg(tmp_path / "seg.dcm", slices, segments, omit_empty_frames=omit_empty_frames)
    np.testing.assert_array_equal(voxels(read_case("P", folder, seg, segment=segment)), segments[segment])


@pytest.mark.parametrize(
    ("tag", "sentence"),
    [
        ("PatientID", "the mask's header names another patient than the CT's"),
        ("FrameOfReferenceUID", "the mask was drawn in another frame of reference than the CT"),
    ],
)
def test_a_segmentation_of_somebody_else_on_the_same_grid_is_a_warning(series, tmp_path, tag, sentence):
    folder, slices = series
    seg = write_dicom_seg(tmp_path / "seg.dcm", slices, {"Mass": MASS})
    assert not any(note.field == "mask" for note in read_case("P", folder, seg).warnings)
    data = pydicom.dcmread(seg)
    setattr(data, tag, "1.2.3.4")
    data.save_as(seg)
    (note,) = (note for note in read_case("P", folder, seg).warnings if note.field == "mask")
    assert (note.message, note.severity, note.patient_id) == (sentence, "warning", "P")
    assert "1.2.3.4" not in str(note)  # nor any other identifier
    (other,) = (n for n in read_case("P", folder, seg, segment="Mass").warnings if n.field == "mask")
    assert other == note


def test_a_segment_with_an_empty_layer_in_the_middle_keeps_its_places(series, tmp_path):
    folder, slices = series
    split = MASS.copy()
    split[4] = False
    seg = write_dicom_seg(tmp_path / "seg.dcm", slices, {"Mass": split})
    np.testing.assert_array_equal(voxels(read_case("P", folder, seg)), split)


def test_frames_in_any_order_lie_where_their_positions_say(series, tmp_path):
    folder, slices = series
    seg = write_dicom_seg(tmp_path / "seg.dcm", slices[::-1], {n: s[::-1] for n, s in SEGMENTS.items()})
    np.testing.assert_array_equal(voxels(read_case("P", folder, seg, segment="Mass")), MASS)


def test_a_fractional_segment_counts_from_one_half(series, tmp_path):
    folder, slices = series
    share = np.where(MASS, 0.6, 0.4).astype(np.float32)
    seg = write_dicom_seg(
        tmp_path / "seg.dcm", slices, {"Mass": share}, "FRACTIONAL", fractional_type="PROBABILITY"
    )
    np.testing.assert_array_equal(voxels(read_case("P", folder, seg)), MASS)


def test_a_segmentation_with_fewer_slices_than_the_ct_is_completed_in_its_place(series, tmp_path):
    folder, slices = series
    seg = write_dicom_seg(tmp_path / "seg.dcm", slices[1:8], {n: s[1:8] for n, s in SEGMENTS.items()})
    case = read_case("P", folder, seg, segment="Mass")
    np.testing.assert_array_equal(voxels(case), MASS & (np.arange(10)[:, None, None] < 8))
    assert case.warnings == ()


def test_a_segmentation_with_more_slices_than_the_ct_is_read_where_they_share_them(series, tmp_path):
    _, slices = series
    short = tmp_path / "short"
    write_dicom_series(short, IMAGE[:, :, :8])
    seg = write_dicom_seg(tmp_path / "seg.dcm", slices, {"Mass": MASS & (np.arange(10) < 7)[:, None, None]})
    np.testing.assert_array_equal(
        voxels(read_case("P", short, seg)), MASS[:8] & (np.arange(8) < 7)[:, None, None]
    )
    seg = write_dicom_seg(tmp_path / "seg2.dcm", slices, {"Mass": np.ones(SIZE_KJI, bool)})
    with pytest.raises(GeometryError, match="part of the tumour lies outside the CT"):
        read_case("P", short, seg)


@pytest.mark.parametrize("syntax", [RLELossless, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_every_transfer_syntax_gives_the_same_voxels(tmp_path, syntax):
    for number, data in enumerate(write_dicom_series(tmp_path, IMAGE)):
        implicit = {"implicit_vr": True, "little_endian": True} if syntax.is_implicit_VR else {}
        if syntax == RLELossless:
            data.compress(syntax)
        data.file_meta.TransferSyntaxUID = syntax
        data.save_as(tmp_path / f"slice{number:03d}.dcm", enforce_file_format=True, **implicit)
    image, _ = read_image(tmp_path)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), sitk.GetArrayFromImage(IMAGE))


def test_one_slice_is_no_volume_and_its_folder_is_asked_for(series):
    folder, _ = series
    with pytest.raises(InputError, match="one slice of a CT.*Choose its folder"):
        read_image(folder / "slice003.dcm")


def test_a_ct_slice_is_no_segmentation(series):
    folder, _ = series
    with pytest.raises(MaskError) as caught:
        read_case("P", folder, folder / "slice000.dcm")
    assert str(caught.value) == (
        "Patient P, slice000.dcm: the DICOM file is not a segmentation. Expected a DICOM SEG or RTSTRUCT; "
        "received Modality CT. Choose a DICOM SEG or RTSTRUCT, or a labelmap in NIfTI or NRRD."
    )


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
def test_a_segmentation_that_ends_early_is_one_sentence(series, tmp_path, share):
    folder, slices = series
    content = write_dicom_seg(tmp_path / "seg.dcm", slices, SEGMENTS).read_bytes()
    (tmp_path / "half.dcm").write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError) as caught:
        read_case("P", folder, tmp_path / "half.dcm", segment="Mass")
    assert str(caught.value).startswith("Patient P, half.dcm: ")


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_a_slice_that_ends_early_is_named(series, tmp_path, share):
    write_dicom_series(tmp_path, IMAGE)
    content = (tmp_path / "slice003.dcm").read_bytes()
    (tmp_path / "slice003.dcm").write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError) as caught:
        read_image(tmp_path)
    assert "slice003.dcm: the DICOM file is damaged" in str(caught.value)


def test_filled_contours_are_what_a_test_of_every_voxel_says():
    """Against the slow obvious twin: count, voxel by voxel, the edges to the left of it."""
    rng = np.random.default_rng(3)
    star = ring(1, 4, points=24)
    centre = star.mean(axis=0)
    star = centre + (star - centre) * rng.uniform(4, 13, (24, 1))
    filled, _ = fill([("CLOSED_PLANAR", star)], IMAGE, "star")
    index = np.array([IMAGE.TransformPhysicalPointToContinuousIndex(p) for p in star.tolist()])[:, :2]
    expected = np.zeros(SIZE_KJI, bool)
    for j in range(SIZE_KJI[1]):
        for i in range(SIZE_KJI[2]):
            left = 0
            for (x0, y0), (x1, y1) in zip(index, np.roll(index, -1, axis=0), strict=True):
                if (y0 <= j) != (y1 <= j):
                    left += x0 + (j - y0) / (y1 - y0) * (x1 - x0) <= i
            expected[4, j, i] = left % 2 == 1
    assert expected.sum() > 100
    np.testing.assert_array_equal(filled, expected)


def test_a_contour_inside_another_is_a_hole_whichever_way_it_turns(series, tmp_path):
    folder, _ = series
    for turn in (1, -1):
        rtstruct = write_rtstruct(tmp_path / "rt.dcm", {"T": flat(ring(10, 4), ring(4, 4, turn=turn))})
        case = read_case("P", folder, rtstruct)
        area = voxels(case).sum()
        assert area == pytest.approx(np.pi * (10**2 - 4**2), rel=0.02)
        assert not voxels(case)[4, 22, 28]


def test_a_keyhole_contour_is_the_same_hole(series, tmp_path):
    folder, _ = series
    outer, inner = ring(10, 4), ring(4, 4, turn=-1)
    keyhole = np.concatenate([outer, outer[:1], inner, inner[:1]])
    two = read_case("P", folder, write_rtstruct(tmp_path / "a", {"T": flat(outer, inner)}))
    one = read_case("P", folder, write_rtstruct(tmp_path / "b", {"T": flat(keyhole)}))
    np.testing.assert_array_equal(voxels(one), voxels(two))


def test_odd_contours_are_left_out_and_said(series, tmp_path):
    folder, _ = series
    good = contours_of(IMAGE, MASS)
    rtstruct = write_rtstruct(tmp_path / "rt", {"T": [*good, good[0], good[0][:3], good[0][:6]]})
    case = read_case("P", folder, rtstruct)
    np.testing.assert_array_equal(voxels(case), MASS)
    assert [str(w) for w in case.warnings] == [
        'Patient P: structure "T": 2 points or open lines were left out. Look at the outline.',
        'Patient P: structure "T": 1 contours are there twice and count once. Look at the outline.',
    ]


def test_slices_without_a_contour_are_said(series, tmp_path):
    folder, _ = series
    split = MASS.copy()
    split[4:6] = False
    case = read_case("P", folder, write_rtstruct(tmp_path / "rt", {"T": contours_of(IMAGE, split)}))
    assert "2 slices between its contours have none, the first is slice 5" in str(case.warnings[0])
    np.testing.assert_array_equal(voxels(case), split)


def test_contours_on_slices_that_the_ct_has_not_are_refused_with_their_place(series, tmp_path):
    folder, _ = series
    beyond = write_rtstruct(tmp_path / "a", {"T": flat(*(ring(8, k) for k in range(4, 11)))})
    with pytest.raises(GeometryError) as caught:
        read_case("P", folder, beyond)
    assert str(caught.value) == (
        'Patient P, a: a contour of "T" lies outside the CT. Expected contours on the 10 slices from '
        "z 410.00 to 432.50 mm; received a contour at z 435.00 mm, 1.00 slices away. "
        "Choose the CT on which the structure was drawn."
    )
    between = write_rtstruct(tmp_path / "b", {"T": flat(ring(8, 3.5), ring(8, 4.5))})
    with pytest.raises(GeometryError, match="lies between the slices of the CT"):
        read_case("P", folder, between)


def test_a_structure_without_a_closed_contour_is_a_named_error(series, tmp_path):
    folder, _ = series
    points = write_rtstruct(tmp_path / "rt", {"T": flat(ring(5, 4))}, kind="OPEN_PLANAR")
    with pytest.raises(MaskError) as caught:
        read_case("P", folder, points)
    assert caught.value.problem.message == 'the structure "T" has no closed contour'
    assert caught.value.problem.received == "OPEN_PLANAR"
