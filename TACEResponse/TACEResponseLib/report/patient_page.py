"""One patient's answer as a page that a radiologist reads, and as `prediction.json`.

The page is one self-contained HTML file that prints on one A4 side, and on two where warnings need the
room. It tells which scan it is about by the CT's hash and by what the DICOM header says of day and
series. It and the text for the clipboard name the patient only when asked, since pages are printed,
mailed and shown on walls. `prediction.json` always holds `patient_id`: it is data, which registers and
tables join by that key, and goes where the images may go.
"""

import base64
import io
import json
import os
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from TACEResponseLib.answer import words
from TACEResponseLib.answer.numbers import percent
from TACEResponseLib.answer.prediction import Prediction
from TACEResponseLib.answer.reading import ON_DARK, ON_LIGHT, cut_off
from TACEResponseLib.answer.similarity import SIMILAR
from TACEResponseLib.cases import Case, bounding_box
from TACEResponseLib.cases.lesions import largest_slice
from TACEResponseLib.cases.outline import Outline
from TACEResponseLib.measuring.case import image_hash
from TACEResponseLib.messages.language import in_language, listed, mark, tr
from TACEResponseLib.models.combination import title
from TACEResponseLib.models.learners import LEARNERS
from TACEResponseLib.storage import whole_file

from .aligned import padded
from .card_in_words import card_in_words
from .pages import render_page

if TYPE_CHECKING:
    from TACEResponseLib.answer.contour_sensitivity import ContourSensitivity

#: Window (centre, width) in HU in which abdominal CT is read.
WINDOW_HU = (40, 400)
#: What lies below is air around the patient, not the patient.
AIR_HU = -300
PREDICTION, PAGE, PDF = "prediction.json", "report.html", "report.pdf"
#: Places of the first column of the plain text.
TEXT_WIDTH = 36
UNNAMED = mark("Patient (identifier not shown)")
#: The patient's sides on the picture, and where their letters stand in % of its width and height.
SIDES = (("R", 4, 50), ("L", 96, 50), ("A", 50, 5), ("P", 50, 95))
#: Diameters that the page lists.
MOST_DIAMETERS = 6
#: Characters of the CT's hash that a person compares.
HASH_LENGTH = 8
#: Beginnings of the lines of a model card, which is English everywhere, that say what to trust it for.
CARD_LINES = ("Trained on", "Reliability:", "Limits:")  # not a text
CARD_ESTIMATES = ("out of fold", "external")  # not a text


def write_patient_report(
    prediction: Prediction,
    case: Case,
    folder: str | os.PathLike,
    *,
    show_identifier: bool = False,
    sensitivity: "ContourSensitivity | None" = None,
    card: str = "",
    made: datetime | None = None,
) -> Path:
    """Write `report.html` and, last, `prediction.json` into `folder`; the path of the page.

    show_identifier: name the patient on the page. sensitivity: to the contour, where it was computed.
    card: the bundle's model card in Markdown, summarized on the page. made: when the page was, now when None.
    """
    folder = Path(folder)
    page = folder / PAGE
    name = _name(prediction, show_identifier)
    lines = summarize_card(card, prediction.headline)
    scan = (
        *scan_lines(case),
        *outline_lines(prediction.outline),
        (tr("Page made"), f"{made or datetime.now():%Y-%m-%d %H:%M}"),
    )
    with whole_file(page) as stream:
        stream.write(_page(prediction, case, name, scan, sensitivity, lines).encode("utf-8"))
    write_prediction(prediction, folder, sensitivity=sensitivity, card=card)
    return page


