"""The patient's page: what stands on it, which scan it is about, whom it names, and how it prints."""

import hashlib
import json
import re
import shutil
import subprocess
from dataclasses import replace
from datetime import datetime

import pytest
import SimpleITK as sitk
from answers import MODELS, a_full_answer, an_answer
from TACEResponseLib.answer.certainty import Certainty
from TACEResponseLib.answer.contour_sensitivity import ContourSensitivity, Variant
from TACEResponseLib.answer.similarity import SIMILAR, Similarity
from TACEResponseLib.bundle import demonstration_bundle, read_card
from TACEResponseLib.report.patient_page import scan_lines, summarize_card, summary, write_patient_report

SENSITIVITY = ContourSensitivity(
    (
        Variant("as drawn", 61.0, 0.72, True),
        Variant("1 mm larger", 70.0, 0.75, True),
        Variant("2 mm smaller", 44.0, 0.52, False),
    )
)
A4_PT = (595, 842)


def page_of(folder, prediction, case, **options) -> str:
    return write_patient_report(prediction, case, folder, **options).read_text(encoding="utf-8")


def words_of(page: str) -> str:
    """What a reader sees, and the title of the window."""
    page = re.sub(r"<style>.*?</style>|data:image/png;base64,[^\"]*", "", page, flags=re.S)
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def test_the_page_and_the_text_do_not_name_the_patient_unless_asked(tmp_path, phantom_case):
    answer = an_answer()
    page = page_of(tmp_path, answer, phantom_case)
    assert "Zoë" not in page and "0012" not in words_of(page)
    assert re.search(r"<title>TACE Response: Patient \(identifier not shown\), CT [0-9a-f]{8}</title>", page)
    assert "Zoë" not in summary(answer)
    named = page_of(tmp_path / "named", answer, phantom_case, show_identifier=True)
    assert "<title>TACE Response: Patient Zoë 0012, CT " in named
    assert "Initial response to TACE: Patient Zoë 0012" in named
    assert "Patient Zoë 0012" in summary(answer, show_identifier=True).splitlines()


HEADER = {
    "folder": "Doe John",
    "series_uid": "1.2.3",
    "series_number": "204",
    "series_description": "ABD art. 1.25",
    "study_date": "2020-03-31",
    "phase": "arterial",
    "vessels": "aorta 312 HU, portal vein 121 HU",
}


def test_the_page_is_matched_to_a_scan_by_the_cts_hash_and_what_the_header_says(tmp_path, phantom_case):
    case = replace(phantom_case, provenance={"image": HEADER})
    page = page_of(tmp_path, an_answer(), case, made=datetime(2026, 11, 29, 7, 5))
    lines = re.findall(r"<dt>([^<]*)</dt><dd>([^<]*)</dd>", page.replace("&#34;", '"'))
    sha1 = hashlib.sha1(sitk.GetArrayFromImage(case.image).tobytes(), usedforsecurity=False).hexdigest()
    assert lines == [
        ("CT", sha1[:8]),
        ("Scan date", "2020-03-31"),
        ("Series", '204, "ABD art. 1.25"'),
        ("Phase", "arterial (aorta 312 HU, portal vein 121 HU)"),
        ("Page made", "2026-11-29 07:05"),
    ]
    assert "Doe" not in page and "1.2.3" not in page


@pytest.mark.parametrize(
    ("image", "known"),
    [
        ({"file": "Doe_John.nii.gz"}, {"Phase": "not known"}),
        (
            {"name": "2: art", "phase": "portal venous"},
            {"Phase": "portal venous (by the name of the scan)"},
        ),
        ({"series_number": "3"}, {"Series": "3", "Phase": "not known"}),
        ({"series_description": "a"}, {"Series": '"a"', "Phase": "not known"}),
    ],
)
def test_what_the_scan_does_not_tell_is_left_out_and_files_are_not_named(phantom_case, image, known):
    found = dict(scan_lines(replace(phantom_case, provenance={"image": image})))
    assert found.pop("CT") == dict(scan_lines(phantom_case))["CT"]
    assert found == known


def test_warnings_come_after_the_statement_and_before_the_number(tmp_path, phantom_case):
    answer = a_full_answer()
    page = words_of(page_of(tmp_path, answer, phantom_case))
    order = [
        answer.statement(),
        answer.reading().banner,
        "Warnings",
        "12 % of the tumour",
        answer.reading().headline,
    ]
    places = [page.index(text) for text in order]
    assert places == sorted(places)
    plain = words_of(page_of(tmp_path, an_answer(), phantom_case))
    assert plain.index("No warnings for this case.") < plain.index("About 72 of 100")


def test_tables_say_what_their_heads_are_about_and_pictures_what_they_show(tmp_path, phantom_case):
    page = page_of(tmp_path, a_full_answer(), phantom_case)
    heads = re.findall(r"<th( scope=\"(?:row|col)\")?>", page)
    scores = len(a_full_answer().clinical_scores)
    assert len(heads) == 3 + len(MODELS) + 3 + scores and all(heads)
    pictures = re.findall(r'<img [^>]*src="data[^"]*" alt="([^"]*)"', page)
    assert [text.split(",")[0] for text in pictures] == [
        "Axial CT slice through the largest tumour",
        "Three small pictures of the tumour",
    ]
    assert '<html lang="en">' in page


