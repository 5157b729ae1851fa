"""DICOM results: the tumour on the right slices, a report that points at them, and outside judges."""

import os
import re
import shutil
import subprocess
from dataclasses import replace

import highdicom
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from answers import a_full_answer, an_answer
from highdicom.sr.coding import CodedConcept
from pydicom.sr.codedict import codes
from scenes import a_scene, as_labelmap, write_dicom_series
from TACEResponseLib.cases import make_case
from TACEResponseLib.dicom_export import write_dicom
from TACEResponseLib.dicom_export.instances import Identifiers
from TACEResponseLib.messages.errors import GeometryError, InputError
from TACEResponseLib.messages.language import in_language
from TACEResponseLib.readers import read_case

OBLIQUE = sitk.Euler3DTransform((0, 0, 0), 0.2, -0.3, 0.1).GetMatrix()
IMAGE, SEGMENTS = a_scene()


def a_case(folder, image=IMAGE, mask=SEGMENTS["Mass"], **changes):
    """The scene as a DICOM series in `folder`, read back with its tumour."""
    write_dicom_series(folder, image, **changes)
    labels = as_labelmap(image, {"Mass": mask})
    sitk.WriteImage(labels, str(folder.parent / "mask.nrrd"))
    return read_case("0012", folder, folder.parent / "mask.nrrd")


def tumour_by_instance(segmentation_file, files) -> dict[str, np.ndarray]:
    """SOPInstanceUID of a slice -> its tumour, (row, column); every frame lies where its slice lies."""
    headers = {h.SOPInstanceUID: h for h in (pydicom.dcmread(f, stop_before_pixels=True) for f in files)}
    data = pydicom.dcmread(segmentation_file)
    frames = np.atleast_3d(data.pixel_array).reshape(-1, data.Rows, data.Columns)
    found = {}
    for groups, frame in zip(data.PerFrameFunctionalGroupsSequence, frames, strict=True):
        (derivation,) = groups.DerivationImageSequence
        (source,) = derivation.SourceImageSequence
        header = headers[source.ReferencedSOPInstanceUID]
        position = groups.PlanePositionSequence[0].ImagePositionPatient
        np.testing.assert_allclose(position, header.ImagePositionPatient, rtol=0, atol=1e-4)
        assert frame.any(), "an empty frame was written"
        found[header.SOPInstanceUID] = frame > 0
    return found


def tumour_by_position(case, header) -> np.ndarray:
    """The slow obvious twin: which pixels of a slice lie in the mask, asked point by point."""
    across, down = (np.array(header.ImageOrientationPatient[n : n + 3], float) for n in (0, 3))
    row_mm, column_mm = header.PixelSpacing
    expected = np.zeros((header.Rows, header.Columns), bool)
    for row in range(header.Rows):
        for column in range(header.Columns):
            point = np.array(header.ImagePositionPatient, float)
            point += across * column * column_mm + down * row * row_mm
            index = case.mask.TransformPhysicalPointToIndex(point.tolist())
            if all(0 <= n < size for n, size in zip(index, case.mask.GetSize(), strict=True)):
                expected[row, column] = case.mask[index] > 0
    return expected


def assert_same_voxels(case, segmentation_file, files) -> None:
    found = tumour_by_instance(segmentation_file, files)
    with_tumour = 0
    for file in files:
        header = pydicom.dcmread(file, stop_before_pixels=True)
        expected = tumour_by_position(case, header)
        with_tumour += expected.any()
        np.testing.assert_array_equal(found.get(header.SOPInstanceUID, 0 * expected > 0), expected)
    assert len(found) == with_tumour > 0


def judge(file) -> list[str]:
    """What dciodvfy calls an error; installs it when it may, skips with the reason else."""
    if shutil.which("dciodvfy") is None:
        if os.name == "posix" and os.geteuid() == 0 and shutil.which("apt-get"):
            subprocess.run(
                ["apt-get", "install", "-y", "-qq", "dicom3tools"], capture_output=True, timeout=300
            )
        if shutil.which("dciodvfy") is None:
            pytest.skip("dciodvfy is not here: install the package dicom3tools")
    run = subprocess.run(["dciodvfy", "-new", str(file)], capture_output=True, text=True, errors="replace")
    lines = (run.stdout + run.stderr).splitlines()
    assert lines, "dciodvfy said nothing"
    return [line for line in lines if line.startswith("Error")]


