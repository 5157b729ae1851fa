"""What readers and checks of input say in Chinese, fault by fault, beside the English of before."""

import csv
import re
import sqlite3
from itertools import pairwise

import numpy as np
import pytest
import SimpleITK as sitk
from openpyxl import Workbook
from pydicom.pixels import get_decoder
from pydicom.uid import RLELossless
from scenes import a_scene, as_labelmap, write_dicom_series, write_seg_nrrd
from TACEResponseLib.cases import make_case
from TACEResponseLib.clinical.items import ClinicalValues, TumourBurden
from TACEResponseLib.clinical.scores import clinical_scores, item_in_words
from TACEResponseLib.cohorts.preflight import check_cohort
from TACEResponseLib.cohorts.preflight.table import as_text, drawn_language, write_preflight
from TACEResponseLib.cohorts.public.waw_layout import find
from TACEResponseLib.cohorts.table import read_cohort
from TACEResponseLib.follow_up import register as register_room
from TACEResponseLib.follow_up.agreement import Agreement
from TACEResponseLib.follow_up.mrecist import observed_response
from TACEResponseLib.follow_up.register import Register
from TACEResponseLib.measuring.feature_table import write_feature_csv
from TACEResponseLib.messages.errors import Problem, TACEResponseError
from TACEResponseLib.messages.language import in_language
from TACEResponseLib.phantom import make_patient
from TACEResponseLib.readers import read_case, read_image
from TACEResponseLib.readers.encodings import known_encoding
from TACEResponseLib.readers.tables import read_table
from TACEResponseLib.resumable import CaseJob, run_cases

IMAGE, SEGMENTS = a_scene()
MASK = as_labelmap(IMAGE, {"Mass": SEGMENTS["Mass"]})
#: Three words of a language with Latin letters beside each other.
RUN = re.compile(r"[A-Za-z]{2,}(?:[ ,;:.]+[A-Za-z]{2,}){2,}")


def shifted(mask: sitk.Image, mm: float) -> sitk.Image:
    moved = sitk.Image(mask)
    moved.SetOrigin(tuple(place + mm for place in mask.GetOrigin()))
    return moved


def written(folder, image=IMAGE, mask=MASK, image_name="ct.nrrd", mask_name="mask.nrrd"):
    sitk.WriteImage(image, str(folder / image_name))
    sitk.WriteImage(mask, str(folder / mask_name))
    return folder / image_name, folder / mask_name


def a_table(folder, *lines: str, name: str = "cohort.csv"):
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / name


# --- the faults: each makes one in an empty folder, and raises it or hands back the warning -------------


def another_grid(folder, _):
    read_case("P1", *written(folder, mask=shifted(MASK, 40)))


def an_empty_mask(folder, _):
    read_case("P1", *written(folder, mask=MASK * 0))


def several_segments(folder, _):
    image, _ = written(folder)
    read_case("P1", image, write_seg_nrrd(folder / "seg.seg.nrrd", IMAGE, SEGMENTS))


def a_label_that_is_not_there(folder, _):
    read_case("P1", *written(folder), label=7)


def hu_that_are_none(folder, _):
    image = sitk.Cast(IMAGE, sitk.sitkFloat32) / 4096
    read_case("P1", *written(folder, image=image))


def a_tumour_on_one_slice(folder, _):
    layers = np.zeros_like(sitk.GetArrayFromImage(MASK))
    layers[5, 20:30, 20:30] = 1
    mask = sitk.GetImageFromArray(layers)
    mask.CopyInformation(MASK)
    return make_case("P1", IMAGE, mask).warnings[0]


def a_mask_that_is_not_there(folder, _):
    image, _ = written(folder)
    read_case("P1", image, folder / "gone.nrrd")


