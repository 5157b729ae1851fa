"""The gate: what a file claims of its voxels against what arrived, format by format."""

import gzip
import os
import re
import struct
import sys

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.uid import generate_uid
from scenes import a_scene, as_labelmap, write_dicom_series
from TACEResponseLib.messages.errors import GeometryError, InputError
from TACEResponseLib.readers import read_case, read_image
from TACEResponseLib.readers.volumes import files_of

IMAGE, SEGMENTS = a_scene()
HU = sitk.GetArrayFromImage(IMAGE)
MASS = SEGMENTS["Mass"]
MASK = as_labelmap(IMAGE, {"Mass": MASS})
#: A header of each format, and the file with its voxels where that is another one.
PAIRS = {
    "ct.hdr": "ct.img",
    "ct.img": "ct.img",
    "ct.mhd": "ct.raw",
    "ct.nhdr": "ct.raw",
    "ct.nii": "ct.nii",
    "ct.NII": "ct.NII",
    "ct.nii.gz": "ct.nii.gz",
    "ct.NII.GZ": "ct.NII.GZ",
    "ct.mha": "ct.mha",
    "ct.nrrd": "ct.nrrd",
}


def written(folder, name: str, image: sitk.Image = IMAGE, packed: bool = False):
    """The image under a name that ITK itself may not write, such as `ct.NII`."""
    lower = folder / name.lower()
    sitk.WriteImage(image, str(lower), packed)
    return lower.rename(folder / name)


def noted(path, mask=None) -> tuple[np.ndarray, list[str]]:
    """HU of a CT, and what was said about it."""
    folder = path.parent
    sitk.WriteImage(MASK, str(folder / "the mask.nrrd"))
    case = read_case("P", path, mask or folder / "the mask.nrrd")
    return sitk.GetArrayFromImage(case.image), [str(w) for w in case.warnings if w.field == "image"]


# --- volume files -------------------------------------------------------------------------------


@pytest.mark.parametrize("packed", [False, True], ids=["raw", "packed"])
@pytest.mark.parametrize("name", PAIRS)
def test_every_format_and_spelling_gives_the_voxels_that_were_written(tmp_path, name, packed):
    values, said = noted(written(tmp_path, name, packed=packed))
    np.testing.assert_array_equal(values, HU)
    assert said == []


@pytest.mark.parametrize("share", [0.5, 0.9, 0.995])
@pytest.mark.parametrize("name", PAIRS)
def test_a_volume_that_ends_early_is_refused_under_every_spelling(tmp_path, name, share):
    path = written(tmp_path, name)
    data = tmp_path / PAIRS[name]
    content = data.read_bytes()
    data.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError) as caught:
        read_image(path)
    assert caught.value.problem.message == "the file cannot be read as a volume"
    assert caught.value.problem.file == name


@pytest.mark.parametrize("name", ["ct.nii", "ct.hdr", "ct.mhd", "ct.nhdr", "ct.nrrd", "ct.mha"])
def test_the_bytes_that_lack_are_told(tmp_path, name):
    path = written(tmp_path, name)
    content = (tmp_path / PAIRS[name]).read_bytes()
    (tmp_path / PAIRS[name]).write_bytes(content[:-1000])
    with pytest.raises(InputError) as caught:
        read_image(path)
    had, needed = re.fullmatch(r"(\d+) of (\d+) bytes", caught.value.problem.received).groups()
    assert int(needed) - int(had) == 1000
    assert HU.nbytes <= int(needed) <= HU.nbytes + 352


@pytest.mark.parametrize("name", ["ct.mhd", "ct.nhdr", "ct.hdr", "ct.nii.gz"])
def test_a_file_with_more_voxels_than_its_header_claims_is_refused(tmp_path, name):
    path = written(tmp_path, name)
    data = tmp_path / PAIRS[name]
    content = data.read_bytes()
    content = gzip.decompress(content) if name.endswith(".gz") else content
    pack = gzip.compress if name.endswith(".gz") else bytes
    data.write_bytes(pack(content + b"litter"))
    assert noted(path)[1] == []
    data.write_bytes(pack(content + HU[0, :2].tobytes()))
    with pytest.raises(InputError, match=r"bytes for 56 x 48 x 10 voxels, which need \d+"):
        read_image(path)


