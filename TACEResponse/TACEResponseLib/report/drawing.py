"""What a figure of the report is made with: canvas, colours, and the bytes of its files.

Figures are made without pyplot, so that nothing is left open and no window is needed. Colours are
Okabe and Ito's, which colour-blind readers can tell apart; line styles and markers repeat what the
colours say.
"""

import io
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from TACEResponseLib.messages.language import tr

from .fonts import families

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
STYLES = ("-", (0, (5, 1.5)), (0, (1, 1)), "-.", (0, (3, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (2, 1)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
GREY, RED = "#5b6270", "#b3261e"
WIDTH_IN = 9.0
DOTS_PER_INCH = 150


#: Of a figure that is printed; journals ask for 600 where a picture holds lines and letters.
PRINT_DOTS_PER_INCH = 600
#: Letters stay letters, so that another program can change them; the same input gives the same bytes.
OUTPUT = {"svg.hashsalt": "tace-response", "svg.fonttype": "none", "pdf.fonttype": 42}
NO_DATES = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


@dataclass(frozen=True)
class Mark:
    """A patient's place on a panel of a figure. x, y: in its data. words: what is said of the patient."""

    patient_id: str
    axes: "Axes"
    x: float
    y: float
    words: str


@dataclass(frozen=True)
class Drawing:
    """One figure. name: of its files, without ending. figure: None, and then `absent` says why.

    peng: its number in Peng et al. 2021, where it is there. number: its place in the report, from 1; 0
    without a figure. marks: the patients that it shows one by one.
    """

    name: str
    caption: str
    figure: "Figure | None"
    absent: str = ""
    peng: str = ""
    number: int = 0
    marks: tuple[Mark, ...] = field(default=(), repr=False)

    @property
    def title(self) -> str:
        """The caption behind its number, and Peng's in brackets."""
        if not self.number:
            return self.caption
        if not self.peng:
            return tr("Figure {number}. {caption}", number=self.number, caption=self.caption)
        return tr(
            "Figure {number} (Peng: {theirs}). {caption}",
            number=self.number,
            theirs=self.peng,
            caption=self.caption,
        )

    @property
    def width_in(self) -> float:
        """Width of the figure in inches, 0 where there is none."""
        return 0.0 if self.figure is None else float(self.figure.get_figwidth())

    @property
    def places(self) -> list[tuple[float, float, Mark]]:
        """Each mark with its place, as shares of the figure's width from the left and height from the top."""
        found = []
        for mark in self.marks:
            pixels = mark.axes.transData.transform((mark.x, mark.y))
            x, y = self.figure.transFigure.inverted().transform(pixels)
            found.append((float(x), float(1 - y), mark))
        return found

    def as_bytes(self, ending: str, dots_per_inch: int | None = None) -> bytes | None:
        """The figure as `png`, `svg` or `pdf`, with the same bytes every time; None where there is none.

        dots_per_inch: of pixels, those of a screen by default.
        """
        if self.figure is None:
            return None
        import matplotlib

        stream = io.BytesIO()
        with matplotlib.rc_context(OUTPUT):
            dpi = dots_per_inch or DOTS_PER_INCH
            self.figure.savefig(stream, format=ending, dpi=dpi, metadata=NO_DATES[ending])
        return stream.getvalue()


def numbered(drawings: Sequence[Drawing]) -> tuple[Drawing, ...]:
    """The drawings with numbers: those that hold a figure are counted from 1 in their order."""
    counter = itertools.count(1)
    return tuple(d if d.figure is None else replace(d, number=next(counter)) for d in drawings)


def finish(figure: "Figure", marks: Sequence[str]) -> None:
    """Mark a figure, which travels without its page, and lay it out once for both of its files.

    Its texts are given a font that has the letters of the reader's language.
    """
    from matplotlib.text import Text

    if marks:
        figure.supxlabel(before_colon(marks[0]), fontsize=8, color=RED)
    if fonts := families():
        for text in figure.findobj(Text):
            text.set_family(fonts)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")


def before_colon(text: str) -> str:
    """A text up to its first colon, of any language."""
    return re.split("[:\N{FULLWIDTH COLON}]", text, maxsplit=1)[0]


def canvas(height_in: float, panels: int = 1, width_in: float = WIDTH_IN, **more) -> tuple:
    """A figure with so many panels beside each other; the panels as a list."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    axes = list(np.ravel(figure.subplots(1, panels, **more)))
    for panel in axes:
        panel.spines[["top", "right"]].set_visible(False)
    return figure, axes
