"""A table of a report as LaTeX, to be taken into a manuscript by `\\input`."""

import re
from textwrap import wrap

from TACEResponseLib.messages.language import mark, tr, width

from .table import Table

PACKAGES = "\\usepackage{array,booktabs,longtable,pdflscape}"
NEEDS = mark("% Needs {packages}; beyond Latin letters XeLaTeX. Fits A4 with margins of 25 mm.")
#: More columns than this are set across the page; a cell with more letters than this may be broken.
MOST_COLUMNS, LONGEST_CELL = 7, 28
#: Width of a letter of \footnotesize, what stands on each side of a column, and a line of A4.
LETTER_PT, SEPARATION_PT, PORTRAIT_PT = 4.2, 3, 455
#: A caption with the report's number of the table: "Table S2. Features", "表 S2 特征".
NUMBERED = re.compile(r"(?:Table|表) (?P<number>S?\d\w?)\.? (?P<rest>.+)")
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
        "\N{NO-BREAK SPACE}": "~",
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
    wide = len(table.headers) > MOST_COLUMNS or _unbroken_pt(table, cells) > PORTRAIT_PT
    headers = [r"\toprule", " & ".join(_headers(table, cells)) + r" \\", r"\midrule"]
    lines = [
        tr(NEEDS, packages=PACKAGES),
        *([r"\begin{landscape}"] if wide else []),
        rf"\begingroup\footnotesize\setlength{{\tabcolsep}}{{{SEPARATION_PT - wide}pt}}",
        rf"\begin{{longtable}}{{{''.join(_columns(table, cells))}}}",
        rf"\caption{{{escaped(without_number(table.caption))}}}\label{{tab:{table.name}}}\\",
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


def without_number(caption: str) -> str:
    """A caption that LaTeX numbers: the number that the report gives the table stands behind it."""
    found = NUMBERED.fullmatch(caption)
    if found is None:
        return caption
    return tr("{caption} (in the report: Table {number})", caption=found["rest"], number=found["number"])


def _longest(table: Table, cells: list[list[str]]) -> list[int]:
    """Letters that a line of each column takes: of its longest cell, or of a word of its header."""
    columns = zip(map(_whole_brackets, table.headers), zip(*cells, strict=True), strict=True)
    return [max(map(width, (*header.split(" "), *column))) for header, column in columns]


def _whole_brackets(header: str) -> str:
    """The header, which is not broken inside brackets."""
    return re.sub(r"\([^)]*\)", lambda found: found[0].replace(" ", "\N{NO-BREAK SPACE}"), header)


def _headers(table: Table, cells: list[list[str]]) -> list[str]:
    """The headers, broken into lines no longer than the cells below them."""
    headers = []
    for header, longest, place in zip(table.headers, _longest(table, cells), _places(table), strict=True):
        lines = wrap(_whole_brackets(header), longest, break_long_words=False, break_on_hyphens=False)
        if len(lines) < 2 or longest > LONGEST_CELL:  # in one line, or broken by its column
            headers.append(escaped(header))
            continue
        broken = r" \\ ".join(map(escaped, lines))
        headers.append(rf"\begin{{tabular}}[b]{{@{{}}{place}@{{}}}}{broken}\end{{tabular}}")
    return headers


def _places(table: Table) -> list[str]:
    """On which side the cells of each column stand: numbers to the right."""
    return ["r" if numeric else "l" for numeric in table.numeric]


def _unbroken_pt(table: Table, cells: list[list[str]]) -> float:
    """Width of the columns that are not broken, and of what stands between columns."""
    longest = _longest(table, cells)
    letters = sum(length for length in longest if length <= LONGEST_CELL)
    return LETTER_PT * letters + 2 * SEPARATION_PT * len(longest)


def _columns(table: Table, cells: list[list[str]]) -> list[str]:
    """How each column is set: long ones broken, each to its share of what the others leave of the line."""
    longest = [min(length, 3 * LONGEST_CELL) for length in _longest(table, cells)]
    broken = sum(length for length in longest if length > LONGEST_CELL)
    rest = rf"\dimexpr\linewidth-{_unbroken_pt(table, cells):.0f}pt\relax"
    return [
        rf">{{\raggedright\arraybackslash}}p{{{0.99 * length / broken:.2f}{rest}}}"
        if length > LONGEST_CELL
        else place
        for length, place in zip(longest, _places(table), strict=True)
    ]