def test_the_page_has_its_own_colours_on_a_dark_screen_and_paper_stays_light(tmp_path, phantom_case):
    page = page_of(tmp_path, an_answer(), phantom_case)
    light, dark = re.findall(r":root \{[^}]*--paper[^}]*\}", page)
    for name, on_light, on_dark in (
        ("text", "#1c1f24", "#f2f4f7"),
        ("grey", "#5f6673", "#a3abb8"),
        ("orange", "#a34700", "#ffb27a"),
        ("blue", "#1f5fa8", "#9cc4f0"),
    ):
        assert f"--{name}: {on_light};" in light and f"--{name}: {on_dark};" in dark
    assert page.count("@media screen and (prefers-color-scheme: dark)") == 1
    colours = re.sub(r":root \{[^}]*\}", "", page.partition("</style>")[0])
    assert set(re.findall(r"#[0-9a-f]{3,6}\b", colours)) == {"#fff", "#000"}  # of the CT's letters


def test_no_letter_of_the_printed_page_is_smaller_than_8_pt(tmp_path, phantom_case):
    """By the style sheet: nothing is smaller than its parent but what has the size `--small`."""
    style = page_of(tmp_path, an_answer(), phantom_case).partition("</style>")[0]
    paper = style[style.index("@media print") :]
    assert ":root { --small: 8pt; }" in paper and "body { font-size: 8.5pt;" in paper
    sizes = re.findall(r"font-size: ([^;}]+)[;}]", style)
    small = [size for size in sizes if not (size.endswith("em") and float(size[:-2]) >= 1)]
    assert set(small) == {"var(--small)", "8.5pt"} and len(small) >= 4


def test_the_json_keeps_the_patients_key_and_gains_what_the_page_says(tmp_path, phantom_case):
    answer = a_full_answer()
    card = read_card(demonstration_bundle())
    page_of(tmp_path / "plain", answer, phantom_case)
    page_of(tmp_path / "full", answer, phantom_case, sensitivity=SENSITIVITY, card=card)
    plain, full = (
        json.loads((tmp_path / name / "prediction.json").read_text(encoding="utf-8"))
        for name in ("plain", "full")
    )
    assert plain == answer.to_json() and plain["patient_id"] == "Zoë 0012"
    assert set(full) - set(plain) == {"contour_sensitivity", "model_card"}
    assert full["contour_sensitivity"]["changes_class"] is True
    assert full["model_card"] == list(summarize_card(card, answer.headline))
    assert plain["similarity"]["verdict"] == "outside"
    assert [score["name"] for score in plain["clinical_scores"]] == [s.name for s in answer.clinical_scores]


def test_everything_that_the_answer_holds_stands_on_the_page(tmp_path, phantom_case):
    answer = a_full_answer()
    page = page_of(tmp_path, answer, phantom_case, sensitivity=SENSITIVITY)
    words = words_of(page).replace("&#39;", "'").replace("&gt;", ">").replace("&lt;", "<")
    for text in (
        answer.statement(),
        answer.reading().banner,
        answer.reading().headline,
        SENSITIVITY.sentence(),
        *answer.similarity.reasons,
        *answer.warnings,
        *answer.checked,
        *(f"{s.title} {s.text} {s.built_for}" for s in answer.clinical_scores),
        "Instability: 5 models, each trained without a part of the patients, say 31 % to 93 %",
        "Lesions 4",
        "96.4, 41.0, 22.8, 12.5 mm",
        "448.5 mL",
        answer.bundle_id,
        "tace-response 0.1.0",
    ):
        assert text in words, text


def test_interval_answer_and_threshold_are_drawn_where_they_are(tmp_path, phantom_case):
    page = page_of(tmp_path, an_answer(), phantom_case)
    drawn = dict(re.findall(r'<div class="(interval|point|cut)[^"]*" style="([^"]+)"', page))
    assert drawn == {"interval": "left: 58.0%; width: 26.0%", "point": "left: 72.0%", "cut": "left: 55.0%"}


def test_colour_is_never_the_only_sign(tmp_path, phantom_case):
    """Interval and threshold have a pattern and its name, the verdict its word and border."""
    for verdict, border in (("inside", ""), ("at the edge", "edge"), ("outside", "outside")):
        answer = an_answer(similarity=Similarity(verdict, 1.0, (), ()))
        page = page_of(tmp_path, answer, phantom_case)
        assert f'<span class="verdict {border}">{SIMILAR[verdict]}</span>' in page
        assert "(striped)" in page
        assert ("(dashed)" in page) == (verdict != "outside")
    assert 'class="statement synthetic"' in page
    plain = page_of(tmp_path, an_answer(demonstration=False), phantom_case)
    assert '<div class="statement">For research use only; not a medical device.</div>' in plain


