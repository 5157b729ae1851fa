"""A draft of an outline: by one click, by a program beside this one, and for a cohort."""

import csv
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import psutil
import pytest
import SimpleITK as sitk
from conftest import ROOT
from scipy import ndimage
from TACEResponseLib.__main__ import main
from TACEResponseLib.cases.outline import Outline
from TACEResponseLib.cohorts.table import read_cohort
from TACEResponseLib.messages.errors import Cancelled, DependencyError, GeometryError, InputError, MaskError
from TACEResponseLib.phantom import make_patient, write_cohort
from TACEResponseLib.proposal.click import grow, prepare
from TACEResponseLib.proposal.draft import dice, lesions_of, outline_of
from TACEResponseLib.proposal.program import propose

STAND_IN = [sys.executable, str(ROOT / "Testing" / "stand_in_segmentator.py")]
COMMAND, STAND_IN_NAME = shlex.join(STAND_IN), "stand_in_segmentator"


@pytest.fixture(scope="module")
def patient():
    return make_patient(4, 11)


@pytest.fixture
def calls(tmp_path, monkeypatch):
    """The stand-in's calls: (its process, its child's or 0, its options)."""
    file = tmp_path / "calls.txt"
    monkeypatch.setenv("TACE_STAND_IN_CALLS", str(file))
    return lambda: [
        (int(pid), int(child), options)
        for pid, child, options in (line.split(" ", 2) for line in file.read_text("utf-8").splitlines())
    ]


def array(mask) -> np.ndarray:
    return sitk.GetArrayFromImage(mask)


def middle_of(mask: sitk.Image) -> tuple[float, float, float]:
    """The voxel of the mask that is farthest from its edge, in mm."""
    inside = ndimage.distance_transform_edt(np.pad(array(mask), 1), mask.GetSpacing()[::-1])[1:-1, 1:-1, 1:-1]
    k, j, i = (int(n) for n in np.unravel_index(inside.argmax(), inside.shape))
    return mask.TransformIndexToPhysicalPoint((i, j, k))


def ball(diameter_mm: float, at=(30, 30, 15), size=(60, 60, 30), spacing=(1.0, 1.0, 2.0)) -> sitk.Image:
    k, j, i = np.ogrid[tuple(slice(n) for n in reversed(size))]
    apart = sum(((a - c) * s) ** 2 for a, c, s in zip((i, j, k), at, spacing, strict=True))
    mask = sitk.GetImageFromArray((apart <= (diameter_mm / 2) ** 2).astype(np.uint8))
    mask.SetSpacing(spacing)
    return mask


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def none_is_left(pids, within_s: float = 5) -> bool:
    end = time.monotonic() + within_s
    while any(map(is_running, pids)) and time.monotonic() < end:
        time.sleep(0.05)
    return not any(map(is_running, pids))


# One click


def test_one_click_finds_the_main_lesions_of_the_phantom():
    alike = {}
    for index in range(8):
        patient = make_patient(index, 11)
        largest = lesions_of(patient.mask, "truth")[0].mask
        alike[index] = dice(grow(patient.image, middle_of(largest)), largest)
    assert np.median(list(alike.values())) > 0.85, alike
    assert min(alike.values()) > 0.7, alike


def test_a_click_gives_the_same_mask_every_time_on_the_grid_of_the_ct(patient):
    point = middle_of(patient.mask)
    first, second = grow(patient.image, point), grow(patient.image, point)
    assert np.array_equal(array(first), array(second))
    assert first.GetPixelID() == sitk.sitkUInt8
    assert set(np.unique(array(first))) == {0, 1}
    for part in ("Size", "Spacing", "Origin", "Direction"):
        assert getattr(first, f"Get{part}")() == getattr(patient.image, f"Get{part}")()


def test_a_larger_extent_holds_every_smaller_one(patient):
    growth = prepare(patient.image, middle_of(patient.mask))
    masks = [array(growth.mask(extent)) > 0 for extent in (0, 0.3, 0.5, 0.7, 1)]
    volumes = [int(mask.sum()) for mask in masks]
    assert all((small & ~large).sum() == 0 for small, large in pairwise(masks))
    assert volumes == sorted(volumes)
    assert volumes[0] < 0.8 * volumes[-1]
    assert np.array_equal(masks[2], array(grow(patient.image, middle_of(patient.mask))) > 0)
    said = r"The extent cannot be used\. Expected a number from 0 to 1; received 2\."
    with pytest.raises(InputError, match=said):
        growth.mask(2)