def content_of(report_file) -> pydicom.Dataset:
    return highdicom.sr.srread(report_file).content[0]


def texts_of(report_file) -> list[tuple[str, str]]:
    (container,) = (i for i in content_of(report_file).ContentSequence if i.name.value == "C0034375")
    return [(item.name.meaning, item.value) for item in container.ContentSequence]


def tumour_group(report_file):
    (group,) = highdicom.sr.srread(report_file).content.get_volumetric_roi_measurement_groups()
    return group


def verdicts_of(report_file) -> list[tuple[str, str]]:
    """The codes of the tumour's group that are ours; highdicom lists its finding and site too."""
    items = (evaluation[0] for evaluation in tumour_group(report_file).get_qualitative_evaluations())
    return [(i.name.meaning, i.value.meaning) for i in items if i.name.scheme_designator == "99TACERESPONSE"]


@pytest.mark.parametrize(
    "direction",
    [(1, 0, 0, 0, 1, 0, 0, 0, 1), (1, 0, 0, 0, 0, 1, 0, -1, 0), (0, -1, 0, 1, 0, 0, 0, 0, 1), OBLIQUE],
    ids=["axial", "coronal", "turned", "oblique"],
)
def test_every_frame_lies_on_its_slice_voxel_by_voxel(tmp_path, direction):
    image, segments = a_scene(direction)
    case = a_case(tmp_path / "ct", image, segments["Mass"])
    _, segmentation = write_dicom(an_answer(), case, tmp_path / "ct", tmp_path / "out")
    assert_same_voxels(case, segmentation, sorted((tmp_path / "ct").iterdir()))


@pytest.mark.parametrize("code", ["RPI", "LAS", "SPL", "RAS", "AIR"])
def test_a_volume_whose_axes_run_another_way_comes_back_to_the_same_slices(tmp_path, code):
    """As a scene or a NIfTI copy stores it: axes permuted and flipped, no series named."""
    read = a_case(tmp_path / "ct")
    image, mask = (sitk.DICOMOrient(volume, code) for volume in (read.image, read.mask))
    case = make_case("0012", image, mask)
    files = sorted((tmp_path / "ct").iterdir())
    _, segmentation = write_dicom(an_answer(), case, files[::-1], tmp_path / "out")
    assert_same_voxels(case, segmentation, files)


def test_a_case_of_the_tumours_box_alone_comes_back_to_the_same_slices(tmp_path):
    read = a_case(tmp_path / "ct")
    box = (slice(15, 50), slice(8, 40), slice(1, 9))
    case = make_case("0012", read.image[box], read.mask[box])
    _, segmentation = write_dicom(an_answer(), case, tmp_path / "ct", tmp_path / "out")
    assert_same_voxels(case, segmentation, sorted((tmp_path / "ct").iterdir()))


def test_a_tumour_with_empty_slices_between_has_frames_where_it_is(tmp_path):
    split = SEGMENTS["Mass"].copy()
    split[4] = False
    case = a_case(tmp_path / "ct", mask=split)
    _, segmentation = write_dicom(an_answer(), case, tmp_path / "ct", tmp_path / "out")
    assert_same_voxels(case, segmentation, sorted((tmp_path / "ct").iterdir()))
    again = read_case("0012", tmp_path / "ct", segmentation)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(again.mask) > 0, split)