def test_a_header_with_a_column_too_few_is_refused_and_never_sheared(tmp_path):
    path = written(tmp_path, "ct.mhd")
    path.write_text(path.read_text().replace("DimSize = 56", "DimSize = 55"))
    with pytest.raises(InputError, match="53760 bytes for 55 x 48 x 10 voxels, which need 52800"):
        read_image(path)


def packed_files(folder) -> dict[str, object]:
    """A packed volume in every way in which one can be packed: header -> file with the stream."""
    written(folder, "a.mhd", packed=True)
    written(folder, "b.nii.gz")
    written(folder, "c.nrrd", packed=True)
    written(folder, "d.mha", packed=True)
    written(folder, "e.nhdr", packed=True)
    written(folder, "f.NII.GZ")
    written(folder, "g.img.gz")
    names = {"a.mhd": "a.zraw", "e.nhdr": "e.raw.gz", "g.hdr.gz": "g.img.gz"}
    return {
        name: folder / names.get(name, name)
        for name in ("a.mhd", "b.nii.gz", "c.nrrd", "d.mha", "e.nhdr", "f.NII.GZ")
    }


@pytest.mark.parametrize("name", ["a.mhd", "b.nii.gz", "c.nrrd", "d.mha", "e.nhdr", "f.NII.GZ"])
def test_one_changed_byte_of_a_packed_volume_is_found_by_its_checksum(tmp_path, name):
    data = packed_files(tmp_path)[name]
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read_image(tmp_path / name)[0]), HU)
    content = bytearray(data.read_bytes())
    content[-len(content) // 3] ^= 1
    data.write_bytes(bytes(content))
    with pytest.raises(InputError, match="cannot be read as a volume"):
        read_image(tmp_path / name)


def test_a_header_without_its_voxels_says_so(tmp_path):
    path = written(tmp_path, "ct.mhd")
    (tmp_path / "ct.raw").unlink()
    with pytest.raises(InputError, match=r"received a header without its file ct\.raw"):
        read_image(path)


def test_a_file_of_another_kind_is_not_believed(tmp_path):
    """ITK reads many formats, of which the gate knows nothing: a GIPL has no orientation at all."""
    with pytest.raises(InputError, match="another kind of file, whose header is not known here"):
        read_image(written(tmp_path, "ct.gipl"))


def test_a_volume_that_calls_itself_an_mr_is_no_ct(tmp_path):
    path = written(tmp_path, "ct.mha")
    content = path.read_bytes()
    path.write_bytes(
        content.replace(b"BinaryData = True\n", b"BinaryData = True\nModality = MET_MOD_MR\n", 1)
    )
    with pytest.raises(InputError, match="the image is no CT in HU.*received modality MET_MOD_MR"):
        read_image(path)


@pytest.mark.parametrize("name", ["ct.nii", "ct.nii.gz", "ct.hdr", "ct.nrrd", "ct.nhdr", "ct.mha", "ct.mhd"])
@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        (lambda i: sitk.Compose(i, i, i), "the CT holds several values a voxel"),
        (lambda i: sitk.Compose([sitk.Cast(i, sitk.sitkUInt8)] * 3), "the CT holds several values a voxel"),
        (lambda i: sitk.RealAndImaginaryToComplex(i, i), "the CT holds several values a voxel"),
        (lambda i: sitk.JoinSeries([i, i]), "the CT is not a three-dimensional volume"),
    ],
    ids=["vectors", "colours", "complex", "two times"],
)
def test_voxels_of_several_numbers_pass_the_gate_and_are_refused_for_what_they_are(
    tmp_path, name, kind, sentence
):
    sitk.WriteImage(MASK, str(tmp_path / "m.nrrd"))
    path = written(tmp_path, name, kind(sitk.Cast(IMAGE, sitk.sitkFloat32)))
    with pytest.raises(GeometryError, match=sentence):
        read_case("P", path, tmp_path / "m.nrrd")


