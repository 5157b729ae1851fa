"""The preflight names every problem of a cohort before anything is computed, and shows the masks."""

import base64
import csv
import html
import io
import json
import re

import numpy as np
import pytest
import SimpleITK as sitk
from scenes import a_scene, as_labelmap
from TACEResponseLib.__main__ import main
from TACEResponseLib.cohorts.preflight import check_cohort
from TACEResponseLib.cohorts.preflight.table import write_preflight
from TACEResponseLib.cohorts.table import read_cohort
from TACEResponseLib.commands.check_page import write_check_page
from TACEResponseLib.messages.errors import Cancelled

IMAGE, SEGMENTS = a_scene()
MASK = as_labelmap(IMAGE, {"Mass": SEGMENTS["Mass"]})


def an_image(seed: int) -> sitk.Image:
    """The scene with noise of its own, so that no two patients have the same voxels."""
    values = sitk.GetArrayFromImage(IMAGE)
    noise = np.random.default_rng(seed).integers(-5, 6, values.shape)
    image = sitk.GetImageFromArray((values + noise).astype(np.int16))
    image.CopyInformation(IMAGE)
    return image


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Twelve CTs, a good mask and bad ones, in one folder."""
    folder = tmp_path_factory.mktemp("cohort files")
    for n in range(12):
        sitk.WriteImage(an_image(n), str(folder / f"ct{n}.nrrd"))
    sitk.WriteImage(an_image(3), str(folder / "ct3 again.nii.gz"))
    sitk.WriteImage(MASK, str(folder / "mask.nrrd"))
    sitk.WriteImage(MASK * 0, str(folder / "empty.nrrd"))
    shifted = sitk.Image(MASK)
    shifted.SetOrigin((-120.5, -60.25, 420.0))
    sitk.WriteImage(shifted, str(folder / "shifted.nrrd"))
    bare = sitk.GetImageFromArray(sitk.GetArrayFromImage(MASK))
    sitk.WriteImage(bare, str(folder / "bare.nrrd"))
    return folder


def checked(files, *rows, header="patient_id,image,mask", **options):
    table = files / "cohort.csv"
    table.write_text("\n".join([header, *rows]), encoding="utf-8")
    return check_cohort(read_cohort(table), **options)


def sentences(check, patient_id: str) -> list[str]:
    (found,) = (p for p in check.patients if p.patient.patient_id == patient_id)
    return [str(problem) for problem in found.problems]


def test_one_broken_patient_never_hides_the_others(files):
    check = checked(
        files,
        "P1,ct0.nrrd,mask.nrrd",
        "P2,ct1.nrrd,shifted.nrrd",
        "P3,ct2.nrrd,gone.nrrd",
        "P4,cohort.csv,mask.nrrd",
        "P5,ct4.nrrd,mask.nrrd",
    )
    assert [p.verdict for p in check.patients] == ["ok", "error", "error", "error", "ok"]
    assert check.verdicts == {"ok": 2, "warning": 0, "error": 3}
    assert check.patients[0].lesions["number"] == 1
    assert sentences(check, "P2") == [
        "Patient P2, shifted.nrrd: the mask lies on another grid than the CT. Expected 56 x 48 x 10 voxels "
        "of 0.75 x 0.75 x 2.5 mm at (-120.50, -60.25, 410.00); received 56 x 48 x 10 voxels of 0.75 x 0.75 "
        "x 2.5 mm at (-120.50, -60.25, 420.00), 10.0 mm away. Export the mask on the CT's grid, or choose "
        "the CT on which it was drawn."
    ]
    assert re.fullmatch(
        r"Patient P3, gone\.nrrd: mask not found: .*gone\.nrrd\. Check the path\.", sentences(check, "P3")[0]
    )
    assert "cohort.csv: the file cannot be read as a volume" in sentences(check, "P4")[0]


def test_a_second_reader_on_another_grid_is_named_as_the_second_reader(files):
    check = checked(
        files,
        "P1,ct0.nrrd,mask.nrrd,shifted.nrrd",
        "P2,ct1.nrrd,mask.nrrd,mask.nrrd",
        header="patient_id,image,mask,mask_reader2",
    )
    (problem,) = check.patients[0].problems
    assert (problem.field, problem.file) == ("mask_reader2", "shifted.nrrd")
    assert problem.message == "the mask lies on another grid than the CT"
    assert check.patients[1].problems == ()


@pytest.mark.parametrize("moved", [1, 4, 7, 11, 16])
def test_a_second_mask_elsewhere_than_the_first_is_a_warning_with_its_dice(files, moved):
    """Dice of the two masks by hand: twice what they share, by the sum of both."""
    values = sitk.GetArrayFromImage(MASK)
    other = np.roll(values, moved, axis=2)
    by_hand = 2 * np.sum((values > 0) & (other > 0)) / (values.sum() + other.sum())
    second = sitk.GetImageFromArray(other)
    second.CopyInformation(MASK)
    sitk.WriteImage(second, str(files / "second.nrrd"))
    check = checked(files, "P1,ct0.nrrd,mask.nrrd,second.nrrd", header="patient_id,image,mask,mask_reader2")
    if by_hand >= 0.5:
        assert sentences(check, "P1") == []
        assert moved < 8
        return
    assert moved > 6
    assert check.patients[0].verdict == "warning"
    assert sentences(check, "P1")[-1] == (
        "Patient P1, second.nrrd: the second reader's mask lies elsewhere than the first's. Expected a Dice "
        f"coefficient of 0.5 or more; received {by_hand:.2f}. Look at both outlines: one may be flipped, or "
        "of another tumour."
    )


def test_a_flipped_second_mask_is_not_ok(files):
    flipped = sitk.GetImageFromArray(sitk.GetArrayFromImage(MASK)[:, ::-1, ::-1])
    flipped.CopyInformation(MASK)
    sitk.WriteImage(flipped, str(files / "flipped second.nrrd"))
    check = checked(
        files, "P1,ct0.nrrd,mask.nrrd,flipped second.nrrd", header="patient_id,image,mask,mask_reader2"
    )
    assert check.verdicts == {"ok": 0, "warning": 1, "error": 0}
    assert "the second reader's mask lies elsewhere than the first's" in sentences(check, "P1")[-1]


def test_the_same_ct_in_training_and_validation_is_an_error_whatever_its_format(files):
    header = "patient_id,image,mask,cohort"
    rows = ["P1,ct3.nrrd,mask.nrrd,training", "P2,ct3 again.nii.gz,mask.nrrd,{}", "P3,ct4.nrrd,mask.nrrd,"]
    leak = checked(files, *rows[:1], rows[1].format("validation"), rows[2], header=header)
    assert [p.verdict for p in leak.patients] == ["error", "error", "ok"]
    assert sentences(leak, "P2") == [
        "Patient P2: the CT is also that of another patient, in training and in validation. Expected a CT "
        "of its own for every patient; received the same voxels as patient P1 (training). Keep one of them."
    ]
    twice = checked(files, *rows[:1], rows[1].format("training"), header=header)
    assert [p.verdict for p in twice.patients] == ["error", "error"]


def test_ids_that_a_spreadsheet_makes_alike_are_a_warning(files):
    check = checked(files, "0012,ct0.nrrd,mask.nrrd", "12,ct1.nrrd,mask.nrrd", "13,ct2.nrrd,mask.nrrd")
    assert [p.verdict for p in check.patients] == ["warning", "warning", "ok"]
    assert sentences(check, "0012") == [
        "Patient 0012: another patient has nearly the same ID. Received 12. Check that these are different "
        "patients."
    ]


def test_a_blank_label_names_its_row(files):
    check = checked(
        files, "P1,ct0.nrrd,mask.nrrd,1", "P2,ct1.nrrd,mask.nrrd,", header="patient_id,image,mask,label"
    )
    assert sentences(check, "P2") == [
        "Patient P2: row 3: label and response are empty. Expected label 0 or 1, or response CR, PR, SD or "
        "PD; received nothing. Fill one of them, or the patient is neither trained nor evaluated on."
    ]


def test_one_class_only_and_too_few_for_the_folds_are_said_of_the_cohort(files):
    header = "patient_id,image,mask,label"
    rows = [f"P{n},ct{n}.nrrd,mask.nrrd" for n in range(12)]
    only = checked(files, *(f"{row},1" for row in rows), header=header)
    assert [str(p) for p in only.problems] == [
        "The training patients are all of one class. Expected responders and non-responders; received 12 "
        "responders only. Add patients of the other class, or check the labels."
    ]
    few = checked(files, *(f"{row},{int(n < 3)}" for n, row in enumerate(rows)), header=header, folds=5)
    assert [str(p) for p in few.problems] == [
        "Too few patients of one class. Expected at least 10 responders and 10 non-responders to train on; "
        "received 3 responders, 9 non-responders. Add patients, or check the labels."
    ]


def test_clinical_numbers_that_cannot_be_are_warnings_with_row_and_column(files):
    check = checked(
        files,
        'P1,ct0.nrrd,mask.nrrd,4.0,>1210,"12,5",ja',
        'P2,ct1.nrrd,mask.nrrd,38,"12,100",1.1,nein',
        header="patient_id,image,mask,albumin_g_l,afp_ng_ml,inr,ascites",
    )
    assert sentences(check, "P1") == [
        "Patient P1: row 2, column albumin_g_l cannot be g/l. Expected 10 to 70; received 4.0, which looks "
        "like g/dl. Rename the column to albumin_g_dl, or correct the cell.",
        "Patient P1: row 2, column ascites is not a degree of ascites. Expected none, mild or more, or an "
        'empty cell; received "ja", which says that there is some, not how much. Write the word.',
    ]
    assert "row 3, column afp_ng_ml can be read in two ways" in sentences(check, "P2")[0]
    assert [p.verdict for p in check.patients] == ["warning", "warning"]


def test_counts_are_by_cohort_and_center(files):
    check = checked(
        files,
        "P1,ct0.nrrd,mask.nrrd,mask.nrrd,1,training,A",
        "P2,ct1.nrrd,mask.nrrd,,0,,A",
        "P3,ct2.nrrd,mask.nrrd,,,external,B",
        header="patient_id,image,mask,mask_reader2,label,cohort,center",
    )
    assert check.counts == [
        {
            "cohort": "training",
            "center": "A",
            "responders": 1,
            "non_responders": 1,
            "unlabelled": 0,
            "second_reader": 1,
        },
        {
            "cohort": "external",
            "center": "B",
            "responders": 0,
            "non_responders": 0,
            "unlabelled": 1,
            "second_reader": 0,
        },
    ]


def test_stray_voxels_are_counted_and_said(files):
    values = sitk.GetArrayFromImage(MASK)
    values[1, 1, 1] = values[8, 46, 54] = 1
    stray = sitk.GetImageFromArray(values)
    stray.CopyInformation(MASK)
    sitk.WriteImage(stray, str(files / "stray.nrrd"))
    check = checked(files, "P1,ct0.nrrd,stray.nrrd")
    assert check.patients[0].lesions["number"] == 1
    assert "received 1 lesions and 2 stray components" in sentences(check, "P1")[0]


def test_the_picture_shows_the_tumour_where_it_is_so_that_a_flip_is_seen(files):
    flipped = sitk.GetImageFromArray(sitk.GetArrayFromImage(MASK)[:, :, ::-1])
    flipped.CopyInformation(MASK)
    sitk.WriteImage(flipped, str(files / "flipped.nrrd"))
    check = checked(files, "P1,ct0.nrrd,mask.nrrd", "P2,ct0.nrrd,flipped.nrrd")
    right, wrong = (p.thumbnail for p in check.patients)
    brightness = [t.grey[t.tumour].mean() - t.grey.mean() for t in (right, wrong)]
    assert right.grey.shape == (165, 192)
    assert brightness[0] > brightness[1] + 10  # the flipped outline lies beside the bright tumour
    share = right.tumour.mean() / SEGMENTS["Mass"][4].mean()
    assert share == pytest.approx(1, abs=0.12)


def test_check_writes_the_table_the_lines_and_the_sheet(files, tmp_path, capsys):
    rows = ["病人,ct0.nrrd,mask.nrrd", "P2,ct1.nrrd,empty.nrrd", "$x_1$,ct2.nrrd,mask.nrrd"]
    (files / "cohort.csv").write_text("\n".join(["patient_id,image,mask", *rows]), encoding="utf-8")
    assert main(["check", "--cohort", str(files), "--out", str(tmp_path / "out"), "--jobs", "1"]) == 1
    printed = capsys.readouterr().out
    assert "3 patients: 2 ok, 0 warning, 1 error" in printed
    assert "error   Patient P2, empty.nrrd: the mask is empty." in printed
    lines = (tmp_path / "out" / "check.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["verdict"] for line in lines] == ["ok", "error", "ok"]
    problem = json.loads(lines[1])["problems"][0]
    assert set(problem) == {"kind", "field", "expected", "received", "remedy", "message"}
    with (tmp_path / "out" / "check.csv").open(encoding="utf-8", newline="") as stream:
        table = list(csv.DictReader(stream))
    assert [(r["patient_id"], r["verdict"], r["kind"]) for r in table] == [
        ("病人", "ok", ""),
        ("P2", "error", "mask"),
        ("$x_1$", "ok", ""),
    ]
    sheet = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "out" / "contact_sheet.png")))
    assert sheet.shape[:2] == (232, 588)
    outline = (sheet[:212, :, :3] == (255, 70, 70)).all(axis=2)
    assert not outline[:, :196].any()  # P2 comes first and has no outline, but its CT
    assert sheet[100:180, :190, :3].std() > 20
    assert outline[:, 196:392].sum() > 50
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "check.csv",
        "check.html",
        "check.jsonl",
        "contact_sheet.png",
    ]


def pictures(page: str) -> dict[str, np.ndarray]:
    """Alternative text of every picture of a page -> its pixels."""
    from matplotlib.image import imread

    found = re.findall(r'<img src="data:image/png;base64,([^"]+)" alt="([^"]+)"', page)
    read = lambda data: np.round(imread(io.BytesIO(base64.b64decode(data)))[..., :3] * 255).astype(int)
    return {html.unescape(words): read(data) for data, words in found}


def test_the_page_shows_failures_first_the_ct_where_a_mask_failed_and_a_legend_of_both_readers(
    files, tmp_path
):
    rows = [
        "P1,ct0.nrrd,mask.nrrd,mask.nrrd,40",
        "P2,ct1.nrrd,mask.nrrd,,4.0",
        "P3 <b>,ct2.nrrd,empty.nrrd,,40",
        "P4,cohort.csv,mask.nrrd,,40",
        "P5,ct4.nrrd,shifted.nrrd,mask.nrrd,40",
    ]
    check = checked(files, *rows, header="patient_id,image,mask,mask_reader2,albumin_g_l")
    page = write_check_page(check, tmp_path).read_text(encoding="utf-8")
    order = re.findall(r"<h3>(.*?)</h3>", page)
    assert order == ["P3 &lt;b&gt;", "P4", "P5", "P2", "P1"]
    assert re.findall(r'<h2 id="(\w+)">(.*?)</h2>', page) == [
        ("error", "Errors (3)"),
        ("warning", "Warnings (1)"),
        ("ok", "No problem found (1)"),
    ]
    legend = re.search(r'class="legend">(.*?)</p>', page)[1]
    assert [(m[1], m[2]) for m in re.finditer(r"rgb\((.*?)\).*?</i>(.*?)</span>", legend)] == [
        ("255, 70, 70", "first reader"),
        ("80, 200, 255", "second reader"),
    ]
    shown = pictures(page)
    assert list(shown) == [
        "P3 <b>: the CT alone, middle slice: no mask can be read",
        "P5: slice with the largest tumour, outline of the second reader",
        "P2: slice with the largest tumour, outline of the first reader",
        "P1: slice with the largest tumour, outline of the first and the second reader",
    ]
    alone, second, first, _both = shown.values()
    drawn = lambda picture, colour: bool((picture == colour).all(axis=2).any())
    assert [(drawn(p, (255, 70, 70)), drawn(p, (80, 200, 255))) for p in (alone, second, first)] == [
        (False, False),
        (False, True),
        (True, False),
    ]
    assert (alone == alone[..., :1]).all()
    middle = sitk.GetArrayFromImage(an_image(2))[5].astype(float)
    whole = np.clip((middle + 110) / 350, 0, 1) * 255
    assert alone.mean() == pytest.approx(whole.mean(), abs=3)
    assert "no picture: the CT cannot be read" in page
    sentences_of_all = [str(problem) for each in check.patients for problem in each.problems]
    assert len(sentences_of_all) == 4
    assert all(sentence in html.unescape(page) for sentence in sentences_of_all)


def test_many_patients_fill_several_pages(files, tmp_path):
    check = checked(files, *(f"P{n},ct{n % 12}.nrrd,empty.nrrd" for n in range(49)))
    names = [path.name for path in write_preflight(check, tmp_path)]
    assert names[2:] == ["contact_sheet_01.png", "contact_sheet_02.png"]


def test_the_json_events_carry_the_cohorts_problems(files, capsys):
    rows = [f"P{n},ct{n}.nrrd,mask.nrrd,1" for n in range(2)]
    (files / "cohort.csv").write_text("\n".join(["patient_id,image,mask,label", *rows]))
    assert main(["check", "--cohort", str(files), "--json", "--jobs", "1"]) == 1
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (cohort,) = (e for e in events if e.get("event") == "cohort")
    assert cohort["problems"][0]["message"] == "the training patients are all of one class"
    assert cohort["counts"][0]["responders"] == 2
    assert events[-1] == {"event": "done", "ok": 2, "warning": 0, "error": 0}


def test_a_repair_asked_for_on_the_command_line_or_in_the_table_is_done_and_said(files, capsys):
    row = "P1,ct0.nrrd,bare.nrrd"
    (files / "cohort.csv").write_text(f"patient_id,image,mask\n{row}\n")
    assert main(["check", "--cohort", str(files), "--jobs", "1"]) == 1
    assert "the mask has lost its geometry" in capsys.readouterr().out
    assert main(["check", "--cohort", str(files), "--jobs", "1", "--repair", "copy-geometry"]) == 0
    assert "warning Patient P1: the mask had lost its geometry and got that of the CT." in (
        capsys.readouterr().out
    )
    check = checked(files, f"{row},copy-geometry", header="patient_id,image,mask,repair")
    assert check.patients[0].verdict == "warning"
    assert main(["check", "--cohort", str(files), "--repair", "glue"]) == 2
    assert "No repair has this name" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_said_before_the_work(files, tmp_path, capsys):
    (files / "cohort.csv").write_text("patient_id,image,mask\nP1,ct0.nrrd,mask.nrrd\n")
    (tmp_path / "file").touch()
    assert main(["check", "--cohort", str(files), "--out", str(tmp_path / "file" / "out")]) == 2
    assert "the folder cannot be written" in capsys.readouterr().err


def test_the_preflight_can_be_cancelled(files):
    def stop(stage, done, total):
        if done == 1:
            raise Cancelled

    with pytest.raises(Cancelled):
        checked(files, "P1,ct0.nrrd,mask.nrrd", "P2,ct1.nrrd,mask.nrrd", progress=stop)


def test_processes_give_what_one_process_gives(files):
    rows = ["P1,ct0.nrrd,mask.nrrd", "P2,ct1.nrrd,shifted.nrrd"]
    one, two = (checked(files, *rows, jobs=jobs) for jobs in (1, 2))
    assert [p.problems for p in one.patients] == [p.problems for p in two.patients]
    np.testing.assert_array_equal(one.patients[0].thumbnail.grey, two.patients[0].thumbnail.grey)