def test_one_of_several_acquisitions_of_a_series_is_the_one_pointed_at(tmp_path):
    """Two phases under one series UID, at the same positions, told apart by AcquisitionNumber."""
    first = write_dicom_series(tmp_path / "ct", IMAGE, AcquisitionNumber=1)
    for data in write_dicom_series(tmp_path / "ct" / "second", IMAGE + 30, AcquisitionNumber=2):
        for name in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
            setattr(data, name, getattr(first[0], name))
        data.save_as(
            tmp_path / "ct" / "second" / f"slice{data.InstanceNumber - 1:03d}.dcm", enforce_file_format=True
        )
    sitk.WriteImage(as_labelmap(IMAGE, {"Mass": SEGMENTS["Mass"]}), str(tmp_path / "mask.nrrd"))
    case = read_case("0012", tmp_path / "ct", tmp_path / "mask.nrrd", series="#2")
    _, segmentation = write_dicom(an_answer(), case, tmp_path / "ct", tmp_path / "out")
    assert_same_voxels(case, segmentation, sorted((tmp_path / "ct" / "second").iterdir()))
    nameless = replace(case, provenance={"image": "CT"})
    with pytest.raises(InputError, match="The case fits several series.*Give the files of that series alone"):
        write_dicom(an_answer(), nameless, tmp_path / "ct", tmp_path / "other")


def test_the_segment_says_what_it_is(tmp_path):
    case = a_case(tmp_path / "ct")
    identifiers = Identifiers.new("a test")
    _, file = write_dicom(an_answer(), case, tmp_path / "ct", tmp_path / "out", identifiers=identifiers)
    segmentation = highdicom.seg.segread(file)
    description = segmentation.get_segment_description(1)
    assert segmentation.number_of_segments == 1
    assert description.segmented_property_category == codes.SCT.MorphologicallyAbnormalStructure
    assert description.segmented_property_type == codes.SCT.NeoplasmPrimary
    assert [code.value for code in description.anatomic_regions] == [codes.SCT.Liver.value]
    assert description.algorithm_type.value == "MANUAL"
    assert (description.tracking_id, description.tracking_uid) == ("Tumour", identifiers.tracking)
    assert segmentation.ContentQualification == "RESEARCH"
    assert segmentation.SeriesDescription == "TACEResponse tumour (synthetic demonstration)"


def test_the_report_holds_the_answer_with_units_and_points_at_segment_and_slices(tmp_path):
    case = a_case(tmp_path / "ct")
    answer = an_answer()
    report, segmentation = write_dicom(answer, case, tmp_path / "ct", tmp_path / "out")
    group = tumour_group(report)
    measured = {
        m.name.meaning: (m.value, m.unit.scheme_designator, m.unit.value) for m in group.get_measurements()
    }
    assert measured == {
        "Probability of objective response (mRECIST CR or PR)": (72.0, "UCUM", "%"),
        "Lower bound of probability": (58.0, "UCUM", "%"),
        "Upper bound of probability": (84.0, "UCUM", "%"),
        "Threshold Value": (55.0, "UCUM", "%"),
        "Number of lesions": (2.0, "UCUM", "{lesions}"),
        "Long axis": (47.2, "UCUM", "mm"),
        "Volume": (53.32, "UCUM", "mL"),
    }
    assert verdicts_of(report) == [
        ("Predicted response to first TACE", "Above the cut-off"),
        ("Similarity to the training cases", "Inside"),
        ("Outcome that cannot be excluded", "Response (CR or PR)"),
    ]
    assert group.finding_type == codes.SCT.NeoplasmPrimary
    reference = group.referenced_segment
    tumour = pydicom.dcmread(segmentation)
    (segment,) = (item for item in reference if item.name.meaning == "Referenced Segment")
    assert segment.referenced_sop_instance_uid == tumour.SOPInstanceUID
    assert segment.referenced_segment_numbers == [1]
    images = (item for item in reference if item.name.value == "121233")
    slices = {item.referenced_sop_instance_uid for item in images}
    assert slices == set(tumour_by_instance(segmentation, (tmp_path / "ct").iterdir()))
    assert group.tracking_uid == tumour.SegmentSequence[0].TrackingUID


def test_the_headline_names_its_model_and_bundle(tmp_path):
    case = a_case(tmp_path / "ct")
    report, _ = write_dicom(an_answer(), case, tmp_path / "ct", tmp_path / "out")
    headline = tumour_group(report).get_measurements()[0][0]
    about = [(item.name.meaning, item.value) for item in headline.ContentSequence]
    assert about[:3] == [
        ("Algorithm Name", "CNN + random forest"),
        ("Algorithm Version", "peng2021-0123456789ab"),
        ("Algorithm Manufacturer", "TACEResponse"),
    ]
    assert ("Algorithm Parameters", "engine fast") in about


