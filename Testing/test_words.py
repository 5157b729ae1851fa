"""The words of an answer: no certainty that no model has, and the same words in every place."""

import dataclasses

import pytest
from answers import a_full_answer, an_answer
from TACEResponseLib.answer import words
from TACEResponseLib.answer.certainty import agreement
from TACEResponseLib.answer.contour_sensitivity import ContourSensitivity, Variant
from TACEResponseLib.answer.numbers import percent
from TACEResponseLib.cases.lesions import Lesions


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.0, "< 1 %"),
        (0.004, "< 1 %"),
        (0.0099, "< 1 %"),
        (0.01, "1 %"),
        (0.724, "72 %"),
        (0.99, "99 %"),
        (0.991, "> 99 %"),
        (0.9999, "> 99 %"),
        (1.0, "> 99 %"),
    ],
)
def test_a_probability_is_never_rounded_to_a_certainty(share, text):
    assert percent(share) == text


def every_text(prediction) -> list[str]:
    reading = prediction.reading()
    return [
        reading.headline,
        reading.verdict,
        words.lesions(prediction.lesions),
        *words.certainty_lines(prediction),
        words.similarity(prediction.similarity),
        words.lacking_scores(prediction.clinical_scores),
        *prediction.warnings,
        prediction.statement(),
    ]


def test_no_sentence_of_an_answer_says_100_or_0_percent():
    almost = an_answer(fused=0.9996, threshold=0.004)
    almost = dataclasses.replace(
        almost, certainty=dataclasses.replace(almost.certainty, of_folds=(0.002, 0.9999))
    )
    texts = every_text(almost)
    texts.append(agreement({"cnn": 0.999, "gbm": 0.2}, {"cnn": 0.5, "gbm": 0.5}, False))
    outlines = (Variant("as drawn", 1.0, 0.9996, True), Variant("grown", 1.2, 0.001, False))
    texts.append(ContourSensitivity(outlines).sentence())
    for text in texts:
        assert "100 %" not in text
        assert " 0 %" not in text
    assert texts[0] == "More than 99 of 100 similar patients respond"
    assert "between < 1 % and > 99 %" in texts[-1]


def test_the_words_are_those_that_were_agreed_on():
    prediction = an_answer()
    reading = dataclasses.replace(prediction, training_share=0.64).reading()
    assert reading.headline == "About 72 of 100 similar patients respond (in training 64 of 100)"
    assert reading.verdict == "Above this model's cut-off (55 of 100)"
    assert words.lesions(prediction.lesions) == "2 lesions, largest 47.2 mm axial, 53.3 mL"
    assert words.lesions(Lesions((9.04,), (0.31,), 0)) == "1 lesion, largest 9.0 mm axial, 0.3 mL"
    instability, *others = words.certainty_lines(prediction)
    assert instability == (
        "Instability: 5 models, each trained without a part of the patients, say 58 % to 84 %"
    )
    assert others == [prediction.certainty.sentence(), "All 2 models agree"]
    without = dataclasses.replace(
        prediction, certainty=dataclasses.replace(prediction.certainty, of_folds=())
    )
    assert words.certainty_lines(without) == tuple(others)
    elsewhere = dataclasses.replace(prediction, fused=0.9)
    said = "the model of all patients, which answers, says 90 %"
    assert words.instability(elsewhere) == f"{instability}; {said}"
    assert words.lacking_scores(prediction.clinical_scores).startswith("Not computed: HAP")
    assert words.lacking_scores(a_full_answer().clinical_scores[:0]) == ""
    assert not words.needs_care(prediction.similarity)
    assert words.needs_care(a_full_answer().similarity)
