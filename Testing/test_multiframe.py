"""Enhanced (multi-frame) CT: one file or several, frames in any order, each with its own scale."""

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.pixels import get_decoder
from pydicom.uid import ImplicitVRLittleEndian, RLELossless, generate_uid
from scenes import a_scene, as_labelmap, write_dicom_series
from TACEResponseLib.dicom_export.source import find_source
from TACEResponseLib.messages.errors import GeometryError, InputError
from TACEResponseLib.readers import read_case, read_image

ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"
LEGACY_CT = "1.2.840.10008.5.1.4.1.1.2.2"
IMAGE, SEGMENTS = a_scene()
HU = sitk.GetArrayFromImage(IMAGE)
MASK = as_labelmap(IMAGE, {"Mass": SEGMENTS["Mass"]})


def item(**attributes) -> pydicom.Dataset:
    data = pydicom.Dataset()
    for name, value in attributes.items():
        setattr(data, name, value)
    return data


def a_frame(k: int, slope: float = 1.0, intercept: float = -1024.0) -> pydicom.Dataset:
    """The functional groups of slice k."""
    position = IMAGE.TransformIndexToPhysicalPoint((0, 0, k))
    return item(
        PlanePositionSequence=[item(ImagePositionPatient=[float(v) for v in position])],
        PixelValueTransformationSequence=[
            item(RescaleSlope=slope, RescaleIntercept=intercept, RescaleType="HU")
        ],
        FrameContentSequence=[item(StackID="1", InStackPositionNumber=k + 1, TemporalPositionIndex=1)],
        CTImageFrameTypeSequence=[item(FrameType=["ORIGINAL", "PRIMARY", "VOLUME", "NONE"])],
    )


def an_enhanced_ct(
    path, order=range(10), scales=None, class_uid=ENHANCED_CT, hu=HU, change=None, **attributes
):
    """One file with the slices of the scene in the given order; scales: (slope, intercept) by slice."""
    scales = scales or {}
    (path.parent / "single").mkdir(exist_ok=True)
    data = write_dicom_series(path.parent / "single", IMAGE)[0]
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"):
        delattr(data, name)
    for name in ("RescaleSlope", "RescaleIntercept"):
        delattr(data, name)
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = class_uid
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = generate_uid()
    data.SeriesInstanceUID, data.NumberOfFrames = "1.2.3.4", len(order)
    data.SharedFunctionalGroupsSequence = [
        item(
            PlaneOrientationSequence=[item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])],
            PixelMeasuresSequence=[item(PixelSpacing=[0.75, 0.75], SliceThickness=2.5)],
        )
    ]
    frames, stored = [], []
    for k in order:
        slope, intercept = scales.get(k, (1.0, -1024.0))
        frames.append(a_frame(k, slope, intercept))
        stored.append(np.round((hu[k] - intercept) / slope).astype(np.uint16))
    data.PerFrameFunctionalGroupsSequence, data.PixelData = frames, np.stack(stored).tobytes()
    for name, value in attributes.items():
        setattr(data, name, value)
    if change is not None:
        change(data)
    path.parent.joinpath("ct").mkdir(exist_ok=True)
    data.save_as(path, enforce_file_format=True)
    return data


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "ct").mkdir()
    return tmp_path / "ct"


def write(folder, name="all.dcm", **options):
    path = folder.parent / name
    data = an_enhanced_ct(path, **options)
    path.rename(folder / name)
    return data


def assert_is_the_scene(image, hu=HU):
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), hu)
    np.testing.assert_allclose(image.GetSpacing(), IMAGE.GetSpacing())
    np.testing.assert_allclose(image.GetOrigin(), IMAGE.GetOrigin())
    np.testing.assert_allclose(image.GetDirection(), IMAGE.GetDirection())