# --- geometry stated twice ----------------------------------------------------------------------


def changed_nifti(path, *changes: tuple[int, str, tuple]):
    """The file with fields of its header overwritten: (offset, struct's type, values)."""
    content = bytearray(path.read_bytes())
    for offset, kind, values in changes:
        struct.pack_into(f"<{len(values)}{kind}", content, offset, *values)
    path.write_bytes(bytes(content))
    return path


PIXDIM, QFORM_CODE, QOFFSET, SROW_Y = 80, 252, 268, 296


@pytest.mark.parametrize("q_code", [0, 1])
def test_a_nifti_with_pixdim_of_1_mm_has_the_voxels_of_its_sform_and_says_so(tmp_path, q_code):
    path = changed_nifti(written(tmp_path, "ct.nii"), (PIXDIM, "f", (1, 1, 1)), (QFORM_CODE, "h", (q_code,)))
    sitk.WriteImage(MASK, str(tmp_path / "m.nrrd"))
    case = read_case("P", path, tmp_path / "m.nrrd")
    np.testing.assert_allclose(case.spacing_mm, (0.75, 0.75, 2.5), rtol=1e-6)
    np.testing.assert_allclose(case.image.GetOrigin(), IMAGE.GetOrigin(), rtol=1e-6)
    np.testing.assert_allclose(case.image.GetDirection(), IMAGE.GetDirection(), atol=1e-6)
    volume_ml = sitk.GetArrayViewFromImage(case.mask).sum() * np.prod(case.spacing_mm) / 1000
    assert volume_ml == pytest.approx(MASS.sum() * 0.75 * 0.75 * 2.5 / 1000)
    assert [str(w) for w in case.warnings] == [
        "Patient P, ct.nii: the CT's header states its geometry twice; the sform was taken. Expected "
        "0.75 x 0.75 x 2.5 mm by sform and pixdim; received 1 x 1 x 1 mm by pixdim. Look at the outline, "
        "or export the volume again."
    ]


def test_a_mask_whose_pixdim_is_lost_lies_on_its_ct(tmp_path):
    sitk.WriteImage(IMAGE, str(tmp_path / "ct.nii.gz"))
    path = changed_nifti(written(tmp_path, "m.nii", MASK), (PIXDIM, "f", (1, 1, 1)))
    case = read_case("P", tmp_path / "ct.nii.gz", path)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(case.mask) > 0, MASS)
    assert "the mask's header states its geometry twice" in str(case.warnings[0])


def test_a_qform_elsewhere_than_the_sform_is_said(tmp_path):
    path = changed_nifti(written(tmp_path, "ct.nii"), (QOFFSET, "f", (99.0,)))
    values, said = noted(path)
    np.testing.assert_array_equal(values, HU)
    assert len(said) == 1
    assert "the sform was taken" in said[0]
    assert "a place 21.5 mm away by qform" in said[0]  # x of the origin is 120.5 in RAS


def test_one_statement_alone_is_believed(tmp_path):
    for n, code in enumerate((252, 254)):  # no qform, no sform
        path = changed_nifti(written(tmp_path, f"ct{n}.nii"), (code, "h", (0,)))
        image, source = read_image(path)
        np.testing.assert_allclose(image.GetSpacing(), IMAGE.GetSpacing(), rtol=1e-6)
        assert source == {"file": path.name}


