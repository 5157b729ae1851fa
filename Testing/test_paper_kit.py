"""What a manuscript needs lies in one folder: figures, tables and methods that say what the run was."""

import dataclasses
import io
import re
import shutil
import subprocess
import zipfile
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest
from openpyxl import load_workbook
from TACEResponseLib.messages.language import in_language, tr
from TACEResponseLib.report import drawing as report_drawing
from TACEResponseLib.report import write_training_report
from TACEResponseLib.report.figures import draw_all
from TACEResponseLib.report.latex import PACKAGES, escaped, latex
from TACEResponseLib.report.marks import on_curve
from TACEResponseLib.report.methods import method_tables
from TACEResponseLib.report.methods_text import methods_text
from TACEResponseLib.report.odds_ratios import association_table, sensible_unit
from TACEResponseLib.report.patients import patient_tables
from TACEResponseLib.report.performance import auc_table, performance_tables
from TACEResponseLib.report.sources import SOURCES, bibliography, cited
from TACEResponseLib.report.study import Study
from TACEResponseLib.report.table import Table
from TACEResponseLib.report.workbook import workbook
from TACEResponseLib.statistics.discrimination import roc_curve
from test_report import patients, train

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def trained():
    return train(patients(60, seed=1), patients(40, seed=2, first=60, centers="BC"))


@pytest.fixture(scope="module")
def drawings(trained):
    return {drawing.name: drawing for drawing in draw_all(Study.of_training(trained))}


@pytest.fixture(scope="module")
def report(trained, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report_drawing, "DOTS_PER_INCH", 30)
        patch.setattr(report_drawing, "PRINT_DOTS_PER_INCH", 40)
        return write_training_report(trained, tmp_path_factory.mktemp("kit") / "report")


def test_figures_are_numbered_as_they_appear_on_the_page_with_pengs_number_in_brackets(report):
    page = (report / "report.html").read_text(encoding="utf-8")
    captions = re.findall(r"<figcaption>(Figure \d+(?: \(Peng: \w+\))?)\.", page)
    assert captions == [
        "Figure 1 (Peng: 4B)",
        "Figure 2 (Peng: 3)",
        "Figure 3 (Peng: 4A)",
        "Figure 4",
        "Figure 5",
        "Figure 6 (Peng: 2B)",
        "Figure 7",
        "Figure 8 (Peng: 5)",
    ]
    readme = (report / "README.txt").read_text(encoding="utf-8")
    assert re.search(r"figure_roc\.svg +Figure 2 \(Peng: 3\)\. ROC curves", readme)


def test_letters_of_a_figure_stay_letters_and_a_print_has_600_dots_an_inch(drawings):
    svg = ElementTree.fromstring(drawings["figure_roc"].as_bytes("svg"))
    words = ["".join(text.itertext()) for text in svg.iter(f"{SVG}text")]
    assert "1 - specificity" in words
    assert any(text.startswith("random forest: 0.") for text in words)
    assert drawings["figure_roc"].as_bytes("pdf").startswith(b"%PDF-")
    assert report_drawing.PRINT_DOTS_PER_INCH == 600
    png = drawings["figure_selection"].as_bytes("png", report_drawing.PRINT_DOTS_PER_INCH)
    assert int.from_bytes(png[16:20], "big") == 7 * 600


def test_a_patient_lies_on_the_roc_curve_at_the_step_of_the_own_score():
    labels = np.array([1, 0, 1, 1, 0])
    ranking = np.array([0.9, 0.8, 0.7, 0.7, 0.1])
    curve = roc_curve(labels, ranking)
    x, y = on_curve(labels, ranking, (1 - curve.specificity, curve.sensitivity))
    np.testing.assert_allclose(x, [0, 0.25, 0.5, 0.5, 0.75], atol=1e-12)
    np.testing.assert_allclose(y, [1 / 6, 1 / 3, 2 / 3, 2 / 3, 1], atol=1e-12)


