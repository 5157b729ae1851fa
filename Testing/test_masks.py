"""Segments by name: every dialect of `.seg.nrrd`, DICOM label maps, names that are odd."""

import numpy as np
import pytest
import SimpleITK as sitk
from scenes import a_scene, write_dicom_seg, write_dicom_series, write_rtstruct
from TACEResponseLib.messages.errors import MaskError
from TACEResponseLib.readers import list_segments, read_case
from test_dicom_formats import flat, ring

IMAGE, SEGMENTS = a_scene()
LIVER, MASS = SEGMENTS["Liver"], SEGMENTS["Mass"]
#: The mass and a part of the liver that overlaps it: only layers hold both.
OVERLAPPING = LIVER & (np.arange(48)[:, None] > 20) | MASS & (np.arange(56) > 28)


def a_seg_nrrd(path, layers: list[np.ndarray], **keys: str):
    """A `.seg.nrrd` written by hand: components first, as Slicer does, and exactly the given keys."""
    several = len(layers) > 1
    sizes = " ".join(map(str, ([len(layers)] if several else []) + list(IMAGE.GetSize())))
    header = [
        "NRRD0004",
        "type: unsigned char",
        f"dimension: {4 if several else 3}",
        "space: left-posterior-superior",
        f"sizes: {sizes}",
        f"space directions: {'none ' if several else ''}(0.75,0,0) (0,0.75,0) (0,0,2.5)",
        f"kinds: {'list ' if several else ''}domain domain domain",
        "encoding: raw",
        "space origin: (-120.5,-60.25,410)",
        *(f"{name}:={value}" for name, value in keys.items()),
    ]
    voxels = np.stack(layers, axis=-1) if several else layers[0]
    path.write_bytes("\n".join([*header, "", ""]).encode() + voxels.astype(np.uint8).tobytes())
    return path


def keys(number: int, name: str, layer: object = None, value: object = None) -> dict[str, str]:
    """The keys of one segment, without those that are None."""
    given = {"ID": f"Segment_{number}", "Name": name, "Layer": layer, "LabelValue": value}
    return {f"Segment{number}_{key}": str(text) for key, text in given.items() if text is not None}


def read(folder, segment=None) -> np.ndarray:
    sitk.WriteImage(IMAGE, str(folder / "ct.nrrd"))
    case = read_case("P", folder / "ct.nrrd", folder / "m.seg.nrrd", segment=segment)
    return sitk.GetArrayFromImage(case.mask) > 0


LABELS = LIVER + 2 * MASS


@pytest.mark.parametrize(
    ("layers", "header"),
    [
        ([LABELS], keys(0, "Liver", 0, 1) | keys(1, "Mass", 0, 2)),
        ([LABELS], keys(0, "Liver", 0, 1) | keys(2, "Mass", 0, 2)),
        ([LABELS], keys(3, "Liver", 0, 1) | keys(7, "Mass", 0, 2)),
        ([LABELS], keys(0, "Liver", None, 1) | keys(1, "Mass", None, 2)),
        ([LABELS], keys(0, "Mass", None, 2) | keys(1, "Liver", None, 1)),
        ([LABELS], keys(0, "Liver", None, None) | keys(1, "Mass", None, 2)),
        ([LIVER, MASS], keys(0, "Liver") | keys(1, "Mass")),
        ([LIVER, MASS], keys(0, "Liver", 0) | keys(1, "Mass", 1)),
        ([MASS, LIVER], keys(0, "Liver", 1, 1) | keys(1, "Mass", 0, 1)),
        ([LIVER * 5, MASS * 3], keys(0, "Liver", 0, 5) | keys(1, "Mass", 1, 3)),
        ([LIVER, MASS * 2], keys(0, "Liver", None, 1) | keys(1, "Mass", None, 2)),
        ([LABELS, OVERLAPPING], keys(0, "Liver", 0, 1) | keys(1, "Mass", 0, 2) | keys(2, "Other", 1, 1)),
        ([LABELS], keys(0, " Liver ", 0, 1) | keys(1, "Mass", " 0", "2 ")),
    ],
    ids=[
        "as Slicer writes",
        "a gap",
        "from 3 on",
        "no layer",
        "no layer, turned",
        "first without a value",
        "old",
        "no values",
        "layers turned",
        "other values",
        "layers not said",
        "three in two layers",
        "spaces",
    ],
)
def test_every_dialect_gives_the_segments_that_it_holds(tmp_path, layers, header):
    path = a_seg_nrrd(tmp_path / "m.seg.nrrd", layers, **header)
    assert {"Liver", "Mass"} <= set(list_segments(path))
    np.testing.assert_array_equal(read(tmp_path, "Liver"), LIVER)
    np.testing.assert_array_equal(read(tmp_path, "mass"), MASS)
    others = OVERLAPPING if "Segment2_Name" in header and len(layers) == 2 else np.zeros_like(MASS)
    np.testing.assert_array_equal(read(tmp_path, "all"), LIVER | MASS | others)