def test_a_big_endian_nifti_says_its_geometry_as_well(tmp_path):
    """The same header with every number the other way round."""
    path = written(tmp_path, "ct.nii")
    sizes = [(0, 4, 1), (40, 2, 8), (56, 4, 3), (68, 2, 4), (76, 4, 8), (108, 4, 3), (120, 2, 1), (124, 4, 6)]
    sizes += [(252, 2, 2), (256, 4, 6), (280, 4, 12)]
    content = bytearray(changed_nifti(path, (PIXDIM, "f", (1, 1, 1))).read_bytes())
    for start, width, count in sizes:
        for n in range(count):
            place = slice(start + n * width, start + (n + 1) * width)
            content[place] = content[place][::-1]
    content[352:] = np.frombuffer(bytes(content[352:]), "<i2").astype(">i2").tobytes()
    path.write_bytes(bytes(content))
    image, source = read_image(path)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), HU)
    np.testing.assert_allclose(image.GetSpacing(), IMAGE.GetSpacing(), rtol=1e-6)
    assert "the sform was taken" in source["noticed"][0]


# --- paths that are no files --------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_named_pipe_is_refused_and_never_waited_for(tmp_path):
    sitk.WriteImage(IMAGE, str(tmp_path / "ct.nii.gz"))
    sitk.WriteImage(MASK, str(tmp_path / "mask.nii.gz"))
    os.mkfifo(tmp_path / "pipe.nii.gz")
    for image, mask in (("pipe.nii.gz", "mask.nii.gz"), ("ct.nii.gz", "pipe.nii.gz")):
        with pytest.raises(InputError, match=r"pipe\.nii\.gz: this is no regular file.*a named pipe"):
            read_case("P", tmp_path / image, tmp_path / mask)


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights on Windows")
def test_a_link_to_itself_is_one_sentence(tmp_path):
    sitk.WriteImage(IMAGE, str(tmp_path / "ct.nii.gz"))
    (tmp_path / "loop.nii.gz").symlink_to(tmp_path / "loop.nii.gz")
    for image, mask in (("loop.nii.gz", "ct.nii.gz"), ("ct.nii.gz", "loop.nii.gz")):
        with pytest.raises(InputError, match=r"Patient P, loop\.nii\.gz: the path leads to no file"):
            read_case("P", tmp_path / image, tmp_path / mask)


# --- DICOM: what the numbers mean ---------------------------------------------------------------


def rewritten(folder, change) -> None:
    """Every slice of the scene as a DICOM file after `change(dataset, number)`."""
    for number, data in enumerate(write_dicom_series(folder, IMAGE)):
        change(data, number)
        data.save_as(folder / f"slice{number:03d}.dcm", enforce_file_format=True)


def without(*names):
    def change(data, number):
        if number in (2, 5):
            for name in names:
                delattr(data, name)

    return change


@pytest.mark.parametrize(
    "names", [("RescaleSlope",), ("RescaleIntercept",), ("RescaleSlope", "RescaleIntercept")]
)
def test_slices_without_slope_or_intercept_among_others_are_refused_with_their_places(tmp_path, names):
    rewritten(tmp_path / "ct", without(*names))
    with pytest.raises(InputError) as caught:
        read_image(tmp_path / "ct")
    assert caught.value.problem.message == "it is not known how some of the slices become HU"
    assert f"slices without {names[0]}: 2 slices, at 415.00, 422.50 mm" in caught.value.problem.received


def test_a_series_that_never_says_how_its_numbers_become_hu_is_read_and_said(tmp_path):
    def in_hu(data, number):
        del data.RescaleSlope, data.RescaleIntercept
        data.PixelRepresentation = 1
        data.PixelData = HU[number].tobytes()

    rewritten(tmp_path / "ct", in_hu)
    values, said = noted(tmp_path / "ct")
    np.testing.assert_array_equal(values, HU)
    assert "no slice says how its numbers become HU; they were taken as HU" in said[0]


