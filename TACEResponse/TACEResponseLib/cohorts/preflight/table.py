"""What the preflight found, as a table for a terminal, JSON lines, a CSV and a contact sheet."""

import csv
import io
import json
import textwrap
import unicodedata
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import ndimage

from TACEResponseLib.messages.language import in_language, language, listed, mark, several, tr
from TACEResponseLib.storage import quoted, whole_file

from . import CohortCheck, PatientCheck
from .sample_size import size_text
from .thumbnail import SIDE_PIXELS

#: Keys of a problem in the JSON lines and the CSV; stable, others read them.
PROBLEM_KEYS = ("kind", "field", "expected", "received", "remedy", "message")
#: Patients on one page of the contact sheet.
COLUMNS, ROWS = 8, 6
CAPTION_PIXELS = 20
VERDICT_COLOURS = {"ok": "#7fd17f", "warning": "#ffcc55", "error": "#ff7a70"}
OUTLINE, OUTLINE_READER2 = (255, 70, 70), (80, 200, 255)
#: What the two outlines are, for every contact sheet.
LEGEND = ((mark("first reader"), OUTLINE), (mark("second reader"), OUTLINE_READER2))
#: Matplotlib's own font, and such as know Chinese letters, too; used where they are installed.
FONTS = (
    "DejaVu Sans",  # not a text
    "Noto Sans CJK SC",  # not a text
    "Microsoft YaHei",  # not a text
    "SimHei",
    "PingFang SC",  # not a text
    "WenQuanYi Zen Hei",  # not a text
    "WenQuanYi Micro Hei",  # not a text
    "Hiragino Sans GB",  # not a text
)


def verdict_json(check: PatientCheck) -> dict:
    """One patient's line of `check --json`."""
    return {
        "patient_id": check.patient.patient_id,
        "verdict": check.verdict,
        "problems": [{key: getattr(problem, key) for key in PROBLEM_KEYS} for problem in check.problems],
    }


def as_text(check: CohortCheck) -> str:
    """Verdict, patient and every problem as lines, then the problems and counts of the cohort."""
    lines = []
    for each in check.patients:
        lines += [_line(problem.severity, str(problem)) for problem in each.problems]
        if not each.problems:
            lines.append(_line("ok", _lesions_text(each)))
    lines += [_line(problem.severity, tr("Cohort: {problem}", problem=problem)) for problem in check.problems]
    rows = [_header(), *(tuple(map(str, group.values())) for group in check.counts)]
    widths = [max(map(_width, column)) for column in zip(*rows, strict=True)]
    lines += ["", *("  ".join(map(_padded, row, widths)).rstrip() for row in rows), ""]
    lines += [] if check.sample_size is None else [size_text(check.sample_size), ""]
    return "\n".join([*lines, _sum_of(check)])


def _line(verdict: str, text: str) -> str:
    return _padded(tr(verdict), 8) + text


def _lesions_text(check: PatientCheck) -> str:
    """The tumour of a patient without problems."""
    lesions = check.lesions
    number = lesions["number"]
    return tr(
        "Patient {name}: {lesions}, {diameter:.0f} mm, {volume:.1f} mL",
        name=check.patient.patient_id,
        lesions=several(number, "1 lesion", "{n} lesions"),
        diameter=lesions["largest_diameter_mm"],
        volume=lesions["volume_ml"],
    )


def _header() -> tuple[str, ...]:
    """What the numbers of `CohortCheck.counts` are, in their order."""
    of_group = (tr("cohort"), tr("center"))
    return (*of_group, tr("responders"), tr("non-responders"), tr("unlabelled"), tr("second reader"))


def _sum_of(check: CohortCheck) -> str:
    """How many patients have which verdict."""
    verdicts = listed(tr("{n} {verdict}", n=n, verdict=tr(verdict)) for verdict, n in check.verdicts.items())
    if not check.problems:
        return tr("{n} patients: {verdicts}", n=len(check.patients), verdicts=verdicts)
    return tr(
        "{n} patients: {verdicts}; {problems} of the cohort as a whole",
        n=len(check.patients),
        verdicts=verdicts,
        problems=len(check.problems),
    )


def _width(text: str) -> int:
    """Columns of a terminal that a text takes; a Chinese letter takes two."""
    return len(text) + sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)


def _padded(text: str, width: int) -> str:
    return text + " " * (width - _width(text))


def write_preflight(check: CohortCheck, folder: Path) -> list[Path]:
    """Write `check.jsonl`, `check.csv` and the contact sheet's pages; each file whole or not at all.

    The contact sheet begins with the patients who have errors, the tables keep the order of the cohort.
    """
    lines = [json.dumps(verdict_json(each)) for each in check.patients]
    written = [
        _write(folder / "check.jsonl", "\n".join(lines) + "\n"),
        _write(folder / "check.csv", _csv(check)),
    ]
    pages = range(0, len(check.patients), COLUMNS * ROWS)
    for number, first in enumerate(pages, start=1):
        name = "contact_sheet.png" if len(pages) == 1 else f"contact_sheet_{number:02d}.png"
        _draw_page(check.worst_first[first : first + COLUMNS * ROWS], folder / name)
        written.append(folder / name)
    return written


