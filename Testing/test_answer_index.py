"""`index.html` over a folder of answers: the order, what each row says, and where it leads."""

import re
from html import unescape
from urllib.parse import unquote

import pytest
from answers import an_answer
from readings import CASES
from TACEResponseLib.report.answer_index import IndexRow, write_index

PROBLEM = "Patient P/2, empty.nrrd: the mask is empty."


def rows_of(page: str) -> list[dict[str, str]]:
    """Link, name and text of each row, in order."""
    found = []
    for row in re.findall(r'<tr><th scope="row">.*?</tr>', unescape(page), re.S):
        link = re.search(r'href="([^"]*)"', row)
        cells = re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.S)
        texts = [" ".join(re.sub(r"<[^>]+>", " ", cell).split()) for cell in cells]
        colour = re.search(r'<(?:strong|div) class="(orange|blue|text|grey)"', row)
        found.append(
            {
                "link": link and link[1],
                "patient": texts[0],
                "first": texts[1],
                "answer": texts[2],
                "colour": colour and colour[1],
            }
        )
    return found


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    named = {
        "yes": "clear yes",
        "no": "clear no",
        "unsure": "undecided",
        "warned": "warnings",
        "strange": "outside",
    }
    rows = [IndexRow.of(CASES[case][0], name) for name, case in named.items()]
    rows.insert(2, IndexRow("P/2", problem=PROBLEM))
    folder = tmp_path_factory.mktemp("answers")
    return write_index(rows, folder).read_text(encoding="utf-8")


def test_the_index_lists_first_what_needs_care(page):
    seventy_two = "About 72 of 100 similar patients respond (in training 64 of 100)"
    above = f"{seventy_two} Above this model's cut-off (55 of 100)"
    assert [(row["link"], row["first"], row["answer"], row["colour"]) for row in rows_of(page)] == [
        (None, PROBLEM, "no answer", None),
        (
            "strange/report.html",
            "Outside the training data: do not rely on the number",
            "The model computes about 72 of 100 (in training 64 of 100)",
            "grey",
        ),
        ("warned/report.html", "6 warnings", above, "orange"),
        (
            "unsure/report.html",
            "no warnings",
            "About 60 of 100 similar patients respond (in training 64 of 100) Undecided (cut-off 55 of 100)",
            "text",
        ),
        ("yes/report.html", "no warnings", above, "orange"),
        (
            "no/report.html",
            "no warnings",
            "About 21 of 100 similar patients respond (in training 64 of 100) "
            "Below this model's cut-off (55 of 100)",
            "blue",
        ),
    ]
    counts = "1 without an answer, 1 outside the training data, 1 with warnings, 1 undecided, 2 without any"
    assert counts in page and "<h1>Initial response to TACE: 6 patients</h1>" in page
    statement = "This model was trained on synthetic images and is not for patients."
    assert page.count(f'<div class="statement synthetic">{statement}</div>') == 1


def test_an_address_leads_to_the_folder_whatever_its_name(tmp_path):
    folder = "Zoë #5 50%?"
    answer = an_answer(patient_id="<b>5</b>", warnings=("look",), demonstration=False)
    text = write_index([IndexRow.of(answer, folder)], tmp_path).read_text(encoding="utf-8")
    (row,) = rows_of(text)
    assert unquote(row["link"]) == f"{folder}/report.html"
    assert not set("#?") & set(row["link"]) and row["first"] == "1 warning"
    assert "<b>5" not in text and "&lt;b&gt;5" in text
    assert '<div class="statement">For research use only; not a medical device.</div>' in text


def test_an_index_without_any_answer_says_so(tmp_path):
    text = write_index([IndexRow("P1", problem="x")], tmp_path).read_text(encoding="utf-8")
    assert "<p>1 without an answer. First those that need care.</p>" in text and "statement" in text
    assert '<div class="statement' not in text