@pytest.mark.parametrize("class_uid", [ENHANCED_CT, LEGACY_CT])
def test_one_file_with_all_slices_is_the_volume(folder, class_uid):
    write(folder, class_uid=class_uid)
    image, source = read_image(folder)
    assert_is_the_scene(image)
    assert source["slices"] == 10
    assert_is_the_scene(read_image(folder / "all.dcm")[0])
    sitk.WriteImage(MASK, str(folder.parent / "m.nrrd"))
    case = read_case("P", folder, folder.parent / "m.nrrd")
    np.testing.assert_array_equal(sitk.GetArrayFromImage(case.mask) > 0, SEGMENTS["Mass"])
    assert case.warnings == ()


def test_frames_lie_where_their_positions_say_and_not_where_their_numbers_say(folder):
    write(folder, order=[int(k) for k in np.random.default_rng(2).permutation(10)])
    assert_is_the_scene(read_image(folder)[0])


def test_every_frame_has_its_own_slope_and_intercept(folder):
    scales = {1: (0.5, -512.0), 4: (2.0, -1025.0), 7: (1.0, 0.0), 8: (1.0, -2000.0)}
    truth = HU.astype(float)
    truth[4] = 2 * (HU[4] // 2) + 1
    truth[7] = np.abs(HU[7])
    truth[1] += 0.5
    write(folder, order=[7, *range(7), 8, 9], scales=scales, hu=truth)
    assert_is_the_scene(read_image(folder)[0], truth)


def test_shared_scales_and_orientations_of_each_frame_are_both_read(folder):
    def moved(data):
        shared = data.SharedFunctionalGroupsSequence[0]
        shared.PixelValueTransformationSequence = [item(RescaleSlope=1, RescaleIntercept=-1024)]
        for frame in data.PerFrameFunctionalGroupsSequence:
            del frame.PixelValueTransformationSequence
            frame.PlaneOrientationSequence = [item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])]
        del shared.PlaneOrientationSequence

    write(folder, change=moved)
    assert_is_the_scene(read_image(folder)[0])


@pytest.mark.parametrize("syntax", [RLELossless, ImplicitVRLittleEndian])
def test_packed_and_implicit_files_are_the_same(folder, syntax):
    data = write(folder)
    if syntax == RLELossless:
        data.compress(syntax)
    implicit = {"implicit_vr": True, "little_endian": True} if syntax.is_implicit_VR else {}
    data.file_meta.TransferSyntaxUID = syntax
    data.save_as(folder / "all.dcm", enforce_file_format=True, **implicit)
    assert_is_the_scene(read_image(folder)[0])


def a_concatenation(folder, parts=3, total=True):
    slices = np.array_split(np.arange(10), parts)
    for number, order in enumerate(slices, start=1):
        said = {"InConcatenationTotalNumber": parts} if total else {}
        write(
            folder,
            f"part{number}.dcm",
            order=[int(k) for k in order],
            ConcatenationUID="1.2.3.9",
            InConcatenationNumber=number,
            **said,
        )


def test_a_concatenation_of_several_files_is_one_volume(folder):
    a_concatenation(folder)
    assert_is_the_scene(read_image(folder)[0])


@pytest.mark.parametrize("missing", [1, 2, 3])
def test_a_part_of_a_concatenation_that_is_missing_is_named(folder, missing):
    a_concatenation(folder)
    (folder / f"part{missing}.dcm").unlink()
    with pytest.raises(
        GeometryError, match=f"lacks files of its concatenation.*part {missing} of 3 is missing"
    ):
        read_image(folder)


def test_a_gap_between_frames_is_an_error_with_its_place(folder):
    write(folder, order=[0, 1, 2, 4, 5, 6, 7, 8, 9])
    with pytest.raises(
        GeometryError, match=r"slices are missing or unevenly spaced.*5\.00 mm after 415\.00 mm"
    ):
        read_image(folder)


def test_a_frame_without_a_position_is_named(folder):
    def nowhere(data):
        del data.PerFrameFunctionalGroupsSequence[3].PlanePositionSequence

    write(folder, change=nowhere)
    with pytest.raises(
        InputError, match=r"all\.dcm: a frame of the CT does not say where.*frame 4 without a position"
    ):
        read_image(folder)


