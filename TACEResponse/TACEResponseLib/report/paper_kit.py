"""The paper kit: figures to print, tables and the text of the methods in one folder beside the report."""

from collections.abc import Sequence

from TACEResponseLib.messages.language import mark

from . import drawing
from .drawing import Drawing
from .latex import latex
from .methods_text import methods_text
from .sources import bibliography
from .study import Study
from .table import Table
from .workbook import workbook

FOLDER = "paper"
#: What each kind of file in the folder is.
KINDS = {
    "figure_*.pdf": mark("Every figure to print; text is text"),
    "figure_*.svg": mark("Every figure to change; text is text"),
    "figure_*.png": mark("Every figure as a picture, 600 dots per inch"),
    "tables.xlsx": mark("All tables with all digits, a sheet a table"),
    "*.tex": mark("Each table as LaTeX, for \\input"),
    "methods.md": mark("The methods of this run as a text, for a manuscript"),
    "references.bib": mark("The papers that methods.md cites, as BibTeX"),
}


def paper_kit(
    study: Study, tables: Sequence[Table], drawings: Sequence[Drawing]
) -> dict[str, str | bytes | None]:
    """Path from the report's folder -> content; None for a figure or table that this study has not."""
    text = methods_text(study)
    kit: dict[str, str | bytes | None] = {
        "tables.xlsx": workbook(tables),
        "methods.md": text,
        "references.bib": bibliography(text),
    }
    kit |= {f"{table.name}.tex": latex(table) for table in tables}
    kit |= {f"{d.name}.{ending}": d.as_bytes(ending) for d in drawings for ending in ("pdf", "svg")}
    kit |= {f"{d.name}.png": d.as_bytes("png", drawing.PRINT_DOTS_PER_INCH) for d in drawings}
    return {f"{FOLDER}/{name}": content for name, content in kit.items()}