def test_sentences_scores_and_warnings_stand_under_the_evaluations(tmp_path):
    case = a_case(tmp_path / "ct")
    answer = a_full_answer(demonstration=False)
    report, _ = write_dicom(answer, case, tmp_path / "ct", tmp_path / "out")
    texts = texts_of(report)
    assert texts[0] == ("Statement on use", "For research use only; not a medical device.")
    assert ("Similarity to the training cases", answer.similarity.sentence()) in texts
    assert texts[1:3] == [("Read first", answer.reading().banner), ("Answer", answer.reading().headline)]
    # Outside the training data no outcome is excluded and no side of a cut-off is told.
    assert not {"Class", "Certainty", "Agreement of the models"} & {name for name, _ in texts}
    scores = [(s.title, f"{s.text} (developed to predict {s.built_for})") for s in answer.clinical_scores]
    assert len(scores) >= 12 and set(scores) <= set(texts)
    assert [text for name, text in texts if name == "Warning"] == list(answer.warnings)
    assert verdicts_of(report) == [("Similarity to the training cases", "Outside")]


def test_an_answer_in_chinese_comes_back_as_it_was_and_its_codes_stay_english(tmp_path):
    case = a_case(tmp_path / "ct")
    english, _ = write_dicom(an_answer(), case, tmp_path / "ct", tmp_path / "english")
    with in_language("zh"):
        warning = "掩膜中有 3 个小于 0.01 mL 的碎块未计为病灶。 请删除零散体素。"
        answer = an_answer(warnings=(warning,))
        report, segmentation = write_dicom(answer, case, tmp_path / "ct", tmp_path / "out")
        headline, similar = answer.reading().headline, answer.similarity.sentence()
    told, data = texts_of(report), pydicom.dcmread(report)
    assert told[:3] == [
        ("Statement on use", "本模型用合成图像训练，不得用于患者。"),
        ("Answer", headline),
        ("Class", "高于本模型的截断值（每 100 名中 55 名）"),
    ]
    assert headline == "每 100 名相似患者中约有 72 名出现应答"
    assert ("Similarity to the training cases", similar) in told
    assert ("Warning", warning) in told
    assert [name for name, _ in told if name != "Warning"] == [name for name, _ in texts_of(english)]
    assert verdicts_of(report) == verdicts_of(english)
    measurements = [[m.name.meaning for m in tumour_group(of).get_measurements()] for of in (report, english)]
    assert measurements[0] == measurements[1]
    model = tumour_group(report).get_measurements()[0][0].ContentSequence[0]
    assert (model.name.meaning, model.value) == ("Algorithm Name", "卷积神经网络 + 随机森林")
    segments = pydicom.dcmread(segmentation)
    assert data.SpecificCharacterSet == segments.SpecificCharacterSet == "ISO_IR 192"
    assert data.SeriesDescription == "TACEResponse 报告（合成演示）"
    assert segments.SeriesDescription == "TACEResponse 肿瘤（合成演示）"
    assert segments.SegmentSequence[0].SegmentLabel == "肿瘤"
    assert segments.ContentDescription == "预测所依据的轮廓"
    assert judge(report) == judge(segmentation) == []


def test_an_answer_without_an_interval_has_no_bounds(tmp_path):
    case = a_case(tmp_path / "ct")
    answer = an_answer()
    certainty = replace(answer.certainty, of_folds=(), conformal=("no response",))
    answer = replace(answer, certainty=certainty, fused=0.5, responder=False)
    report, _ = write_dicom(answer, case, tmp_path / "ct", tmp_path / "out")
    names = [m.name.meaning for m in tumour_group(report).get_measurements()]
    assert not [name for name in names if "bound" in name] and len(names) == 5
    assert verdicts_of(report)[0] == ("Predicted response to first TACE", "Below the cut-off")