def test_what_was_not_computed_is_not_mentioned(tmp_path, phantom_case):
    certainty = Certainty((), ("response",), "One model answers")
    answer = an_answer(certainty=certainty, clinical_scores=())
    words = words_of(page_of(tmp_path, answer, phantom_case))
    for absent in ("instability", "Clinical scores", "Contour", "The model ", "CNN input", "None"):
        assert absent not in words, absent
    assert "No warnings for this case." in words


def test_a_name_with_markup_is_shown_and_not_run(tmp_path, phantom_case):
    answer = an_answer(patient_id="<script>alert(1)</script>", warnings=("<b>bold</b>",))
    page = page_of(tmp_path, answer, phantom_case, show_identifier=True)
    assert "<script>" not in page and "<b>bold</b>" not in page
    assert "Patient &lt;script&gt;alert(1)" in page


def test_the_model_card_is_summed_up_by_training_performance_and_limits():
    lines = summarize_card(read_card(demonstration_bundle()), "cnn+random_forest")
    assert lines[0].startswith("Trained on ") and "`" not in lines[0]
    assert any(re.match(r"CNN \+ random forest, out of fold: AUC 0\.\d+ \(", line) for line in lines)
    assert lines[-1].startswith("Limits: ")
    assert summarize_card("", "cnn") == ()


LONG = a_full_answer()
#: Name of an answer -> the answer, and how many sides it takes at most, in the widest font.
ANSWERS = {
    "the shortest": (an_answer(), 1),
    "seven models, every score, four lesions, no warnings": (
        a_full_answer(warnings=(), similarity=an_answer().similarity),
        1,
    ),
    "outside with two warnings, seven models, every score": (a_full_answer(warnings=LONG.warnings[:2]), 1),
    "seven models, every score, six warnings, four lesions": (LONG, 2),
    "three times the warnings, fourteen models, no score known": (
        a_full_answer(
            warnings=3 * LONG.warnings,
            probabilities={**MODELS, **{f"cnn+{name}": 0.5 for name in ("linear", "logistic", "svm", "gbm")}},
            clinical_scores=an_answer().clinical_scores,
        ),
        2,
    ),
    "nearly zero": (
        an_answer(
            fused=0.004,
            threshold=0.01,
            responder=False,
            certainty=Certainty((1e-6, 0.03), (), "All 2 models agree"),
            clinical_scores=(),
        ),
        1,
    ),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_the_page_prints_on_one_a4_side_or_two_with_nothing_left_out(tmp_path, phantom_case, name):
    answer, sides = ANSWERS[name]
    card = read_card(demonstration_bundle())
    case = replace(phantom_case, provenance={"image": HEADER})
    page = write_patient_report(answer, case, tmp_path, sensitivity=SENSITIVITY, card=card)
    pdf = printed(page, tmp_path / "page.pdf")
    content = pdf.read_bytes()
    assert len(re.findall(rb"/Type\s*/Page\b", content)) <= sides
    box = re.search(rb"/MediaBox\s*\[\s*0\s+0\s+([\d.]+)\s+([\d.]+)", content)
    assert [float(side) for side in box.groups()] == pytest.approx(A4_PT, abs=1.5)
    if shutil.which("pdftotext"):
        run = subprocess.run(["pdftotext", "-raw", pdf, "-"], capture_output=True, text=True, check=True)
        words = re.sub(r"\s+", "", run.stdout)  # lines break anywhere
        for text in (*answer.warnings, *summarize_card(card, answer.headline), f"Model {answer.bundle_id}"):
            assert re.sub(r"\s+", "", text) in words, text


def printed(page, pdf):
    """The page as PDF, by a browser without a window; skips where there is none."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        pytest.skip("no Chromium here to print the page with")
    options = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
    ]
    options += [
        f"--user-data-dir={pdf.parent / 'browser'}",
        "--no-pdf-header-footer",
        f"--print-to-pdf={pdf}",
    ]
    run = subprocess.run([browser, *options, page.as_uri()], capture_output=True, timeout=120)
    if not pdf.exists():
        pytest.skip(f"{browser} prints nothing here: {run.stderr[-200:].decode(errors='replace')}")
    return pdf


def test_the_text_says_how_sure_and_how_similar():
    answer = a_full_answer()
    lines = summary(answer).splitlines()
    assert "Instability: 5 models, each trained without a part of the patients, say 31 % to 93 %." in lines
    assert lines[3:5] == [f"{answer.reading().banner}.", f"{answer.reading().headline}."]
    assert "conformal" not in summary(answer) and answer.certainty.agreement not in summary(answer)
    assert f"{answer.similarity.sentence()}." in lines
    assert any(line.split("  ")[0] == "Child-Pugh" and line.endswith("B (7 points)") for line in lines)
    without = replace(answer, certainty=replace(answer.certainty, of_folds=()))
    assert "Instability" not in summary(without)
    inside = summary(an_answer(training_share=0.64)).splitlines()
    assert "About 72 of 100 similar patients respond (in training 64 of 100)." in inside
    assert "Above this model's cut-off (55 of 100)." in inside
    assert {f"{an_answer().certainty.sentence()}.", "All 2 models agree."} <= set(inside)
