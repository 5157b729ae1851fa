"""One cohort with two outlines of each tumour: what `evaluate --second-mask` says, against slow twins."""

import csv
import json
import re
from dataclasses import replace

import jsonschema
import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage
from TACEResponseLib.__main__ import main
from TACEResponseLib.bundle import demonstration_bundle, load_bundle
from TACEResponseLib.cohorts.table import read_cohort
from TACEResponseLib.commands.schemas import read_schema
from TACEResponseLib.measuring.case import measure
from TACEResponseLib.measuring.patient_table import PatientTable
from TACEResponseLib.messages.errors import InputError
from TACEResponseLib.messages.language import in_language
from TACEResponseLib.phantom import write_cohort
from TACEResponseLib.report.outlines import outline_sentences, outline_tables
from TACEResponseLib.selection.reliability import reliable_features
from TACEResponseLib.settings import ReliabilitySettings
from TACEResponseLib.statistics.outcome import Outcome
from TACEResponseLib.training.outlines import TwoOutlines, second_masks

PATIENTS, SEED = 24, 23
COLUMN = "mask_auto"


def another_outline(inside: np.ndarray, number: int) -> np.ndarray:
    """Grown, shrunk or moved, by the number of the patient."""
    if number % 3 == 0:
        return ndimage.binary_dilation(inside, iterations=3)
    if number % 3 == 1:
        return ndimage.binary_erosion(inside, iterations=2)
    return np.roll(inside, 3, axis=2)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """Patients whom no model has seen; one has no second outline, and one a path to nothing."""
    folder = write_cohort(tmp_path_factory.mktemp("cohort"), PATIENTS, SEED)
    with (folder / "cohort.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    for number, row in enumerate(rows):
        mask = sitk.ReadImage(str(folder / row["mask"]))
        inside = another_outline(sitk.GetArrayFromImage(mask) > 0, number)
        assert inside.any()
        other = sitk.GetImageFromArray(inside.astype(np.uint8))
        other.CopyInformation(mask)
        row |= {"patient_id": f"E{number:02d}", "cohort": "validation"}
        row |= {COLUMN: row["mask"].replace("mask", "auto"), "mask_same": row["mask"]}
        sitk.WriteImage(other, str(folder / row[COLUMN]))
    others = [row for row in rows if row["label"] == "0"]
    others[0][COLUMN], others[1][COLUMN] = "", "nothing.nrrd"
    with (folder / "cohort.csv").open("w", encoding="utf-8", newline="") as stream:
        table = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    return folder, others[0]["patient_id"], others[1]["patient_id"]


@pytest.fixture(scope="module")
def evaluated(cohort, tmp_path_factory):
    """The folder of the report, and the command's exit code."""
    out = tmp_path_factory.mktemp("evaluation")
    command = ["evaluate", "--bundle", str(demonstration_bundle()), "--cohort", str(cohort[0])]
    return out, main([*command, "--out", str(out), "--second-mask", COLUMN, "--jobs", "2"])


def rows_of(folder, name) -> list[dict]:
    with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def figures_of(folder) -> dict:
    rows = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
    (figures,) = (row["second_outline"] for row in rows if "second_outline" in row)
    return figures


def auc_by_pairs(labels, scores) -> float:
    """The slow twin: every pair of a responder and another one."""
    known = list(zip(scores, labels, strict=True))
    pairs = [(p, q) for p, responds in known if responds for q, other in known if not other]
    return sum(1.0 if p > q else 0.5 if p == q else 0.0 for p, q in pairs) / len(pairs)


def icc_by_hand(pairs: np.ndarray) -> float:
    """ICC(2,1) of (n, 2) readings from the mean squares, as Shrout and Fleiss write it."""
    n, k = pairs.shape
    mean = pairs.mean()
    subjects = k * sum((row.mean() - mean) ** 2 for row in pairs) / (n - 1)
    readers = n * sum((column.mean() - mean) ** 2 for column in pairs.T) / (k - 1)
    rest = sum(
        (pairs[i, j] - pairs[i].mean() - pairs[:, j].mean() + mean) ** 2 for i in range(n) for j in range(k)
    ) / ((n - 1) * (k - 1))
    return (subjects - rest) / (subjects + (k - 1) * rest + k * (readers - rest) / n)


def test_patients_without_a_second_outline_are_named_and_count_elsewhere(cohort, evaluated):
    folder, without, broken = cohort
    out, code = evaluated
    assert code == 1  # one outline could not be read
    rows = rows_of(out, "outlines_patients")
    expected = [p.patient_id for p in read_cohort(folder).patients if p.patient_id not in (without, broken)]
    assert [row["patient_id"] for row in rows] == expected
    said = {row["patient_id"]: row["warning"] for row in rows_of(out, "warnings")}
    assert set(said) == {without, broken}
    assert "the patient has no second outline" in said[without]
    assert "nothing.nrrd" in said[broken]
    assert len(rows_of(out, "scores_validation")) == PATIENTS  # the evaluation itself has them all
    assert figures_of(out)["left_out"] == 2


def test_dice_and_volumes_are_those_counted_voxel_by_voxel(cohort, evaluated):
    folder, *_ = cohort
    patients = {p.patient_id: p for p in read_cohort(folder).patients}
    for row in rows_of(evaluated[0], "outlines_patients"):
        patient = patients[row["patient_id"]]
        masks = [sitk.ReadImage(str(path)) for path in (patient.mask, patient.masks[COLUMN])]
        one, two = ({tuple(i) for i in np.argwhere(sitk.GetArrayFromImage(m))} for m in masks)
        assert float(row["dice"]) == pytest.approx(2 * len(one & two) / (len(one) + len(two)), abs=1e-12)
        x, y, z = masks[0].GetSpacing()
        assert float(row["volume_first_ml"]) == pytest.approx(len(one) * x * y * z / 1000)
        assert float(row["volume_second_ml"]) == pytest.approx(len(two) * x * y * z / 1000)


def test_probabilities_are_the_answers_for_either_outline(cohort, evaluated):
    folder, *_ = cohort
    model, patients = load_bundle(demonstration_bundle()), read_cohort(folder).patients
    rows = {row["patient_id"]: row for row in rows_of(evaluated[0], "outlines_patients")}
    for patient in [p for p in patients if p.patient_id in rows][::5]:
        row = rows[patient.patient_id]
        second = replace(patient, mask=patient.masks[COLUMN])
        found = [model.predict(each.read_case()).fused for each in (patient, second)]
        said = [float(row["probability_first"]), float(row["probability_second"])]
        assert said == pytest.approx(found, abs=1e-6)
        assert float(row["change"]) == pytest.approx(found[1] - found[0], abs=1e-6)


def test_figures_are_those_of_slow_twins(evaluated):
    out, _ = evaluated
    rows, figures = rows_of(out, "outlines_patients"), figures_of(out)
    labels = [int(row["label"]) for row in rows]
    first, second = ([float(row[f"probability_{k}"]) for row in rows] for k in ("first", "second"))
    cut = load_bundle(demonstration_bundle())
    cut = cut.thresholds[cut.headline]
    flips = []
    for row, p, q in zip(rows, first, second, strict=True):
        if (p > cut and not q > cut) or (q > cut and not p > cut):
            flips.append(row["patient_id"])
    assert flips  # a comparison without any would show nothing
    assert [row["patient_id"] for row in rows_of(out, "outlines_other_class")] == flips
    assert [row["patient_id"] for row in rows if row["other_class"] == "True"] == flips
    assert figures["other_class"] == len(flips)
    assert figures["n"] == len(rows) == PATIENTS - 2
    assert figures["auc_first"] == pytest.approx(auc_by_pairs(labels, first))
    assert figures["auc_second"] == pytest.approx(auc_by_pairs(labels, second))
    assert figures["auc_difference"] == pytest.approx(figures["auc_second"] - figures["auc_first"])
    assert figures["ci_low"] < figures["auc_difference"] < figures["ci_high"]
    change = sorted(q - p for p, q in zip(first, second, strict=True))
    middle = len(change) // 2
    assert figures["probability_change"]["median"] == pytest.approx((change[middle - 1] + change[middle]) / 2)
    dice = [float(row["dice"]) for row in rows]
    low, median, high = (figures["dice"][name] for name in ("p5", "median", "p95"))
    assert min(dice) <= low < median < high <= max(dice)
    volumes = [np.median([float(row[f"volume_{k}_ml"]) for row in rows]) for k in ("first", "second")]
    assert figures["median_volume_ml"] == pytest.approx(volumes)
    summary = rows_of(out, "outlines")
    assert [row["outline"] for row in summary] == ["mask", COLUMN]
    assert [int(row["above_the_cut_off"]) for row in summary] == [
        sum(p > cut for p in of) for of in (first, second)
    ]


def test_the_agreement_of_a_feature_is_its_icc_between_the_outlines(cohort, evaluated):
    folder, *_ = cohort
    out, _ = evaluated
    names = ("original_firstorder_Mean", "original_firstorder_Entropy")
    ids = {row["patient_id"] for row in rows_of(out, "outlines_patients")}
    settings = load_bundle(demonstration_bundle()).settings.radiomics
    values = []
    for patient in (p for p in read_cohort(folder).patients if p.patient_id in ids):
        cases = (patient.read_case(), replace(patient, mask=patient.masks[COLUMN]).read_case())
        values.append([measure(case, settings, None, only=names).row for case in cases])
    said = {row["feature"]: row for row in rows_of(out, "outlines_features")}
    for name in names:
        expected = icc_by_hand(np.array([[row[name] for row in pair] for pair in values]))
        assert float(said[name]["icc"]) == pytest.approx(expected, abs=1e-9)
        assert said[name]["kept"] == str(expected > 0.75)
    figures = figures_of(out)
    assert figures["features"] == len(said)
    assert figures["features_reliable"] == sum(row["kept"] == "True" for row in said.values())
    used = [row for row in said.values() if row["used"] == "True"]
    assert figures["features_used"] == len(used) == len(load_bundle(demonstration_bundle()).needed)
    assert figures["features_used_reliable"] == sum(row["kept"] == "True" for row in used)


def test_the_page_has_a_section_with_figure_and_tables(cohort, evaluated):
    out, _ = evaluated
    page = (out / "report.html").read_text(encoding="utf-8")
    section = page.partition('<h2 id="outlines">')[2].partition('<h2 id="methods">')[0]
    assert section.startswith("A second outline</h2>")
    figures = figures_of(out)
    assert f"{figures['features_reliable']} of {figures['features']} features have an ICC(2,1)" in section
    assert f"({figures['ci_low']:+.3f} to {figures['ci_high']:+.3f}), p 0." in section
    for row in rows_of(out, "outlines_other_class"):
        assert row["patient_id"] in section
    assert len(re.findall(r'data-patient="', section)) == 2 * figures["n"]
    for name in ("figure_outlines.png", "figure_outlines.svg", "paper/figure_outlines.pdf"):
        assert (out / name).stat().st_size > 1000
    assert "outlines_patients.csv" in (out / "README.txt").read_text(encoding="utf-8")
    drawn = (out / "figure_outlines.svg").read_text(encoding="utf-8")
    assert f"probability with {COLUMN}" in drawn
    assert "cut-off 0.536" in drawn


def test_the_json_is_what_its_schema_says_and_names_nobody(evaluated):
    text = (evaluated[0] / "evaluation.json").read_text(encoding="utf-8")
    checker = jsonschema.Draft202012Validator(read_schema("evaluation"))
    assert [error.json_path for error in checker.iter_errors(json.loads(text))] == []
    assert not any(row["patient_id"] in text for row in rows_of(evaluated[0], "outlines_patients"))


# --- columns --------------------------------------------------------------------------------------


def test_a_column_without_outlines_is_refused_before_the_work(cohort, tmp_path, capsys):
    command = ["evaluate", "--bundle", str(demonstration_bundle()), "--cohort", str(cohort[0])]
    command += ["--out", str(tmp_path / "out")]
    assert main([*command, "--second-mask", "mask_ai"]) == 2
    said = capsys.readouterr().err
    assert "he table has no second outlines in this column" in said
    assert "xpected mask_auto, mask_reader2, mask_same; received mask_ai" in said
    assert "measure" not in said
    assert not (tmp_path / "out").exists()
    assert main([*command, "--second-mask", COLUMN, "--aggregates-only"]) == 2
    assert "--second-mask without --aggregates-only" in capsys.readouterr().err


def test_columns_of_outlines_are_no_clinical_values_and_the_second_readers_is_one_of_them(cohort):
    read = read_cohort(cohort[0])
    first = read.patients[-1]
    assert sorted(first.masks) == [COLUMN, "mask_same"]
    assert not [name for name in first.clinical if name.startswith("mask")]
    assert second_masks(read, "mask_reader2")[first.patient_id] == first.mask_reader2
    assert len(second_masks(read, COLUMN)) == PATIENTS - 1
    bare = replace(read, patients=(replace(first, masks={}, mask_reader2=None),))
    with pytest.raises(InputError, match="a column mask_reader2, or one named mask_ and a word"):
        second_masks(bare, "mask_reader2")


# --- words ------------------------------------------------------------------------------------------


def a_comparison(**changes) -> TwoOutlines:
    """Three patients, of whom the second crosses a cut-off of 0.5; features that differ or not."""
    values = np.array([[1.0, 5.0], [2.0, 1.0], [3.0, 4.0]])
    ids = ("a", "b", "c")
    again = values + np.array([[0.01, 3], [0, -2], [0.02, 4]])
    tables = [PatientTable(ids, ("steady", "shaky"), v) for v in (values, again)]
    parts = {
        "column": COLUMN,
        "patient_ids": ids,
        "outcome": Outcome(np.array([1, 0, 1])),
        "headline": "all",
        "threshold": 0.5,
        "probabilities": np.array([[0.8, 0.4, 0.6], [0.7, 0.5001, 0.9]]),
        "ranking": np.array([[0.8, 0.4, 0.6], [0.7, 0.5001, 0.9]]),
        "volumes_ml": np.array([[10.0, 20, 30], [12, 25, 28]]),
        "dice": np.array([0.9, 0.5, 0.7]),
        "aucs": (None, None),
        "difference": None,
        "agreement": reliable_features(*tables, ReliabilitySettings()),
        "no_agreement": "",
        "used": ("shaky",),
        "left_out": {},
    }
    return TwoOutlines(**{**parts, **changes})


def test_the_sentences_of_a_small_comparison():
    assert outline_sentences(a_comparison()) == [
        "The AUCs were not compared by a test: fewer than ten patients of a class.",
        "Change of the probability: median +0.100, 5 to 95 % -0.080 to +0.280.",
        "1 of 3 patients changes the side of the cut-off: b.",
        "Dice of the two outlines: median 0.700, 5 to 95 % 0.520 to 0.880.",
        "1 of 2 features have an ICC(2,1) above 0.75 between the outlines, "
        "0 of the 1 that the model looks at.",
    ]
    same = np.array([[0.8, 0.4, 0.6]] * 2)
    steady = a_comparison(probabilities=same, agreement=None, no_agreement="both outlines are the same")
    assert outline_sentences(steady)[2] == "No patient changes the side of the cut-off."
    assert outline_sentences(steady)[4] == (
        "The agreement of the features was not measured: both outlines are the same."
    )


def test_a_patient_at_the_cut_off_itself_is_below_it():
    at = a_comparison(probabilities=np.array([[0.5, 0.5, 0.6], [0.4, 0.51, 0.5]]))
    assert at.flips.tolist() == [False, True, True]


def test_tables_without_a_comparison_and_in_chinese():
    class Nothing:
        outlines = None

    class Something:
        outlines = a_comparison()

    assert outline_tables(Nothing()) == ()
    with in_language("zh"):
        summary, flipped, *_ = outline_tables(Something())
    assert summary.caption == "第二轮廓带来的变化：主要模型，相同患者"
    assert "3 名患者中有 1 名换到截断值的另一侧：b。" in summary.note
    assert [row["patient_id"] for row in flipped.rows] == ["b"]