@pytest.mark.parametrize("unsigned", [0, 1], ids=["first", "second"])
def test_signed_and_unsigned_slices_together_are_read_each_by_its_own_sign(tmp_path, unsigned):
    """GDCM takes the sign of the first slice for all: -3 HU became 65533."""
    truth = HU.copy()
    truth[unsigned::2] = np.abs(truth[unsigned::2])

    def signed(data, number):
        data.PixelRepresentation, data.RescaleIntercept = int(number % 2 != unsigned), 0
        data.PixelData = truth[number].tobytes()

    rewritten(tmp_path, signed)
    image, source = read_image(tmp_path)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), truth)
    np.testing.assert_allclose(image.GetOrigin(), IMAGE.GetOrigin())
    np.testing.assert_allclose(image.GetSpacing(), IMAGE.GetSpacing())
    np.testing.assert_allclose(image.GetDirection(), IMAGE.GetDirection())
    assert "noticed" not in source


@pytest.mark.parametrize("first", [0, 1, 2])
def test_slices_with_slopes_of_their_own_are_read_each_by_its_own(tmp_path, first):
    """Whole, halved and shifted; GDCM takes the type of the first slice for all."""
    truth = HU.astype(np.float64)
    truth[first::3] += 0.5

    def scaled(data, number):
        kind = (number - first) % 3
        slope, intercept = ((0.5, -512), (1, -2000), (2, -3001))[kind]
        if kind == 2:
            truth[number] = 2 * (HU[number] // 2) + 1
        data.RescaleSlope, data.RescaleIntercept = slope, intercept
        data.PixelData = ((truth[number] - intercept) / slope).astype(np.uint16).tobytes()

    rewritten(tmp_path, scaled)
    image, _ = read_image(tmp_path)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), truth)


@pytest.mark.parametrize(
    ("attributes", "received"),
    [
        ({"Modality": "MR"}, "modality MR"),
        ({"Modality": "PT"}, "modality PT"),
        ({"Modality": "RTDOSE"}, "modality RTDOSE"),
        ({"ImageType": ["DERIVED", "PRIMARY", "AXIAL", "MAT_SPECIFIC"]}, "image type MAT_SPECIFIC"),
        ({"ImageType": ["DERIVED", "SECONDARY", "AXIAL", "DE_IODINE"]}, "image type DE_IODINE"),
        ({"ImageType": ["DERIVED", "PRIMARY", "AXIAL", "EFF_ATOMIC_NUM"]}, "image type EFF_ATOMIC_NUM"),
        ({"RescaleType": "MGML"}, "values in MGML"),
        ({"RescaleType": "Z_EFF"}, "values in Z_EFF"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.30"}, "a parametric map"),
    ],
)
def test_a_series_that_is_no_ct_in_hu_is_refused_by_what_it_calls_itself(tmp_path, attributes, received):
    write_dicom_series(tmp_path, IMAGE, **attributes)
    with pytest.raises(InputError) as caught:
        read_image(tmp_path)
    assert str(caught.value) == (
        "slice000.dcm: the image is no CT in HU. Expected a CT, modality CT; received "
        f"{received}. Choose the contrast-enhanced CT of the patient."
    )


@pytest.mark.parametrize(
    "image_type", [["ORIGINAL", "PRIMARY", "AXIAL", "VMI"], ["DERIVED", "PRIMARY", "REFORMATTED", "AVERAGE"]]
)
def test_monoenergetic_and_reformatted_cts_are_cts(tmp_path, image_type):
    write_dicom_series(tmp_path, IMAGE, ImageType=image_type, RescaleType="HU")
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read_image(tmp_path)[0]), HU)


# --- DICOM: which slices, and where -------------------------------------------------------------


@pytest.mark.parametrize("first_byte", [128, 132], ids=["zeros kept", "without both"])
def test_slices_without_a_preamble_are_read_or_refused_and_never_dropped(tmp_path, first_byte):
    write_dicom_series(tmp_path, IMAGE, extension="")
    for number in range(6, 10):
        path = tmp_path / f"slice{number:03d}"
        content = path.read_bytes()
        path.write_bytes(content[132:] if first_byte == 132 else bytes(132) + content[132:])
    if first_byte == 132:
        np.testing.assert_array_equal(sitk.GetArrayFromImage(read_image(tmp_path)[0]), HU)
    else:
        with pytest.raises(InputError, match="slice006: the DICOM file is damaged"):
            read_image(tmp_path)