def test_a_click_does_not_depend_on_how_the_voxels_are_stored(patient):
    point = middle_of(patient.mask)
    turned = grow(sitk.DICOMOrient(patient.image, "RIP"), point)
    assert dice(sitk.DICOMOrient(turned, "LPS"), grow(patient.image, point)) > 0.98


@pytest.mark.parametrize(
    ("hu", "tissue"), [(-900, "air or lung"), (-95, "fat"), (900, "bone, metal or lipiodol")]
)
def test_a_click_in_air_fat_or_bone_is_refused(hu, tissue):
    image = sitk.Image((40, 40, 20), sitk.sitkInt16) + hu
    said = rf"looks like {tissue}\. Expected soft tissue, -50 to 300 HU; received {hu} HU\. Click inside the"
    with pytest.raises(InputError, match=said):
        grow(image, (20, 20, 10))


@pytest.mark.parametrize("point", [(0, 0, 900), (float("nan"), 0, 0), (-1e9, 0, 0), (1, 2)])
def test_a_click_outside_the_ct_is_refused(patient, point):
    with pytest.raises(InputError, match="The point lies outside the CT"):
        grow(patient.image, point)


def test_progress_can_cancel_a_click(patient):
    def cancel(stage, done, total):
        raise Cancelled()

    with pytest.raises(Cancelled):
        grow(patient.image, middle_of(patient.mask), progress=cancel)


def test_on_one_slice_of_a_real_patient(real_data):
    from matplotlib.image import imread

    folder = real_data / "hcc-tace-seg"
    hu = imread(folder / "hcc034_baseline.png") * 350 - 115
    truth = imread(folder / "hcc034_baseline_mass.png") > 0.5
    image = sitk.GetImageFromArray(np.repeat(hu[None], 80, axis=0).astype(np.float32))
    image.SetSpacing((0.78125, 0.820312, 1.0))
    j, i = (int(n) for n in np.argwhere(truth).mean(axis=0).round())
    found = array(grow(image, image.TransformIndexToPhysicalPoint((i, j, 40))))[40] > 0
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.7


# A program


def test_a_program_is_asked_as_the_real_one_and_its_progress_is_seen(patient, calls, tmp_path):
    seen, folder = [], tmp_path / "temporary"
    folder.mkdir()
    label = propose(patient.image, STAND_IN, "cpu", lambda *step: seen.append(step), folder)
    ((_, _, options),) = calls()
    words = options.split()
    assert words[0] == "-i"
    assert words[1].endswith("image.nii.gz")
    assert words[2] == "-o"
    assert words[3].endswith(".nii.gz")
    assert words[4:] == ["--task", "liver_lesions", "--ml", "--device", "cpu"]
    percent = [done for stage, done, _ in seen if stage == f"{STAND_IN_NAME}: Predicting part 1 of 1 ..."]
    assert {0, 50, 100} <= set(percent)
    assert percent == sorted(percent)
    assert any(stage == "stand_in_segmentator: Resampling..." for stage, _, _ in seen)
    assert list(folder.iterdir()) == []
    (lesion,) = lesions_of(label, "stand-in")
    assert lesion.volume_ml == pytest.approx(np.pi / 6 * 3**3, rel=0.03)
    assert lesion.diameter_mm == pytest.approx(30, abs=1.5)


def test_cancel_leaves_no_process_of_one_that_ignores_it_and_has_a_child(patient, calls, monkeypatch):
    monkeypatch.setenv("TACE_STAND_IN", "stubborn")

    def cancel_in_the_bar(stage, done, total):
        if done >= 5:
            raise Cancelled()

    began = time.monotonic()
    with pytest.raises(Cancelled):
        monkeypatch.setenv("TACE_STAND_IN_SECONDS", "20")
        propose(patient.image, STAND_IN, "cpu", cancel_in_the_bar)
    ((pid, child, _),) = calls()
    assert child > 0
    assert none_is_left([pid, child])
    assert time.monotonic() - began < 15  # and it was not waited for


