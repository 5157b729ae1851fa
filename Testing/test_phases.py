"""Several scans in one folder or one series UID: split, listed, chosen; the wrong phase is said."""

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from scenes import a_scene, as_labelmap, write_dicom_seg, write_dicom_series, write_seg_nrrd
from TACEResponseLib.messages.errors import GeometryError, InputError
from TACEResponseLib.readers import propose_arterial, read_case
from TACEResponseLib.readers.acquisitions import list_acquisitions, read_series
from TACEResponseLib.readers.phases import VesselEnhancement, phase_of_description

IMAGE, SEGMENTS = a_scene()
UID = pydicom.uid.generate_uid()


def one_series(folder, *phases, **changes):
    """Phases (image, changes) under one series UID, the later files written beside the first."""
    for number, (image, own) in enumerate(phases):
        common = {"SeriesInstanceUID": UID, **changes, **own}
        write_dicom_series(folder / f"part{number}", image, "LIVER 3 PHASE (AP)", **common)
    return folder


def parts(folder) -> dict[str, int]:
    """Part -> its brightness above the scene's."""
    mean = sitk.GetArrayFromImage(IMAGE).mean()
    return {
        a.part: round(float(sitk.GetArrayFromImage(a.read(folder)[0]).mean() - mean))
        for a in list_acquisitions(folder)
    }


def test_a_series_with_two_acquisition_numbers_is_two_scans(tmp_path):
    one_series(tmp_path, (IMAGE + 100, {"AcquisitionNumber": 10}), (IMAGE, {"AcquisitionNumber": 9}))
    assert parts(tmp_path) == {"9": 0, "10": 100}


def test_without_numbers_the_pause_between_times_splits(tmp_path):
    one_series(
        tmp_path,
        (IMAGE, {"AcquisitionNumber": 1, "AcquisitionTime": "120001.5"}),
        (IMAGE + 100, {"AcquisitionNumber": 1, "AcquisitionTime": "120036"}),
        (IMAGE + 200, {"AcquisitionNumber": 1, "AcquisitionTime": "120231"}),
    )
    assert parts(tmp_path) == {"1": 0, "2": 100, "3": 200}


def test_times_that_run_from_slice_to_slice_are_cut_at_the_pause(tmp_path):
    for number, (image, start) in enumerate(((IMAGE, 10), (IMAGE + 100, 40))):
        for n, data in enumerate(write_dicom_series(tmp_path / f"p{number}", image, SeriesInstanceUID=UID)):
            data.ContentTime = f"1200{start + n // 2:02d}"
            data.save_as(tmp_path / f"p{number}" / f"slice{n:03d}.dcm", enforce_file_format=True)
    assert parts(tmp_path) == {"1": 0, "2": 100}


def test_phases_of_different_extent_are_split_all_the_same(tmp_path):
    one_series(
        tmp_path,
        (IMAGE[:, :, 2:9], {"AcquisitionTime": "120000"}),
        (IMAGE + 100, {"AcquisitionTime": "120100"}),
    )
    assert [len(a.slices) for a in list_acquisitions(tmp_path)] == [7, 10]


def test_acquisition_numbers_that_follow_each_other_along_the_body_are_one_scan(tmp_path):
    slices = write_dicom_series(tmp_path, IMAGE)
    for number, data in enumerate(slices):
        data.AcquisitionNumber = 1 + number // 5
        data.save_as(tmp_path / f"slice{number:03d}.dcm", enforce_file_format=True)
    (acquisition,) = list_acquisitions(tmp_path)
    assert len(acquisition.slices) == 10


def test_phases_that_nothing_tells_apart_are_an_error_with_positions(tmp_path):
    one_series(tmp_path, (IMAGE, {}), (IMAGE + 100, {}))
    with pytest.raises(GeometryError) as caught:
        read_series(tmp_path)
    assert caught.value.problem.message == "the series holds slices twice"
    assert caught.value.problem.received == "10 positions twice, the first at 410.00 mm"


