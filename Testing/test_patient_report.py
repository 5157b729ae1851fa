"""The patient's page: what stands on it, whom it names, and that it prints on one A4 side."""

import json
import re
import shutil
import subprocess
from dataclasses import replace

import pytest
from answers import MODELS, a_full_answer, an_answer
from TACEResponseLib.answer.certainty import Certainty
from TACEResponseLib.answer.contour_sensitivity import ContourSensitivity, Variant
from TACEResponseLib.answer.similarity import SIMILAR, Similarity
from TACEResponseLib.bundle import demonstration_bundle, read_card
from TACEResponseLib.report.patient_page import summarize_card, summary, write_patient_report

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
    assert "<title>TACE Response: Patient (identifier not shown)</title>" in page
    assert "Zoë" not in summary(answer)
    named = page_of(tmp_path / "named", answer, phantom_case, show_identifier=True)
    assert "<title>TACE Response: Patient Zoë 0012</title>" in named
    assert "Initial response to TACE: Patient Zoë 0012" in named
    assert "Patient Zoë 0012" in summary(answer, show_identifier=True).splitlines()


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
    drawn = dict(re.findall(r'<div class="(interval|point|cut)" style="([^"]+)"', page))
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
ANSWERS = {
    "the shortest": an_answer(),
    "seven models, every score, six warnings, four lesions": LONG,
    "three times the warnings, fourteen models, no score known": a_full_answer(
        warnings=3 * LONG.warnings,
        probabilities={**MODELS, **{f"cnn+{name}": 0.5 for name in ("linear", "logistic", "svm", "gbm")}},
        clinical_scores=an_answer().clinical_scores,
    ),
    "nearly zero": an_answer(
        fused=0.004,
        threshold=0.01,
        responder=False,
        certainty=Certainty((1e-6, 0.03), (), "All 2 models agree"),
        clinical_scores=(),
    ),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_the_page_prints_on_one_a4_side_with_nothing_left_out(tmp_path, phantom_case, name):
    answer = ANSWERS[name]
    card = read_card(demonstration_bundle())
    page = write_patient_report(answer, phantom_case, tmp_path, sensitivity=SENSITIVITY, card=card)
    pdf = printed(page, tmp_path / "page.pdf")
    content = pdf.read_bytes()
    assert len(re.findall(rb"/Type\s*/Page\b", content)) == 1
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