def test_cancel_is_heard_while_the_program_says_nothing(patient, tmp_path):
    mute = tmp_path / "mute.py"
    mute.write_text("import time\ntime.sleep(20)\n", encoding="utf-8")
    asked = []

    def cancel(stage, done, total):
        asked.append(stage)
        if len(asked) == 5:
            raise Cancelled()

    with pytest.raises(Cancelled):
        propose(patient.image, [sys.executable, str(mute)], "cpu", cancel)
    assert asked == ["mute"] * 5


@pytest.mark.parametrize(
    ("mode", "error", "said"),
    [
        (
            "fail",
            InputError,
            r"segmentator failed\. Received exit code 1: .*RuntimeError: CUDA error",
        ),
        ("empty", MaskError, r"found no lesion\. .*Click on the tumour, or draw it\."),
        (
            "wrong_grid",
            GeometryError,
            r"The result of stand_in_segmentator lies on another grid than the CT\. Exp",
        ),
        (
            "no_file",
            InputError,
            r"wrote no result\. .* received no file\. See whether .* liver_lesions\.",
        ),
        (
            "no_nifti",
            InputError,
            r"cannot be read\. Expected a label image in NIfTI; received another",
        ),
    ],
)
def test_what_goes_wrong_in_a_program_is_one_sentence(patient, monkeypatch, mode, error, said):
    monkeypatch.setenv("TACE_STAND_IN", mode)
    with pytest.raises(error, match=said) as caught:
        propose(patient.image, STAND_IN, "cpu")
    assert "\n" not in str(caught.value)


def test_a_program_that_the_system_ended_is_said_so(patient, tmp_path):
    killed = tmp_path / "killed.py"
    killed.write_text("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n", encoding="utf-8")
    with pytest.raises(InputError, match="was ended by the system, most likely because memory ran out"):
        propose(patient.image, [sys.executable, str(killed)], "cpu")


def test_a_program_that_is_not_here_is_said_so(patient, monkeypatch):
    monkeypatch.setenv("PATH", "")
    for command, name in ((None, "TotalSegmentator"), (["nowhere/at-all"], "nowhere/at-all")):
        with pytest.raises(DependencyError, match=rf"The program {name} was not found\. .* with --command"):
            propose(patient.image, command, "cpu")


# What becomes of it


def test_lesions_come_one_by_one_the_largest_first_and_small_ones_are_marked(patient, monkeypatch):
    monkeypatch.setenv("TACE_STAND_IN", "several")
    label = propose(patient.image, STAND_IN, "gpu")
    lesions = lesions_of(label, "stand-in")
    assert [round(lesion.diameter_mm) for lesion in lesions] == [pytest.approx(n, abs=1) for n in (30, 16, 6)]
    assert [lesion.small for lesion in lesions] == [False, False, True]
    assert [lesion.volume_ml for lesion in lesions] == pytest.approx([14.1, 2.1, 0.11], rel=0.1)
    assert {lesion.program for lesion in lesions} == {"stand-in"}
    together = sum(array(lesion.mask).astype(int) for lesion in lesions)
    assert np.array_equal(together, array(label))
    assert lesions[0].mask.GetOrigin() == label.GetOrigin()


def test_stray_voxels_are_no_lesions_unless_there_is_nothing_else():
    assert lesions_of(ball(0.0) * 0, "x") == ()
    (alone,) = lesions_of(ball(1.0), "x")
    assert (alone.volume_ml, alone.small) == (pytest.approx(0.002), True)
    (large,) = lesions_of(ball(20.0) | ball(1.0, at=(3, 3, 3)), "x")
    assert large.diameter_mm == pytest.approx(21, abs=1)


def test_an_outline_is_confirmed_as_it_was_or_edited_with_its_dice():
    proposal, final = ball(20.0), ball(24.0)
    assert outline_of(proposal, sitk.Image(proposal), "stand-in") == Outline("confirmed", "stand-in")
    edited = outline_of(proposal, final, "stand-in")
    one, other = array(proposal).sum(), array(final).sum()
    assert (edited.source, edited.program) == ("edited", "stand-in")
    assert edited.dice == pytest.approx(2 * one / (one + other))  # the smaller one lies within the larger
    assert dice(ball(6.0, at=(10, 10, 5)), ball(6.0)) == 0
    with pytest.raises(GeometryError, match="different grids"):
        dice(proposal, ball(20.0, spacing=(1.0, 1.0, 3.0)))


