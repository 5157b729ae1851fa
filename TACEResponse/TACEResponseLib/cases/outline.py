"""Where the outline of a tumour is from: drawn by a person, or proposed by a program."""

from dataclasses import asdict, dataclass
from typing import Literal

from TACEResponseLib.messages.errors import InputError
from TACEResponseLib.messages.language import mark, tr

Source = Literal["", "drawn", "proposed", "confirmed", "edited"]
#: Whose hand an outline shows at its end: a person's, or a program's. An edited one shows a person's.
Kind = Literal["", "hand", "program"]
#: The history in words, and the kind of each source.
SOURCES: dict[Source, tuple[str, Kind]] = {
    "drawn": (mark("drawn"), "hand"),
    "proposed": (mark("proposed, not confirmed"), "program"),
    "confirmed": (mark("proposed, confirmed"), "program"),
    "edited": (mark("proposed, edited"), "hand"),
}
EDITED = mark("proposed, edited (Dice {dice:.2f} to the proposal)")


@dataclass(frozen=True)
class Outline:
    """The history of a mask, kept with the answer that it gave.

    source: "drawn" by a person; "proposed" by a program and seen by nobody; "confirmed", proposed and
    accepted by a person as it was; "edited", proposed and changed by a person; "" where nothing is known.
    program: what proposed it, "" for a drawn one. dice: of an edited outline to its proposal, in [0, 1];
    None for every other one, and where it is not known. Raises ValueError for anything else.
    """

    source: Source = ""
    program: str = ""
    dice: float | None = None

    def __post_init__(self):
        if self.source not in ("", *SOURCES):
            raise ValueError(f"no outline is {self.source!r}; expected one of {', '.join(SOURCES)}")
        if self.program and self.source in ("", "drawn"):
            raise ValueError("a program beside an outline that none proposed")
        if self.dice is not None and self.source != "edited":
            raise ValueError("a Dice beside an outline that was not edited")
        if self.dice is not None and not 0 <= self.dice <= 1:
            raise ValueError(f"a Dice of {self.dice}; expected 0 to 1")

    @classmethod
    def from_text(cls, text: str) -> "Outline":
        """The outline that a cell `mask_source` names, unknown when empty; InputError for another word."""
        word = text.strip().casefold()
        if word not in ("", *SOURCES):
            raise InputError(
                tr("no outline has this source"),
                field="mask_source",
                expected=", ".join(SOURCES),
                received=text.strip(),
                remedy=tr("choose one of those, or leave it empty"),
            )
        return cls(word)

    @property
    def kind(self) -> Kind:
        """Whose hand it shows; "" where nothing is known."""
        return SOURCES[self.source][1] if self.source else ""

    def history(self) -> str:
        """ "proposed, edited (Dice 0.87 to the proposal)"; empty where nothing is known."""
        if self.dice is not None:
            return tr(EDITED, dice=self.dice)
        return tr(SOURCES[self.source][0]) if self.source else ""

    def in_words(self) -> str:
        """ "Outline: proposed, confirmed"; empty where nothing is known."""
        return tr("Outline: {history}", history=self.history()) if self.source else ""

    def to_json(self) -> dict:
        """`source`, `program` and `dice`, as `prediction.json` has them; the Dice to three decimals."""
        return asdict(self) | {"dice": None if self.dice is None else round(self.dice, 3)}


#: Of a mask whose history nobody told.
UNKNOWN = Outline()
