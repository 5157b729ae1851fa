"""Where the outline of a tumour is from: drawn by a person, or proposed by a program."""

from dataclasses import dataclass
from typing import Literal

Source = Literal["", "drawn", "proposed", "confirmed", "edited"]


@dataclass(frozen=True)
class Outline:
    """The history of a mask, kept with the answer that it gave.

    source: "drawn" by a person; "proposed" by a program and seen by nobody; "confirmed", proposed and
    accepted by a person as it was; "edited", proposed and changed by a person; "" where nothing is known.
    program: what proposed it, "" for a drawn one. dice: of an edited outline to its proposal, in [0, 1];
    None for every other one.
    """

    source: Source = ""
    program: str = ""
    dice: float | None = None
