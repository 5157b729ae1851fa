"""Files that contradict themselves, as the permanent opponent found them read without a word."""

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.pixels import get_decoder
from pydicom.uid import RLELossless
from scenes import a_scene, as_labelmap, write_dicom_seg, write_dicom_series
from TACEResponseLib.messages.errors import InputError, IntensityError
from TACEResponseLib.readers import read_case, read_image

IMAGE, SEGMENTS = a_scene()
HU = sitk.GetArrayFromImage(IMAGE)
MASS = SEGMENTS["Mass"]
MASK = as_labelmap(IMAGE, {"Mass": MASS})


def with_mask(folder, image_path, segments=MASK):
    sitk.WriteImage(segments, str(folder / "the mask.nrrd"))
    return read_case("P", image_path, folder / "the mask.nrrd")


# --- voxels that are called text ----------------------------------------------------------------

NRRD_HEADER = (
    "NRRD0004\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: 56 48 10\n"
    "space directions: (0.75,0,0) (0,0.75,0) (0,0,2.5)\nkinds: domain domain domain\nendian: little\n"
    "encoding: {}\nspace origin: (-120.5,-60.25,410)\n"
)
META_HEADER = (
    "ObjectType = Image\nNDims = 3\nBinaryData = {}\nBinaryDataByteOrderMSB = False\n"
    "TransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = -120.5 -60.25 410\nElementSpacing = 0.75 0.75 2.5\n"
    "DimSize = 56 48 10\nElementType = MET_SHORT\nElementDataFile = LOCAL\n"
)
TEXT = " ".join(map(str, HU.ravel().tolist())).encode()
FORMATS = {
    "ct.nrrd": NRRD_HEADER.format("text").encode() + b"\n",
    "ascii.nrrd": NRRD_HEADER.format("ASCII").encode() + b"\n",
    "ct.mha": META_HEADER.format("False").encode(),
}


@pytest.mark.parametrize("separator", [b" ", b"\n", b"\r\n", b",\t"], ids=["blank", "line", "CRLF", "comma"])
@pytest.mark.parametrize("name", FORMATS)
def test_voxels_as_text_are_the_voxels(tmp_path, name, separator):
    if name.endswith(".mha") and b"," in separator:
        separator = b"\t"  # MetaImage knows no commas
    (tmp_path / name).write_bytes(FORMATS[name] + TEXT.replace(b" ", separator) + b"\n")
    image, _ = read_image(tmp_path / name)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), HU)


@pytest.mark.parametrize(
    ("content", "received"),
    [
        (HU.tobytes(), "called text and are none"),
        (b"1" * 100_000, "called text and are none"),
        (b"1" * 3_000_000, "called text and are none"),
        (TEXT.replace(b" ", b" x ", 1), "called text and are none"),
        (b" ".join(TEXT.split()[:13000]), "13000 numbers as text for 26880 voxels"),
        (TEXT + b" 1 2", "26882 numbers as text for 26880 voxels"),
        (b"", "0 numbers as text for 26880 voxels"),
    ],
    ids=["binary", "no blank", "no blank, long", "a letter", "half", "too many", "none"],
)
@pytest.mark.parametrize("name", FORMATS)
def test_text_that_is_no_numbers_or_too_few_is_refused_before_it_is_decoded(
    tmp_path, name, content, received
):
    (tmp_path / name).write_bytes(FORMATS[name] + content)
    with pytest.raises(InputError, match=received):
        read_image(tmp_path / name)


def test_voxels_as_text_in_several_files_are_refused(tmp_path):
    (tmp_path / "a.txt").write_bytes(HU.tobytes())
    (tmp_path / "ct.nhdr").write_text(NRRD_HEADER.format("text") + "data file: LIST 3\na.txt\n")
    with pytest.raises(InputError, match="voxels as text in several files"):
        read_image(tmp_path / "ct.nhdr")


# --- signs --------------------------------------------------------------------------------------


