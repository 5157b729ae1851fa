"""One answer, five outputs: panel, page, text, JSON and DICOM SR say the same headline, class and colour."""

import json
import re
from html import unescape

import pytest
from readings import CASES
from slicer_host import inside
from TACEResponseLib.dicom_export import write_dicom
from TACEResponseLib.follow_up.register import Register
from TACEResponseLib.report.patient_page import summary, write_patient_report
from test_dicom_export import a_case, texts_of, verdicts_of

PLAUSIBLE = "Undecided: both outcomes are plausible (90 % conformal)"
VERDICTS = ("Above this", "Below this", "Undecided (", "This model has")
each_case = pytest.mark.parametrize(("answer", "expected"), CASES.values(), ids=CASES)


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    """Folder of a DICOM series, and its case."""
    folder = tmp_path_factory.mktemp("scan") / "ct"
    return folder, a_case(folder)


@each_case
def test_the_json_says_it(answer, expected):
    content = json.loads(json.dumps(answer.to_json()))
    assert content["reading"] == {
        "kind": expected.kind,
        "banner": expected.banner,
        "headline": expected.headline,
        "class": expected.verdict or None,
        "colour": expected.colour,
    }
    assert (content["responder"] is None) == (expected.kind in ("outside", "no cut-off"))


@each_case
def test_the_text_says_it_right_after_the_statement_and_the_patient(answer, expected):
    lines = summary(answer).splitlines()
    said = [f"{part}." for part in (expected.banner, expected.headline, expected.verdict) if part]
    assert lines[3 : 3 + len(said)] == said
    verdicts = [line for line in lines if line.startswith(VERDICTS)]
    assert verdicts == ([f"{expected.verdict}."] if expected.verdict else [])
    assert (f"{PLAUSIBLE}." in lines) == (expected.kind == "undecided")


@each_case
def test_the_page_says_it_in_its_colour(tmp_path, phantom_case, answer, expected):
    page = unescape(write_patient_report(answer, phantom_case, tmp_path).read_text(encoding="utf-8"))
    grey = " grey" if expected.kind == "outside" else ""
    assert re.findall(r'<p class="headline([^"]*)">([^<]*)</p>', page) == [(grey, expected.headline)]
    verdicts = re.findall(r'<strong class="(\w+)">([^<]*)</strong>', page)
    assert verdicts == ([(expected.colour, expected.verdict)] if expected.verdict else [])
    assert re.findall(r'<div class="point (\w+)"', page) == [expected.colour]
    banners = re.findall(r'<div class="statement banner">([^<]*)</div>', page)
    assert banners == ([expected.banner] if expected.banner else [])


@each_case
def test_the_dicom_report_says_it(tmp_path, scan, answer, expected):
    folder, case = scan
    report, _ = write_dicom(answer, case, folder, tmp_path)
    texts = [text for text in texts_of(report) if text[0] in ("Read first", "Answer", "Class")]
    said = (("Read first", expected.banner), ("Answer", expected.headline), ("Class", expected.verdict))
    assert texts == [(name, text) for name, text in said if text]
    coded = [value for name, value in verdicts_of(report) if name == "Predicted response to first TACE"]
    assert coded == ([expected.coded] if expected.coded else [])


def test_the_panel_says_it_in_its_colour():
    inside.report("inside_reading.py", "test_the_panel_says_it_in_its_colour")


def test_a_response_that_is_recorded_changes_nothing_of_what_the_model_said(tmp_path):
    answer, expected = CASES["follow-up"]
    with Register(tmp_path / "register.sqlite", create=True) as register:
        register.keep(answer, "2025-03-31", response_known=True)
        (recorded,) = register.record_outcome("F1", "PD")
    assert (recorded.probability, recorded.threshold, recorded.response) == (0.72, 0.55, "PD")
    assert answer.reading().headline == expected.headline and answer.reading().verdict == expected.verdict