def write_prediction(
    prediction: Prediction,
    folder: Path,
    *,
    sensitivity: "ContourSensitivity | None" = None,
    card: str = "",
) -> Path:
    """Write `prediction.json` alone: the prediction, and what else the page says, where there is any."""
    content = prediction.to_json()
    if sensitivity is not None:
        content["contour_sensitivity"] = sensitivity.to_json()
    if card:
        content["model_card"] = list(summarize_card(card, prediction.headline))
    path = Path(folder) / PREDICTION
    with whole_file(path) as stream:
        stream.write((json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode("utf-8"))
    return path


def summary(prediction: Prediction, *, show_identifier: bool = False) -> str:
    """The answer as plain text, for a terminal or the clipboard."""
    read = prediction.reading()
    sentences = [part for part in (read.banner, read.headline, read.verdict) if part]
    sentences += [*words.certainty_lines(prediction), prediction.similarity.sentence()]
    models = [(title(name), f"{percent(p):>6}") for name, p in prediction.probabilities.items()]
    scores = [(score.title, score.text) for score in prediction.clinical_scores]
    lines = [
        prediction.statement(),
        "",
        _name(prediction, show_identifier),
        *_sentences(sentences),
        tr("Answered by: {model}", model=title(prediction.headline)),
        tr("Tumour: {lesions}", lesions=words.lesions(prediction.lesions)),
        *(tr("{label}: {text}", label=label, text=text) for label, text in outline_lines(prediction.outline)),
        "",
        *_aligned((tr("model"), tr("probability of response")), models),
        "",
        *_aligned((tr("clinical score"), tr("group")), scores),
        "",
        tr("Checked: {items}.", items=tr("; ").join(prediction.checked)),
        *(tr("Warning: {text}", text=text) for text in prediction.warnings),
        tr("Model {bundle}", bundle=prediction.bundle_id),
    ]
    return "\n".join(lines)


def _name(prediction: Prediction, shown: bool) -> str:
    """The patient as page and text call them."""
    return tr("Patient {name}", name=prediction.patient_id) if shown else tr(UNNAMED)


def _sentences(clauses: Iterable[str]) -> list[str]:
    return [tr("{text}.", text=clause) for clause in clauses]


def _aligned(head: tuple[str, str], rows: list[tuple[str, str]]) -> list[str]:
    """Two columns of the text, the second at the same place in every line."""
    return [padded(first, TEXT_WIDTH) + second for first, second in (head, *rows)]


def summarize_card(card: str, headline: str) -> tuple[str, ...]:
    """The lines of a model card (Markdown) that a reader of one answer needs.

    What it was trained on, its limits, and how well the headline did on patients it had not seen. In
    English, as the card is.
    """
    with in_language("en"):
        answered_by = title(headline)
    statement = card.partition("\n")[0]  # stands on the page already
    lines = [line.replace("`", "").replace(statement, "").strip() for line in card.splitlines()]
    chosen = [line for line in lines if line.startswith(CARD_LINES)]
    for cells in (line.strip("| ").split(" | ") for line in lines):
        if len(cells) == 4 and cells[0] == answered_by and cells[1] in CARD_ESTIMATES:
            found = f"{cells[0]}, {cells[1]}: AUC {cells[3]}, {cells[2]} patients."  # not a text
            chosen.insert(-1, found)
    return tuple(chosen)


def scan_lines(case: Case) -> tuple[tuple[str, str], ...]:
    """Label and text of what a page is matched to a scan by; the hash first, then what is known.

    No name of a file, folder or node is among them: it may be the patient's.
    """
    source = case.provenance.get("image", {})
    number, description = source.get("series_number", ""), source.get("series_description", "")
    known = {
        tr("CT"): image_hash(case)[:HASH_LENGTH],
        tr("Scan date"): source.get("study_date", ""),
        tr("Series"): listed(filter(None, (number, f'"{description}"' if description else ""))),
        tr("Phase"): _phase(source),
    }
    return tuple((label, text) for label, text in known.items() if text)


def outline_lines(outline: Outline) -> tuple[tuple[str, str], ...]:
    """Label and text of where the outline is from; () where nothing is known."""
    known = {tr("Outline"): outline.history(), tr("Proposed by"): outline.program}
    return tuple((label, text) for label, text in known.items() if text)


def _phase(source: Mapping[str, object]) -> str:
    """The phase of contrast, and whether vessels or only the scan's name tell it."""
    found = source.get("phase")
    if not found:
        return tr("not known")
    return tr("{phase} ({how})", phase=tr(found), how=source.get("vessels") or tr("by the name of the scan"))


def _page(
    prediction: Prediction,
    case: Case,
    name: str,
    scan: tuple[tuple[str, str], ...],
    sensitivity: "ContourSensitivity | None",
    card: tuple[str, ...],
) -> str:
    picture = _draw_slice(case)
    singles = [name for name in prediction.probabilities if name in LEARNERS]
    rows = [(title(n), p, percent(p), n in singles) for n, p in prediction.probabilities.items()]
    return render_page(
        "patient.html",
        prediction=prediction,
        name=name,
        reading=prediction.reading(),
        light=ON_LIGHT,
        dark=ON_DARK,
        scan=scan,
        cut_off=cut_off(prediction.threshold),
        similar=tr(SIMILAR[prediction.similarity.verdict]),
        headline=title(prediction.headline),
        percent=percent,
        instability=words.instability(prediction),
        certainty=tr(" ").join(_sentences(words.certainty_lines(prediction))),
        rows=rows,
        diameters_mm=_diameters(prediction),
        sensitivity=sensitivity,
        card=card_in_words(card, prediction.headline),
        slice_png=_png(picture),
        aspect=picture.get_figwidth() / picture.get_figheight(),
        sides=SIDES,
        patch_png=None if prediction.patch is None else _png(_draw_patch(prediction)),
        spacing=" x ".join(f"{s:.2f}" for s in case.spacing_mm),
    )


def _diameters(prediction: Prediction) -> str:
    """The longest axial diameters in mm, the largest lesions first."""
    found = [f"{mm:.1f}" for mm in prediction.lesions.diameters_mm[:MOST_DIAMETERS]]
    return listed([*found, "..."] if prediction.lesions.number > MOST_DIAMETERS else found)


def _draw_slice(case: Case):
    """The largest tumour layer of the whole CT with the tumour's outline, as a figure without letters.

    Letters are the page's own, so that they are as large as its text.
    """
    from matplotlib.figure import Figure

    axial = case.on_axial_grid()
    mask = sitk.GetArrayViewFromImage(axial.mask)
    layer = largest_slice(axial).index
    centre, width = WINDOW_HU
    spacing_x_mm, spacing_y_mm, _ = axial.spacing_mm
    pixels = sitk.GetArrayViewFromImage(axial.image)[layer]
    rows, columns = _around_body(pixels, mask[layer])
    height = 5 * (rows.stop - rows.start) * spacing_y_mm / ((columns.stop - columns.start) * spacing_x_mm)
    figure = Figure(figsize=(5, float(np.clip(height, 1.5, 8))), dpi=130, facecolor="black")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(
        pixels[rows, columns],
        cmap="gray",
        vmin=centre - width / 2,
        vmax=centre + width / 2,
        aspect=spacing_y_mm / spacing_x_mm,
    )
    # A mask that fills the slice has no border to draw.
    if 0 < mask[layer].mean() < 1:
        axes.contour(mask[layer][rows, columns], levels=[0.5], colors="#ffb000", linewidths=1.2)
    axes.set_axis_off()
    return figure


def _around_body(pixels: np.ndarray, mask: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns that hold the patient, so that a small picture shows no air."""
    inside = (pixels > AIR_HU) | (mask > 0)
    _, rows, columns = bounding_box(inside[None])
    return rows, columns


def _draw_patch(prediction: Prediction):
    """The three channels that the network saw, side by side, without a ground of their own."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 1.64), dpi=130, facecolor="none")
    for channel in range(3):
        axes = figure.add_axes((0.34 * channel, 0, 0.32, 1))
        axes.imshow(prediction.patch.pixels[..., channel], cmap="gray", vmin=0, vmax=1)
        axes.set_axis_off()
    return figure


def _png(figure) -> str:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", facecolor=figure.get_facecolor())
    return base64.b64encode(stream.getvalue()).decode("ascii")
