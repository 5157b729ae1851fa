"""`predict --pdf`: the page as PDF, by WeasyPrint, and what is said where that is not to be had."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
import SimpleITK as sitk
from answers import MODELS, an_answer
from TACEResponseLib.__main__ import main
from TACEResponseLib.bundle import demonstration_bundle, read_card
from TACEResponseLib.messages.errors import DependencyError
from TACEResponseLib.messages.language import in_language
from TACEResponseLib.report.patient_page import write_patient_report
from TACEResponseLib.report.pdf import require_pdf, write_pdf
from TACEResponseLib.service import PredictionService
from test_patient_report import A4_PT, ANSWERS, HEADER, SENSITIVITY

PACKAGE = "A PDF needs the package weasyprint. Install it with: pip install weasyprint.\n"
#: Chinese is slow here, since a font of many letters is cut to those that are used.
CASES = [
    *((name, "en") for name in ANSWERS),
    ("the shortest", "zh"),
    ("seven models, every score, four lesions, no warnings", "zh"),
]


@pytest.fixture(scope="module")
def files(tmp_path_factory, phantom_case):
    """Image and mask of the phantom patient, and a table of two patients, one without a mask."""
    folder = tmp_path_factory.mktemp("Bilder 肝")
    sitk.WriteImage(phantom_case.image, str(folder / "image.nrrd"))
    sitk.WriteImage(phantom_case.mask, str(folder / "mask.nrrd"))
    rows = ["patient_id,image,mask", "A,image.nrrd,mask.nrrd", "B,image.nrrd,none.nrrd"]
    (folder / "cohort.csv").write_text("\n".join(rows), encoding="utf-8")
    return folder


def pages_of(pdf):
    """The pages as pypdf reads them; skips where it is not installed."""
    return pytest.importorskip("pypdf").PdfReader(pdf).pages


@pytest.fixture
def printer():
    """Skips where WeasyPrint cannot be loaded, and says why."""
    try:
        require_pdf()
    except DependencyError as error:
        pytest.skip(f"no PDF can be written here: {error}")


@pytest.mark.parametrize(("name", "code"), CASES)
def test_the_page_is_a4_and_as_many_sides_as_of_a_browser(tmp_path, phantom_case, printer, name, code):
    answer, sides = ANSWERS[name]
    case = replace(phantom_case, provenance={"image": HEADER})
    card = read_card(demonstration_bundle())
    with in_language(code):
        page = write_patient_report(answer, case, tmp_path, sensitivity=SENSITIVITY, card=card)
        statement = answer.statement()
    pdf = write_pdf(page)
    assert pdf == tmp_path / "report.pdf"
    pages = pages_of(pdf)
    assert len(pages) <= sides
    for side in pages:
        assert [float(length) for length in side.mediabox[2:]] == pytest.approx(A4_PT, abs=1.5)
    words = "".join("".join(side.extract_text() for side in pages).split())
    assert answer.bundle_id in words and "".join(statement.split()) in words
    assert all(f"{100 * p:.0f}%" in words for p in answer.probabilities.values())
    if code == "zh" and chinese_letters():
        assert "TACE初始应答：" in words and "各模型的应答概率" in words


def chinese_letters() -> bool:
    """Whether a font here has them; without one they cannot be in the PDF."""
    listed = shutil.which("fc-list") and subprocess.run(["fc-list", ":lang=zh-cn"], capture_output=True)
    return bool(listed and listed.stdout)


def test_the_picture_of_the_ct_lies_within_the_page_and_on_no_text(tmp_path, phantom_case, printer):
    """Where a height would be lost the picture once hid the scores: it is 56 mm high, as in a browser."""
    page = write_patient_report(an_answer(probabilities=MODELS), phantom_case, tmp_path)
    pdf = write_pdf(page)
    found = placed(pages_of(pdf)[0])
    heights_mm = [matrix[3] * 25.4 / 72 for matrix in found]
    assert any(height == pytest.approx(56, abs=1) for height in map(abs, heights_mm))


def placed(page) -> list:
    """The matrix, in points, with which each picture is put on a page."""
    found = []

    def seen(operator, operands, matrix, _text):
        if operator == b"Do":
            found.append(matrix)

    page.extract_text(visitor_operand_before=seen)
    return found


@pytest.mark.parametrize("given", ["one patient", "cohort"])
def test_predict_writes_it_beside_the_page(files, tmp_path, capsys, printer, given):
    one = ("--image", files / "image.nrrd", "--mask", files / "mask.nrrd")
    what = one if given == "one patient" else ("--cohort", files / "cohort.csv")
    code = main([str(a) for a in ("predict", *what, "--out", tmp_path, "--pdf", "--json")])
    assert code == (0 if given == "one patient" else 1)
    folder = tmp_path if given == "one patient" else tmp_path / "A"
    assert len(pages_of(folder / "report.pdf")) == 1
    assert not (tmp_path / "B" / "report.pdf").exists()
    done = json.loads(capsys.readouterr().out.splitlines()[-1])
    if given == "one patient":
        assert done["pdf"] == str(tmp_path / "report.pdf")


def test_what_is_missing_for_it_is_said_before_a_patient_is_measured(files, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "weasyprint", None)
    for name in ("open", "predict"):
        monkeypatch.setattr(PredictionService, name, lambda *_, **__: pytest.fail("the patient was measured"))
    for what in (("--image", files / "image.nrrd", "--mask", files / "mask.nrrd"), ("--cohort", files)):
        assert main([str(a) for a in ("predict", *what, "--out", tmp_path / "out", "--pdf")]) == 2
        out, err = capsys.readouterr()
        assert out == "" and err == PACKAGE
    assert not (tmp_path / "out").exists()


def test_a_library_of_the_system_that_is_missing_is_a_sentence_and_nothing_else(
    files, tmp_path, capsys, monkeypatch
):
    """As WeasyPrint does it: it prints a page of advice and raises what the loader says."""
    fault = "cannot load library 'libgobject-2.0-0': no such file\\nmore"
    source = f'print("WeasyPrint could not import some external libraries.")\nraise OSError("{fault}")\n'
    (tmp_path / "weasyprint.py").write_text(source, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "weasyprint", raising=False)
    one = ("--image", files / "image.nrrd", "--mask", files / "mask.nrrd")
    assert main([str(a) for a in ("predict", *one, "--out", tmp_path / "out", "--pdf")]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        "A PDF needs libraries that WeasyPrint does not find on this computer. Received cannot load library "
        "'libgobject-2.0-0': no such file. Install Pango as the first steps of WeasyPrint's documentation "
        "say, or print the page from a browser.\n"
    )