def test_marks_of_every_patient_stand_where_the_figure_shows_them(trained, drawings):
    study = Study.of_training(trained)
    ids = [p for group in study.scored for p in group.patients.table.patient_ids]
    for name in ("figure_integration", "figure_calibration"):
        assert [mark.patient_id for mark in drawings[name].marks] == ids
    assert drawings["figure_roc"].marks == ()  # the headline model is a fusion, on the other figure
    group, calibration = study.scored[1], drawings["figure_calibration"]
    for n, mark in enumerate(calibration.marks[60:]):
        assert mark.x == pytest.approx(group.probabilities["all"][n])
        assert mark.y == group.labels[n]
        outcome = "responder" if group.labels[n] else "non-responder"
        assert mark.words == f"P{60 + n:03d}: {outcome}, all models {mark.x:.3f}"
    # The strokes of the SVG, in points from the left, are where the page puts the circles over the picture.
    x, y, mark = calibration.places[0]
    panel = mark.axes.get_position()
    low, high = mark.axes.get_xlim()
    assert x == pytest.approx(panel.x0 + panel.width * (mark.x - low) / (high - low))
    bottom, top = mark.axes.get_ylim()
    assert 1 - y == pytest.approx(panel.y0 + panel.height * (mark.y - bottom) / (top - bottom))
    curve_x, curve_y = study.scored[0].roc("all")
    for mark in drawings["figure_integration"].marks[:60]:
        gaps = np.hypot(np.diff(curve_x), np.diff(curve_y))
        steps = zip(curve_x[:-1], curve_y[:-1], curve_x[1:], curve_y[1:], gaps, strict=True)
        detours = [
            np.hypot(mark.x - a, mark.y - b) + np.hypot(mark.x - c, mark.y - d) - gap
            for a, b, c, d, gap in steps
        ]
        assert min(detours) < 1e-9


def test_the_page_marks_a_patient_in_every_figure_and_opens_what_is_folded_before_printing(report):
    page = (report / "report.html").read_text(encoding="utf-8")
    circles = re.findall(r'<circle [^>]*data-patient="(\w+)"><title>(.*?)</title></circle>', page)
    assert len(circles) == 2 * 100
    assert {who for who, _ in circles} == {f"P{n:03d}" for n in range(100)}
    assert all(words.startswith(f"{who}: ") for who, words in circles)
    script = page.partition("<script>")[2]
    assert "beforeprint" in script and "part.open = true" in script
    printed = page.partition("@media print {")[2].partition("</style>")[0]
    assert ".scroll { overflow: visible; }" in printed
    assert "td.number { white-space: normal; }" in printed


def test_a_long_name_may_be_broken_after_its_parts_only(report):
    from TACEResponseLib.report.pages import pieces

    name = "wavelet-HHL_glszm_SizeZoneNonUniformityNormalized"
    assert pieces(name) == ["wavelet-", "HHL_", "glszm_", "SizeZoneNonUniformityNormalized"]
    sha256 = "0123456789abcdef" * 4
    assert "".join(pieces(sha256)) == sha256
    assert max(map(len, pieces(sha256))) == 32
    assert pieces("0.712 (0.612 to 0.783)") == ["0.712 (0.612 to 0.783)"]


def test_the_workbook_holds_every_table_with_every_digit(trained, report):
    book = load_workbook(report / "paper" / "tables.xlsx")
    listed = [row[0].value for row in book["contents"].iter_rows(min_row=2)]
    assert listed == book.sheetnames[1:]
    assert {f"{name}.csv" for name in listed} | {"evaluation.csv"} == {p.name for p in report.glob("*.csv")}
    rows = list(book["table_2_auc"].values)
    expected = auc_table(Study.of_training(trained)).rows
    assert rows[0] == tuple(expected[0])
    assert [row[0] for row in rows[1:]] == [row["model"] for row in expected]
    # A workbook holds the 16 digits that spreadsheets count with.
    found = np.array([row[1:] for row in rows[1:]], float)
    wanted = np.array([list(row.values())[1:] for row in expected], float)
    np.testing.assert_allclose(found, wanted, rtol=1e-15, equal_nan=True)


