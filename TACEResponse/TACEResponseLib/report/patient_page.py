"""One patient's answer as a page that a radiologist reads, and as `prediction.json`.

The page is one self-contained HTML file that prints on one A4 side: the picture takes the room that
the words leave. It and the text for the clipboard name the patient only when asked, since pages are
printed, mailed and shown on walls. `prediction.json` always holds `patient_id`: it is data, which
registers and tables join by that key, and goes where the images may go.
"""

import base64
import io
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from TACEResponseLib.answer import words
from TACEResponseLib.answer.numbers import percent
from TACEResponseLib.answer.prediction import Prediction
from TACEResponseLib.answer.reading import ON_LIGHT, cut_off
from TACEResponseLib.answer.similarity import SIMILAR
from TACEResponseLib.cases import Case, bounding_box
from TACEResponseLib.cases.lesions import largest_slice
from TACEResponseLib.models.combination import title
from TACEResponseLib.models.learners import LEARNERS
from TACEResponseLib.storage import whole_file

from .pages import render_page

if TYPE_CHECKING:
    from TACEResponseLib.answer.contour_sensitivity import ContourSensitivity

#: Window (centre, width) in HU in which abdominal CT is read.
WINDOW_HU = (40, 400)
#: What lies below is air around the patient, not the patient.
AIR_HU = -300
PREDICTION, PAGE = "prediction.json", "report.html"
UNNAMED = "Patient (identifier not shown)"
#: Letters of warnings, reasons, scores and model card, and the size in pt that keeps the printed page
#: on one side.
PRINT_SIZES = ((1500, 9.0), (2500, 8.2), (3200, 7.2), (float("inf"), 6.4))
#: On the printed page in mm: width of the picture, height of its caption and of what the CNN saw.
PICTURE_MM, CAPTION_MM, PATCH_MM = 97, 9, 30
#: Beginnings of the lines of a model card that say what to trust it for.
CARD_LINES = ("Trained on", "Reliability:", "Limits:")


def write_patient_report(
    prediction: Prediction,
    case: Case,
    folder: str | os.PathLike,
    *,
    show_identifier: bool = False,
    sensitivity: "ContourSensitivity | None" = None,
    card: str = "",
) -> Path:
    """Write `report.html` and, last, `prediction.json` into `folder`; the path of the page.

    show_identifier: name the patient on the page. sensitivity: to the contour, where it was computed.
    card: the bundle's model card in Markdown, summarized on the page.
    """
    folder = Path(folder)
    page = folder / PAGE
    name = f"Patient {prediction.patient_id}" if show_identifier else UNNAMED
    lines = summarize_card(card, prediction.headline)
    with whole_file(page) as stream:
        stream.write(_page(prediction, case, name, sensitivity, lines).encode("utf-8"))
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
    read, width = prediction.reading(), 36
    lines = [
        prediction.statement(),
        "",
        f"Patient {prediction.patient_id}" if show_identifier else UNNAMED,
        *(f"{part}." for part in (read.banner, read.headline, read.verdict) if part),
        *(f"{line}." for line in words.certainty_lines(prediction)),
        f"{prediction.similarity.sentence()}.",
        f"Answered by: {title(prediction.headline)}",
        f"Tumour: {words.lesions(prediction.lesions)}",
        "",
        f"{'model':<{width}}probability of response",
        *(f"{title(name):<{width}}{percent(p):>6}" for name, p in prediction.probabilities.items()),
        "",
        f"{'clinical score':<{width}}group",
        *(f"{score.title:<{width}}{score.text}" for score in prediction.clinical_scores),
        "",
        f"Checked: {'; '.join(prediction.checked)}.",
        *(f"Warning: {text}" for text in prediction.warnings),
        f"Model {prediction.bundle_id}",
    ]
    return "\n".join(lines)