def _write(path: Path, text: str) -> Path:
    with whole_file(path) as stream:
        stream.write(text.encode("utf-8"))
    return path


def _csv(check: CohortCheck) -> str:
    """A row a problem; one row, without a problem, for a patient who has none."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    lesion_keys = ("number", "largest_diameter_mm", "volume_ml")
    about = ("patient_id", "cohort", "center", "label", "verdict", "lesions", *lesion_keys[1:])
    keys = ("severity", *PROBLEM_KEYS)
    table.writerow((*about, *keys))
    for each in check.patients:
        patient, lesions = each.patient, each.lesions or {}
        label = "" if patient.label is None else patient.label
        who = (patient.patient_id, patient.cohort, patient.center, label, each.verdict)
        sizes = [lesions.get(key, "") for key in lesion_keys]
        for problem in each.problems or (None,):
            table.writerow(_safe((*who, *sizes, *(getattr(problem, key, "") for key in keys))))
    for problem in check.problems:
        of_nobody = dict.fromkeys(about, "") | {"verdict": problem.severity}
        table.writerow(_safe((*of_nobody.values(), *(getattr(problem, key) for key in keys))))
    return text.getvalue()


def _safe(cells: Sequence[object]) -> list[object]:
    """The cells of a row, each text such that no spreadsheet runs it."""
    return [quoted(cell) if isinstance(cell, str) else cell for cell in cells]


def _draw_page(checks: Sequence[PatientCheck], path: Path) -> None:
    """One page: the layer of every patient with the outlines around the tumour, and what they are."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.font_manager import get_font_names

    columns = min(COLUMNS, len(checks))
    rows = -(-len(checks) // columns)
    step_x, step_y = SIDE_PIXELS + 4, SIDE_PIXELS + CAPTION_PIXELS
    mosaic = np.full((rows * step_y + CAPTION_PIXELS, columns * step_x, 3), 24, np.uint8)
    figure = Figure(figsize=(mosaic.shape[1] / 100, mosaic.shape[0] / 100), dpi=100)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    words = {
        "family": [name for name in FONTS if name in set(get_font_names())],
        "parse_math": False,
    }
    spoken = drawn_language(words["family"])
    for number, check in enumerate(checks):
        x, y = number % columns * step_x, number // columns * step_y
        colour = VERDICT_COLOURS[check.verdict]
        name = textwrap.shorten(check.patient.patient_id, 26, placeholder="...") or "?"
        axes.text(x + 3, y + 10, name, color=colour, size=8, va="center", **words)
        if check.thumbnail is not None:
            tile = outlined(check)
            top, left = y + CAPTION_PIXELS, x
            mosaic[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
        if spoken == language() and (message := _written_over(check)):
            box = {"facecolor": "#181818", "edgecolor": "none", "pad": 2, "alpha": 0.7}
            axes.text(x + 6, y + 28, message, color=colour, size=7, va="top", bbox=box, **words)
    for number, (reader, colour) in enumerate(LEGEND):
        place = {"x": 3 + number * step_x // 2, "y": mosaic.shape[0] - CAPTION_PIXELS / 2}
        with in_language(spoken):
            words["s"] = tr(reader)
        axes.text(**place, color=np.array(colour) / 255, size=8, va="center", **words)
    axes.imshow(mosaic, interpolation="nearest", extent=(0, mosaic.shape[1], mosaic.shape[0], 0))
    with warnings.catch_warnings(), whole_file(path) as stream:
        warnings.simplefilter("ignore")  # letters that no installed font has are drawn as boxes
        FigureCanvasAgg(figure).print_png(stream)


def drawn_language(families: Sequence[str]) -> str:
    """The language of a page's texts: the reader's, or "en" where no family has its letters."""
    return language() if set(families) - {FONTS[0]} else "en"


def _written_over(check: PatientCheck) -> str:
    """Why a picture has no outline of the first reader; empty where it has one."""
    if check.thumbnail is not None and check.thumbnail.tumour.any():
        return ""
    errors = [problem.message for problem in check.problems if problem.severity == "error"]
    if not errors:
        return ""
    letters = 32 * len(errors[0]) // _width(errors[0])  # Chinese ones are twice as wide
    return "\n".join(textwrap.wrap(errors[0], letters))


def outlined(check: PatientCheck) -> np.ndarray:
    """The patient's picture as (rows, columns, 3) uint8, a line around what each reader drew."""
    thumbnail = check.thumbnail
    tile = np.repeat(thumbnail.grey[:, :, None], 3, axis=2)
    for inside, colour in (
        (thumbnail.tumour_reader2, OUTLINE_READER2),
        (thumbnail.tumour, OUTLINE),
    ):
        tile[ndimage.binary_dilation(inside) & ~inside] = colour
    return tile
