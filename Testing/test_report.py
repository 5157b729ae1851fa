"""The training report: what a reader must find, that nothing is flattered, and that nothing is hidden."""

import csv
import dataclasses
import fnmatch
import hashlib
import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats
from sklearn.model_selection import StratifiedKFold
from TACEResponseLib.answer.prediction import DEMONSTRATION
from TACEResponseLib.measuring.patient_table import PatientTable
from TACEResponseLib.messages.errors import Problem
from TACEResponseLib.report import (
    KEYS,
    evaluation_rows,
    external_rows,
    table_hashes,
    write_training_report,
    write_validation_report,
)
from TACEResponseLib.report import drawing as report_drawing
from TACEResponseLib.report import figures as report_figures
from TACEResponseLib.report.added_value import added_value_tables
from TACEResponseLib.report.baselines import baseline_tables
from TACEResponseLib.report.centers import center_tables
from TACEResponseLib.report.checklist_answers import BLANK, checklist_tables, facts
from TACEResponseLib.report.checklists import CHECKLISTS, CLAIM, CLEAR, METRICS, PROBAST_AI, TRIPOD_AI
from TACEResponseLib.report.curves import draw_roc
from TACEResponseLib.report.drawing import Drawing
from TACEResponseLib.report.figures import draw_all
from TACEResponseLib.report.headline import headline
from TACEResponseLib.report.methods import fold_table, method_tables, parameter_table
from TACEResponseLib.report.odds_ratios import odds_ratio_tables
from TACEResponseLib.report.patients import (
    clinical_columns,
    cohort_table,
    patient_tables,
    response_table,
    scores_table,
    warnings_table,
)
from TACEResponseLib.report.performance import auc_table, performance_tables
from TACEResponseLib.report.reader_ceiling import reader_tables
from TACEResponseLib.report.sample_size import sample_size_tables
from TACEResponseLib.report.study import Study
from TACEResponseLib.report.subgroups import subgroup_tables
from TACEResponseLib.report.table import Table, number_text, p_text
from TACEResponseLib.selection.reliability import reliable_features
from TACEResponseLib.settings import preset
from TACEResponseLib.statistics.crossvalidation import fixed_score, within_folds
from TACEResponseLib.statistics.discrimination import auc_delong, holm, paired_delong
from TACEResponseLib.statistics.outcome import Outcome
from TACEResponseLib.training.centers import HeldOutCenter
from TACEResponseLib.training.inputs import Labelled
from TACEResponseLib.training.model import fit_response_model
from TACEResponseLib.training.run import Trained

QUICK = {
    "network": None,
    "folds": 3,
    "selection": {"sizes": [2, 4], "trees": 25, "folds": 3, "number": 3, "bootstraps": 5},
}
#: In the order of the page.
FIGURES = (
    "comparison",
    "centers",
    "roc",
    "integration",
    "calibration",
    "decision_curve",
    "icc",
    "selection",
    "features",
    "correlation",
    "learning_curve",
)
#: Figures that a report holds when they were asked for; see test_stability.
ON_REQUEST = ("instability", "patients_curve")
TABLES = (
    "1_cohorts",
    "1_response",
    "2_auc",
    "s1_icc",
    "s2_features",
    "s3_operating_points",
    "s4_correlations",
)
SEX, AFP = ("M", "F", "M"), ("5.5", "250", ">1210", "<10", ">10", "")


