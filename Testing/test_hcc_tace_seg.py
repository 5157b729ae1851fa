"""The public cohort: its clinical table as released, and its DICOM files made in the same structure."""

import csv
import dataclasses
import json
import shutil
import sys
import types

import numpy as np
import pandas as pd
import pydicom
import pytest
import SimpleITK as sitk
from openpyxl import Workbook
from pydicom.uid import generate_uid
from scenes import a_scene, write_dicom_seg, write_dicom_series
from TACEResponseLib.__main__ import main
from TACEResponseLib.cases.lesions import measure_lesions
from TACEResponseLib.cohorts.public import archive
from TACEResponseLib.cohorts.public.archive import ImagingDataCommons, RemoteSeries, fetch_collection
from TACEResponseLib.cohorts.public.hcc_tace_seg import (
    LABELS,
    RESPONSE_CODES,
    clinical_values,
    read_clinical,
    response_of,
)
from TACEResponseLib.cohorts.public.layout import lay_out
from TACEResponseLib.cohorts.table import read_cohort
from TACEResponseLib.follow_up.mrecist import mrecist_response
from TACEResponseLib.messages.errors import Cancelled, DependencyError, InputError
from TACEResponseLib.selection.reliability import icc

IMAGE, SEGMENTS = a_scene()
AI, CORRECTED = (f"AIMI liver-tumor {kind} segmentation" for kind in ("AI", "radiologist 7 corrected"))
VOXEL_ML = 0.75 * 0.75 * 2.5 / 1000


# --- the released table -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def released(real_data):
    return read_clinical(real_data / "hcc-tace-seg" / "clinical.xlsx")


@pytest.mark.parametrize(
    ("label", "responders", "patients"),
    [("reader1", 61, 96), ("reader2", 67, 96), ("reader3", 59, 95), ("majority", 61, 93)],
)
def test_the_labels_of_the_released_table(released, label, responders, patients):
    labels = [response_of(row, label)[0] for row in released.values()]
    known = [value for value in labels if value is not None]
    assert len(released) == 105
    assert (sum(known), len(known)) == (responders, patients)


@pytest.mark.parametrize("label", ["reader1", "majority"])
def test_the_labels_are_those_that_others_took_from_it(released, real_data, label):
    with (real_data / "hcc-tace-seg" / f"labels_{label}.csv").open() as stream:
        expected = {row["patient_id"]: int(row["label"]) for row in csv.DictReader(stream)}
    found = {name: response_of(row, label)[0] for name, row in released.items()}
    assert {name: value for name, value in found.items() if value is not None} == expected


@pytest.mark.parametrize(("reader", "readings"), [("1", 96), ("2", 96), ("3", 95)])
def test_the_mrecist_rule_gives_every_released_code(released, reader, readings):
    measured = [
        (float(row[f"{reader}_mRECIST_BL"]), float(row[f"{reader}_mRECIST_FU"]), row[f"{reader}_mRECIST"])
        for row in released.values()
        if row[f"{reader}_mRECIST"]
    ]
    assert len(measured) == readings
    for baseline_mm, follow_up_mm, code in measured:
        assert mrecist_response(baseline_mm, follow_up_mm) == RESPONSE_CODES[code]


def test_chemotherapy_keeps_its_text_na(released):
    assert sum(clinical_values(row)["chemotherapy"] == "NA" for row in released.values()) == 17


def test_the_readers_agree_on_baseline_as_published(released):
    columns = [[row[f"{reader}_mRECIST_BL"] for reader in "123"] for row in released.values()]
    ratings = np.array([[float(v) for v in row] for row in columns if all(row)])
    assert ratings.shape == (93, 3)
    assert icc(ratings, "ICC(2,1)").estimate[0] == pytest.approx(0.87145, abs=5e-6)


def test_every_released_column_has_a_name_with_its_unit(released):
    values = clinical_values(next(iter(released.values())))
    assert len(values) == 56  # 57 columns without the ID
    assert values["afp_ng_ml"] == "5"
    assert values["mrecist_baseline_reader1_mm"] == "44.5"
    assert (values["macrovascular_invasion"], values["sex"]) == ("no", "male")


