"""The words of an answer, in one place for panel, page, terminal and archive.

`prediction` is a `Prediction`, whose own file imports this one.
"""

from typing import TYPE_CHECKING

from TACEResponseLib.clinical.scores import item_in_words
from TACEResponseLib.messages.language import listed, several, tr
from TACEResponseLib.models.combination import title

from .numbers import percent

if TYPE_CHECKING:
    from TACEResponseLib.cases.lesions import Lesions
    from TACEResponseLib.clinical.scores import ClinicalScore

    from .similarity import Similarity


def model_title(name: str) -> str:
    """A model or fusion as readers know it: "CNN + random forest"."""
    return title(name)


def lesions(found: "Lesions") -> str:
    """Number, largest diameter and volume: "2 lesions, largest 47.2 mm axial, 53.3 mL"."""
    return tr(
        "{number}, largest {diameter:.1f} mm axial, {volume:.1f} mL",
        number=several(found.number, "1 lesion", "{n} lesions"),
        diameter=found.largest_diameter_mm,
        volume=found.volume_ml,
    )


def instability(prediction) -> str:
    """How far the models of the folds are apart; empty where they are not known.

    The answer itself may lie outside: it comes from the model of all patients, and then that is said.
    """
    known = prediction.certainty.instability
    if known is None:
        return ""
    low, high = map(percent, known)
    said = tr(
        "Instability: {count} models, each trained without a part of the patients, say {low} to {high}",
        count=len(prediction.certainty.of_folds),
        low=low,
        high=high,
    )
    answer = percent(prediction.fused)
    if known[0] <= prediction.fused <= known[1] or answer in (low, high):
        return said
    return tr("{said}; the model of all patients, which answers, says {answer}", said=said, answer=answer)


def certainty_lines(prediction) -> tuple[str, ...]:
    """The instability where it is known, what cannot be excluded, and how the models agree.

    Of a case outside the training data no outcome is called excluded, and no side of a cut-off is told.
    """
    lines = [instability(prediction)]
    if prediction.reading().kind != "outside":
        lines += [prediction.certainty.sentence(), prediction.certainty.agreement]
    return tuple(line for line in lines if line)


def similarity(found: "Similarity") -> str:
    """Whether the case is like the training cases, and why not."""
    return found.sentence()


def needs_care(found: "Similarity") -> bool:
    """Whether a sign must stand beside the sentence of `similarity`."""
    return found.verdict != "inside"


def lacking_scores(scores: tuple["ClinicalScore", ...]) -> str:
    """The clinical scores that could not be computed and what they need; empty when there are none."""
    lacking = [score for score in scores if score.missing]
    if not lacking:
        return ""
    items = dict.fromkeys(item for score in lacking for item in score.missing)
    return tr(
        "Not computed: {scores}. Needs {items}.",
        scores=listed(score.title for score in lacking),
        items=listed(map(item_in_words, items)),
    )
