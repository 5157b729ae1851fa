"""What a figure of the report is made with: canvas, colours, and the bytes of its files.

Figures are made without pyplot, so that nothing is left open and no window is needed. Colours are
Okabe and Ito's, which colour-blind readers can tell apart; line styles and markers repeat what the
colours say.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
STYLES = ("-", (0, (5, 1.5)), (0, (1, 1)), "-.", (0, (3, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (2, 1)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
GREY, RED = "#5b6270", "#b3261e"
WIDTH_IN = 9.0
DOTS_PER_INCH = 150


@dataclass(frozen=True)
class Drawing:
    """One figure. name: of its files, without ending. figure: None, and then `absent` says why."""

    name: str
    caption: str
    figure: "Figure | None"
    absent: str = ""

    @property
    def width_in(self) -> float:
        """Width of the figure in inches, 0 where there is none."""
        return 0.0 if self.figure is None else float(self.figure.get_figwidth())

    def as_bytes(self, ending: str) -> bytes | None:
        """The figure as `png` or `svg`, with the same bytes every time; None where there is none."""
        if self.figure is None:
            return None
        import matplotlib

        stream = io.BytesIO()
        metadata = {"Date": None, "Creator": None} if ending == "svg" else {"Software": None}
        with matplotlib.rc_context({"svg.hashsalt": "tace-response"}):
            self.figure.savefig(stream, format=ending, dpi=DOTS_PER_INCH, metadata=metadata)
        return stream.getvalue()


def finish(figure: "Figure", marks: Sequence[str]) -> None:
    """Mark a figure, which travels without its page, and lay it out once for both of its files."""
    if marks:
        figure.supxlabel(marks[0].partition(":")[0], fontsize=8, color=RED)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")


def canvas(height_in: float, panels: int = 1, width_in: float = WIDTH_IN, **more) -> tuple:
    """A figure with so many panels beside each other; the panels as a list."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    axes = list(np.ravel(figure.subplots(1, panels, **more)))
    for panel in axes:
        panel.spines[["top", "right"]].set_visible(False)
    return figure, axes