@pytest.mark.parametrize(
    ("layers", "header", "attribute", "received"),
    [
        ([LABELS], keys(0, "Liver", 0, "") | keys(1, "Mass", 0, 2), "Segment0_LabelValue", "nothing"),
        ([LABELS], keys(0, "Liver", 0, 1) | keys(1, "Mass", 0, "2.5"), "Segment1_LabelValue", '"2.5"'),
        ([LABELS], keys(0, "Liver", "", 1) | keys(1, "Mass", 0, 2), "Segment0_Layer", "nothing"),
        ([LIVER, MASS], keys(0, "Liver", 0, 1) | keys(1, "Mass", 3, 1), "Segment1_Layer", "3"),
        ([LIVER, MASS], keys(0, "Liver", -1, 1) | keys(1, "Mass", 1, 1), "Segment0_Layer", "-1"),
        ([LABELS], keys(0, "Liver", 0, 1) | keys(1, "Mass", 1, 2), "Segment1_Layer", "1"),
        ([LIVER, MASS], keys(0, "Liver") | keys(2, "Mass"), "Segment2_Layer", "2"),
        ([LABELS], keys(0, "Liver") | keys(1, "Mass"), "Segment1_LabelValue", "nothing"),
    ],
)
def test_an_attribute_that_names_no_place_is_named(tmp_path, layers, header, attribute, received):
    a_seg_nrrd(tmp_path / "m.seg.nrrd", layers, **header)
    with pytest.raises(MaskError) as caught:
        read(tmp_path, "Liver")
    problem = caught.value.problem
    assert problem.message == f"the segmentation's {attribute} names no place in the file"
    assert (problem.received, problem.file, problem.patient_id) == (received, "m.seg.nrrd", "P")


def test_a_name_that_occurs_twice_is_a_choice_and_all_takes_both(tmp_path):
    header = keys(0, "Tumour", 0, 1) | keys(1, "Tumour ", 0, 2)
    path = a_seg_nrrd(tmp_path / "m.seg.nrrd", [LABELS], **header)
    assert list_segments(path) == ["Tumour (segment 1)", "Tumour (segment 2)"]
    with pytest.raises(MaskError, match=r'received "Tumour \(segment 1\)", "Tumour \(segment 2\)"'):
        read(tmp_path, "Tumour")
    np.testing.assert_array_equal(read(tmp_path, "Tumour (segment 1)"), LIVER)
    np.testing.assert_array_equal(read(tmp_path, "Tumour (segment 2)"), MASS)
    np.testing.assert_array_equal(read(tmp_path, "all"), LIVER | MASS)


def test_names_are_compared_trimmed_and_one_without_a_name_has_its_number(tmp_path):
    path = a_seg_nrrd(tmp_path / "m.seg.nrrd", [LABELS], **keys(0, "Liver", 0, 1), **keys(1, " Mass", 0, 2))
    np.testing.assert_array_equal(read(tmp_path, "Mass"), MASS)
    np.testing.assert_array_equal(read(tmp_path, " Mass "), MASS)
    nameless = keys(0, "Liver", 0, 1) | {"Segment1_ID": "", "Segment1_Layer": "0", "Segment1_LabelValue": "2"}
    a_seg_nrrd(path, [LABELS], **nameless)
    assert list_segments(path) == ["Liver", "(segment 2)"]
    np.testing.assert_array_equal(read(tmp_path, "(segment 2)"), MASS)


def test_a_very_long_header_is_read_like_a_short_one(tmp_path):
    """A hundred organs with terminology: the header is longer than 64 kB, and the file is packed."""
    mask = sitk.GetImageFromArray(LABELS.astype(np.uint8))
    mask.CopyInformation(IMAGE)
    for number in range(100):
        for key, text in keys(number, f"organ {number}", 0, number + 1).items():
            mask.SetMetaData(key, text)
        mask.SetMetaData(f"Segment{number}_Tags", "x" * 900)
    path = tmp_path / "m.seg.nrrd"
    sitk.WriteImage(mask, str(path), True)
    np.testing.assert_array_equal(read(tmp_path, "organ 1"), MASS)
    content = bytearray(path.read_bytes())
    assert content.index(b"\n\n") > 1 << 16
    content[-200] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(Exception, match="cannot be read as a volume"):
        read(tmp_path, "organ 1")


# --- DICOM --------------------------------------------------------------------------------------


def test_a_label_map_segmentation_is_read(tmp_path):
    slices = write_dicom_series(tmp_path / "ct", IMAGE)
    seg = write_dicom_seg(tmp_path / "seg.dcm", slices, SEGMENTS, "LABELMAP")
    assert list_segments(seg) == ["Liver", "Mass"]
    for name, truth in {**SEGMENTS, "all": LIVER | MASS}.items():
        case = read_case("P", tmp_path / "ct", seg, segment=name)
        np.testing.assert_array_equal(sitk.GetArrayFromImage(case.mask) > 0, truth)


def test_a_label_map_in_the_folder_of_its_ct_is_no_slice(tmp_path):
    slices = write_dicom_series(tmp_path / "ct", IMAGE)
    seg = write_dicom_seg(tmp_path / "ct" / "seg.dcm", slices, SEGMENTS, "LABELMAP")
    case = read_case("P", tmp_path / "ct", seg, segment="Mass")
    np.testing.assert_array_equal(sitk.GetArrayFromImage(case.mask) > 0, MASS)


def test_dicom_segments_of_one_name_are_each_a_choice(tmp_path):
    slices = write_dicom_series(tmp_path / "ct", IMAGE)
    seg = write_dicom_seg(tmp_path / "seg.dcm", slices, {"Mass": LIVER, "Mass ": MASS})
    assert list_segments(seg) == ["Mass (segment 1)", "Mass (segment 2)"]
    case = read_case("P", tmp_path / "ct", seg, segment="Mass (segment 2)")
    np.testing.assert_array_equal(sitk.GetArrayFromImage(case.mask) > 0, MASS)


def test_structures_of_one_name_are_each_a_choice(tmp_path):
    write_dicom_series(tmp_path / "ct", IMAGE)
    path = write_rtstruct(tmp_path / "rt.dcm", {"T": flat(ring(10, 4)), "T ": flat(ring(4, 4))})
    assert list_segments(path) == ["T (segment 1)", "T (segment 2)"]
    case = read_case("P", tmp_path / "ct", path, segment="T (segment 2)")
    assert np.count_nonzero(sitk.GetArrayFromImage(case.mask)) == pytest.approx(np.pi * 16, rel=0.1)