def test_several_time_points_ask_for_one(folder):
    def repeated(data):
        for number, frame in enumerate(data.PerFrameFunctionalGroupsSequence):
            frame.FrameContentSequence[0].TemporalPositionIndex = 1 + number // 10

    write(folder, order=[*range(10), *range(10)], change=repeated)
    with pytest.raises(InputError, match="the series holds several acquisitions"):
        read_image(folder)
    assert_is_the_scene(read_image(folder, series="1.2.3.4#2")[0])


def test_the_same_frames_twice_are_an_error(folder):
    write(folder, order=[*range(10), 3])
    with pytest.raises(GeometryError, match="the series holds slices twice"):
        read_image(folder)


def test_several_stacks_ask_for_one(folder):
    def two_stacks(data):
        for number, frame in enumerate(data.PerFrameFunctionalGroupsSequence):
            frame.FrameContentSequence[0].StackID = "AB"[number // 5]

    write(folder, change=two_stacks)
    with pytest.raises(InputError, match="holds several acquisitions.*stack A"):
        read_image(folder)
    image, _ = read_image(folder, series="#stack B")
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), HU[5:])


@pytest.mark.parametrize(
    ("attributes", "received"),
    [
        ({"Modality": "MR", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.4.1"}, "modality MR"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.30"}, "a parametric map"),
    ],
)
def test_multi_frame_files_that_are_no_ct_are_refused(folder, attributes, received):
    write(folder, **attributes)
    with pytest.raises(InputError, match=f"the image is no CT in HU.*received {received}"):
        read_image(folder)


def test_an_iodine_map_is_told_by_its_frame_type(folder):
    def iodine(data):
        for frame in data.PerFrameFunctionalGroupsSequence:
            frame.CTImageFrameTypeSequence[0].FrameType = ["DERIVED", "PRIMARY", "VOLUME", "MAT_SPECIFIC"]

    write(folder, change=iodine)
    with pytest.raises(InputError, match="received image type MAT_SPECIFIC"):
        read_image(folder)


@pytest.mark.parametrize("share", [0.3, 0.8, 0.99])
def test_a_multi_frame_file_that_ends_early_is_named(folder, share):
    write(folder)
    content = (folder / "all.dcm").read_bytes()
    (folder / "all.dcm").write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match=r"all\.dcm: the DICOM file is damaged"):
        read_image(folder)


def test_fewer_groups_than_frames_is_damage(folder):
    write(folder, NumberOfFrames=9)
    with pytest.raises(InputError, match="the DICOM file is damaged"):
        read_image(folder)


def test_enhanced_files_of_one_frame_each_are_one_series(folder):
    for k in range(10):
        write(folder, f"{k}.dcm", order=[k])
    assert_is_the_scene(read_image(folder)[0])


def test_colours_and_pixels_that_nothing_unpacks_are_sentences(folder, monkeypatch):
    def colours(data):
        data.SamplesPerPixel, data.PhotometricInterpretation, data.PlanarConfiguration = 3, "RGB", 0
        data.PixelData = data.PixelData * 3

    write(folder, change=colours)
    with pytest.raises(InputError, match="received colours"):
        read_image(folder)
    data = write(folder)
    data.compress(RLELossless)
    data.save_as(folder / "all.dcm", enforce_file_format=True)
    monkeypatch.setattr(type(get_decoder(RLELossless)), "is_available", False)
    with pytest.raises(InputError, match="in a way that no package here unpacks.*received RLE Lossless"):
        read_image(folder)


def test_results_for_a_multi_frame_ct_are_refused_in_a_sentence(folder):
    """DICOM results point at slices of their own; frames of one file have none."""
    write(folder)
    sitk.WriteImage(MASK, str(folder.parent / "m.nrrd"))
    case = read_case("P", folder, folder.parent / "m.nrrd")
    for series in (folder, [folder / "all.dcm"]):
        with pytest.raises(InputError) as caught:
            find_source(case, series)
        problem = caught.value.problem
        assert problem.message == "the CT has no DICOM slices that the results could point at"
        assert problem.received == "1 file without DICOM slices"
