"""Answers of every kind, and what every output must say of each: a table for `test_reading`."""

from dataclasses import dataclass

from answers import a_full_answer, an_answer
from TACEResponseLib.answer import remarks
from TACEResponseLib.answer.certainty import NO_RESPONSE, RESPONSE, Certainty
from TACEResponseLib.answer.prediction import Prediction
from TACEResponseLib.answer.similarity import Similarity
from TACEResponseLib.cases.lesions import Lesions
from TACEResponseLib.messages.errors import Problem

OUTSIDE = "Outside the training data: do not rely on the number"


@dataclass(frozen=True)
class Expected:
    """What every output must say of one answer; `coded` is the class as a DICOM code, "" for none."""

    kind: str
    headline: str
    verdict: str
    colour: str
    coded: str = ""
    banner: str = ""


def an_answer_of(fused: float, conformal=(RESPONSE,), **changes) -> Prediction:
    """By a model that was trained on 64 responders of 100."""
    certainty = Certainty((fused - 0.1, fused + 0.1), conformal, "All 2 models agree")
    parts = {"fused": fused, "responder": fused > 0.55, "certainty": certainty, "training_share": 0.64}
    return an_answer(**{**parts, **changes})


NO_TEXTURE = Problem("feature", "wavelet features need 4 slices", received="3 slices", severity="warning")
ABOVE = ("Above this model's cut-off (55 of 100)", "orange", "Above the cut-off")
SEVENTY_TWO = "About 72 of 100 similar patients respond (in training 64 of 100)"
#: Name of the case -> the answer, and what is read of it.
CASES = {
    "clear yes": (an_answer_of(0.72), Expected("above", SEVENTY_TWO, *ABOVE)),
    "clear no": (
        an_answer_of(0.21, (NO_RESPONSE,)),
        Expected(
            "below",
            "About 21 of 100 similar patients respond (in training 64 of 100)",
            "Below this model's cut-off (55 of 100)",
            "blue",
            "Below the cut-off",
        ),
    ),
    "undecided": (
        an_answer_of(0.6, (RESPONSE, NO_RESPONSE)),
        Expected(
            "undecided",
            "About 60 of 100 similar patients respond (in training 64 of 100)",
            "Undecided (cut-off 55 of 100)",
            "text",
            "Undecided",
        ),
    ),
    "outside": (
        an_answer_of(0.72, similarity=Similarity("outside", 5.4, ("tumour diameter in mm 180",), ())),
        Expected(
            "outside",
            "The model computes about 72 of 100 (in training 64 of 100)",
            "",
            "grey",
            banner=OUTSIDE,
        ),
    ),
    "no texture": (
        an_answer_of(
            0.69,
            probabilities={"cnn": 0.69},
            headline="cnn",
            threshold=0.5,
            warnings=tuple(map(str, remarks.about_missing_features(NO_TEXTURE, "CNN"))),
        ),
        Expected(
            "above",
            "About 69 of 100 similar patients respond (in training 64 of 100)",
            "Above this model's cut-off (50 of 100)",
            *ABOVE[1:],
        ),
    ),
    "warnings": (
        an_answer_of(0.72, warnings=a_full_answer().warnings),
        Expected("above", SEVENTY_TWO, *ABOVE),
    ),
    "several lesions": (
        an_answer_of(0.72, lesions=Lesions((96.4, 41.0, 22.8, 12.5), (412.3, 30.1, 5.2, 0.9), 3)),
        Expected("above", SEVENTY_TWO, *ABOVE),
    ),
    # Of whom the response is recorded already: knowing it changes nothing of what the model says.
    "follow-up": (an_answer_of(0.72, patient_id="F1"), Expected("above", SEVENTY_TWO, *ABOVE)),
    "no cut-off, 1": (
        an_answer_of(0.72, threshold=1.0, responder=False),
        Expected("no cut-off", SEVENTY_TWO, "This model has no cut-off", "text"),
    ),
    "no cut-off, 0": (
        an_answer_of(0.995, threshold=0.0),
        Expected(
            "no cut-off",
            "More than 99 of 100 similar patients respond (in training 64 of 100)",
            "This model has no cut-off",
            "text",
        ),
    ),
    "table model": (
        an_answer_of(0.72, warnings=tuple(map(str, remarks.about_extraction(False))), demonstration=False),
        Expected("above", SEVENTY_TWO, *ABOVE),
    ),
}