def test_identifiers_are_new_each_time_and_the_same_for_a_seed(tmp_path):
    case = a_case(tmp_path / "ct")
    seeds = {"one": "7", "two": "7", "three": "", "four": ""}
    uids = {}
    for folder, seed in seeds.items():
        identifiers = Identifiers.new(seed)
        files = write_dicom(an_answer(), case, tmp_path / "ct", tmp_path / folder, identifiers=identifiers)
        read = [pydicom.dcmread(file) for file in files]
        uids[folder] = [(data.SOPInstanceUID, data.SeriesInstanceUID) for data in read]
        assert len({uid for pair in uids[folder] for uid in pair}) == 4
    assert uids["one"] == uids["two"]
    assert len({str(uids[folder]) for folder in ("one", "three", "four")}) == 3


NAMES = {
    "GB18030": "Wang^XiaoDong=王^小东",
    "ISO_IR 192": "Müller^Zoë=山田^太郎=やまだ^たろう",
    "ISO_IR 100": "Müller^Jérôme",
    ("", "ISO 2022 IR 149"): "Hong^Gildong=洪^吉洞=홍^길동",
    ("", "ISO 2022 IR 87"): "Yamada^Tarou=山田^太郎",
    "ISO_IR 144": "Люкceмбypг",
}


@pytest.mark.parametrize("encoding", NAMES, ids=str)
def test_a_name_in_any_script_arrives_as_it_was(tmp_path, encoding):
    charset = encoding if isinstance(encoding, str) else list(encoding)
    case = a_case(tmp_path / "ct", SpecificCharacterSet=charset, PatientName=NAMES[encoding])
    for file in write_dicom(an_answer(), case, tmp_path / "ct", tmp_path / "out"):
        assert str(pydicom.dcmread(file).PatientName) == NAMES[encoding]
        assert judge(file) == []


MAY_BE_MISSING = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
    "SliceThickness",
    "SeriesNumber",
)


def test_attributes_that_the_slices_lack_are_empty(tmp_path):
    case = a_case(tmp_path / "ct")
    for file in (tmp_path / "ct").iterdir():
        data = pydicom.dcmread(file)
        for name in MAY_BE_MISSING:
            del data[name]
        data.save_as(file)
    for file in write_dicom(an_answer(), case, tmp_path / "ct", tmp_path / "out"):
        data = pydicom.dcmread(file)
        assert all(not data[name].value for name in MAY_BE_MISSING[:-2])
        assert judge(file) == []


def test_values_that_no_archive_takes_are_left_empty_and_nothing_stops(tmp_path):
    odd = {"PatientSex": "U", "PatientBirthDate": "19551300", "StudyTime": "9am"}
    with pytest.warns(UserWarning):
        case = a_case(tmp_path / "ct", **odd)
    report, segmentation = write_dicom(an_answer(), case, tmp_path / "ct", tmp_path / "out")
    for file in (report, segmentation):
        data = pydicom.dcmread(file)
        assert [data[name].value for name in odd] == ["", "", ""]
        assert data.PatientID == "0012"
        assert judge(file) == []


def test_a_slice_without_frame_of_reference_is_a_named_error(tmp_path):
    case = a_case(tmp_path / "ct")
    for file in (tmp_path / "ct").iterdir():
        data = pydicom.dcmread(file)
        del data.FrameOfReferenceUID
        data.save_as(file)
    with pytest.raises(InputError, match="do not say what the results must point at.*FrameOfReferenceUID"):
        write_dicom(an_answer(), case, tmp_path / "ct", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["a volume file", "no files", "an empty folder"])
