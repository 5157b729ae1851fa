"""Several hospitals' `aggregates.json` put together: a page with a forest plot, and `combined.json`."""

import base64
import json
from pathlib import Path

import numpy as np

from TACEResponseLib import __version__
from TACEResponseLib.messages.language import mark, tr
from TACEResponseLib.models.combination import title
from TACEResponseLib.statistics.aggregates import Aggregates, stating
from TACEResponseLib.statistics.meta_analysis import FEWEST_TO_PREDICT
from TACEResponseLib.storage import whole_file

from .aligned import padded
from .drawing import Drawing, finish
from .forest import FOREST, Z, draw_forest, range_text, ratio_interval
from .hospitals import Combined
from .page import PIXELS_PER_INCH
from .pages import render_page
from .table import Table, number_text

PAGE, CONTENT, FORMAT_VERSION = "combined.html", "combined.json", 1
#: Pooled figures in words.
TITLES = {
    "auc": mark("AUC"),
    "observed_expected": mark("observed over expected"),
    "in_the_large": mark("calibration in the large"),
    "slope": mark("calibration slope"),
}
#: Places of the names of figures on a terminal.
TEXT_WIDTH = 26


def write_combined(found: Combined, folder: Path) -> Path:
    """Write the page, the forest as PNG and SVG and, last, `combined.json`; the path of the page."""
    folder, forest = Path(folder), draw_forest(found)
    if forest.figure is not None:
        finish(forest.figure, (found.statement,) if found.hospitals[0].demonstration else ())
    contents = {f"{FOREST}.{ending}": forest.as_bytes(ending) for ending in ("png", "svg")}
    contents[PAGE] = _render(found, forest, contents[f"{FOREST}.png"]).encode("utf-8")
    content = json.dumps(_content(found), indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    contents[CONTENT] = content.encode("utf-8")
    for name, of in contents.items():
        if of is None:  # of an earlier run
            (folder / name).unlink(missing_ok=True)
            continue
        with whole_file(folder / name) as stream:
            stream.write(of)
    return folder / PAGE


def as_text(found: Combined) -> str:
    """The pooled figures for a terminal."""
    first = found.hospitals[0]
    model = {"bundle": first.bundle_id, "model": title(first.model), "outcome": tr(first.outcome)}
    lines = [
        found.statement,
        tr("Model {bundle}, {model}; outcome: {outcome}", **model),
        tr("{n} hospitals, {patients} patients", n=len(found.hospitals), patients=_patients(found)),
    ]
    for row in pooled_table(found).rows:
        estimate, low, high = (number_text(row[name]) for name in ("mean", "mean_ci_low", "mean_ci_high"))
        mean = tr("{estimate} (95 % CI {low} to {high})", estimate=estimate, low=low, high=high)
        another = row["another_hospital"]
        if another:
            mean = tr("{mean}; another hospital: {another}", mean=mean, another=another)
        lines.append(padded(row["figure"], TEXT_WIDTH) + mean)
    return "\n".join(lines)


def _patients(found: Combined) -> int:
    return sum(of.patients or 0 for of in found.figures)


def pooled_table(found: Combined) -> Table:
    """A row a figure: the mean of the hospitals, what another one may expect, and how much they differ."""
    rows = [
        {
            "figure": tr(TITLES[name]),
            "hospitals": len(pooled.values),
            "mean": pooled.estimate,
            "mean_ci_low": pooled.ci_low,
            "mean_ci_high": pooled.ci_high,
            "another_hospital": range_text(pooled.prediction_low, pooled.prediction_high),
            "tau": float(np.sqrt(pooled.tau2)),
            "i2": pooled.i2,
            "p_equal": pooled.q_p,
        }
        for name, pooled in found.pooled.items()
    ]
    note = tr(
        "Random effects, restricted likelihood; interval of the mean after Hartung and Knapp. Another "
        "hospital: 95 % prediction interval of Nagashima, Noma and Furukawa, from {fewest} hospitals on. The "
        "AUC is pooled on the logit scale and observed over expected on the log scale. tau: standard "
        "deviation between hospitals on that scale. i2: share of the scatter that is between hospitals. p "
        "equal: Cochran's test that all hospitals are equal; with few hospitals it sees little.",
        fewest=FEWEST_TO_PREDICT,
    )
    absent = "" if rows else tr("no figure is stated by two hospitals")
    return Table("pooled", tr("All hospitals together"), rows, note, absent)


def hospitals_table(found: Combined) -> Table:
    """A row a hospital, as it states its figures."""
    rows = []
    for hospital in found.hospitals:
        of = hospital.figures
        row = {"hospital": hospital.name, "patients": of.patients, "events": of.events}
        row |= _cells("auc", None if of.auc is None else (of.auc.auc, of.auc.ci_low, of.auc.ci_high))
        row |= _cells("observed_over_expected", ratio_interval(of))
        row |= _cells("in_the_large", _calibration(of, "in_the_large"))
        row |= _cells("slope", _calibration(of, "slope"))
        rows.append({**row, "brier": of.brier})
    note = tr("Events: patients with the outcome. A dash: too few patients, or a figure that does not exist.")
    return Table("hospitals", tr("Each hospital"), rows, note)


def benefit_table(found: Combined) -> Table:
    """A row a hospital, a column a decision threshold: the net benefit that the hospital states."""
    stated = {
        (hospital.name, benefit.threshold): benefit.net_benefit
        for hospital in found.hospitals
        for benefit in hospital.figures.net_benefit
    }
    thresholds = sorted({threshold for _, threshold in stated})
    rows = [
        {
            "hospital": of.name,
            **{tr("at {threshold:g}", threshold=t): stated.get((of.name, t)) for t in thresholds},
        }
        for of in found.hospitals
        if thresholds
    ]
    note = tr(
        "Net benefit of acting as if the outcome comes from this probability on: true positives per "
        "patient, less false positives times the odds of the threshold. A dash: a count below five."
    )
    absent = "" if rows else tr("no hospital states one")
    return Table("net_benefit", tr("Net benefit by decision threshold"), rows, note, absent)


def _cells(name: str, values: tuple | None) -> dict:
    values = (None,) * 3 if values is None else values
    return dict(zip((name, f"{name}_ci_low", f"{name}_ci_high"), values, strict=True))


def _calibration(of: Aggregates, name: str) -> tuple[float, float, float] | None:
    value = None if of.calibration is None else getattr(of.calibration, name)
    if value is None:
        return None
    margin = Z * getattr(of.calibration, f"{name}_error")
    return value, value - margin, value + margin


def _render(found: Combined, forest: Drawing, png: bytes | None) -> str:
    first = found.hospitals[0]
    return render_page(
        "combined.html",
        statement=found.statement,
        demonstration=first.demonstration,
        bundle=first.bundle_id,
        model=title(first.model),
        outcome=tr(first.outcome),
        hospitals=len(found.hospitals),
        patients=_patients(found),
        auc=_tile(found, "auc"),
        ratio=_tile(found, "observed_expected"),
        forest={
            "caption": forest.caption,
            "absent": forest.absent,
            "png": base64.b64encode(png or b"").decode("ascii"),
            "width": round(PIXELS_PER_INCH * forest.width_in),
        },
        tables=(pooled_table(found), hospitals_table(found), benefit_table(found)),
        software=f"TACEResponse {__version__}",
    )


def _tile(found: Combined, name: str) -> dict | None:
    pooled = found.pooled.get(name)
    if pooled is None:
        return None
    another = range_text(pooled.prediction_low, pooled.prediction_high)
    return {
        "value": number_text(pooled.estimate),
        "ci": range_text(pooled.ci_low, pooled.ci_high),
        "another": another or tr("needs {n} hospitals", n=FEWEST_TO_PREDICT),
    }


def _content(found: Combined) -> dict:
    """`combined.json`: the pooled figures with every digit, and who stated them."""
    first = found.hospitals[0]
    pooled = {
        name: {
            "hospitals": [found.hospitals[k].name for k in stating(found.figures, name)],
            **{key: getattr(of, key) for key in _KEYS},
            "weights": of.weights.tolist(),
        }
        for name, of in found.pooled.items()
    }
    words = {"statement": found.statement, "bundle_id": first.bundle_id, "model": first.model}
    return {"format_version": FORMAT_VERSION, **words, "outcome": first.outcome, "pooled": pooled}


#: What `combined.json` holds of a `Pooled`.
_KEYS = ("estimate", "ci_low", "ci_high", "prediction_low", "prediction_high", "error", "tau2", "q", "q_p")
_KEYS = (*_KEYS, "i2", "scale", "method", "level")
