"""A table of a report as LaTeX, to be taken into a manuscript by `\\input`."""

from TACEResponseLib.messages.language import tr, width

from .table import Table

PACKAGES = "\\usepackage{array,booktabs,longtable,pdflscape}"
#: More columns than this are set across the page; a cell with more letters than this may be broken.
MOST_COLUMNS, LONGEST_CELL = 7, 28
#: What LaTeX reads as something else, or does not know.
ESCAPED = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "&": r"\&",
        "%": r"\%",
        "$": r"\$",
        "#": r"\#",
        "_": r"\_\allowbreak{}",
        "{": r"\{",
        "}": r"\}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "[": "{[}",  # at the beginning of a row both would belong to the end of the one before
        "*": "{*}",
        "<": r"$<$",
        ">": r"$>$",
        "\N{MINUS SIGN}": r"$-$",
        "\N{EN DASH}": "--",
        "\N{PLUS-MINUS SIGN}": r"$\pm$",
        "\N{MULTIPLICATION SIGN}": r"$\times$",
        "\N{MICRO SIGN}": r"$\mu$",
        "\N{GREATER-THAN OR EQUAL TO}": r"$\geq$",
        "\N{LESS-THAN OR EQUAL TO}": r"$\leq$",
    }
)


def latex(table: Table) -> str | None:
    """The table as a `longtable`, which goes on over pages; None for a table without rows."""
    if not table.rows:
        return None
    cells = table.cells()
    wide = len(table.headers) > MOST_COLUMNS
    headers = [r"\toprule", _row(table.headers), r"\midrule"]
    lines = [
        tr("% Needs {packages}; beyond Latin letters XeLaTeX.", packages=PACKAGES),
        *([r"\begin{landscape}"] if wide else []),
        r"\begingroup\footnotesize\setlength{\tabcolsep}{3pt}",
        rf"\begin{{longtable}}{{{''.join(_columns(table, cells))}}}",
        rf"\caption{{{escaped(table.caption)}}}\label{{tab:{table.name}}}\\",
        *headers,
        r"\endfirsthead",
        *headers,
        r"\endhead",
        r"\bottomrule\endlastfoot",
        *map(_row, cells),
        r"\end{longtable}",
        escaped(table.note),
        r"\par\endgroup",
        *([r"\end{landscape}"] if wide else []),
    ]
    return "\n".join(line for line in lines if line) + "\n"


def escaped(text: str) -> str:
    """The text as LaTeX sets it."""
    return text.translate(ESCAPED)


def _row(cells: list[str]) -> str:
    return " & ".join(map(escaped, cells)) + r" \\"


def _columns(table: Table, cells: list[list[str]]) -> list[str]:
    """How each column is set: long ones broken to a share of the line, numbers to the right."""
    columns = [
        [header, *column] for header, column in zip(table.headers, zip(*cells, strict=True), strict=True)
    ]
    longest = [max(map(width, column)) for column in columns]
    whole = sum(min(length, 3 * LONGEST_CELL) for length in longest)
    return [
        rf">{{\raggedright\arraybackslash}}p{{{0.9 * min(length, 3 * LONGEST_CELL) / whole:.2f}\linewidth}}"
        if length > LONGEST_CELL
        else ("r" if numeric else "l")
        for length, numeric in zip(longest, table.numeric, strict=True)
    ]