def test_a_case_without_dicom_is_a_named_error_with_a_remedy(tmp_path, phantom_case, kind):
    sitk.WriteImage(phantom_case.image, str(tmp_path / "ct.nii.gz"))
    (tmp_path / "empty").mkdir()
    series = {
        "a volume file": tmp_path / "ct.nii.gz",
        "no files": [],
        "an empty folder": tmp_path / "empty",
    }[kind]
    with pytest.raises(InputError, match="no DICOM slices.*Predict from the DICOM series"):
        write_dicom(an_answer(), phantom_case, series, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_another_series_is_refused_by_its_identity_and_a_moved_case_by_its_place(tmp_path):
    case = a_case(tmp_path / "ct")
    write_dicom_series(tmp_path / "other", IMAGE)
    with pytest.raises(InputError, match="not the one that the case was read from"):
        write_dicom(an_answer(), case, tmp_path / "other", tmp_path / "out")
    for volume in (image := IMAGE + 0, mask := as_labelmap(IMAGE, {"Mass": SEGMENTS["Mass"]})):
        volume.SetOrigin((-120.5, -60.25, 411.5))
    with pytest.raises(GeometryError, match="does not lie on the slices"):
        write_dicom(an_answer(), make_case("0012", image, mask), tmp_path / "ct", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_dciodvfy_finds_no_error_and_dcentvfy_one_patient_and_study(tmp_path):
    case = a_case(tmp_path / "ct")
    files = write_dicom(a_full_answer(), case, tmp_path / "ct", tmp_path / "out")
    assert {file.name: judge(file) for file in files} == {"report-sr.dcm": [], "tumour-seg.dcm": []}
    assert judge(tmp_path / "ct" / "slice000.dcm"), "the judge finds fault with an incomplete CT"
    if shutil.which("dcentvfy"):
        everything = [*map(str, files), *map(str, (tmp_path / "ct").iterdir())]
        run = subprocess.run(["dcentvfy", *everything], capture_output=True, text=True)
        assert not re.findall(r"^Error.*", run.stdout + run.stderr, re.M)


def test_codes_of_our_own_are_declared(tmp_path):
    case = a_case(tmp_path / "ct")
    report, _ = write_dicom(an_answer(), case, tmp_path / "ct", tmp_path / "out")
    data = pydicom.dcmread(report)
    assert [item.CodingSchemeDesignator for item in data.CodingSchemeIdentificationSequence] == [
        "99TACERESPONSE"
    ]
    assert (data.CompletionFlag, data.VerificationFlag, data.PreliminaryFlag) == (
        "COMPLETE",
        "UNVERIFIED",
        "PRELIMINARY",
    )
    headline = tumour_group(report).get_measurements(
        name=CodedConcept(
            "probability", "99TACERESPONSE", "Probability of objective response (mRECIST CR or PR)"
        )
    )
    assert len(headline) == 1


def test_a_real_series_gets_results_on_its_own_slices(real_data, tmp_path):
    folder = tmp_path / "ct"
    folder.mkdir()
    for file in ("01.dcm", "02.dcm", "03.dcm"):
        shutil.copy(real_data / "dcmqi-liver" / file, folder)
    case = read_case("liver", folder, real_data / "dcmqi-liver" / "liver.dcm")
    assert_real_results(case, folder, tmp_path / "out")


def test_a_real_series_without_uids_is_refused_and_with_uids_gets_its_results(real_data, tmp_path):
    """Its publisher emptied all UIDs; JPEG 2000, 512 x 512, private attributes of a scanner."""
    original = real_data / "totalsegmentator" / "ct_dicom"
    mask = real_data / "totalsegmentator" / "example_seg_dicom.nii.gz"
    with pytest.raises(InputError, match="Expected SOPClassUID, SOPInstanceUID, SeriesInstanceUID"):
        write_dicom(an_answer(), read_case("ct", original, mask, label=5), original, tmp_path / "out")
    folder = tmp_path / "ct"
    folder.mkdir()
    for file in original.iterdir():
        data = pydicom.dcmread(file)
        data.SOPClassUID = pydicom.uid.CTImageStorage
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID
        data.SeriesInstanceUID, data.StudyInstanceUID, data.FrameOfReferenceUID = "2.25.1", "2.25.2", "2.25.3"
        data.save_as(folder / f"{file.name}.dcm", enforce_file_format=True)
    assert_real_results(read_case("ct", folder, mask, label=5), folder, tmp_path / "out")


def assert_real_results(case, folder, out) -> None:
    files = write_dicom(an_answer(), case, folder, out)
    found = tumour_by_instance(files[1], folder.iterdir())
    assert sum(frame.sum() for frame in found.values()) == sitk.GetArrayViewFromImage(case.mask).sum()
    again = read_case("again", folder, files[1])
    np.testing.assert_array_equal(sitk.GetArrayFromImage(again.mask), sitk.GetArrayFromImage(case.mask))
    assert {file.name: judge(file) for file in files} == {"report-sr.dcm": [], "tumour-seg.dcm": []}