def test_a_copy_of_a_file_counts_once(tmp_path):
    write_dicom_series(tmp_path / "a", IMAGE)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "copy").write_bytes((tmp_path / "a" / "slice003.dcm").read_bytes())
    image, _ = read_series(tmp_path)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), sitk.GetArrayFromImage(IMAGE))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three series: native (number 2), and two scans under UID (number 4), arterial and portal."""
    place = tmp_path_factory.mktemp("phases")
    write_dicom_series(place / "native", IMAGE - 30, "PRE LIVER")
    arterial, portal = {"AcquisitionNumber": 1}, {"AcquisitionNumber": 2}
    return one_series(place, (IMAGE, arterial), (IMAGE + 100, portal), SeriesNumber=4)


@pytest.mark.parametrize(
    ("wanted", "brightness"),
    [
        ("PRE LIVER", -30),
        ("pre", -30),
        ("native", -30),
        ("2", -30),
        ("#1", 0),
        ("4#2", 100),
        ("3 phase#2", 100),
    ],
)
def test_a_scan_is_chosen_by_description_number_phase_or_part(folder, wanted, brightness):
    image, source = read_series(folder, wanted)
    assert sitk.GetArrayFromImage(image)[0, 0, 0] == sitk.GetArrayFromImage(IMAGE)[0, 0, 0] + brightness
    assert source.get("acquisition", "") == wanted.partition("#")[2]


def test_a_choice_of_several_lists_what_to_write_for_each(folder):
    with pytest.raises(InputError) as caught:
        read_series(folder, "LIVER 3 PHASE (AP)")
    assert caught.value.problem.message == '"LIVER 3 PHASE (AP)" names no single series'
    assert caught.value.problem.received == (
        f"LIVER 3 PHASE (AP) (10 slices, {UID}#1); LIVER 3 PHASE (AP) (10 slices, {UID}#2)"
    )
    image, _ = read_series(folder, f"{UID}#2")
    assert sitk.GetArrayFromImage(image).mean() == sitk.GetArrayFromImage(IMAGE).mean() + 100


def vessels_at(aorta_hu: int, portal_hu: int):
    """The scene with an aorta and a portal vein of that brightness, and all segments by name."""
    _, j, i = np.mgrid[tuple(slice(n) for n in (10, 48, 56))]
    aorta, portal = (j - 42) ** 2 + (i - 40) ** 2 < 9, (j - 36) ** 2 + (i - 14) ** 2 < 6
    values = sitk.GetArrayFromImage(IMAGE)
    values[aorta], values[portal] = aorta_hu, portal_hu
    image = sitk.GetImageFromArray(values)
    image.CopyInformation(IMAGE)
    free = ~(aorta | portal)
    named = {name: inside & free for name, inside in SEGMENTS.items()}
    return image, {**named, "Portal vein": portal, "Abdominal aorta": aorta}


def test_the_arterial_scan_is_proposed_by_the_vessels(tmp_path):
    arterial, segments = vessels_at(310, 120)
    portal, _ = vessels_at(150, 165)
    one_series(tmp_path, (portal, {"AcquisitionNumber": 1}), (arterial, {"AcquisitionNumber": 2}))
    seg = write_seg_nrrd(tmp_path / "s.seg.nrrd", arterial, segments)
    with pytest.raises(InputError) as caught:
        read_case("P", tmp_path, seg, segment="Mass")
    assert caught.value.problem.message == "the series holds several acquisitions"
    assert caught.value.problem.remedy.endswith(
        f"the arterial one is likely {UID}#2 (aorta 310 HU, portal vein 120 HU)"
    )


def test_without_vessels_it_is_proposed_by_description_or_not_at_all(folder, tmp_path):
    assert propose_arterial(list_acquisitions(folder), folder) == (None, "")
    write_dicom_series(tmp_path / "a", IMAGE, "Arterial 1.25")
    write_dicom_series(tmp_path / "b", IMAGE, "Portal 1.25")
    acquisition, shown = propose_arterial(list_acquisitions(tmp_path), tmp_path)
    assert (acquisition.description, shown) == ("Arterial 1.25", 'description "Arterial 1.25"')


@pytest.mark.parametrize("container", ["seg.nrrd", "DICOM SEG"])
def test_the_wrong_phase_is_a_warning_that_says_what_it_saw(tmp_path, container):
    image, segments = vessels_at(150, 165)
    slices = write_dicom_series(tmp_path / "ct", image, "LIVER")
    if container == "seg.nrrd":
        mask = write_seg_nrrd(tmp_path / "s.seg.nrrd", image, segments)
    else:
        mask = write_dicom_seg(tmp_path / "s.dcm", slices, segments)
    case = read_case("P", tmp_path / "ct", mask, segment="Mass")
    assert [str(w) for w in case.warnings] == [
        "Patient P: the CT looks like the portal venous phase. Expected the arterial phase; received "
        "aorta 150 HU, portal vein 165 HU. Choose the arterial series if there is one."
    ]
    assert case.provenance["image"]["phase"] == "portal venous"


def test_the_arterial_phase_is_silent_and_stands_in_the_provenance(tmp_path):
    image, segments = vessels_at(310, 120)
    sitk.WriteImage(image, str(tmp_path / "ct.nrrd"))
    case = read_case(
        "P", tmp_path / "ct.nrrd", write_seg_nrrd(tmp_path / "s.seg.nrrd", image, segments), segment="Mass"
    )
    assert case.warnings == ()
    assert case.provenance["image"]["vessels"] == "aorta 310 HU, portal vein 120 HU"


def test_a_description_of_another_phase_is_a_warning(tmp_path):
    write_dicom_series(tmp_path / "ct", IMAGE, "Abdomen portalvenös 2.0")
    sitk.WriteImage(as_labelmap(IMAGE, SEGMENTS), str(tmp_path / "m.nrrd"))
    case = read_case("P", tmp_path / "ct", tmp_path / "m.nrrd", label=2)
    (warning,) = case.warnings
    assert (warning.kind, warning.received) == ("phase", 'series "Abdomen portalvenös 2.0"')
    assert case.provenance["image"]["phase"] == "portal venous"


@pytest.mark.parametrize(
    ("aorta_hu", "portal_hu", "phase"),
    [
        (45, 45, "native"),
        (330, 60, "arterial"),
        (300, 150, "arterial"),
        (160, 170, "portal venous"),
        (110, 105, "delayed"),
    ],
)
def test_vessels_tell_the_phase(aorta_hu, portal_hu, phase):
    assert VesselEnhancement(aorta_hu, portal_hu).phase == phase


@pytest.mark.parametrize(
    ("description", "phase"),
    [
        ("Recon 2: LIVER 3 PHASE (AP)", None),
        ("PRE LIVER", "native"),
        ("Leber arteriell 1.0 B30f", "arterial"),
        ("ART", "arterial"),
        ("PARTIAL LIVER", None),
        ("动脉期", "arterial"),
        ("门脉期", "portal venous"),
        ("PV 1.25mm", "portal venous"),
        ("DELAYED 5 MIN", "delayed"),
        ("arterial and portal venous", None),
        ("", None),
        ("CT abdomen pre TACE", None),
        ("pre-TACE arterial", "arterial"),
    ],
)
def test_descriptions_tell_the_phase_or_nothing(description, phase):
    assert phase_of_description(description) == phase