def unsigned(values: np.ndarray, like: sitk.Image = IMAGE) -> sitk.Image:
    image = sitk.GetImageFromArray(values.astype(np.int16).view(np.uint16))
    image.CopyInformation(like)
    return image


@pytest.mark.parametrize("name", ["ct.nii", "ct.nii.gz", "ct.nrrd", "ct.mha"])
@pytest.mark.parametrize("as_type", [sitk.sitkUInt16, sitk.sitkFloat32, sitk.sitkInt32])
def test_signed_numbers_read_as_unsigned_ones_are_refused(tmp_path, name, as_type):
    sitk.WriteImage(sitk.Cast(unsigned(HU), as_type), str(tmp_path / name))
    with pytest.raises(IntensityError, match=r"signed numbers were read as unsigned.*above 32000 HU"):
        with_mask(tmp_path, tmp_path / name)


def test_one_negative_number_without_its_sign_inside_the_tumour_is_refused(tmp_path):
    values = np.clip(HU, 0, None)
    values[4, 20, 30] = -3
    sitk.WriteImage(unsigned(values), str(tmp_path / "ct.nrrd"))
    with pytest.raises(IntensityError, match="signed numbers were read as unsigned"):
        with_mask(tmp_path, tmp_path / "ct.nrrd")


def test_one_such_number_far_from_the_tumour_is_said(tmp_path):
    values = np.clip(HU, 0, None)
    values[9, 47, 55] = -3
    sitk.WriteImage(unsigned(values), str(tmp_path / "ct.nrrd"))
    said = [w.message for w in with_mask(tmp_path, tmp_path / "ct.nrrd").warnings]
    assert "1 voxels of the CT are above 32000 HU" in said


def test_padding_without_its_sign_is_said_and_not_refused(tmp_path):
    """Some scanners write -2000 so outside the reconstructed circle, beside true HU."""
    values = np.clip(HU, 0, None)
    values[:, :10] = -2000
    sitk.WriteImage(unsigned(values), str(tmp_path / "ct.nrrd"))
    said = [w.message for w in with_mask(tmp_path, tmp_path / "ct.nrrd").warnings]
    assert "5600 voxels of the CT are above 32000 HU" in said


# --- slices of one series -----------------------------------------------------------------------


def rewritten(folder, change) -> None:
    """Every slice of the scene as a DICOM file after `change(dataset, number)`."""
    for number, data in enumerate(write_dicom_series(folder, IMAGE)):
        change(data, number)
        data.save_as(folder / f"slice{number:03d}.dcm", enforce_file_format=True)


def test_one_slice_that_is_shown_dark_on_bright_is_refused_with_its_place(tmp_path):
    def change(data, number):
        if number == 3:
            data.PhotometricInterpretation = "MONOCHROME1"

    rewritten(tmp_path, change)
    with pytest.raises(InputError, match=r"MONOCHROME1 among MONOCHROME2: 1 slices, at 417\.50 mm"):
        read_image(tmp_path)


def test_a_series_that_is_all_shown_dark_on_bright_has_the_same_hu(tmp_path):
    """The attribute is about a screen: DICOM's slope and intercept make HU of the stored numbers."""
    rewritten(tmp_path, lambda data, number: setattr(data, "PhotometricInterpretation", "MONOCHROME1"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read_image(tmp_path)[0]), HU)


@pytest.mark.parametrize("kind", ["RGB", "PALETTE COLOR"])
def test_colours_are_no_hu(tmp_path, kind):
    rewritten(tmp_path, lambda data, number: setattr(data, "PhotometricInterpretation", kind))
    with pytest.raises(InputError, match=rf"the image is no CT in HU.*received colours \({kind}\)"):
        read_image(tmp_path)


