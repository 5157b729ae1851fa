"""The words of an answer, in one place for panel, page, terminal and archive.

Every function takes `translate`, which turns an English text, or the template of one, into the
reader's language; without it the text stays as it is written here.
"""

from typing import TYPE_CHECKING

from TACEResponseLib.models.combination import title

from .numbers import Translate, english, percent

if TYPE_CHECKING:
    from TACEResponseLib.cases.lesions import Lesions
    from TACEResponseLib.clinical.scores import ClinicalScore

    from .certainty import Certainty
    from .reading import Reading
    from .similarity import Similarity


def model_title(name: str) -> str:
    """A model or fusion as readers know it: "CNN + random forest"."""
    return title(name)


def lesions(found: "Lesions", translate: Translate = english) -> str:
    """Number, largest diameter and volume: "2 lesions, largest 47.2 mm axial, 53.3 mL"."""
    number = translate("1 lesion") if found.number == 1 else translate("{n} lesions").format(n=found.number)
    return translate("{number}, largest {diameter:.1f} mm axial, {volume:.1f} mL").format(
        number=number, diameter=found.largest_diameter_mm, volume=found.volume_ml
    )


def instability(certainty: "Certainty", translate: Translate = english) -> str:
    """How far the models of the folds are apart; empty where they are not known."""
    if certainty.instability is None:
        return ""
    low, high = map(percent, certainty.instability)
    return translate(
        "Instability: {count} models, each trained without a part of the patients, say {low} to {high}"
    ).format(count=len(certainty.of_folds), low=low, high=high)


def certainty_lines(
    certainty: "Certainty", reading: "Reading", translate: Translate = english
) -> tuple[str, ...]:
    """The instability where it is known, what cannot be excluded, and how the models agree.

    Of a case outside the training data no outcome is called excluded, and no side of a cut-off is told.
    """
    lines = [instability(certainty, translate)]
    if reading.kind != "outside":
        lines += [certainty.sentence(), certainty.agreement]
    return tuple(line for line in lines if line)


def similarity(found: "Similarity") -> str:
    """Whether the case is like the training cases, and why not."""
    return found.sentence()


def needs_care(found: "Similarity") -> bool:
    """Whether a sign must stand beside the sentence of `similarity`."""
    return found.verdict != "inside"


def lacking_scores(scores: tuple["ClinicalScore", ...], translate: Translate = english) -> str:
    """The clinical scores that could not be computed and what they need; empty when there are none."""
    lacking = [score for score in scores if score.missing]
    if not lacking:
        return ""
    items = dict.fromkeys(item for score in lacking for item in score.missing)
    return translate("Not computed: {scores}. Needs {items}.").format(
        scores=", ".join(score.title for score in lacking), items=", ".join(items)
    )
