"""One patient's answer as a page that a radiologist reads, and as `prediction.json`.

The page is one self-contained HTML file that prints on an A4 side: the CT with the tumour's
outline, the answer with its threshold, every model, what was checked and what to be careful about.
"""

import base64
import io
import json
import os
from pathlib import Path

import jinja2
import numpy as np
import SimpleITK as sitk

from .cases import Case
from .response_model import Prediction, title
from .storage import whole_file

#: Window (centre, width) in HU in which abdominal CT is read.
WINDOW_HU = (40, 400)
PREDICTION, PAGE = "prediction.json", "report.html"


def write_patient_report(prediction: Prediction, case: Case, folder: str | os.PathLike) -> Path:
    """Write `report.html` and, last, `prediction.json` into `folder`; the path of the page."""
    folder = Path(folder)
    page = folder / PAGE
    with whole_file(page) as stream:
        stream.write(_page(prediction, case).encode("utf-8"))
    write_prediction(prediction, folder)
    return page


def write_prediction(prediction: Prediction, folder: Path) -> Path:
    """Write `prediction.json` alone."""
    path = Path(folder) / PREDICTION
    content = json.dumps(prediction.to_json(), indent=1, ensure_ascii=False) + "\n"
    with whole_file(path) as stream:
        stream.write(content.encode("utf-8"))
    return path


def summary(prediction: Prediction) -> str:
    """The answer as plain text, for a terminal or the clipboard."""
    lesions = prediction.lesions
    number = "1 lesion" if lesions.number == 1 else f"{lesions.number} lesions"
    lines = [
        prediction.statement(),
        "",
        f"Patient {prediction.patient_id}",
        f"Response (CR + PR) {'likely' if prediction.responder else 'unlikely'}: "
        f"{percent(prediction.fused)} by {title(prediction.headline)} "
        f"(threshold {percent(prediction.threshold)})",
        f"Tumour: {number}, largest {lesions.largest_diameter_mm:.0f} mm axial, {lesions.volume_ml:.1f} mL",
        "",
        f"{'model':<36}probability of response",
        *(f"{title(name):<36}{percent(value):>6}" for name, value in prediction.probabilities.items()),
        "",
        f"Checked: {'; '.join(prediction.checked)}.",
        *(f"Warning: {text}" for text in prediction.warnings),
        f"Model {prediction.bundle_id}",
    ]
    return "\n".join(lines)


def percent(share: float) -> str:
    """0.724 as "72 %", never rounded to a certainty that no model has."""
    return "> 99 %" if share > 0.99 else "< 1 %" if share < 0.01 else f"{100 * share:.0f} %"


def _page(prediction: Prediction, case: Case) -> str:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("TACEResponseLib"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    singles = [name for name in prediction.probabilities if "+" not in name and name != "all"]
    rows = [
        (title(name), value, percent(value), name in singles)
        for name, value in prediction.probabilities.items()
    ]
    return environment.get_template("patient.html").render(
        prediction=prediction,
        headline=title(prediction.headline),
        fused=percent(prediction.fused),
        threshold=percent(prediction.threshold),
        rows=rows,
        slice_png=_png(_draw_slice(case)),
        patch_png=None if prediction.patch is None else _png(_draw_patch(prediction)),
        spacing=" x ".join(f"{s:.2f}" for s in case.spacing_mm),
    )


def _draw_slice(case: Case):
    """The largest tumour layer of the whole CT with the tumour's outline, as a figure."""
    from matplotlib.figure import Figure

    axial = case.on_axial_grid()
    mask = sitk.GetArrayViewFromImage(axial.mask)
    layer = int(mask.sum(axis=(1, 2)).argmax())
    centre, width = WINDOW_HU
    figure = Figure(figsize=(5, 4), dpi=130, layout="constrained")
    axes = figure.add_subplot()
    spacing_x_mm, spacing_y_mm, _ = axial.spacing_mm
    axes.imshow(
        sitk.GetArrayViewFromImage(axial.image)[layer],
        cmap="gray",
        vmin=centre - width / 2,
        vmax=centre + width / 2,
        aspect=spacing_y_mm / spacing_x_mm,
    )
    # A mask that fills the slice has no border to draw.
    if 0 < mask[layer].mean() < 1:
        axes.contour(mask[layer], levels=[0.5], colors="#ffb000", linewidths=1.2)
    axes.set_axis_off()
    for letter, x, y in (("R", 0.02, 0.5), ("L", 0.98, 0.5), ("A", 0.5, 0.97), ("P", 0.5, 0.03)):
        axes.text(x, y, letter, color="white", fontsize=9, ha="center", va="center", transform=axes.transAxes)
    return figure


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
    figure.savefig(stream, format="png")
    return base64.b64encode(stream.getvalue()).decode("ascii")