def test_slices_without_a_meta_header_are_read(tmp_path):
    """As tools of the nineties wrote them: implicit, from group 8 on."""
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import write_dataset

    for number, data in enumerate(write_dicom_series(tmp_path, IMAGE)):
        stream = DicomBytesIO()
        stream.is_little_endian, stream.is_implicit_VR = True, True
        bare = pydicom.Dataset(data)
        bare._pixel_rep = 0
        write_dataset(stream, bare)
        (tmp_path / f"slice{number:03d}.dcm").write_bytes(stream.getvalue())
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read_image(tmp_path)[0]), HU)


@pytest.mark.parametrize("name", ["ImagePositionPatient", "ImageOrientationPatient", "SeriesInstanceUID"])
def test_a_slice_without_a_tag_names_the_tag(tmp_path, name):
    data = write_dicom_series(tmp_path, IMAGE)[8]
    delattr(data, name)
    data.save_as(tmp_path / "slice008.dcm", enforce_file_format=True)
    with pytest.raises(InputError) as caught:
        read_image(tmp_path)
    assert str(caught.value).startswith("slice008.dcm: a slice of the CT does not say where it lies.")
    assert caught.value.problem.received == f"no {name}"


@pytest.mark.parametrize(("rows", "is_slice"), [(48, True), (40, False)])
def test_an_image_without_a_place_is_a_slice_only_where_it_looks_like_one(tmp_path, rows, is_slice):
    """The last slice as a secondary capture, which needs no position; a dose report has another size."""
    data = write_dicom_series(tmp_path, IMAGE)[9]
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    del data.ImagePositionPatient
    data.Rows, data.PixelData = rows, data.PixelData[: 2 * rows * 56]
    data.save_as(tmp_path / "slice009.dcm", enforce_file_format=True)
    if is_slice:
        with pytest.raises(InputError, match=r"slice009\.dcm: a slice of the CT does not say where it lies"):
            read_image(tmp_path)
    else:
        np.testing.assert_array_equal(sitk.GetArrayFromImage(read_image(tmp_path)[0]), HU[:9])


def test_a_localizer_among_the_slices_is_left_out_and_named(tmp_path):
    slices = write_dicom_series(tmp_path / "ct", IMAGE)
    scout = pydicom.dcmread(tmp_path / "ct" / "slice000.dcm")
    scout.SOPInstanceUID = scout.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    scout.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    scout.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]
    scout.save_as(tmp_path / "ct" / "scout.dcm", enforce_file_format=True)
    values, said = noted(tmp_path / "ct")
    np.testing.assert_array_equal(values, HU)
    assert said == [
        "Patient P, ct: 1 localizer of the series was left out. Received scout.dcm. Check that no slice of "
        "the scan is missing."
    ]
    assert len(slices) == 10


def series_at(folder, depths_mm) -> None:
    """A series of as many slices as there are positions, each of the scene's first slice."""
    layers = sitk.JoinSeries([IMAGE[:, :, 0]] * len(depths_mm))
    layers.SetSpacing((0.75, 0.75, 0.625))
    for number, data in enumerate(write_dicom_series(folder, layers)):
        data.ImagePositionPatient = [-120.5, -60.25, float(depths_mm[number])]
        data.save_as(folder / f"slice{number:03d}.dcm", enforce_file_format=True)


@pytest.mark.parametrize("count", [4, 9, 40])
def test_positions_rounded_to_a_tenth_of_a_millimetre_are_even_and_said(tmp_path, count):
    depths = 410.03 + 0.625 * np.arange(count)
    series_at(tmp_path, depths.round(1))
    image, source = read_image(tmp_path)
    assert image.GetSpacing()[2] == pytest.approx(0.625, abs=0.1 / (count - 1))
    assert source["noticed"] == ["the slices' positions were rounded to a tenth of a millimetre"]