def patients(n: int, seed: int, first: int = 0, centers: str = "A") -> Labelled:
    """Patients whose response follows the first feature, and the diameter a little."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n, 8))
    labels = (rng.random(n) < 1 / (1 + np.exp(-1.5 * values[:, 0]))).astype(int)
    diameters_mm = 50 - 6 * values[:, 0] + 15 * rng.normal(size=n)
    names = tuple(f"original_test_{k}" for k in range(8))
    ids = tuple(f"P{first + k:03d}" for k in range(n))
    clinical = tuple(
        {"age_years": str(40 + k % 37), "sex": SEX[k % 3], "afp_ng_ml": AFP[k % 6], "note": f"free text {k}"}
        for k in range(n)
    )
    diagnostics = tuple(
        {"diagnostics_Versions_PyRadiomics": "v3.1.0", "diagnostics_Image-original_Hash": f"{first + k:040x}"}
        for k in range(n)
    )
    table = PatientTable(
        ids,
        names,
        values,
        diameters_mm=diameters_mm,
        centers=tuple(centers[k % len(centers)] for k in range(n)),
        clinical=clinical,
        diagnostics=diagnostics,
    )
    return Labelled(table, Outcome(labels))


def train(training: Labelled, external: Labelled | None = None, repeats: int = 1) -> Trained:
    settings = preset("peng2021", **QUICK, repeats=repeats)
    model, record = fit_response_model(training.table, training.outcome, settings)
    return Trained(model, record, None, training, external, {}, {"original_test_0": 1.0})


def held_out(run: Trained, external: Labelled, center: str) -> HeldOutCenter:
    """A centre as if it had been held out; the model stands in for one of the other centres."""
    patients = external.rows(np.array(external.table.centers) == center)
    answers = run.model.probabilities(patients.table), run.model.ranking(patients.table)
    return HeldOutCenter(center, patients, 60, *answers, run.model.headline)


@pytest.fixture(scope="module", autouse=True)
def coarse_figures():
    """Figures in few pixels: drawing them sharp would take most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report_drawing, "DOTS_PER_INCH", 30)
        patch.setattr(report_drawing, "PRINT_DOTS_PER_INCH", 40)
        yield


@pytest.fixture
def without_figures(monkeypatch):
    """For tests of the words: figures take most of a report's time."""
    none = [Drawing(f"figure_{name}", name, None, "not drawn here") for name in (*FIGURES, *ON_REQUEST)]
    monkeypatch.setattr(report_figures, "draw_all", lambda study: none)


@pytest.fixture(scope="module")
def trained() -> Trained:
    """A training run with everything but images: two external centres, two readers, a patient left out."""
    training, external = patients(60, seed=1), patients(40, seed=2, first=60, centers="BC")
    rng = np.random.default_rng(3)
    first = training.table
    noise = rng.normal(size=first.features.shape) * np.linspace(0.05, 3, 8)
    second = dataclasses.replace(first, features=first.features + noise)
    settings = preset("peng2021").reliability
    left_out = {"<b>P999</b>": Problem("table", "no response is known", patient_id="<b>P999</b>")}
    run = train(training, external, repeats=2)
    history = {"loss": (0.9, 0.6, 0.5), "inner_loss": (0.8, 0.7, 0.72), "accuracy": (0.5, 0.6, 0.7)}
    final = run.record.final
    network = SimpleNamespace(history=history)
    final = dataclasses.replace(final, models={**final.models, "cnn": network})
    return dataclasses.replace(
        run,
        by_center=tuple(held_out(run, external, center) for center in "BC"),
        reliability=reliable_features(first, second, settings),
        left_out=left_out,
        record=dataclasses.replace(run.record, final=final),
    )


@pytest.fixture(scope="module")
def bare() -> Trained:
    """A run with nothing beside features and labels: no size, centre, clinical values, reader, cohort."""
    full = patients(40, seed=4)
    table = PatientTable(full.table.patient_ids, full.table.feature_names, full.table.features)
    return train(Labelled(table, full.outcome))