def test_no_cell_of_the_workbook_is_run_and_no_date_is_in_it():
    texts = ["=1+1", "+cmd", "a\x00b", "", "ok"]
    content = workbook([Table("odd", "Odd texts", [{"text": text, "p": 0.00012} for text in texts])])
    sheet = load_workbook(io.BytesIO(content))["odd"]
    cells = [sheet.cell(r, 1) for r in range(2, 7)]
    assert [cell.value for cell in cells] == ["=1+1", "+cmd", "ab", None, "ok"]
    assert {cell.data_type for cell in cells if cell.value} == {"s"}
    assert sheet.cell(2, 2).number_format == "0.0000"
    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        assert {item.date_time for item in packed.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert b"dcterms" not in packed.read("docProps/core.xml").partition(b">")[2].partition(b">")[2]


def test_a_table_in_latex_is_escaped_and_repeats_its_head_on_every_page():
    rows = [
        {"feature": "log-sigma_3_Mean", "share": 0.5, "p": 0.0001},
        {"feature": "[50 %] & more*", "share": -0.25, "p": 0.2},
    ]
    text = latex(Table("named", "A caption, 95 % CI", rows, "A note."))
    lines = text.splitlines()
    assert r"\begin{longtable}{lrr}" in lines
    assert r"\caption{A caption, 95 \% CI}\label{tab:named}\\" in lines
    assert lines.count(r"feature & share & p \\") == 2
    assert lines.index(r"\endhead") > lines.index(r"\endfirsthead")
    assert r"log-sigma\_\allowbreak{}3\_\allowbreak{}Mean & 0.500 & $<$ 0.001 \\" in lines
    assert r"{[}50 \%] \& more{*} & $-$0.250 & 0.200 \\" in lines
    wide_rows = [{"feature": "x" * 60, "share_of_elimination_folds": 0.5, "p": 0.2}]
    broken = latex(Table("s2", "Table S2. Features: the final list", wide_rows))
    assert r"\caption{Features: the final list (in the report: Table S2)}\label{tab:s2}\\" in broken
    header = r"\begin{tabular}[b]{@{}r@{}}share of \\ elimination \\ folds\end{tabular}"
    assert rf"feature & {header} & p \\" in broken.splitlines()
    # The two others take 11 and 5 letters of 4.2 pt, and 3 pt stand on each side of a column.
    assert r"p{0.99\dimexpr\linewidth-85pt\relax}rr}" in broken
    estimate = {"auc_out_of_fold": 0.5, "auc_out_of_fold_ci_low": 0.4, "auc_out_of_fold_ci_high": 0.6}
    assert r"AUC out of fold \\ (95~\%~CI)\end{tabular}" in latex(Table("auc", "AUC", [estimate]))
    with in_language("zh"):
        source = latex(Table("t", tr("Table 2. Area under the ROC curve"), rows))
    assert r"\caption{ROC 曲线下面积（报告中的表 2）}" in source
    names = {f"name_{n}": "CNN + logistic regression" for n in range(5)}
    assert latex(Table("names", "Names", [names])).count("landscape}") == 2  # wide, though of five columns
    assert escaped("50 µm ± 2 ~") == r"50 $\mu$m $\pm$ 2 \textasciitilde{}"
    wide = latex(Table("wide", "Wide", [{f"column {n}": n for n in range(9)}]))
    assert wide.count("landscape}") == 2
    assert latex(Table("none", "None", [], absent="nothing")) is None


def test_the_methods_say_what_this_run_was_and_cite_what_is_listed(trained, report):
    text = (report / "paper" / "methods.md").read_text(encoding="utf-8")
    responders = trained.training.outcome.responders
    for words in (
        f"The training cohort held 60 patients, {responders} responders.",
        "The external validation cohort held 40 patients from 2 centres, 20 responders.",
        "The 8 features a patient were read from a table.",
        "random forests of 25 trees and 3 folds as in the R package caret [@kuhn2008]; the number of "
        "features was fixed at 3. The final model uses 3 features.",
        "3-fold cross-validation, stratified by response (1 repeat, seed 1)",
        "a support vector machine [@cortes1995]",
        "with the largest axial diameter as measured",
        "Planned as headline model: CNN + random forest. In its place: all models. Not in this run: CNN.",
        "same covariance. The external cohort was looked at once, after training. AUCs of the external",
    ):
        assert words in text, words
    assert "The CNN saw" not in text and "ComBat" not in text  # neither was used
    keys = cited(text)
    assert set(keys) < set(SOURCES)
    listed = (report / "paper" / "references.bib").read_text(encoding="utf-8")
    assert re.findall(r"^@article\{(\w+),$", listed, re.MULTILINE) == keys
    assert listed.count("{") == listed.count("}")
    for author in (source.authors.partition(",")[0] for key, source in SOURCES.items() if key in keys):
        assert author in listed


def test_every_source_has_what_an_entry_needs_and_is_cited_by_some_text():
    assert all(all(source[:6]) for source in SOURCES.values())
    assert cited("Text [@one; @two], and a mail@example.org") == ["one", "two"]
    entry = bibliography("[@newcombe2006]")
    assert "  volume = {25},\n  number = {4},\n  pages = {559--573},\n" in entry


def test_odds_ratios_are_per_a_unit_that_patients_differ_by(trained):
    study = Study.of_training(trained)
    rows = {row["variable"]: row for row in association_table(study).rows}
    assert rows["Age (years)"]["per"] == "10"
    assert rows["Sex: M"]["per"] == ""
    from TACEResponseLib.statistics.associations import univariable

    labels = trained.training.outcome.labels
    ages = np.array([float(row["age_years"]) for row in trained.training.table.clinical])
    (a_year,) = univariable(labels, {"age": ages})
    assert rows["Age (years)"]["odds_ratio"] == pytest.approx(a_year.odds_ratio**10)
    assert rows["Age (years)"]["p"] == pytest.approx(a_year.p)


@pytest.mark.parametrize(
    ("values", "unit"),
    [
        ([0.9, 1.0, 1.1, 1.3], 0.1),
        ([30, 35, 42, 48], 5),
        ([8, 20, 500, 9000], 2000),
        ([0, 1, 1, 0], 1),
        ([3, 3, 3, 3], 1),
        ([1, np.nan, 3, 4], 1),
    ],
)
def test_a_sensible_unit_is_a_round_number_within_the_spread(values, unit):
    assert sensible_unit(np.array(values, float)) == unit


def test_an_odds_ratio_that_tells_nothing_is_not_called_ok(trained, monkeypatch):
    """Two of sixty patients are women, one of each class: the interval spans a factor of more than 100."""
    labels = trained.training.outcome.labels
    odd = {int(np.flatnonzero(labels == label)[0]) for label in (0, 1)}
    clinical = tuple({"inr": "1.0", "sex": "F" if n in odd else "M"} for n in range(60))
    monkeypatch.setattr(
        "TACEResponseLib.report.odds_ratios.clinical_columns",
        lambda group: {
            "Sex": [row["sex"] for row in clinical],
            "INR": [1.0 + 0.1 * (n in odd) for n in range(60)],
        },
    )
    rows = {row["variable"]: row for row in association_table(Study.of_training(trained)).rows}
    assert rows["INR"]["per"] == "0.1"
    assert {row["status"] for row in rows.values()} == {"imprecise"}


def test_the_methods_describe_only_the_steps_and_tests_that_were_made(trained):
    text = methods_text(Study.of_training(trained))
    assert (
        "Gradient boosting was planned and left out: it gave every patient of a fold the same score." in text
    )
    judged = "These were fitted without the fold that they were judged on: {}, calibration and threshold."
    assert judged.format("selection, models, fusion") in text
    assert "were compared by DeLong's paired test" in text and "exchange" not in text
    assert "was fixed before training" not in text  # the planned one was not trained
    fusion = dataclasses.replace(trained.model.settings.fusion, headline="all")
    changes = {"harmonisation": "combat", "classifiers": "tuned", "fusion": fusion}
    settings = dataclasses.replace(trained.model.settings, **changes)
    model = dataclasses.replace(trained.model, settings=settings)
    text = methods_text(Study.of_training(dataclasses.replace(trained, model=model)))
    assert judged.format("harmonisation, selection, tuning, models, fusion") in text
    assert "The model to be judged, all models, was fixed before training." in text


@pytest.mark.parametrize(
    ("responders", "said", "tested"),
    [
        (7, "were not compared by a test: fewer than 10 patients of a class", False),
        (15, "were compared by an exchange of ranks [@bandos2005], since a class has fewer than 20", True),
        (0, "The external cohort was looked at once, after training. The threshold is", False),
    ],
)
def test_the_methods_of_few_patients_name_the_test_that_was_made(trained, responders, said, tested):
    labels = trained.external.outcome.labels
    external = trained.external.rows((labels == 0) | (np.cumsum(labels) <= responders))
    text = methods_text(Study(trained.model, external, {}))
    assert said in text
    assert "DeLong" not in text
    for words in ("One comparison was planned beforehand: with the largest axial diameter", "after Holm"):
        assert (words in text) == tested


def test_the_methods_name_the_second_outline_and_the_phases_that_the_table_knows(trained, monkeypatch):
    monkeypatch.setattr("TACEResponseLib.report.methods_text.extracted_here", lambda study: True)
    assert "AUTHORS: scanner, protocol and phase" in methods_text(Study.of_training(trained))
    phases = ("arterial",) * 24 + ("portal venous",) * 15 + ("",)
    table = dataclasses.replace(trained.external.table, phases=phases)
    external = dataclasses.replace(trained.external, table=table)
    chosen = {"patient_ids": table.patient_ids, "column": "mask_resident", "difference": None}
    outlines = SimpleNamespace(**chosen, agreement="there")
    text = methods_text(Study(trained.model, external, {}, outlines=outlines))
    known = (
        "Phase of the CT (patients): arterial (24), portal venous (15), not known (1). AUTHORS: scanner and"
    )
    assert known in text
    assert (
        "40 patients were measured a second time, with the outlines of the column mask_resident. The two "
        "outlines were compared by: Dice coefficient, change of the probability, change of the side of the "
        "cut-off, ICC of every feature [@mcgraw1996]."
    ) in text


def test_methods_of_a_validation_speak_of_no_training(trained):
    text = methods_text(Study(trained.model, trained.external, {}))
    assert "cross-validation" not in text
    assert "The external validation cohort held 40 patients" in text
    assert "training cohort" not in text


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
def test_every_table_fits_a_page_of_a4(trained, tmp_path):
    names = [f"wavelet-HHL_glszm_SizeZoneNonUniformityNormalized_{n}" for n in range(3)]
    shares = [f"share_of_{what}" for what in ("elimination_folds", "evaluation_folds", "bootstraps")]
    rows = [{"feature": n, "rank": 1, "importance": 1.5, **dict.fromkeys(shares, 0.5)} for n in names]
    parts = (performance_tables, patient_tables, method_tables)
    tables = [table for part in parts for table in part(Study.of_training(trained))]
    tables = [t for t in tables if t.name != "parameters"] + [Table("s2", "Table S2. Features", rows)]
    texts = [text for text in map(latex, tables) if text]
    page = "\\documentclass[a4paper]{article}\\usepackage[margin=25mm]{geometry}" + PACKAGES
    page += "\n\\begin{document}\n" + "\\clearpage\n".join(texts) + "\\end{document}\n"
    (tmp_path / "tables.tex").write_text(page, encoding="utf-8")
    for _ in range(2):  # longtable knows its widths from the run before
        done = subprocess.run(
            ["pdflatex", "-interaction=nonstopmode", "tables.tex"], cwd=tmp_path, capture_output=True
        )
    log = done.stdout.decode("latin-1")
    assert done.returncode == 0 and len(texts) > 15
    assert [line for line in log.splitlines() if line.startswith(("Overfull", "!"))] == []
