"""How an answer is to be read: banner, headline, class and colour, the same in every output.

A probability is said in people, beside the share of the training patients. The class stands apart, and
only where it means something: not when both outcomes remain plausible, and not for a case unlike the
training patients, of whom the probability says nothing.
"""

from dataclasses import dataclass
from typing import Literal

from .certainty import NO_RESPONSE, RESPONSE, Certainty
from .numbers import Translate, about_100, english, of_100
from .similarity import Similarity

Kind = Literal["above", "below", "undecided", "no cut-off", "outside"]
#: Names of colours, where an output has any. Orange stands for response and blue against it, as in the
#: map of an explanation; an answer without a side has the colour of text, one that must not be used is grey.
COLOURS: dict[Kind, str] = {
    "above": "orange",
    "below": "blue",
    "undecided": "text",
    "no cut-off": "text",
    "outside": "grey",
}
#: The colours on a light and on a dark ground, each at least 4.5 : 1 against it.
ON_LIGHT = {"orange": "#a34700", "blue": "#1f5fa8", "text": "#1c1f24", "grey": "#5f6673"}
ON_DARK = {"orange": "#ffb27a", "blue": "#9cc4f0", "text": "#f2f4f7", "grey": "#a3abb8"}


@dataclass(frozen=True)
class Reading:
    """What an answer amounts to, in the reader's language.

    banner: what must be read first, "" for most. headline: the probability in people. verdict: the
    class in words, "" where there is none.
    """

    kind: Kind
    banner: str
    headline: str
    verdict: str

    @property
    def colour(self) -> str:
        """Name of the answer's colour."""
        return COLOURS[self.kind]

    def hex(self, dark: bool = False) -> str:
        """The colour as "#rrggbb", for a light or a dark ground."""
        return (ON_DARK if dark else ON_LIGHT)[self.colour]

    @property
    def has_side(self) -> bool:
        """Whether it means something on which side of the cut-off the answer lies."""
        return self.kind not in ("outside", "no cut-off")

    def to_json(self) -> dict:
        """JSON types; `class` is null where the answer has none."""
        return {
            "kind": self.kind,
            "banner": self.banner,
            "headline": self.headline,
            "class": self.verdict or None,
            "colour": self.colour,
        }


def read(
    fused: float,
    threshold: float,
    training_share: float | None,
    certainty: Certainty,
    similarity: Similarity,
    translate: Translate = english,
) -> Reading:
    """How a probability `fused` of response is to be read beside its cut-off and all that bears on it.

    training_share: of responders among the training patients, None where it is not known.
    """
    kind = _kind(fused, threshold, certainty, similarity)
    return Reading(
        kind,
        banner=translate("Outside the training data: do not rely on the number") if kind == "outside" else "",
        headline=_headline(kind, fused, training_share, translate),
        verdict=_verdict(kind, threshold, translate),
    )


def side_of_cut_off(above: bool, translate: Translate = english) -> str:
    """ "above the cut-off" or "below the cut-off"."""
    return translate("above the cut-off") if above else translate("below the cut-off")


def cut_off(threshold: float, translate: Translate = english) -> str:
    """ "cut-off 55 of 100"."""
    return translate("cut-off {number}").format(number=of_100(threshold, translate))


def _kind(fused: float, threshold: float, certainty: Certainty, similarity: Similarity) -> Kind:
    """Outside the training data, undecided, or the side of the cut-off.

    A cut-off that nobody or everybody exceeds is none. Undecided is an answer whose conformal set is not
    the one outcome of its side of the cut-off: both outcomes are plausible, neither is, or set and
    cut-off contradict each other.
    """
    if similarity.verdict == "outside":
        return "outside"
    if not 0 < threshold < 1:
        return "no cut-off"
    above = fused > threshold
    if certainty.conformal != (RESPONSE if above else NO_RESPONSE,):
        return "undecided"
    return "above" if above else "below"


def _headline(kind: Kind, fused: float, training_share: float | None, translate: Translate) -> str:
    number = about_100(fused, translate)
    if kind == "outside":
        text = translate("The model computes {number}").format(number=number)
    else:
        text = translate("{number} similar patients respond").format(number=number[:1].upper() + number[1:])
    if training_share is None:
        return text
    trained = of_100(training_share, translate)
    return translate("{text} (in training {trained})").format(text=text, trained=trained)


def _verdict(kind: Kind, threshold: float, translate: Translate) -> str:
    sentences = {
        "above": translate("Above this model's cut-off ({number})"),
        "below": translate("Below this model's cut-off ({number})"),
        "undecided": translate("Undecided (cut-off {number})"),
        "no cut-off": translate("This model has no cut-off"),
        "outside": "",
    }
    return sentences[kind].format(number=of_100(threshold, translate))