@pytest.mark.parametrize("odd_mm", [0.2, -0.2, 0.625])
def test_positions_that_are_more_than_rounded_stay_an_error(tmp_path, odd_mm):
    depths = 410.03 + 0.625 * np.arange(12)
    depths[6:] += odd_mm
    series_at(tmp_path, depths.round(1))
    with pytest.raises(GeometryError, match="slices are missing or unevenly spaced"):
        read_image(tmp_path)


def test_slice_locations_that_contradict_the_positions_are_said(tmp_path):
    def located(step_mm):
        def change(data, number):
            data.SliceLocation = -step_mm * number

        return change

    rewritten(tmp_path / "right", located(2.5))
    rewritten(tmp_path / "wrong", located(5.0))
    rewritten(tmp_path / "none", located(0.0))  # emptied by an anonymiser
    assert noted(tmp_path / "none")[1] == []
    assert noted(tmp_path / "right")[1] == []
    assert (
        "2.50 mm apart by their positions and 5.00 mm by their slice locations"
        in noted(tmp_path / "wrong")[1][0]
    )


@pytest.mark.parametrize("named", ["ct.hdr", "ct.img"])
def test_both_files_of_a_pair_belong_to_it_whichever_is_named(tmp_path, named):
    for name in ("ct.hdr", "ct2.hdr"):
        written(tmp_path, name)
    assert {file.name for file in files_of(tmp_path / named)} == {"ct.hdr", "ct.img"}


def test_slices_of_eight_bits_among_others_are_not_the_measure_of_all(tmp_path):
    """GDCM takes the type of the first slice for all: 300 HU became 44."""
    truth = HU.copy()
    truth[0] = np.clip(truth[0], 0, 255)
    truth[1, 5, 5] = 300

    def eight_bits(data, number):
        data.RescaleIntercept, data.PixelRepresentation = 0, 1
        data.PixelData = truth[number].tobytes()
        if number == 0:
            data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 8, 8, 7, 0
            data.PixelData = truth[number].astype(np.uint8).tobytes()

    rewritten(tmp_path, eight_bits)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read_image(tmp_path)[0]), truth)


@pytest.mark.parametrize("slope", [0, -1])
def test_a_slope_that_is_none_is_refused(tmp_path, slope):
    write_dicom_series(tmp_path, IMAGE, RescaleSlope=slope)
    with pytest.raises(InputError, match=f"a slope of {slope} and an intercept of -1024: 10 slices"):
        read_image(tmp_path)


META = """ObjectType = Image
NDims = 3
BinaryData = True
BinaryDataByteOrderMSB = False
CompressedData = False
TransformMatrix = 1 0 0 0 1 0 0 0 1
Offset = -120.5 -60.25 410
ElementSpacing = 0.75 0.75 2.5
DimSize = 56 48 10
ElementType = MET_SHORT
"""
NEARLY = """NRRD0004
type: short
dimension: 3
space: left-posterior-superior
sizes: 56 48 10
space directions: (0.75,0,0) (0,0.75,0) (0,0,2.5)
kinds: domain domain domain
endian: little
space origin: (-120.5,-60.25,410)
"""
SLICES = "".join(f"s{k}.raw\n" for k in range(10))
DETACHED = {
    "list.mhd": META + "ElementDataFile = LIST\n" + SLICES,
    "pattern.mhd": META + "ElementDataFile = s%d.raw 0 9 1\n",
    "skip.mhd": META + "HeaderSize = 7\nElementDataFile = skip.raw\n",
    "end.mhd": META + "HeaderSize = -1\nElementDataFile = skip.raw\n",
    "list.nhdr": NEARLY + "encoding: raw\ndata file: LIST\n" + SLICES,
    "pattern.nhdr": NEARLY + "encoding: raw\ndata file: s%d.raw 0 9 1\n",
    "skip.nhdr": NEARLY + "encoding: raw\nbyte skip: 7\ndata file: skip.raw\n",
    "end.nhdr": NEARLY + "encoding: raw\nbyte skip: -1\ndata file: skip.raw\n",
    "lines.nhdr": NEARLY + "encoding: raw\nline skip: 2\ndata file: lines.raw\n",
    "packed.nhdr": NEARLY + "encoding: gzip\ndata file: all.gz\n",
    "packed skip.nhdr": NEARLY + "encoding: gzip\nbyte skip: 7\ndata file: skip.gz\n",
}