@pytest.fixture(scope="module")
def report(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("Bericht ä") / "report"
    return write_training_report(trained, folder)


def rows_of(path) -> list[dict]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def files_of(folder) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def all_tables(study: Study) -> list[Table]:
    parts = (patient_tables, performance_tables, method_tables, checklist_tables)
    parts = (*parts, sample_size_tables, reader_tables, added_value_tables, subgroup_tables, center_tables)
    parts = (*parts, odds_ratio_tables, baseline_tables)
    return [table for part in parts for table in part(study)]


def test_evaluation_json_has_its_keys_no_nan_and_the_csv_says_the_same(trained, report):
    def refuse(name):
        raise AssertionError(f"{name} in JSON")

    text = (report / "evaluation.json").read_text(encoding="utf-8")
    rows = json.loads(text, parse_constant=refuse)
    assert all(tuple(row) == KEYS for row in rows)
    assert rows == evaluation_rows(trained)
    assert {(r["estimate"], r["center"]) for r in rows} == {
        ("resubstitution", ""),
        ("out_of_fold", ""),
        ("external", ""),
        ("external", "B"),
        ("external", "C"),
    }
    as_text = [{key: str(value) for key, value in row.items()} for row in rows]
    assert rows_of(report / "evaluation.csv") == as_text


def test_the_same_study_gives_the_same_bytes(trained, report, tmp_path):
    again = write_training_report(trained, tmp_path / "again")
    names = files_of(report)
    assert names == files_of(again)
    assert "paper/tables.xlsx" in names and "paper/figure_roc.pdf" in names
    different = [n for n in names if (report / n).read_bytes() != (again / n).read_bytes()]
    assert different == []


def test_the_folder_holds_the_papers_figures_and_tables_and_lists_every_file(report):
    names = set(files_of(report))
    stems = [f"figure_{name}" for name in FIGURES]
    assert {f"{stem}.{ending}" for stem in stems for ending in ("png", "svg")} <= names
    assert {f"paper/{stem}.{ending}" for stem in stems for ending in ("pdf", "png", "svg")} <= names
    assert {f"table_{name}.csv" for name in TABLES} <= names
    assert {f"paper/{name}" for name in ("tables.xlsx", "methods.md", "references.bib")} <= names
    assert {f"paper/{name[:-4]}.tex" for name in names if name.endswith(".csv")} - names == {
        "paper/evaluation.tex"
    }
    listed = {line.split()[0] for line in (report / "README.txt").read_text("utf-8").splitlines()[2:]}
    found = {pattern: fnmatch.filter(names, pattern) for pattern in listed}
    assert all(found.values()), found
    assert names == {"README.txt"}.union(*found.values())


def test_the_page_needs_nothing_outside_itself_and_its_links_lead_to_files(report):
    page = (report / "report.html").read_text(encoding="utf-8")
    assert re.findall(r"<(script|link|iframe|object)\b[^>]*>", page) == ["script"]
    assert "<script>" in page and "://" not in page.partition("<script>")[2]
    assert all(source.startswith("data:image/png;base64,") for source in re.findall(r'src="([^"]+)"', page))
    links = set(re.findall(r'href="([^"]+)"', page))
    anchors = {link[1:] for link in links if link.startswith("#")}
    assert anchors == set(re.findall(r'id="(\w+)"', page))
    assert all((report / link).is_file() for link in links if not link.startswith("#"))
    assert page.count("data:image/png") == 11


def test_text_from_a_table_cannot_become_part_of_the_page(report):
    page = (report / "report.html").read_text(encoding="utf-8")
    assert "<b>P999</b>" not in page
    assert "&lt;b&gt;P999&lt;/b&gt;" in page


def test_the_first_sentence_gives_the_aucs_of_the_file_and_the_planned_comparison(trained, report):
    rows = {
        (r["model"], r["estimate"], r["center"]): r
        for r in json.loads((report / "evaluation.json").read_text())
    }
    sentence = headline(Study.of_training(trained))
    for estimate in ("out_of_fold", "external"):
        row = rows["all", estimate, ""]
        words = f"{estimate.replace('_', ' ')} AUC {row['auc']:.3f} (95 % CI {row['ci_low']:.3f} to"
        assert words in sentence
    size = -trained.external.table.diameters_mm
    answer = trained.model.probabilities(trained.external.table)["all"]
    pair = paired_delong(trained.external.outcome.labels, answer, size)
    difference = f"{pair.difference:+.3f}".replace("-", "\N{MINUS SIGN}")
    assert f"difference {difference}" in sentence
    assert sentence.endswith(f"{p_text(pair.p)}).")
    assert sentence in (report / "report.html").read_text(encoding="utf-8").replace("&lt;", "<")


@pytest.mark.parametrize(
    ("quality", "words"),
    [
        (1.0, "better than largest axial diameter"),
        (0.0, "not shown to beat largest axial diameter"),
        (-1.0, "worse than largest axial diameter"),
    ],
)
def test_the_first_sentence_says_whether_tumour_size_is_beaten(trained, quality, words):
    labels = trained.training.outcome.labels
    size = -trained.training.table.diameters_mm
    best = 0.3 + 0.4 * labels if quality > 0 else 0.7 - 0.4 * labels
    answer = best if quality else 1 / (1 + np.exp(-(size - size.mean()) / 20))
    held_out = trained.record.out_of_fold
    aucs = within_folds(labels, held_out.folds, *fixed_score(answer, held_out.folds))
    held_out = dataclasses.replace(held_out, aucs={**held_out.aucs, "all": aucs})
    record = dataclasses.replace(trained.record, out_of_fold=held_out)
    run = dataclasses.replace(trained, record=record, external=None)
    assert words in headline(Study.of_training(run))


def test_both_aucs_of_the_first_sentence_are_those_that_its_difference_is_of(trained):
    study = Study.of_training(trained)
    number = r"[\d.]+|[+\N{MINUS SIGN}][\d.]+"
    found = re.findall(rf"AUC ({number}) \(95.*?\(AUC ({number}), difference ({number}),", headline(study))
    assert len(found) == 2  # out of fold, external
    for group, texts in zip(study.scored, found, strict=True):
        ours, theirs, difference = (float(text.replace("\N{MINUS SIGN}", "-")) for text in texts)
        assert abs(ours - theirs - difference) < 0.00101
        pair = group.difference("all", "largest axial diameter")
        assert theirs == pytest.approx(group.auc("all").auc - pair.difference, abs=0.0005)
    # Among all patients, as Table 2 says, size has another AUC than within the folds.
    pooled = study.scored[0].auc("largest axial diameter").auc
    assert f"AUC {pooled:.3f}, difference" not in headline(study)
    assert f"AUC {pooled:.3f}, difference" in headline(study, in_card=True)
    assert "compares all patients with each other" in auc_table(study).note


def few_external(trained, responders: int = 7) -> Labelled:
    """External patients with so few responders: enough for an AUC and too few for a test."""
    labels = trained.external.outcome.labels
    return trained.external.rows((labels == 0) | (np.cumsum(labels) <= responders))


def test_size_is_stated_without_a_test_where_a_class_is_too_small_for_one(trained):
    study = Study(trained.model, few_external(trained), {})
    size, few = study.scored[0].auc("largest axial diameter").auc, "fewer than 10 patients of a class"
    assert headline(study).endswith(
        f"; largest axial diameter alone {size:.3f}, not compared by a test: {few}."
    )
    absent = {table.name: table.absent for table in performance_tables(study)}
    assert absent["paired_differences"] == few
    one_class = Study(trained.model, few_external(trained, responders=0), {})
    absent = {table.name: table.absent for table in performance_tables(one_class)}
    assert absent["paired_differences"].startswith("no group of patients holds responders and non-resp")


def test_tables_of_a_part_of_the_patients_say_why_their_auc_is_not_that_of_table_2(trained):
    tables = {table.name: table for table in all_tables(Study.of_training(trained))}
    for name in ("clinical_scores", "subgroups", "auc_by_center"):
        assert "Out of fold the AUC is not that of Table 2: it is of the first repeat" in tables[name].note


def test_tumour_size_is_compared_as_measured_not_through_its_fits(trained):
    study = Study.of_training(trained)
    table = {r["model"]: r for r in auc_table(study).rows}
    labels, size = trained.training.outcome.labels, -trained.training.table.diameters_mm
    assert table["largest axial diameter"]["auc_out_of_fold"] == pytest.approx(auc_delong(labels, size).auc)
    assert table["largest axial diameter"]["auc_out_of_fold"] != table["size"]["auc_out_of_fold"]


def test_the_external_pairs_are_delongs_with_holms_correction_and_the_planned_one_first(trained, report):
    rows = [r for r in rows_of(report / "paired_differences.csv") if r["estimate"] == "external"]
    assert (rows[0]["first"], rows[0]["second"]) == ("all", "largest axial diameter")
    assert rows[0]["p_adjusted"] == ""
    labels, answers = trained.external.outcome.labels, trained.model.probabilities(trained.external.table)
    assert len(rows) == 1 + 6 * 5 // 2  # gradient boosting has one score for some fold and was left out
    plain = [paired_delong(labels, answers[r["first"]], answers[r["second"]]) for r in rows[1:]]
    np.testing.assert_allclose([float(r["p"]) for r in rows[1:]], [pair.p for pair in plain])
    np.testing.assert_allclose([float(r["p_adjusted"]) for r in rows[1:]], holm([pair.p for pair in plain]))


def test_resubstitution_is_in_one_table_only(trained):
    study = Study.of_training(trained)
    holders = {
        table.name
        for table in all_tables(study)
        for row in table.rows
        if "resubstitution" in row.values() or any("resubstitution" in name for name in row)
    }
    assert holders == {"optimism"}
    assert {group.estimate for group in study.scored} == {"out_of_fold", "external"}


def test_a_demonstration_model_is_marked_first_and_last_on_the_page_and_in_the_readme(
    trained, tmp_path, without_figures
):
    model = dataclasses.replace(trained.model, demonstration=True)
    folder = write_training_report(dataclasses.replace(trained, model=model), tmp_path / "r")
    page = (folder / "report.html").read_text(encoding="utf-8")
    body = page.partition("<body>")[2]
    assert body.strip().startswith(f'<div class="statement">{DEMONSTRATION}</div>')
    assert DEMONSTRATION in body.partition("<footer>")[2]
    assert (folder / "README.txt").read_text("utf-8").startswith(DEMONSTRATION + "\n")
    study = Study.of_training(dataclasses.replace(trained, model=model))
    drawn = [d.figure for d in draw_all(study) if d.name.removeprefix("figure_") in FIGURES]
    assert {figure._supxlabel.get_text() for figure in drawn} == {DEMONSTRATION}


def test_an_evaluation_on_fitted_patients_is_called_optimistic_everywhere(trained, tmp_path, without_figures):
    folder = write_validation_report(trained.model, trained.training, {}, tmp_path / "r")
    rows = json.loads((folder / "evaluation.json").read_text())
    assert {row["estimate"] for row in rows} == {"resubstitution"}
    page = (folder / "report.html").read_text(encoding="utf-8")
    mark = "60 of 60 patients evaluated here were used to train the model"
    assert page.count(mark) == 2
    assert mark in (folder / "README.txt").read_text("utf-8")
    assert "resubstitution (optimistic) AUC" in page
    assert "external AUC" not in page


def test_another_outcome_than_response_is_named_everywhere(trained, tmp_path, without_figures):
    words = "nonviable by LI-RADS"
    folder = write_validation_report(trained.model, trained.external, {}, tmp_path, outcome=words)
    mark = f"The outcome here is {words}, not objective response"
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page.count(mark) == 2  # first and last
    assert f"Outcome of the patients here: {words}." in page
    assert mark in (folder / "README.txt").read_text(encoding="utf-8")
    plain = write_validation_report(trained.model, trained.external, {}, tmp_path / "plain")
    assert "outcome here" not in (plain / "report.html").read_text(encoding="utf-8")


def test_a_validation_report_holds_external_figures_and_says_where_the_training_is(
    trained, tmp_path, without_figures
):
    folder = write_validation_report(trained.model, trained.external, {}, tmp_path / "r")
    rows = json.loads((folder / "evaluation.json").read_text())
    assert rows == external_rows(trained.model, trained.external)
    assert {row["estimate"] for row in rows} == {"external"}
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "External validation report" in page
    assert page.count("the training is not part of a validation") >= 4
    assert not (folder / "model_card.md").exists()
    assert len(rows_of(folder / "scores_validation.csv")) == 40


def test_every_part_that_is_absent_says_why(bare, tmp_path):
    folder = write_training_report(bare, tmp_path / "r")
    page = (folder / "report.html").read_text(encoding="utf-8")
    for reason in (
        "no second reader",
        "no CNN was trained",
        "no patient of the cohort is marked for validation",
        "the table of the cohort holds no clinical column",
        "with no tumour size to compare with",
        "every patient was used",
        "Planned as headline model: CNN + random forest. In its place: all models. Not in this run: CNN.",
        "one centre, or no column center",
    ):
        assert reason in page, reason
    study = Study.of_training(bare)
    tables = all_tables(study)
    assert all(bool(table.rows) != bool(table.absent) for table in tables)
    missing = {f"{table.name}.csv" for table in tables if table.absent}
    assert missing and not missing & {p.name for p in folder.iterdir()}
    assert all(bool(drawing.figure) != bool(drawing.absent) for drawing in draw_all(study))


def test_another_headline_than_the_planned_one_is_a_deviation(bare):
    study = Study.of_training(bare)
    (row,) = warnings_table(study).rows
    planned = "Planned as headline model: CNN + random forest. In its place: all models. Not in this run"
    assert row == {"patient_id": "", "warning": f"{planned}: CNN."}
    fusion = dataclasses.replace(bare.model.settings.fusion, headline="all")
    settings = dataclasses.replace(bare.model.settings, fusion=fusion)
    as_planned = dataclasses.replace(study, model=dataclasses.replace(bare.model, settings=settings))
    assert warnings_table(as_planned).absent == "none"


def test_nan_and_none_never_reach_a_reader(trained, bare):
    for run in (trained, bare):
        for table in all_tables(Study.of_training(run)):
            if table.name != "parameters":  # a setting may be None
                cells = {cell for row in table.cells() for cell in row}
                cells |= set(re.split(r"[,\n]", table.to_csv() or ""))
                assert not cells & {"nan", "None", "inf", "-inf"}, table.name


def test_a_validation_cohort_of_one_class_has_scores_and_no_auc(trained, tmp_path):
    one = trained.external.outcome.labels == 1
    index = np.flatnonzero(one)
    external = trained.external.rows(one)
    folder = write_training_report(dataclasses.replace(trained, external=external), tmp_path / "r")
    rows = json.loads((folder / "evaluation.json").read_text())
    assert {row["estimate"] for row in rows} == {"resubstitution", "out_of_fold"}
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert f"{len(index)} of {len(index)} validation patients respond: no AUC exists" in page
    assert len(rows_of(folder / "scores_validation.csv")) == len(index)
    points = [r for r in rows_of(folder / "table_s3_operating_points.csv") if r["estimate"] == "external"]
    assert {r["specificity"] for r in points} == {""}
    assert all(0 <= float(r["sensitivity"]) <= 1 for r in points)


def test_a_report_over_an_older_one_leaves_nothing_of_it_behind(trained, tmp_path, without_figures):
    folder = tmp_path / "r"
    (folder / "paper").mkdir(parents=True)
    for name in ("scores_validation.csv", "figure_icc.png", "paper/figure_icc.pdf", "my notes.txt"):
        (folder / name).write_text("old", encoding="utf-8")
    write_training_report(dataclasses.replace(trained, external=None, reliability=None), folder)
    assert not (folder / "scores_validation.csv").exists()
    assert not (folder / "figure_icc.png").exists()
    assert not (folder / "paper" / "figure_icc.pdf").exists()
    assert (folder / "my notes.txt").read_text(encoding="utf-8") == "old"
    assert not list(folder.glob(".*"))


def test_the_scores_of_every_patient_are_those_of_the_record_with_their_folds(trained, report):
    rows = rows_of(report / "scores_out_of_fold.csv")
    record = trained.record.out_of_fold
    assert [r["patient_id"] for r in rows] == list(trained.training.table.patient_ids)
    for name, values in record.probabilities.items():
        np.testing.assert_array_equal([float(r[name]) for r in rows], values)
    for repeat in (0, 1):
        folds = [int(r[f"fold_of_repeat_{repeat + 1}"]) - 1 for r in rows]
        np.testing.assert_array_equal(folds, record.folds[repeat])
    external = scores_table(Study.of_training(trained), "validation").rows
    answers = trained.model.probabilities(trained.external.table)
    np.testing.assert_array_equal([r["all"] for r in external], answers["all"])


def test_the_seeds_that_the_report_names_draw_the_same_folds(trained):
    table = fold_table(Study.of_training(trained))
    labels = trained.training.outcome.labels
    assert len(table.rows) == 6
    for row in table.rows:
        splitter = StratifiedKFold(3, shuffle=True, random_state=row["seed_of_the_split"])
        held_out = list(splitter.split(labels, labels))[row["fold"] - 1][1]
        found = np.flatnonzero(trained.record.out_of_fold.folds[row["repeat"] - 1] == row["fold"] - 1)
        np.testing.assert_array_equal(held_out, found)
        assert row["responders"] == labels[held_out].sum()


def test_table_1_tests_what_it_counts(trained):
    table = cohort_table(Study.of_training(trained))
    sex = next(r for r in table.rows if r["variable"] == "Sex")
    counts = [
        [
            sum(row["sex"] == level for row in group.table.clinical)
            for group in (trained.training, trained.external)
        ]
        for level in "FM"
    ]
    assert sex["p"] == stats.chi2_contingency(counts).pvalue
    levels = [r for r in table.rows if r["level"] in ("F", "M")]
    heads = ("training (n = 60)", "validation (n = 40)")
    assert [int(r[head].split()[0]) for r in levels for head in heads] == [c for row in counts for c in row]
    assert "Note" in table.note and "Note" not in {r["variable"] for r in table.rows}


def test_the_papers_cuts_are_made_and_a_cell_that_decides_nothing_is_missing(trained):
    columns = clinical_columns(trained.training)
    assert columns["AFP above 20 ng/mL"][:6] == ["no", "yes", "yes", "no", None, None]
    assert columns["Age below 60 years"][18:22] == ["yes", "yes", "no", "no"]
    above = ["yes" if mm > 50 else "no" for mm in trained.training.table.diameters_mm]
    assert columns["Tumour size above 5 cm"] == above
    assert columns["Age (years)"][:2] == [40.0, 41.0]


def test_a_number_stays_a_number_however_few_the_patients(trained):
    few = patients(4, seed=5, first=200)
    few = dataclasses.replace(few, outcome=Outcome(np.array([0, 1, 0, 1])))
    table = response_table(Study(trained.model, few, {}))
    ages = [r for r in table.rows if r["variable"] == "Age (years)"]
    assert [r["test"] for r in ages] == ["not tested: fewer than three values in a group"]
    assert {"40", "41", "42", "43"}.isdisjoint(r["level"] for r in table.rows)


def test_the_flow_adds_up(trained, report):
    steps = {r["step"]: r for r in rows_of(report / "flow.csv")}
    assert int(steps["in the cohort"]["n"]) == 101 == 60 + 40 + int(steps["left out"]["n"])
    assert int(steps["training"]["responders"]) == trained.training.outcome.labels.sum()
    parts = [int(steps[f"external validation, centre {c}"]["n"]) for c in "BC"]
    assert parts == [20, 20]
    assert int(steps["training, outlined by both readers"]["n"]) == 60


def test_features_elimination_and_agreement_are_those_of_the_run(trained, report):
    selection = trained.record.final.steps["select"].selection
    features = rows_of(report / "table_s2_features.csv")
    chosen = [r["feature"] for r in features if r["rank"]]
    assert chosen == list(selection.chosen)
    assert {r["feature"]: float(r["importance"]) for r in features} == selection.importance
    folds = trained.record.fold_selected
    share = {r["feature"]: float(r["share_of_evaluation_folds"]) for r in features}
    assert share[chosen[0]] == pytest.approx(np.mean([chosen[0] in names for names in folds]))
    assert next(r for r in features if r["feature"] == "original_test_0")["share_of_bootstraps"] == "1.0"
    curve = rows_of(report / "elimination.csv")
    assert [int(r["features"]) for r in curve] == selection.sizes.tolist()
    icc = rows_of(report / "table_s1_icc.csv")
    np.testing.assert_array_equal([float(r["icc"]) for r in icc], trained.reliability.icc.estimate)
    assert [r["feature"] for r in icc if r["kept"] == "True"] == list(trained.reliability.kept_features)


def test_parameters_name_settings_versions_and_the_hash_of_every_table(trained, tmp_path):
    (tmp_path / "cohort.csv").write_bytes(b"patient_id\n")
    hashes = table_hashes((tmp_path, None))
    assert hashes == {"cohort.csv": hashlib.sha256(b"patient_id\n").hexdigest()}
    table = {
        r["parameter"]: r["value"] for r in parameter_table(Study.of_training(trained, sources=hashes)).rows
    }
    assert table["sha256 of cohort.csv"] == hashes["cohort.csv"]
    assert table["setting selection.trees"] == "25"
    assert table["setting seed"] == "1"
    assert table["setting radiomics"] == "not used, the features were read from a table"
    assert table["extraction Versions_PyRadiomics"] == "v3.1.0"
    assert table["version numpy"] == np.__version__


def test_every_axis_of_every_figure_is_named(trained):
    drawings = {drawing.name: drawing for drawing in draw_all(Study.of_training(trained))}
    assert set(drawings) == {f"figure_{name}" for name in (*FIGURES, *ON_REQUEST)}
    for drawing in (drawings[f"figure_{name}"] for name in FIGURES):
        panels = [axes for axes in drawing.figure.axes if axes.axison and axes.get_label() != "<colorbar>"]
        for axes in panels:
            words = [tick.get_text() for tick in axes.get_xticklabels()]
            assert axes.get_xlabel() or "random forest" in words, drawing.name
        words = [tick.get_text() for tick in panels[0].get_yticklabels()]
        assert panels[0].get_ylabel() or {"random forest", "original_test_0"} & set(words), drawing.name


def test_the_roc_figure_shows_the_curves_and_areas_of_the_table(trained):
    study = Study.of_training(trained)
    figure = draw_roc(study).figure
    panel = figure.axes[0]
    curves = {line.get_label(): line for line in panel.get_lines() if not line.get_label().startswith("_")}
    table = {r["model"]: r["auc_out_of_fold"] for r in auc_table(study).rows}
    assert len(curves) == len(study.singles) == 5
    forest = next(line for label, line in curves.items() if label.startswith("random forest"))
    assert f"{table['random_forest']:.3f}" in forest.get_label()
    x, y = forest.get_data()
    assert np.trapezoid(y, x) == pytest.approx(table["random_forest"], abs=1e-12)


@pytest.mark.parametrize(("checklist", "items"), [(TRIPOD_AI, 52), (CLEAR, 58), (METRICS, 30), (CLAIM, 44)])
def test_a_checklist_is_whole_and_in_order(checklist, items):
    numbers = [number for number, _, _ in checklist.items]
    assert len(numbers) == items == len(set(numbers))
    order = [(int(re.match(r"\d+", number)[0]), number) for number in numbers]
    assert order == sorted(order)
    assert {whole for whole, _ in order} == set(range(1, order[-1][0] + 1))


def test_probast_ai_asks_sixteen_questions_of_development_and_eighteen_of_evaluation():
    numbers = [number for number, _, _ in PROBAST_AI.items]
    of = {part: [number[1:] for number in numbers if number[0] == part] for part in "DE"}
    shared = [f"{domain}.{n}" for domain, count in ((1, 3), (2, 4), (3, 4)) for n in range(1, count + 1)]
    assert of["D"] == [*shared, *(f"4.{n}" for n in range(1, 6))]
    assert of["E"] == [*shared, *(f"4.{n}" for n in range(1, 8))]
    assert (len(of["D"]), len(of["E"]), len(numbers)) == (16, 18, 34)


def test_checklists_answer_what_is_known_and_leave_the_rest_to_the_authors(trained, bare):
    known = set(facts(Study.of_training(trained))) | set(facts(Study.of_training(bare)))
    extraction = {"preprocessing", "resampling", "discretisation", "image_types", "classes"}
    extraction |= {"blinded", "before_treatment"}
    asked = {key for checklist in CHECKLISTS for _, _, key in checklist.items if key}
    assert asked <= known | extraction | {"explanation"}
    for run in (trained, bare):
        for table in checklist_tables(Study.of_training(run)):
            for row in table.rows:
                assert (row["filled"] == "no") == (row["answer"] == BLANK)
    tripod = {r["item"]: r for r in checklist_tables(Study.of_training(bare))[0].rows}
    assert tripod["17"]["filled"] == "no"  # ethics: no software knows
    assert tripod["23b"]["filled"] == "no"  # one centre
    assert "external cohort: none" in tripod["12a"]["answer"]


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.12345, "0.123"),
        (-0.5, "\N{MINUS SIGN}0.500"),
        (1234.5, "1234"),
        (7, "7"),
        (-0.0000963, "\N{MINUS SIGN}0.0001"),
        (1e-17, "0.000"),
        (-1e-16, "0.000"),
        (True, "yes"),
    ],
)
def test_numbers_keep_the_digits_a_reader_can_use(number, text):
    assert number_text(number) == text


@pytest.mark.parametrize(
    ("p", "text"), [(0.0004, "< 0.001"), (0.0498, "0.0498"), (0.0502, "0.0502"), (0.2, "0.200")]
)
def test_a_p_value_shows_on_which_side_of_the_line_it_lies(p, text):
    assert p_text(p) == text