# The command


def rows_of(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "proposals.csv").open(encoding="utf-8", newline="") as stream:
        return {row["patient_id"]: row for row in csv.DictReader(stream)}


def masks_of(folder: Path) -> dict[str, np.ndarray]:
    return {file.stem: array(sitk.ReadImage(str(file))) for file in sorted(folder.glob("*.nrrd"))}


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Path:
    """Six phantom patients without masks."""
    folder = write_cohort(tmp_path_factory.mktemp("cohort") / "six", 6, seed=5)
    for mask in folder.glob("*/mask*.nrrd"):
        mask.unlink()
    return folder


def ask(cohort: Path, out: Path, *more: str) -> int:
    return main(["propose", "--cohort", str(cohort), "--out", str(out), "--command", COMMAND, *more])


def ask_beside(cohort: Path, out: Path) -> subprocess.Popen:
    """The same in a process of its own, which can be ended."""
    options = ["--cohort", str(cohort), "--out", str(out), "--command", COMMAND]
    return subprocess.Popen(
        [sys.executable, "-m", "TACEResponseLib", "propose", *options],
        env={**os.environ, "PYTHONPATH": str(ROOT / "TACEResponse")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_one_patient_by_a_click_from_the_command_line(patient, tmp_path, capsys):
    sitk.WriteImage(patient.image, str(tmp_path / "ct.nrrd"))
    point = middle_of(patient.mask)
    text = ",".join(f"{value:.3f}" for value in point)
    assert text.startswith("-")  # as most points in a liver do
    out = tmp_path / "draft.nii.gz"
    options = ["--image", str(tmp_path / "ct.nrrd"), "--seed-mm", text, "--extent", "0.4", "--out", str(out)]
    assert main(["propose", *options]) == 0
    said = capsys.readouterr().out
    expected = grow(patient.image, tuple(map(float, text.split(","))), 0.4)
    assert np.array_equal(array(sitk.ReadImage(str(out))), array(expected))
    (lesion,) = lesions_of(expected, "one click")
    assert said.splitlines()[0] == f"Lesion 1: {lesion.diameter_mm:.0f} mm, {lesion.volume_ml:.1f} mL"
    assert "A draft by one click: look at it, and correct it." in said


def test_one_patient_by_a_program_from_the_command_line(patient, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("TACE_STAND_IN", "several")
    sitk.WriteImage(patient.image, str(tmp_path / "ct.nrrd"))
    options = ["--image", str(tmp_path / "ct.nrrd"), "--out", str(tmp_path / "draft.nrrd"), "--json"]
    assert main(["propose", *options, "--command", COMMAND]) == 0
    *before, done = map(json.loads, capsys.readouterr().out.splitlines())
    assert [lesion["small"] for lesion in done["lesions"]] == [False, False, True]
    assert (done["mask_source"], done["program"]) == ("proposed", "stand_in_segmentator")
    steps = [(event["stage"], event["done"]) for event in before]
    assert len(steps) == len(set(steps))  # each once, however often the program is asked


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "It is not clear for whom an outline is to be proposed"),
        (["--image", "ct.nrrd", "--cohort", "x"], "received both"),
        (["--cohort", "x", "--seed-mm", "1,2,3"], "A point in one patient beside a cohort"),
        (["--image", "ct.nrrd", "--extent", "0.5"], "An extent without a point"),
        (["--image", "ct.nrrd", "--seed-mm", "1,2"], "A point cannot be read"),
        (
            ["--image", "ct.nrrd", "--seed-mm", "-1 -2 3"],
            "mm -62.5,10,-120; received -1 -2 3. Write commas, and no blanks.",
        ),
        (["--image", "ct.nrrd", "--seed-mm", "-1,-2,9999"], "The point lies outside the CT"),
        (["--image", "ct.nrrd", "--command", "'open"], "The command cannot be read"),
        (["--image", "ct.nrrd", "--command", "no-such-program"], "The program no-such-program was not found"),
        (["--cohort", "cohort", "--command", "no-such-program"], "The program no-such-program was not found"),
        (["--cohort", "nothing"], "There is no such cohort"),
        (["--image", "nothing.nrrd", "--seed-mm", "1,2,3"], "Image not found: nothing.nrrd"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(patient, tmp_path, monkeypatch, capsys, options, said):
    monkeypatch.chdir(tmp_path)
    sitk.WriteImage(patient.image, "ct.nrrd")
    (tmp_path / "cohort" / "P1").mkdir(parents=True)
    (tmp_path / "cohort" / "P1" / "image.nrrd").write_bytes(b"")
    assert main(["propose", "--out", "draft.nrrd", *options]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "draft.nrrd").exists()


def test_a_point_as_slicer_shows_it_is_answered_with_the_point_that_was_meant(patient, tmp_path, capsys):
    image = sitk.Image(patient.image)
    image.SetOrigin((-400.0, -300.0, 0.0))  # wholly to the right and to the front
    sitk.WriteImage(image, str(tmp_path / "ct.nrrd"))
    x, y, z = image.TransformIndexToPhysicalPoint((10, 10, 5))
    options = ["--image", str(tmp_path / "ct.nrrd"), "--out", str(tmp_path / "draft.nrrd")]
    assert main(["propose", *options, "--seed-mm", f"{-x:g},{-y:g},{z:g}"]) == 2
    assert (
        "The point lies outside the CT. Expected a point inside the tumour, LPS in mm; received"
        f" {-x:g},{-y:g},{z:g}. The point is in LPS; Slicer shows RAS: try --seed-mm {x:g},{y:g},{z:g}."
    ) in capsys.readouterr().err
    assert main(["propose", *options, "--seed-mm", f"{-x:g},{-y:g},9999"]) == 2
    assert "RAS" not in capsys.readouterr().err


@pytest.mark.parametrize("point", [["-62.5", "10", "-120"], ["62.5,", "10,", "-120"], ["1", "-10", "2"]])
def test_blanks_between_the_numbers_of_a_point_are_said_so(capsys, point):
    with pytest.raises(SystemExit):
        main(["propose", "--image", "x", "--out", "y.nrrd", "--seed-mm", *point])
    said = capsys.readouterr().err
    assert f'"{point[1]}" belongs to no option. Write numbers that belong together with commas' in said
    assert "as in --seed-mm -62.5,10,-120." in said


@pytest.mark.parametrize(("diameter_mm", "said"), [(18.0, True), (26.0, False)])
def test_a_small_proposal_of_a_click_says_that_it_is_often_wrong(tmp_path, capsys, diameter_mm, said):
    mask = ball(diameter_mm)
    image = sitk.Cast(100 - 40 * sitk.Cast(mask, sitk.sitkInt16), sitk.sitkInt16)
    sitk.WriteImage(image, str(tmp_path / "ct.nrrd"))
    x, y, z = middle_of(mask)
    options = ["--image", str(tmp_path / "ct.nrrd"), "--out", str(tmp_path / "draft.nrrd")]
    assert main(["propose", *options, "--seed-mm", f"{x},{y},{z}"]) == 0
    (lesion,) = lesions_of(sitk.ReadImage(str(tmp_path / "draft.nrrd")), "one click")
    assert (lesion.volume_ml < 5) is said
    first = capsys.readouterr().out.splitlines()[0]
    assert first.endswith("mL; small: often wrong, look at every slice") is said


def test_a_mask_of_an_unknown_format_is_refused_before_the_work(tmp_path, capsys):
    assert main(["propose", "--image", "x", "--out", str(tmp_path / "draft.jpg")]) == 2
    assert "Expected .nrrd, .nii.gz, .nii, .mha; received .jpg" in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_cohort_that_was_killed_goes_on_and_ends_as_an_unbroken_one(cohort, calls, tmp_path):
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    assert ask(cohort, unbroken) == 0
    assert len(calls()) == 6
    running = ask_beside(cohort, broken)
    end = time.monotonic() + 120
    while len(list(broken.glob("P*.nrrd"))) < 2 and time.monotonic() < end and running.poll() is None:
        time.sleep(0.02)
    running.send_signal(signal.SIGKILL)
    running.communicate(timeout=30)
    kept = {file: file.stat().st_mtime_ns for file in broken.glob("P*.nrrd")}
    assert 2 <= len(kept) < 6
    begun = len(calls()) - 6
    assert begun <= len(kept) + 1  # the one that was in flight is asked again
    assert not (broken / "proposals.csv").exists()
    assert ask(cohort, broken) == 0
    assert len(calls()) == 6 + begun + 6 - len(kept)
    assert {file: file.stat().st_mtime_ns for file in kept} == kept
    first, second = masks_of(unbroken), masks_of(broken)
    assert list(first) == list(second) == [f"P000{n}" for n in range(1, 7)]
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert (unbroken / "proposals.csv").read_bytes() == (broken / "proposals.csv").read_bytes()
    assert ask(cohort, broken) == 0  # and of a run that is done nothing is asked again
    assert len(calls()) == 6 + begun + 6 - len(kept)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM to catch")
def test_a_cohort_that_is_ended_leaves_no_program(cohort, calls, tmp_path, monkeypatch):
    monkeypatch.setenv("TACE_STAND_IN", "stubborn")
    running = ask_beside(cohort, tmp_path / "out")
    end = time.monotonic() + 60
    while not (tmp_path / "calls.txt").exists() and time.monotonic() < end:
        time.sleep(0.05)
    running.send_signal(signal.SIGTERM)
    _, said = running.communicate(timeout=30)
    assert running.returncode == 130
    assert "Cancelled; masks that were written are kept and a rerun goes on there." in said
    ((pid, child, _),) = calls()
    assert none_is_left([pid, child])


def test_a_table_says_of_every_patient_what_became_of_it(cohort, tmp_path, capsys, calls):
    table = tmp_path / "cohort.csv"
    (tmp_path / "empty.nrrd").write_bytes(b"no volume")
    mask = tmp_path / "drawn.nrrd"
    sitk.WriteImage(ball(10.0), str(mask))
    image = cohort / "P0001" / "image.nrrd"
    table.write_text(
        f"patient_id,image,mask\nA,{image},\nB,empty.nrrd,\nC,{image},drawn.nrrd\n=D,{image},later.nrrd\n",
        encoding="utf-8",
    )
    out = tmp_path / "out"
    assert ask(table, out) == 1
    said = capsys.readouterr().out
    rows = rows_of(out)
    assert list(rows) == ["A", "B", "C", "'=D"]
    assert rows["A"] == {
        "patient_id": "A",
        "mask": "A.nrrd",
        "lesions": "1",
        "small_lesions": "0",
        "volume_ml": rows["'=D"]["volume_ml"],
        "largest_diameter_mm": rows["'=D"]["largest_diameter_mm"],
        "mask_source": "proposed",
        "program": "stand_in_segmentator",
        "problem": "",
    }
    assert float(rows["A"]["volume_ml"]) == pytest.approx(14.1, rel=0.02)
    assert rows["B"]["problem"].startswith("Patient B, empty.nrrd: the file cannot be read as a volume.")
    assert rows["C"]["problem"] == "it has a mask, drawn.nrrd"
    assert [rows[name]["mask_source"] for name in ("B", "C")] == ["", ""]
    assert len(calls()) == 2
    assert f"2 of 4 patients have a draft by stand_in_segmentator: {out / 'proposals.csv'}" in said
    page = (out / "proposals.html").read_text(encoding="utf-8")
    assert page.count('<img src="data:image/png;base64,') == 2
    assert "These outlines were proposed by stand_in_segmentator, and nobody has looked at them." in page
    assert "the file cannot be read as a volume" in page
    assert "drawn.nrrd" not in page


def table_of(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "cohort.csv").open(encoding="utf-8", newline="") as stream:
        return {row["patient_id"]: row for row in csv.DictReader(stream)}


def test_a_cohort_with_its_drafts_is_the_next_steps_cohort(cohort, tmp_path, capsys, monkeypatch):
    table, out = tmp_path / "given" / "list.csv", tmp_path / "drafts"
    table.parent.mkdir()
    (table.parent / "empty.nrrd").write_bytes(b"no volume")
    sitk.WriteImage(ball(10.0), str(table.parent / "drawn.nrrd"))
    image = os.path.relpath(cohort / "P0001" / "image.nrrd", table.parent)
    table.write_text(
        "patient_id;image;mask;mask_label;response;afp;mask_other\n"
        f"0012;{image};;3;CR;>1000;drawn.nrrd\nB;empty.nrrd;;;PD;;\nC;{image};drawn.nrrd;1;;12,5;\n",
        encoding="utf-8",
    )
    assert ask(table, out) == 1
    said = capsys.readouterr().out
    file = out / "cohort.csv"
    assert f"Correct the drafts, write edited or confirmed into the column mask_source of {file}" in said
    assert f"tace-response check --cohort {file}" in said
    rows = table_of(out)
    assert rows["0012"] == {
        "patient_id": "0012",
        "image": Path(os.path.relpath(cohort / "P0001" / "image.nrrd", out)).as_posix(),
        "mask": "0012.nrrd",
        "mask_source": "proposed",
        "mask_label": "",  # the label of another mask
        "response": "CR",
        "afp": ">1000",
        "mask_other": "../given/drawn.nrrd",
    }
    assert (rows["B"]["mask"], rows["B"]["mask_source"], rows["B"]["response"]) == ("B.nrrd", "", "PD")
    assert (rows["C"]["mask"], rows["C"]["mask_source"], rows["C"]["mask_label"]) == (
        "../given/drawn.nrrd",
        "",
        "1",
    )
    read = {patient.patient_id: patient for patient in read_cohort(file).patients}
    assert read["0012"].outline == Outline("proposed")
    assert read["0012"].mask.samefile(out / "0012.nrrd") and read["0012"].label == 1
    assert read["0012"].image.samefile(cohort / "P0001" / "image.nrrd")


def test_what_a_person_wrote_beside_a_draft_stays_when_the_command_runs_again(cohort, tmp_path, calls):
    out = tmp_path / "out"
    assert ask(cohort, out) == 0
    assert {row["mask_source"] for row in table_of(out).values()} == {"proposed"}
    text = (out / "cohort.csv").read_text("utf-8").replace("P0001.nrrd,proposed", "P0001.nrrd,edited")
    (out / "cohort.csv").write_text(text, "utf-8")
    (out / "P0002.nrrd").unlink()
    assert ask(cohort, out) == 0
    rows = table_of(out)
    assert [rows[name]["mask_source"] for name in ("P0001", "P0002")] == ["edited", "proposed"]
    (out / "P0001.nrrd").unlink()  # another draft is nobody's correction
    assert ask(cohort, out) == 0
    assert table_of(out)["P0001"]["mask_source"] == "proposed"


def test_drafts_are_not_written_over_the_cohorts_own_table(cohort, tmp_path, capsys):
    table = tmp_path / "cohort.csv"
    table.write_text(f"patient_id,image\nA,{cohort / 'P0001' / 'image.nrrd'}\n", encoding="utf-8")
    before = table.read_bytes()
    for given in (table, tmp_path):
        assert ask(given, tmp_path) == 2
        assert "the drafts would lie among the cohort's own files" in capsys.readouterr().err
    assert table.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["cohort.csv"]


def test_a_mask_of_another_program_in_the_folder_is_not_taken_for_its_own(
    cohort, tmp_path, monkeypatch, calls
):
    out = tmp_path / "out"
    out.mkdir()
    ct = sitk.ReadImage(str(cohort / "P0002" / "image.nrrd"))
    sitk.WriteImage(sitk.Cast(ct > 100, sitk.sitkUInt8), str(out / "P0002.nrrd"))
    before = (out / "P0002.nrrd").read_bytes()
    assert ask(cohort, out) == 1
    problem = rows_of(out)["P0002"]["problem"]
    assert "the folder holds another mask of this name" in problem
    assert "received a mask by a program that is not known" in problem
    assert (out / "P0002.nrrd").read_bytes() == before
    assert len(calls()) == 5


def test_a_program_that_finds_nothing_is_said_of_every_patient(cohort, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TACE_STAND_IN", "empty")
    assert ask(cohort, tmp_path / "out") == 1
    assert (
        "6 patients (P0001, P0002, P0003 and 3 more): the program stand_in_segmentator found no lesion."
        in (capsys.readouterr().out)
    )
    assert masks_of(tmp_path / "out") == {}
