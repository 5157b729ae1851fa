"""What has to be said beside an answer, as Problems of severity `warning`."""

import dataclasses
from collections.abc import Mapping

from TACEResponseLib.cases.lesions import Lesions
from TACEResponseLib.cases.outline import Outline
from TACEResponseLib.messages.errors import Problem
from TACEResponseLib.messages.language import mark, several, tr

from .similarity import Similarity

#: Kinds of `cases.outline` in words.
OUTLINE_KINDS = {
    "hand": mark("an outline that a person drew or edited"),
    "program": mark("an outline that a program proposed and nobody changed"),
}


def about_missing_features(problem: Problem | None, headline: str) -> list[Problem]:
    """Why the features are missing, and which model (in words) answers without them."""
    if problem is None:
        return []
    remedy = tr("the answer rests on {model} alone", model=headline)
    return [dataclasses.replace(problem, severity="warning", remedy=remedy)]


def about_extraction(known: bool) -> list[Problem]:
    """That nobody knows whether the patient was measured as the training patients were."""
    if known:
        return []
    return [
        Problem(
            "extraction",
            tr("the model's features come from a table that does not say how they were extracted"),
            field="features",
            expected=tr("features measured as in training"),
            received=tr("features measured with the default settings"),
            remedy=tr(
                "do not rely on the answer; train from images, or from a table with its diagnostics columns"
            ),
            severity="warning",
        )
    ]


def about_similarity(similarity: Similarity) -> list[Problem]:
    """That the case is not like the training cases, and in what."""
    if similarity.verdict == "inside":
        return []
    if similarity.verdict == "outside":
        message = tr("the case lies outside what the model was trained on")
        remedy = tr("do not rely on the answer")
    else:
        message = tr("the case lies at the edge of what the model was trained on")
        remedy = tr("take the answer with care")
    return [
        Problem(
            "outside_training",
            message,
            expected=tr("a case like the training cases"),
            received=similarity.because(),
            remedy=remedy,
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
    message = several(
        lesions.dropped,
        "1 piece of the mask below 0.01 mL not counted as lesions",
        "{n} pieces of the mask below 0.01 mL not counted as lesions",
    )
    return [Problem("mask", message, remedy=tr("remove stray voxels"), severity="warning")]