def summarize_card(card: str, headline: str) -> tuple[str, ...]:
    """The lines of a model card (Markdown) that a reader of one answer needs.

    What it was trained on, its limits, and how well the headline did on patients it had not seen.
    """
    statement = card.partition("\n")[0]  # stands on the page already
    lines = [line.replace("`", "").replace(statement, "").strip() for line in card.splitlines()]
    chosen = [line for line in lines if line.startswith(CARD_LINES)]
    for cells in (line.strip("| ").split(" | ") for line in lines):
        if len(cells) == 4 and cells[0] == title(headline) and cells[1] in ("out of fold", "external"):
            chosen.insert(-1, f"{cells[0]}, {cells[1]}: AUC {cells[3]}, {cells[2]} patients.")
    return tuple(chosen)


def _page(
    prediction: Prediction,
    case: Case,
    name: str,
    sensitivity: "ContourSensitivity | None",
    card: tuple[str, ...],
) -> str:
    picture = _draw_slice(case)
    below_mm = CAPTION_MM + (0 if prediction.patch is None else PATCH_MM)
    singles = [name for name in prediction.probabilities if name in LEARNERS]
    rows = [(title(n), p, percent(p), n in singles) for n, p in prediction.probabilities.items()]
    return render_page(
        "patient.html",
        prediction=prediction,
        name=name,
        reading=prediction.reading(),
        colours=ON_LIGHT,
        cut_off=cut_off(prediction.threshold),
        similar=SIMILAR[prediction.similarity.verdict],
        headline=title(prediction.headline),
        percent=percent,
        instability=words.instability(prediction.certainty),
        certainty_lines=words.certainty_lines(prediction),
        print_pt=_print_pt(prediction, card),
        rows=rows,
        sensitivity=sensitivity,
        card=card,
        slice_png=_png(picture),
        picture_mm=PICTURE_MM * picture.get_figheight() / picture.get_figwidth() + below_mm,
        patch_png=None if prediction.patch is None else _png(_draw_patch(prediction)),
        spacing=" x ".join(f"{s:.2f}" for s in case.spacing_mm),
    )


def _print_pt(prediction: Prediction, card: tuple[str, ...]) -> float:
    """Letter size that keeps the printed page on one side, by how much there is to say."""
    scores = (score.text for score in prediction.clinical_scores)
    texts = (*prediction.warnings, *prediction.similarity.reasons, *prediction.checked, *scores, *card)
    letters = sum(map(len, texts))
    return next(size for most, size in PRINT_SIZES if letters <= most)


def _draw_slice(case: Case):
    """The largest tumour layer of the whole CT with the tumour's outline, as a figure."""
    from matplotlib.figure import Figure
    from matplotlib.patheffects import withStroke

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
    style = {"color": "white", "fontsize": 9, "ha": "center", "va": "center", "transform": axes.transAxes}
    style["path_effects"] = [withStroke(linewidth=2, foreground="black")]  # seen on a bright kidney, too
    for letter, x, y in (("R", 0.02, 0.5), ("L", 0.98, 0.5), ("A", 0.5, 0.97), ("P", 0.5, 0.03)):
        axes.text(x, y, letter, **style)
    return figure


def _around_body(pixels: np.ndarray, mask: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns that hold the patient, so that a small picture shows no air."""
    inside = (pixels > AIR_HU) | (mask > 0)
    _, rows, columns = bounding_box(inside[None])
    return rows, columns


def _draw_patch(prediction: Prediction):
    """The three channels that the network saw, side by side."""
    from matplotlib.figure import Figure

    pixels = prediction.patch.pixels
    figure = Figure(figsize=(5, 1.9), dpi=130, layout="constrained")
    for channel, axes in enumerate(np.ravel(figure.subplots(1, 3))):
        axes.imshow(pixels[..., channel], cmap="gray", vmin=0, vmax=1)
        axes.set_title(("tumour", "with surroundings", "mask")[channel], fontsize=8)
        axes.set_axis_off()
    return figure


def _png(figure) -> str:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", facecolor=figure.get_facecolor())
    return base64.b64encode(stream.getvalue()).decode("ascii")