def a_volume_that_ends_early(folder, _):
    image, mask = written(folder, image_name="ct.nii.gz")
    image.write_bytes(image.read_bytes()[: image.stat().st_size // 2])
    read_case("P1", image, mask)


def slices_of_an_mr(folder, _):
    for number, data in enumerate(write_dicom_series(folder / "scan", IMAGE)):
        data.Modality = "MR"
        data.save_as(folder / "scan" / f"slice{number:03d}.dcm", enforce_file_format=True)
    read_image(folder / "scan")


def packed_slices(folder, monkeypatch):
    for number, data in enumerate(write_dicom_series(folder / "scan", IMAGE, Modality="CT")):
        data.compress(RLELossless)
        data.RescaleIntercept = -1024 + number % 2  # so that they are unpacked one by one
        data.save_as(folder / "scan" / f"slice{number:03d}.dcm", enforce_file_format=True)
    monkeypatch.setattr(type(get_decoder(RLELossless)), "is_available", False)
    read_image(folder / "scan")


def a_missing_slice(folder, _):
    write_dicom_series(folder / "scan", IMAGE)
    (folder / "scan" / "slice004.dcm").unlink()
    read_image(folder / "scan")


def another_phase(folder, _):
    write_dicom_series(folder / "scan", IMAGE, "portal venous")
    _, mask = written(folder)
    return read_case("P1", folder / "scan", mask).warnings[-1]


def two_faults_of_a_table(folder, _):
    read_cohort(a_table(folder, "patient_id,image,mask", "P1,,mask.nrrd", "P1,ct.nrrd,mask.nrrd"))


def a_missing_column(folder, _):
    read_cohort(a_table(folder, "patient_id,image", "P1,ct.nrrd"))


def an_unknown_encoding(folder, _):
    known_encoding("gb9999")


def an_encrypted_spreadsheet(folder, _):
    (folder / "cohort.xlsx").write_bytes(b"\xd0\xcf\x11\xe0" + bytes(512))
    read_table(folder / "cohort.xlsx", ("patient_id",))


def hidden_rows(folder, _):
    book = Workbook()
    for row in (["patient_id"], ["P1"], ["P2"]):
        book.active.append(row)
    book.active.row_dimensions[3].hidden = True
    book.save(folder / "cohort.xlsx")
    read_table(folder / "cohort.xlsx", ("patient_id",))


def an_unknown_repair(folder, _):
    read_cohort(a_table(folder, "patient_id,image,mask,repair", "P1,ct.nrrd,mask.nrrd,glue"))


def an_unknown_response(folder, _):
    read_cohort(a_table(folder, "patient_id,image,mask,response", "P1,ct.nrrd,mask.nrrd,better"))


def one_ct_in_training_and_validation(folder, _):
    written(folder)
    lines = ("patient_id,image,mask,cohort", "P1,ct.nrrd,mask.nrrd,", "P2,ct.nrrd,mask.nrrd,validation")
    check = check_cohort(read_cohort(a_table(folder, *lines)))
    return check.patients[0].problems[-1]


def a_damaged_archive(folder, _):
    (folder / "ct_scans_1.zip").write_bytes(b"PK nothing")
    find(archives=[folder / "ct_scans_1.zip"])


def bilirubin_in_another_unit(folder, _):
    ClinicalValues.from_columns({"bilirubin_umol_l": "0.9"}, row=4, table="cohort.csv")


def ascites_as_a_number(folder, _):
    ClinicalValues.from_columns({"ascites": "2"}, row=4, table="cohort.csv")


def a_number_of_two_readings(folder, _):
    ClinicalValues.from_columns({"afp_ng_ml": "12,100"}, row=4, table="cohort.csv")


def a_register_in_use(folder, monkeypatch):
    monkeypatch.setattr(register_room, "PATIENCE_S", 0.05)
    with Register(folder / "register.sqlite", create=True):
        pass
    other = sqlite3.connect(folder / "register.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        with Register(folder / "register.sqlite") as register:
            register.record_outcome("P1", "CR")
    finally:
        other.close()


def a_patient_who_was_not_predicted(folder, _):
    with Register(folder / "register.sqlite", create=True) as register:
        register.record_outcome("P1", "CR")


def masks_of_the_whole_tumour(folder, _):
    observed_response(None, None, viable_arterial=False)


def a_phantom_of_another_size(folder, _):
    make_patient(0, seed=1, size="huge")


def a_feature_without_a_value(folder, _):
    write_feature_csv(folder / "features.csv", {"P1": {"original_glcm_Contrast": float("nan")}})


def a_file_that_is_not_there_in_a_run(folder, _):
    (outcome,) = run_cases([CaseJob("P1", (folder / "gone.nrrd",))], print, store=folder / "store", recipe={})
    return Problem(**{**vars(outcome), "received": ""})  # what the system says, in its own language


#: What an error or a warning says in English, and the names and values that it holds in every language.
FAULTS = {
    another_grid: (
        "Patient P1, mask.nrrd: the mask lies on another grid than the CT. Expected 56 x 48 x 10 "
        "voxels of 0.75 x 0.75 x 2.5 mm at (-120.50, -60.25, 410.00); received 56 x 48 x 10 "
        "voxels of 0.75 x 0.75 x 2.5 mm at (-80.50, -20.25, 450.00), 69.3 mm away. Export the "
        "mask on the CT's grid, or choose the CT on which it was drawn.",
        ("P1", "mask.nrrd"),
    ),
    an_empty_mask: (
        "Patient P1, mask.nrrd: the mask is empty. Expected at least one voxel above 0; received "
        "0 in every voxel. Draw the tumour, or choose another mask.",
        ("P1", "mask.nrrd"),
    ),
    several_segments: (
        "Patient P1, seg.seg.nrrd: the segmentation holds several segments. Expected one "
        'segment, or a choice; received "Liver", "Mass". Name the tumour\'s segment, or all.',
        ("P1", "seg.seg.nrrd", "Liver", "Mass"),
    ),
    a_label_that_is_not_there: (
        "Patient P1, mask.nrrd: label 7 is not in the mask. Expected label 7; received labels 1. "
        "Choose one of those labels, or all.",
        ("P1", "mask.nrrd", "7"),
    ),
    hu_that_are_none: (
        "Patient P1, ct.nrrd: the CT looks scaled, not in HU. Expected HU, for example -50 to "
        "200 in a tumour; received 0.0212402 to 0.0324707. Export the CT without scaling its "
        "intensities.",
        ("P1", "ct.nrrd"),
    ),
    a_tumour_on_one_slice: (
        "Patient P1: the tumour is drawn on one slice only (100 voxels). Draw it on every slice it reaches.",
        ("P1",),
    ),
    a_mask_that_is_not_there: (
        "Patient P1, gone.nrrd: mask not found: FOLDER/gone.nrrd. Check the path.",
        ("P1", "gone.nrrd"),
    ),
    a_volume_that_ends_early: (
        "Patient P1, ct.nii.gz: the file cannot be read as a volume. Expected a whole NIfTI, "
        "NRRD or MetaImage file, or a folder of DICOM slices; received the packed data end "
        "early. Export the volume again.",
        ("P1", "ct.nii.gz"),
    ),
    slices_of_an_mr: (
        "slice000.dcm: the image is no CT in HU. Expected a CT, modality CT; received modality "
        "MR. Choose the contrast-enhanced CT of the patient.",
        ("slice000.dcm",),
    ),
    packed_slices: (
        "slice000.dcm: the pixels are packed in a way that no package here unpacks. Expected "
        "pixels that are not packed, or packed as RLE or JPEG-LS; received RLE Lossless. Export "
        "the series without compression, or as single slices.",
        ("slice000.dcm", "RLE Lossless"),
    ),
    a_missing_slice: (
        "scan: slices are missing or unevenly spaced. Expected 2.50 mm everywhere; received 5.00 "
        "mm after 417.50 mm. Export one complete, untilted series.",
        ("scan",),
    ),
    another_phase: (
        "Patient P1: the CT looks like the portal venous phase. Expected the arterial phase; "
        'received series "portal venous". Choose the arterial series if there is one.',
        ("P1", "portal venous"),
    ),
    two_faults_of_a_table: (
        "cohort.csv: the table has 2 faults. Correct each of them.\n"
        "cohort.csv: row 3, column patient_id repeats row 2. Expected a text that no other row "
        'has; received "P1". Give every patient an ID of its own.\n'
        "Patient P1, cohort.csv: row 2, column image is empty. Expected a path.",
        ("P1", "cohort.csv"),
    ),
    a_missing_column: (
        "cohort.csv: the table has no column mask. Expected patient_id, image, mask; received "
        "patient_id, image. Rename or add the column.",
        ("cohort.csv",),
    ),
    an_unknown_encoding: (
        "There is no such text encoding. Expected for example utf-8, gb18030, big5, shift_jis, "
        "cp949, cp1251, cp1252; received gb9999.",
        ("gb9999",),
    ),
    an_encrypted_spreadsheet: (
        "cohort.xlsx: the table is a spreadsheet of an old Excel. Expected CSV or .xlsx; "
        "received .xls, the format of Excel 97 to 2003. Save it as .xlsx.",
        ("cohort.xlsx",),
    ),
    hidden_rows: (
        'cohort.xlsx: rows are hidden on the sheet "Sheet". Expected plain cells that are all '
        "shown; received row 3. Clear the filter or show the rows, or delete them.",
        ("cohort.xlsx", "Sheet"),
    ),
    an_unknown_repair: (
        "Patient P1, cohort.csv: row 2, column repair: no repair has this name. Expected "
        "copy-geometry, resample-mask, union; received glue. Choose one of those, or leave it "
        "empty.",
        ("P1", "cohort.csv", "glue"),
    ),
    an_unknown_response: (
        "Patient P1, cohort.csv: row 2, column response is not a response. Expected CR, PR, SD, "
        'PD; received "better". Correct the cell.',
        ("P1", "cohort.csv", "better"),
    ),
    one_ct_in_training_and_validation: (
        "Patient P1: the CT is also that of another patient, in training and in validation. "
        "Expected a CT of its own for every patient; received the same voxels as patient P2 "
        "(validation). Keep one of them.",
        ("P1", "P2"),
    ),
    a_damaged_archive: (
        "ct_scans_1.zip: the archive is damaged. Fetch it again.",
        ("ct_scans_1.zip",),
    ),
    bilirubin_in_another_unit: (
        "cohort.csv: row 4, column bilirubin_umol_l cannot be umol/l. Expected 1 to 1000; "
        "received 0.9, which looks like mg/dl. Rename the column to bilirubin_mg_dl, or correct "
        "the cell.",
        ("cohort.csv",),
    ),
    ascites_as_a_number: (
        "cohort.csv: row 4, column ascites is not a degree of ascites. Expected none, mild or "
        'more, or an empty cell; received "2", which may be a grade or Child-Pugh\'s points. '
        "Write the word.",
        ("cohort.csv",),
    ),
    a_number_of_two_readings: (
        "cohort.csv: row 4, column afp_ng_ml can be read in two ways. Expected a number, for "
        'example 12.5, <0.9 or >1210, or an empty cell; received "12,100". Write a decimal point '
        "and no thousands separator.",
        ("cohort.csv",),
    ),
    a_register_in_use: (
        "register.sqlite: the register is in use by another program. Received no turn in 0 s. "
        "Try again later.",
        ("register.sqlite",),
    ),
    a_patient_who_was_not_predicted: (
        "Patient P1: the register holds no prediction of this patient. Expected an ID as it was "
        "recorded; 0 are in it. Predict with --register first, or correct the ID.",
        ("P1",),
    ),
    masks_of_the_whole_tumour: (
        "A mask cannot say of itself that it is viable tumour, which mRECIST measures. Expected "
        "masks of the parts that enhance in the arterial phase; received masks that may hold the "
        "whole tumour, necrosis included. Outline viable tumour on both arterial CTs and say so "
        "with --viable-arterial.",
        ("--viable-arterial",),
    ),
    a_phantom_of_another_size: (
        "Size huge is unknown. Expected small or full; received huge.",
        ("huge",),
    ),
    a_feature_without_a_value: (
        "Patient P1: a feature has no value. Expected a number; received nan.",
        ("P1", "nan"),
    ),
    a_file_that_is_not_there_in_a_run: (
        "Patient P1, gone.nrrd: a file cannot be read or written. Check the path in the table, "
        "and that the file can be opened.",
        ("P1", "gone.nrrd"),
    ),
}


def sentence_of(fault, folder, language: str) -> tuple[str, Problem]:
    """What the fault says in a language, and the problem itself."""
    place = folder / language
    place.mkdir()
    with in_language(language), pytest.MonkeyPatch.context() as monkeypatch:
        try:
            found = fault(place, monkeypatch)
        except TACEResponseError as error:
            return str(error).replace(str(place), "FOLDER"), error.problem
        return str(found).replace(str(place), "FOLDER"), found


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_fault_is_said_in_english_as_ever_and_in_chinese_whole(fault, tmp_path):
    english, names = FAULTS[fault]
    said, problem = sentence_of(fault, tmp_path, "en")
    assert said == english
    said, in_chinese = sentence_of(fault, tmp_path, "zh")
    kept = [(p.kind, p.field, p.severity, p.patient_id, p.file) for p in (problem, in_chinese)]
    assert kept[0] == kept[1]
    for name in names:
        assert name in said
        said = said.replace(name, "")
    assert re.search(r"[\u4e00-\u9fff]{2}", said)
    assert RUN.findall(said) == []
    assert all(line.endswith("。") for line in said.splitlines())


def test_what_a_clinical_score_needs_and_its_group_are_said_in_chinese_and_stay_codes():
    values = ClinicalValues(albumin_g_l=30.0, bilirubin_umol_l=20.0)
    burden = TumourBurden(2, (6.0, 2.0))
    with in_language("zh"):
        found = {score.name: score for score in clinical_scores(values, burden)}
        assert (found["albi"].group, found["albi"].text) == ("grade 2", "-1.69：2 级")
        assert (found["up_to_seven"].group, found["up_to_seven"].text) == ("out", "8：超出标准")
        assert found["hap"].missing == ("AFP",)
        assert found["hap"].text == "需要：甲胎蛋白（AFP）"
        assert item_in_words("AFP >200 decides nothing") == "甲胎蛋白（AFP）：>200 不足以判定"
        assert found["tumour_burden"].title == "肿瘤负荷评分"
        assert found["milan"].built_for == "移植后生存"
    found = {score.name: score for score in clinical_scores(values, burden)}
    assert (found["hap"].text, found["tumour_burden"].title) == ("needs AFP", "tumour burden score")
    assert found["albi"].text == "-1.69: grade 2"


def test_what_an_audit_cannot_say_is_said_in_chinese():
    agreement = Agreement(np.array([1, 0, 0]), np.array([0.7, 0.4, 0.2]), 0.5)
    with in_language("zh"):
        cautions = agreement.cautions()
    assert cautions[0] == "没有 AUC：每类至少需要两位患者，而现有应答 1 位、未应答 2 位。"
    assert all(RUN.findall(text.replace("Collins et al., Stat Med", "")) == [] for text in cautions)


def test_the_lines_of_a_check_stand_under_each_other_and_its_data_keep_their_codes(tmp_path):
    written(tmp_path)
    lines = ("patient_id,image,mask,label", "P1,ct.nrrd,mask.nrrd,1", "P2,ct.nrrd,gone.nrrd,0")
    cohort = read_cohort(a_table(tmp_path, *lines))
    with in_language("zh"):
        check = check_cohort(cohort)
        text = as_text(check).splitlines()
        files = write_preflight(check, tmp_path / "out")
    assert text[0] == "正常    患者 P1：1 个病灶，12 mm，0.9 mL"
    assert text[1].startswith("错误    患者 P2、gone.nrrd：未找到掩膜：")
    assert text[-1] == "2 位患者：正常 1、警告 0、错误 1；另有 1 项涉及整个队列"
    heading, numbers = next((a, b) for a, b in pairwise(text) if a.startswith("队列"))
    assert heading == "队列      中心  应答者  非应答者  无标签  第二位阅片者"
    assert numbers == "training        1       1         0       0"
    with (tmp_path / "out" / "check.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["verdict"], row["severity"], row["kind"]) for row in rows] == [
        ("ok", "", ""),
        ("error", "error", "input"),
        ("error", "error", "training"),  # of the cohort as a whole
    ]
    assert {file.name for file in files} == {"check.jsonl", "check.csv", "contact_sheet.png"}


def test_a_contact_sheet_is_in_english_where_no_font_has_chinese_letters():
    assert drawn_language(["DejaVu Sans"]) == "en"
    with in_language("zh"):
        assert drawn_language([]) == drawn_language(["DejaVu Sans"]) == "en"
        assert drawn_language(["DejaVu Sans", "SimHei"]) == "zh"