@pytest.mark.parametrize(("odd", "places"), [(0, "412.50"), (4, "420.00, 422.50"), (9, "432.50")])
def test_hu_that_jump_where_the_intercept_changes_are_refused_with_their_places(tmp_path, odd, places):
    def change(data, number):
        if number == odd:
            data.RescaleIntercept = -24

    rewritten(tmp_path, change)
    with pytest.raises(InputError) as caught:
        read_image(tmp_path)
    assert caught.value.problem.received.startswith("HU that jump where slope or intercept change: ")
    assert caught.value.problem.received.endswith(f"at {places} mm")


# --- segmentations ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scan") / "ct"
    return folder, write_dicom_series(folder, IMAGE)


def segmentation(series, tmp_path, change):
    path = write_dicom_seg(tmp_path / "seg.dcm", series[1], SEGMENTS)
    data = pydicom.dcmread(path)
    change(data)
    data.save_as(path)
    return path


def set_rows(data):
    data.Rows = 47


def set_columns(data):
    data.Columns = 55


def set_frames(data):
    data.NumberOfFrames = 3


def set_bits(data):
    data.BitsAllocated = 8


def lose_a_group(data):
    del data.PerFrameFunctionalGroupsSequence[3]


def name_a_stranger(data):
    data.PerFrameFunctionalGroupsSequence[9].SegmentIdentificationSequence[0].ReferencedSegmentNumber = 7


def number_twice(data):
    data.SegmentSequence[1].SegmentNumber = 1


def number_otherwise(data):
    data.SegmentSequence[1].SegmentNumber = 3


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (set_rows, "Expected 4606 bytes for 14 frames of 47 x 56; received 4704 bytes"),
        (set_columns, "Expected 4620 bytes for 14 frames of 48 x 55; received 4704 bytes"),
        (set_frames, "Expected 3 frames; received 14 that say where they lie"),
        (set_bits, "Expected 37632 bytes for 14 frames of 48 x 56; received 4704 bytes"),
        (lose_a_group, "Expected 14 frames; received 13 that say where they lie"),
        (name_a_stranger, "Expected frames of segments 1, 2; received frame 10 of segment 7"),
        (number_twice, "Expected a number of its own for every segment; received number 1 twice"),
        (number_otherwise, "Expected frames of segments 1, 3; received frame 10 of segment 2"),
    ],
)
def test_a_segmentation_that_contradicts_itself_is_refused_and_says_how(series, tmp_path, change, sentence):
    path = segmentation(series, tmp_path, change)
    with pytest.raises(InputError) as caught:
        read_case("P", series[0], path, segment="Mass")
    assert f"the segmentation contradicts itself. {sentence}." in str(caught.value)


def test_a_packed_segmentation_is_no_contradiction(series, tmp_path):
    assert get_decoder(RLELossless).is_available
    path = write_dicom_seg(
        tmp_path / "seg.dcm",
        series[1],
        {name: inside.astype(float) for name, inside in SEGMENTS.items()},
        kind="FRACTIONAL",
        transfer_syntax_uid=RLELossless,
    )
    case = read_case("P", series[0], path, segment="Mass")
    np.testing.assert_array_equal(sitk.GetArrayFromImage(case.mask) > 0, MASS)


def test_a_segmentation_cut_off_inside_a_number_is_one_sentence(series, tmp_path):
    path = write_dicom_seg(tmp_path / "seg.dcm", series[1], SEGMENTS)
    content = path.read_bytes()
    for place in (content.find(b"\x62\x00\x0b\x00US") + 9, content.find(b"\x28\x00\x10\x00US") + 9):
        path.write_bytes(content[:place])
        with pytest.raises(InputError, match=r"seg\.dcm: the DICOM file is damaged"):
            read_case("P", series[0], path, segment="Mass")


def test_a_slice_cut_off_inside_a_number_is_one_sentence(tmp_path):
    write_dicom_series(tmp_path, IMAGE)
    content = (tmp_path / "slice004.dcm").read_bytes()
    (tmp_path / "slice004.dcm").write_bytes(content[: content.find(b"\x28\x00\x10\x00US") + 9])
    with pytest.raises(InputError, match=r"slice004\.dcm: the DICOM file is damaged"):
        read_image(tmp_path)