# --- the same on data of our own ----------------------------------------------------------------


def a_clinical_table(path, ids):
    """A table in the collection's form; patients respond by reader 1 and 2, not by reader 3."""
    book = Workbook()
    book.active.append(["TCIA_ID", "TTP", "AFP", "chemotherapy", "1_mRECIST", "2_mRECIST", "3_mRECIST"])
    for number, patient_id in enumerate(ids):
        book.active.append([patient_id, 14 + number, 5.5, "NA", 1, 2, 4 if number else None])
    book.save(path)
    return path


def test_labels_by_reader_majority_and_time_to_progression(tmp_path):
    rows = read_clinical(a_clinical_table(tmp_path / "c.xlsx", ["HCC_001", "HCC_002"]))
    found = {by: [response_of(row, by) for row in rows.values()] for by in LABELS}
    assert found == {
        "reader1": [(1, "CR"), (1, "CR")],
        "reader2": [(1, "PR"), (1, "PR")],
        "reader3": [(None, ""), (0, "PD")],
        "majority": [(None, ""), (1, "")],
        "ttp14": [(0, ""), (1, "")],
    }
    assert clinical_values(rows["HCC_001"])["chemotherapy"] == "NA"


def test_one_reader_of_three_is_no_majority():
    codes = {"TTP": "3", "1_mRECIST": "3", "2_mRECIST": "1", "3_mRECIST": "4"}
    assert response_of(codes, "majority") == (0, "")
    assert response_of({**codes, "3_mRECIST": "2"}, "majority") == (1, "")


def with_vessels(aorta_hu: int, portal_hu: int):
    _, j, i = np.mgrid[tuple(slice(n) for n in (10, 48, 56))]
    aorta, portal = (j - 42) ** 2 + (i - 40) ** 2 < 9, (j - 36) ** 2 + (i - 14) ** 2 < 6
    values = sitk.GetArrayFromImage(IMAGE)
    values[aorta], values[portal] = aorta_hu, portal_hu
    image = sitk.GetImageFromArray(values)
    image.CopyInformation(IMAGE)
    free = ~(aorta | portal)
    named = {name: inside & free for name, inside in SEGMENTS.items()}
    return image, {**named, "Portal vein": portal, "Abdominal aorta": aorta}


def write_patient(
    folder, patient_id, *, slices=slice(None), second=(CORRECTED, AI), order=("arterial", "portal")
):
    """A patient as the collection holds them: two phases in one series UID, SEG of four segments.

    slices: those that the segmentation covers. Returns the true tumour on the annotated scan.
    """
    images = {"arterial": with_vessels(310, 120)[0], "portal": with_vessels(150, 165)[0]}
    segments = with_vessels(310, 120)[1]
    common = {
        "PatientID": patient_id,
        "StudyInstanceUID": generate_uid(),
        "SeriesInstanceUID": generate_uid(),
        "FrameOfReferenceUID": generate_uid(),
    }
    for number, phase in enumerate(order, start=1):
        place = folder / patient_id / "ct" / phase
        written = write_dicom_series(
            place, images[phase], "Recon 2: LIVER 3 PHASE (AP)", AcquisitionNumber=number, **common
        )
        if phase == "arterial":
            annotated = written[slices]
    expert = {name: inside[slices] for name, inside in segments.items()}
    write_dicom_seg(folder / patient_id / "seg.dcm", annotated, expert, omit_empty_frames=False)
    for description in second:
        mass = expert["Mass"].copy()
        mass[:, :, : 30 if description == AI else 29] = False
        write_dicom_seg(
            folder / patient_id / f"{description}.dcm",
            annotated,
            {"Liver": expert["Liver"], "Tumor": mass},
            series_description=description,
            # The automatic one comes first by UID and by name, so that only its kind can put it last.
            sop_instance_uid=f"1.2.{1 if description == AI else 9}.{generate_uid()}"[:64],
        )
    true = segments["Mass"].copy()
    true[[k for k in range(10) if k not in range(*slices.indices(10))]] = False
    return true


