"""What has to be said beside an answer, as Problems of severity `warning`."""

import dataclasses
from collections.abc import Mapping

from TACEResponseLib.cases.lesions import Lesions
from TACEResponseLib.cases.outline import Outline
from TACEResponseLib.messages.errors import Problem
from TACEResponseLib.messages.language import mark, tr

from .similarity import Similarity

#: Kinds of `cases.outline` in words.
OUTLINE_KINDS = {
    "hand": mark("an outline that a person drew or edited"),
    "program": mark("an outline that a program proposed and nobody changed"),
}
_UNKNOWN_EXTRACTION = Problem(
    "extraction",
    "the model's features come from a table that does not say how they were extracted",
    field="features",
    expected="features measured as in training",
    received="features measured with the default settings",
    remedy="do not rely on the answer; train from images, or from a table with its diagnostics columns",
    severity="warning",
)


def about_missing_features(problem: Problem | None, headline: str) -> list[Problem]:
    """Why the features are missing, and which model (in words) answers without them."""
    if problem is None:
        return []
    return [dataclasses.replace(problem, severity="warning", remedy=f"the answer rests on {headline} alone")]


def about_extraction(known: bool) -> list[Problem]:
    """That nobody knows whether the patient was measured as the training patients were."""
    return [] if known else [_UNKNOWN_EXTRACTION]


def about_similarity(similarity: Similarity) -> list[Problem]:
    """That the case is not like the training cases, and in what."""
    if similarity.verdict == "inside":
        return []
    where = "outside" if similarity.verdict == "outside" else "at the edge of"
    return [
        Problem(
            "outside_training",
            f"the case lies {where} what the model was trained on",
            expected="a case like the training cases",
            received="; ".join(similarity.reasons),
            remedy="do not rely on the answer" if where == "outside" else "take the answer with care",
            severity="warning",
        )
    ]


def about_outline(outline: Outline, of_training: Mapping[str, int]) -> list[Problem]:
    """That the outline is of another kind, a person's or a program's, than those of all training patients.

    of_training: source -> patients; nothing is said where either is not known.
    """
    kinds = {Outline(source).kind for source in of_training}
    if not outline.kind or not kinds or outline.kind in kinds:
        return []
    return [
        Problem(
            "outline",
            tr("the outline is of another kind than those that the model was trained on"),
            field="mask",
            expected=tr(OUTLINE_KINDS[kinds.pop()]),
            received=tr(OUTLINE_KINDS[outline.kind]),
            remedy=tr("take the answer with care, and look at how far the contour changes it"),
            severity="warning",
        )
    ]


def about_dropped(lesions: Lesions) -> list[Problem]:
    """That pieces of the mask are too small to be lesions."""
    if not lesions.dropped:
        return []
    pieces = "piece" if lesions.dropped == 1 else "pieces"
    message = f"{lesions.dropped} {pieces} of the mask below 0.01 mL not counted as lesions"
    return [Problem("mask", message, remedy="remove stray voxels", severity="warning")]