@pytest.mark.parametrize("name", DETACHED)
def test_every_way_to_lay_voxels_beside_a_header_is_right_or_refused_when_they_end_early(tmp_path, name):
    stored = {f"s{k}.raw": HU[k].tobytes() for k in range(10)}
    stored |= {"skip.raw": b"1234567" + HU.tobytes(), "lines.raw": b"a\nbc\n" + HU.tobytes()}
    stored |= {"all.gz": gzip.compress(HU.tobytes()), "skip.gz": gzip.compress(stored["skip.raw"])}
    for file, content in stored.items():
        (tmp_path / file).write_bytes(content)
    (tmp_path / name).write_text(DETACHED[name])
    image, source = read_image(tmp_path / name)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), HU)
    assert (image.GetSpacing(), image.GetOrigin()) == (IMAGE.GetSpacing(), IMAGE.GetOrigin())
    assert source == {"file": name}
    for file, content in stored.items():
        (tmp_path / file).write_bytes(content[:-20])
    with pytest.raises(InputError, match="cannot be read as a volume") as caught:
        read_image(tmp_path / name)
    assert "No such file" not in str(caught.value)


def test_header_fields_that_are_no_numbers_are_sentences(tmp_path):
    """Skips without end and offsets that no file has; none of them may hang or fault."""
    (tmp_path / "lines.raw").write_bytes(HU.tobytes())
    (tmp_path / "a.nhdr").write_text(DETACHED["lines.nhdr"].replace("skip: 2", "skip: 999999999999"))
    (tmp_path / "b.nhdr").write_text(DETACHED["lines.nhdr"].replace("skip: 2", "skip: two"))
    names = ["a.nhdr", "b.nhdr"]
    for number, offset in enumerate((np.inf, -np.inf, np.nan, 1e30, -400.0, 0.0, 348.0)):
        names.append(f"{number}.nii")
        changed_nifti(written(tmp_path, names[-1]), (108, "f", (offset,)))
    for name in names:
        with pytest.raises(InputError, match="cannot be read as a volume"):
            read_image(tmp_path / name)


def test_packed_voxels_in_several_files_are_refused(tmp_path):
    for k in range(10):
        (tmp_path / f"s{k}.raw").write_bytes(gzip.compress(HU[k].tobytes()))
    (tmp_path / "a.nhdr").write_text(DETACHED["list.nhdr"].replace("raw\n", "gzip\n", 1))
    packed = DETACHED["list.mhd"].replace("CompressedData = False", "CompressedData = True")
    (tmp_path / "a.mhd").write_text(packed)
    for name in ("a.nhdr", "a.mhd"):
        with pytest.raises(InputError, match="packed voxels in several files"):
            read_image(tmp_path / name)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", ["again.nrrd", "again.mha"])
def test_a_nifti_saved_again_in_another_format_keeps_its_words_and_is_read(tmp_path, name, packed):
    nifti = sitk.ReadImage(str(written(tmp_path, "ct.nii.gz")))
    assert nifti.HasMetaDataKey("nifti_type")
    again = written(tmp_path, name, nifti, packed)
    assert sitk.ReadImage(str(again)).HasMetaDataKey("nifti_type") or name.endswith("mha")
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read_image(again)[0]), HU)
