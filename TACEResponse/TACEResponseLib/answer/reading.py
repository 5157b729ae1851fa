"""How an answer is to be read: banner, headline, class and colour, the same in every output.

A probability is said in people, beside the share of the training patients. The class stands apart, and
only where it means something: not when both outcomes remain plausible, and not for a case unlike the
training patients, of whom the probability says nothing.
"""

from dataclasses import dataclass
from typing import Literal

from TACEResponseLib.messages.language import mark, tr

from .certainty import NO_RESPONSE, RESPONSE, Certainty
from .numbers import of_100
from .similarity import Similarity

NO_CUT_OFF = "no cut-off"  # not a text: the code of a kind
Kind = Literal["above", "below", "undecided", "no cut-off", "outside"]  # not a text
#: Names of colours, where an output has any. Orange stands for response and blue against it, as in the
#: map of an explanation; an answer without a side has the colour of text, one that must not be used is grey.
COLOURS: dict[Kind, str] = {
    "above": "orange",
    "below": "blue",
    "undecided": "text",
    NO_CUT_OFF: "text",
    "outside": "grey",
}
#: The colours on a light and on a dark ground, each at least 4.5 : 1 against it.
ON_LIGHT = {"orange": "#a34700", "blue": "#1f5fa8", "text": "#1c1f24", "grey": "#5f6673"}
ON_DARK = {"orange": "#ffb27a", "blue": "#9cc4f0", "text": "#f2f4f7", "grey": "#a3abb8"}
#: The class in words; none for a case outside the training data.
VERDICTS: dict[Kind, str] = {
    "above": mark("Above this model's cut-off ({number})"),
    "below": mark("Below this model's cut-off ({number})"),
    "undecided": mark("Undecided (cut-off {number})"),
    NO_CUT_OFF: mark("This model has no cut-off"),
}


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
        return self.kind not in ("outside", NO_CUT_OFF)

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
) -> Reading:
    """How a probability `fused` of response is to be read beside its cut-off and all that bears on it.

    training_share: of responders among the training patients, None where it is not known.
    """
    kind = _kind(fused, threshold, certainty, similarity)
    return Reading(
        kind,
        banner=tr("Outside the training data: do not rely on the number") if kind == "outside" else "",
        headline=_headline(kind, fused, training_share),
        verdict=_verdict(kind, threshold),
    )


def side_of_cut_off(above: bool) -> str:
    """ "above the cut-off" or "below the cut-off"."""
    return tr("above the cut-off" if above else "below the cut-off")


def cut_off(threshold: float) -> str:
    """ "cut-off 55 of 100"."""
    return tr("cut-off {number}", number=of_100(threshold))


def _kind(fused: float, threshold: float, certainty: Certainty, similarity: Similarity) -> Kind:
    """Outside the training data, undecided, or the side of the cut-off.

    A cut-off that nobody or everybody exceeds is none. Undecided is an answer whose conformal set is not
    the one outcome of its side of the cut-off: both outcomes are plausible, neither is, or set and
    cut-off contradict each other.
    """
    if similarity.verdict == "outside":
        return "outside"
    if not 0 < threshold < 1:
        return NO_CUT_OFF
    above = fused > threshold
    if certainty.conformal != (RESPONSE if above else NO_RESPONSE,):
        return "undecided"
    return "above" if above else "below"


def _headline(kind: Kind, fused: float, training_share: float | None) -> str:
    text = _computed(fused) if kind == "outside" else _in_people(fused)
    if training_share is None:
        return text
    return tr("{text} (in training {number:.0f} of 100)", text=text, number=100 * training_share)


def _in_people(fused: float) -> str:
    """ "About 72 of 100 similar patients respond", and never a certainty that no model has."""
    if fused > 0.99:
        return tr("More than 99 of 100 similar patients respond")
    if fused < 0.01:
        return tr("Fewer than 1 of 100 similar patients respond")
    return tr("About {number:.0f} of 100 similar patients respond", number=100 * fused)


def _computed(fused: float) -> str:
    """ "The model computes about 72 of 100", which is said of no patient."""
    if fused > 0.99:
        return tr("The model computes more than 99 of 100")
    if fused < 0.01:
        return tr("The model computes fewer than 1 of 100")
    return tr("The model computes about {number:.0f} of 100", number=100 * fused)


def _verdict(kind: Kind, threshold: float) -> str:
    return tr(VERDICTS[kind], number=of_100(threshold)) if kind in VERDICTS else ""