@pytest.fixture(scope="module")
def collection(tmp_path_factory):
    """Six patients, three of them broken, as DICOM files; and the true masks of the sound ones."""
    folder = tmp_path_factory.mktemp("HCC TACE Seg")
    true = {
        "HCC_001": write_patient(folder, "HCC_001"),
        "HCC_002": write_patient(folder, "HCC_002", slices=slice(1, 9), second=(AI,)),
        "HCC_003": write_patient(folder, "HCC_003", second=(), order=("portal", "arterial")),
    }
    write_patient(folder, "HCC_004")
    shutil.rmtree(folder / "HCC_004" / "ct")
    write_patient(folder, "HCC_005")
    seg = folder / "HCC_005" / "seg.dcm"
    seg.write_bytes(seg.read_bytes()[: 3 * seg.stat().st_size // 4])
    write_patient(folder, "HCC_006")
    (folder / "HCC_006" / "ct" / "arterial" / "slice004.dcm").unlink()
    a_clinical_table(folder / "clinical.xlsx", [f"HCC_00{n}" for n in range(1, 7)])
    return folder, true


@pytest.fixture(scope="module")
def laid_out(collection, tmp_path_factory):
    folder, _ = collection
    out = tmp_path_factory.mktemp("cohort")
    return out, lay_out(folder, folder / "clinical.xlsx", out)


def test_sound_patients_are_laid_out_with_the_annotated_phase_and_the_right_volumes(collection, laid_out):
    _, true = collection
    out, layout = laid_out
    patients = read_cohort(out).patients
    assert [p.patient_id for p in patients] == list(true)
    assert layout.patients == 3
    for patient in patients:
        case = patient.read_case()
        np.testing.assert_array_equal(sitk.GetArrayFromImage(case.mask) > 0, true[patient.patient_id])
        np.testing.assert_array_equal(
            sitk.GetArrayFromImage(case.image), sitk.GetArrayFromImage(with_vessels(310, 120)[0])
        )
        assert measure_lesions(case).volume_ml == pytest.approx(true[patient.patient_id].sum() * VOXEL_ML)
        assert case.warnings == ()


def test_the_second_reader_is_the_corrected_segmentation_before_the_automatic(collection, laid_out):
    _, true = collection
    out, _ = laid_out
    one, two, three = read_cohort(out).patients
    for patient, first_column, description in ((one, 29, CORRECTED), (two, 30, AI)):
        expected = true[patient.patient_id].copy()
        expected[:, :, :first_column] = False
        mask = sitk.GetArrayFromImage(patient.read_case(2).mask) > 0
        np.testing.assert_array_equal(mask, expected)
        provenance = json.loads((out / patient.patient_id / "provenance.json").read_text())
        assert provenance["mask_reader2"]["series_description"] == description
    assert three.mask_reader2 is None


def test_automatic_and_corrected_outlines_are_further_columns(collection, laid_out):
    _, true = collection
    out, _ = laid_out
    one, two, three = read_cohort(out).patients
    assert sorted(one.masks) == ["mask_automatic", "mask_corrected"]
    assert sorted(two.masks) == ["mask_automatic"]
    assert three.masks == {}
    for patient, column, first_column, description in (
        (one, "mask_corrected", 29, CORRECTED),
        (one, "mask_automatic", 30, AI),
        (two, "mask_automatic", 30, AI),
    ):
        expected = true[patient.patient_id].copy()
        expected[:, :, :first_column] = False
        case = dataclasses.replace(patient, mask=patient.masks[column]).read_case()
        np.testing.assert_array_equal(sitk.GetArrayFromImage(case.mask) > 0, expected)
        provenance = json.loads((out / patient.patient_id / "provenance.json").read_text())
        assert provenance[column]["series_description"] == description
        assert not any(name.startswith("mask") for name in patient.clinical)


def test_broken_patients_are_named_and_the_rest_go_on(laid_out):
    out, layout = laid_out
    problems = {p.patient_id or p.file: str(p) for p in layout.problems}
    assert set(problems) == {"HCC_004", "HCC_005", "HCC_006"}
    assert "HCC_004, seg.dcm: the CT of the segmentation is not here" in problems["HCC_004"]
    assert "received no CT of this patient" in problems["HCC_004"]
    assert "HCC_005, seg.dcm: the DICOM file is damaged" in problems["HCC_005"]
    assert "slices are missing or unevenly spaced" in problems["HCC_006"]
    assert sorted(p.name for p in out.iterdir()) == [
        "HCC_001",
        "HCC_002",
        "HCC_003",
        "SOURCE.txt",
        "cohort.csv",
    ]


def test_what_was_noticed_in_reading_a_scan_or_its_mask_is_among_the_warnings(tmp_path):
    write_patient(tmp_path, "HCC_001", second=())
    for number, path in enumerate(sorted((tmp_path / "HCC_001" / "ct" / "arterial").iterdir())):
        data = pydicom.dcmread(path)
        data.SliceLocation = 5.0 * number  # the positions are 2.5 mm apart
        data.save_as(path)
    a_clinical_table(tmp_path / "clinical.xlsx", ["HCC_001"])
    problems = lay_out(tmp_path, tmp_path / "clinical.xlsx", tmp_path / "out").problems
    (said,) = (str(p) for p in problems if "slice locations" in p.message)
    assert said.startswith("Patient HCC_001")
    assert "2.50 mm apart by their positions and 5.00 mm by their slice locations" in said


def test_the_table_holds_label_response_and_clinical_columns_with_units(laid_out):
    out, _ = laid_out
    patient = read_cohort(out).patients[1]
    assert (patient.label, patient.response, patient.center) == (1, "CR", "HCC-TACE-Seg")
    assert patient.clinical["afp_ng_ml"] == "5.5"
    assert patient.clinical["chemotherapy"] == "NA"


def test_a_rerun_keeps_what_is_there_and_another_label_changes_the_table_alone(collection, laid_out):
    folder, _ = collection
    out, _ = laid_out
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*.nrrd")}
    lay_out(folder, folder / "clinical.xlsx", out, label="reader3")
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*.nrrd")} == before
    assert [p.label for p in read_cohort(out).patients] == [None, 0, 0]
    lay_out(folder, folder / "clinical.xlsx", out)


def test_another_phase_is_taken_when_asked_for(collection, tmp_path):
    folder, true = collection
    source = tmp_path / "source"
    shutil.copytree(folder / "HCC_003", source / "HCC_003")
    lay_out(source, folder / "clinical.xlsx", tmp_path / "out", phase="portal venous")
    (patient,) = read_cohort(tmp_path / "out").patients
    case = patient.read_case()
    assert sitk.GetArrayFromImage(case.image)[5, 36, 14] == 165
    np.testing.assert_array_equal(sitk.GetArrayFromImage(case.mask) > 0, true["HCC_003"])
    layout = lay_out(source, folder / "clinical.xlsx", tmp_path / "out", phase="native")
    assert "no scan looks like the native phase" in str(layout.problems[0])


def test_a_segmentation_that_refers_to_both_phases_takes_the_arterial_one(tmp_path):
    write_patient(tmp_path, "HCC_001", second=())
    images = (tmp_path / "HCC_001" / "ct").rglob("*.dcm")
    slices = sorted((pydicom.dcmread(p) for p in images), key=lambda d: d.ImagePositionPatient[2])
    seg = pydicom.dcmread(tmp_path / "HCC_001" / "seg.dcm")
    references = seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    template = references[0]
    references.clear()
    for each in slices:
        item = pydicom.Dataset()
        item.ReferencedSOPClassUID = template.ReferencedSOPClassUID
        item.ReferencedSOPInstanceUID = each.SOPInstanceUID
        references.append(item)
    seg.save_as(tmp_path / "HCC_001" / "seg.dcm")
    lay_out(tmp_path, a_clinical_table(tmp_path / "c.xlsx", ["HCC_001"]), tmp_path / "out")
    case = read_cohort(tmp_path / "out").patients[0].read_case()
    assert sitk.GetArrayFromImage(case.image)[5, 42, 40] == 310


def test_a_cancelled_layout_leaves_whole_patients_only_and_goes_on(collection, tmp_path):
    folder, _ = collection

    def stop(stage, done, total):
        if stage == "laying out" and done == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        lay_out(folder, folder / "clinical.xlsx", tmp_path, progress=stop)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["HCC_001", "HCC_002"]
    assert all((tmp_path / name / "provenance.json").is_file() for name in ("HCC_001", "HCC_002"))
    assert lay_out(folder, folder / "clinical.xlsx", tmp_path).patients == 3


def test_fetch_lays_out_a_folder_that_was_downloaded_by_other_means(collection, tmp_path, capsys):
    folder, _ = collection
    code = main(
        ["fetch", "hcc-tace-seg", "--from", str(folder), "--out", str(tmp_path), "--label", "majority"]
    )
    assert code == 1
    printed = capsys.readouterr().out
    assert f"3 patients: {tmp_path}" in printed
    assert "HCC_004" in printed
    assert main(["check", "--cohort", str(tmp_path), "--jobs", "1"]) == 1  # one class only
    checked = capsys.readouterr().out
    assert "the training patients are all of one class" in checked.replace("The training", "the training")
    # All three have the scene's voxels.
    assert "3 patients: 0 ok, 0 warning, 3 error; 1 of the cohort as a whole" in checked


def test_a_folder_without_the_clinical_table_is_said_before_the_work(collection, tmp_path, capsys):
    folder, _ = collection
    assert main(["fetch", "hcc-tace-seg", "--from", str(folder / "HCC_001"), "--out", str(tmp_path)]) == 2
    assert "The collection's clinical table is not here" in capsys.readouterr().err.replace(
        "HCC_001: the", "The"
    )


# --- the download, against a stand-in -----------------------------------------------------------


class ShelfArchive:
    """An archive on the local disk that can break a transfer in the middle."""

    def __init__(self, folder):
        self.places, self.listed, self.asked = {}, [], []
        self.breaks = 0
        for place, modality in ((p, "CT") for p in sorted(folder.rglob("ct"))):
            self._shelve(sorted(place.rglob("*.dcm")), modality, place)
        for seg in sorted(p for p in folder.rglob("*.dcm") if p.parent.name.startswith("HCC_")):
            self._shelve([seg], "SEG", seg)

    def _shelve(self, files, modality, place):
        header = pydicom.dcmread(files[0], stop_before_pixels=True, force=True)
        uid = str(header.SeriesInstanceUID)
        self.places[uid] = files
        size_mb = sum(f.stat().st_size for f in files) / 1e6
        series = RemoteSeries(
            uid, str(header.StudyInstanceUID), str(header.PatientID), modality, len(files), round(size_mb, 6)
        )
        self.listed.append(series)

    def series(self, collection):
        return self.listed if collection == "hcc_tace_seg" else []

    def download(self, uid, folder):
        self.asked.append(uid)
        for number, path in enumerate(self.places[uid]):
            content = path.read_bytes()
            if self.breaks and len(self.places[uid]) > 3 and number == 3:
                self.breaks -= 1
                (folder / f"{number}.dcm").write_bytes(content[: len(content) // 2])
                raise ConnectionError("the network is gone")
            (folder / f"{number}.dcm").write_bytes(content)


@pytest.fixture
def shelf(collection, tmp_path):
    folder, _ = collection
    for name in ("HCC_001", "HCC_002"):
        shutil.copytree(folder / name, tmp_path / "shelf" / name)
    return ShelfArchive(tmp_path / "shelf")


def test_a_download_brings_segmentations_and_the_series_they_were_drawn_on(shelf, tmp_path):
    write_dicom_series(tmp_path / "shelf" / "HCC_001" / "other" / "ct", IMAGE, PatientID="HCC_001")
    shelf = ShelfArchive(tmp_path / "shelf")
    assert fetch_collection(shelf, "hcc_tace_seg", tmp_path / "dicom") == []
    fetched = {p.name for p in (tmp_path / "dicom").glob("*/*")}
    assert len([s for s in shelf.listed if s.modality == "CT"]) == 3
    assert len(fetched) == 2 + 5  # the unrelated CT stays where it is
    table = a_clinical_table(tmp_path / "c.xlsx", ["HCC_001", "HCC_002"])
    assert lay_out(tmp_path / "dicom", table, tmp_path / "out").patients == 2


def test_a_transfer_cut_off_in_the_middle_is_repeated(shelf, tmp_path):
    shelf.breaks = 2
    assert fetch_collection(shelf, "hcc_tace_seg", tmp_path / "dicom") == []
    assert len(shelf.asked) == len(set(shelf.asked)) + 2


def test_a_transfer_that_stays_cut_off_is_named_leaves_nothing_half_and_goes_on_later(shelf, tmp_path):
    shelf.breaks = 3
    (problem,) = fetch_collection(shelf, "hcc_tace_seg", tmp_path / "dicom")
    assert problem.patient_id == "HCC_001"
    assert "could not be fetched" in problem.message
    assert problem.received == "ConnectionError: the network is gone"
    assert not list((tmp_path / "dicom").rglob(".writing-*"))
    shelf.asked.clear()
    assert fetch_collection(shelf, "hcc_tace_seg", tmp_path / "dicom") == []
    assert len(shelf.asked) == 1  # what was complete is not asked for again


def test_a_file_damaged_on_disk_is_found_by_its_sum_and_fetched_again(shelf, tmp_path):
    fetch_collection(shelf, "hcc_tace_seg", tmp_path / "dicom")
    victim = sorted((tmp_path / "dicom").rglob("00004.dcm"))[0]
    content = bytearray(victim.read_bytes())
    content[-1] ^= 1
    victim.write_bytes(content)
    shelf.asked.clear()
    assert fetch_collection(shelf, "hcc_tace_seg", tmp_path / "dicom") == []
    assert shelf.asked == [victim.parent.name]
    assert victim.read_bytes() != bytes(content)


def test_a_cancelled_download_keeps_whole_series_only(shelf, tmp_path):
    def stop(stage, done, total):
        if stage == "fetching images" and done == 1:
            raise Cancelled

    with pytest.raises(Cancelled):
        fetch_collection(shelf, "hcc_tace_seg", tmp_path / "dicom", stop)
    assert all((p / "checksums.json").is_file() for p in (tmp_path / "dicom").glob("*/*"))


def test_the_disk_is_asked_before_anything_is_fetched(shelf, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "TACEResponseLib.storage.shutil.disk_usage", lambda _: types.SimpleNamespace(free=2**10)
    )
    with pytest.raises(InputError) as caught:
        fetch_collection(shelf, "hcc_tace_seg", tmp_path / "dicom")
    assert "the disk has too little room" in str(caught.value)
    assert shelf.asked == []
    assert not (tmp_path / "dicom").exists()


def test_idc_index_is_asked_for_by_name_when_it_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "idc_index.index", None)
    with pytest.raises(DependencyError, match="pip install idc-index"):
        ImagingDataCommons()


def test_the_index_and_the_download_of_idc_index_are_used_as_it_offers_them(shelf, tmp_path, monkeypatch):
    frame = pd.DataFrame(
        {
            "collection_id": "hcc_tace_seg",
            "SeriesInstanceUID": [s.uid for s in shelf.listed],
            "StudyInstanceUID": [s.study_uid for s in shelf.listed],
            "PatientID": [s.patient_id for s in shelf.listed],
            "Modality": [s.modality for s in shelf.listed],
            "instanceCount": [s.instances for s in shelf.listed],
            "series_size_MB": [str(s.size_mb) for s in shelf.listed],
        }
    )

    class IDCClient:
        index = frame

        def download_from_selection(self, downloadDir, seriesInstanceUID, quiet, show_progress_bar):
            assert quiet and not show_progress_bar
            for uid in seriesInstanceUID:
                place = types.SimpleNamespace(folder=tmp_path.__class__(downloadDir) / "hcc_tace_seg" / uid)
                place.folder.mkdir(parents=True)
                shelf.download(uid, place.folder)

    stand_in = types.ModuleType("idc_index.index")
    stand_in.IDCClient = IDCClient
    monkeypatch.setitem(sys.modules, "idc_index", types.ModuleType("idc_index"))
    monkeypatch.setitem(sys.modules, "idc_index.index", stand_in)
    table = a_clinical_table(tmp_path / "c.xlsx", ["HCC_001", "HCC_002"])
    arguments = ["fetch", "hcc-tace-seg", "--out", str(tmp_path / "out"), "--clinical", str(table)]
    assert main(arguments) == 0
    assert len(read_cohort(tmp_path / "out").patients) == 2


def test_the_real_index_lists_what_the_download_needs(real_data):
    frame = pd.read_csv(real_data / "hcc-tace-seg" / "idc_index.csv", dtype={"PatientID": str})
    client = ImagingDataCommons.__new__(ImagingDataCommons)
    client._client = types.SimpleNamespace(index=frame)
    listed = client.series("hcc_tace_seg")
    assert len(listed) == 1020
    assert sum(s.modality == "SEG" for s in listed) == 448
    assert len({s.patient_id for s in listed}) == 105
    assert archive.ATTEMPTS == 3


def test_our_columns_of_the_collection_are_compared_with_a_published_table(collection, tmp_path, capsys):
    """The stand-in's table is measured by the extension, then one column and one cell are changed."""
    folder, _ = collection
    fetched, features = tmp_path / "cohort", tmp_path / "published.csv"
    assert main(["fetch", "hcc-tace-seg", "--from", str(folder), "--out", str(fetched)]) == 1
    assert main(["extract", "--cohort", str(fetched), "--out", str(features), "--jobs", "1"]) == 0
    with features.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:
        row["original_glcm_Contrast"] = str(2 * float(row["original_glcm_Contrast"]))
    rows[0]["original_firstorder_Mean"] = str(1.0001 * float(rows[0]["original_firstorder_Mean"]))
    rows[1]["original_firstorder_Mean"] = ""
    with features.open("w", encoding="utf-8", newline="") as stream:
        table = csv.DictWriter(stream, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    capsys.readouterr()
    command = ["verify-public", "--from", str(folder), "--features", str(features), "--jobs", "1"]
    assert main([*command, "--out", str(tmp_path / "verified")]) == 1  # three patients are broken
    printed = capsys.readouterr().out
    assert "3 patients measured; 1128 of 1130 columns have the table's values in every patient" in printed
    assert "original_glcm_Contrast: 0 of 3 patients the same, largest relative deviation 0.5" in printed
    assert "original_firstorder_Mean: 1 of 2 patients the same, largest relative deviation 0.0001" in printed
    with (tmp_path / "verified" / "verification.csv").open(encoding="utf-8", newline="") as stream:
        assert len(list(csv.DictReader(stream))) == 1130


def test_a_table_that_does_not_say_how_it_was_measured_is_not_compared(collection, tmp_path, capsys):
    features = tmp_path / "published.csv"
    features.write_text("patient_id,original_firstorder_Mean\nHCC_001,3\n", encoding="utf-8")
    command = ["verify-public", "--from", str(collection[0]), "--features", str(features)]
    assert main([*command, "--out", str(tmp_path / "verified")]) == 2
    assert "does not say how its features were measured" in capsys.readouterr().err
