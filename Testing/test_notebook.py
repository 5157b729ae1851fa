"""A prediction in a notebook and a console."""

import html
import pickle
import re
from html.parser import HTMLParser

import pytest
from answers import a_full_answer, an_answer
from TACEResponseLib.answer import words
from TACEResponseLib.answer.numbers import percent
from TACEResponseLib.answer.similarity import Similarity

OUTSIDE = Similarity("outside", 1.3, ("tumour diameter 96 mm <&> training 12 to 90 mm",), ())


class Balance(HTMLParser):
    """Which tags are open, and the text."""

    def __init__(self, page):
        super().__init__()
        self.open, self.texts = [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def test_the_repr_is_one_short_line_with_answer_class_and_statement():
    answer = an_answer()
    text, read = repr(answer), answer.reading()
    assert text.startswith(f"<Prediction: {read.headline}. {read.verdict}. Similar to ")
    assert text.endswith("This model was trained on synthetic images and is not for patients.>")
    assert "\n" not in text
    assert len(text) < 240


def test_the_repr_of_a_case_outside_the_training_data_says_so():
    assert f"{words.similarity(OUTSIDE).partition(' (')[0]}." in repr(an_answer(similarity=OUTSIDE))
    assert repr(an_answer(similarity=OUTSIDE)).startswith("<Prediction: Outside the training data: ")
    assert "cut-off" not in repr(an_answer(similarity=OUTSIDE))


@pytest.mark.parametrize("answer", [an_answer(), a_full_answer()], ids=["short", "full"])
def test_the_notebook_shows_all_that_must_stand_beside_the_answer_in_the_words_of_the_page(answer):
    page = Balance(answer._repr_html_())
    assert page.open == []
    read = answer.reading()
    said = [read.banner, read.headline, read.verdict, answer.statement()]
    said += [words.similarity(answer.similarity), words.lesions(answer.lesions)]
    said += [*answer.warnings, *words.certainty_lines(answer)]
    for text in said:
        assert any(text in found for found in page.texts), text
    for name, probability in answer.probabilities.items():
        at = page.texts.index(words.model_title(name))
        assert page.texts[at + 1] == percent(probability)


def test_bars_are_as_long_as_the_probabilities_and_the_answering_model_is_the_strong_one():
    answer = an_answer()
    bars = re.findall(r"width: ([\d.]+)%; height: 0.6em; background: (#\w+)", answer._repr_html_())
    assert [float(share) for share, _ in bars] == [69.0, 74.0, 72.0]
    assert [len(colour) for _, colour in bars] == [9, 9, 7]


def test_a_case_outside_the_training_data_says_so_before_the_number():
    answer = an_answer(similarity=OUTSIDE)
    page = answer._repr_html_()
    assert page.index(html.escape(words.similarity(OUTSIDE))) < page.index(answer.reading().headline)
    assert "<&>" not in page


def test_neither_names_the_patient():
    answer = an_answer(patient_id="Zoë 0012")
    assert "0012" not in repr(answer)
    assert "0012" not in answer._repr_html_()


def test_a_prediction_still_travels_between_processes():
    answer = an_answer()
    assert pickle.loads(pickle.dumps(answer)) == answer
