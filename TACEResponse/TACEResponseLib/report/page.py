"""The report as one self-contained HTML page for a radiologist: headline first, figures, tables.

Nothing is computed here: tables and figures come in, text goes out. Everything that comes from
files is escaped by the template engine.
"""

import base64
from collections.abc import Sequence

from TACEResponseLib import __version__
from TACEResponseLib.messages.language import tr
from TACEResponseLib.models.combination import title
from TACEResponseLib.statistics.discrimination import AucDifference

from .drawing import Drawing, before_colon
from .fonts import lacking
from .headline import against_size, headline, instead_of_planned
from .pages import render_page
from .paper_kit import FOLDER
from .rivals import named
from .study import Study
from .table import Table, interval_text, number_text, p_text, patients_text, signed

#: Tables that the page names and does not print: one row a patient or a feature.
FILES_ONLY = (
    "scores_out_of_fold",
    "scores_validation",
    "table_s1_icc",
    "image_hashes",
    "instability_patients",
    "outlines_patients",
    "outlines_features",
)
#: How large a figure is on the page.
PIXELS_PER_INCH = 104
#: Columns that fit a page.
MOST_COLUMNS = 10


def render(
    study: Study, tables: Sequence[Table], drawings: Sequence[tuple[Drawing, bytes | None]], card: str
) -> str:
    """The page. drawings: figures with their PNG, None where there is no figure. card: the model card."""
    return render_page(
        "training.html",
        study=study,
        heading=tr("Training report") if study.record else tr("External validation report"),
        headline=headline(study),
        judged=instead_of_planned(study) or _judged(study),
        rival=named(study.rival) if study.rival else tr("unknown here"),
        tiles=_tiles(study),
        matrices=_matrices(study),
        tables={table.name: _view(table, _rows_shown(table, study)) for table in tables},
        figures={
            drawing.name: {
                "caption": drawing.title,
                "png": base64.b64encode(png or b"").decode("ascii"),
                "short": before_colon(drawing.title),
                "absent": drawing.absent,
                # As wide for its inches as every other figure, so that letters have one size.
                "width": round(PIXELS_PER_INCH * drawing.width_in),
                "patients": [(100 * x, 100 * y, mark) for x, y, mark in drawing.places],
            }
            for drawing, png in drawings
        },
        lacking=lacking(),
        outlines=tr("A second outline") if study.outlines else "",
        paper=FOLDER,
        card=card,
        software=f"TACEResponse {__version__}",
        bundle=study.manifest.id if study.manifest else study.model.identity,
    )


def _judged(study: Study) -> str:
    """When it was decided which model is judged."""
    best = title(study.model.headline)
    return tr("The headline model ({best}) was fixed before training.", best=best)


def _view(table: Table, rows: Sequence[dict]) -> dict:
    """What the template needs of a table; `hidden` rows stand in the CSV only."""
    return {
        "caption": table.caption,
        "note": table.note,
        "absent": table.absent,
        "file": "" if table.absent else f"{table.name}.csv",
        "headers": list(zip(table.headers, table.numeric, strict=True)),
        "rows": [list(zip(cells, table.numeric, strict=True)) for cells in table.cells(rows)],
        "style": _style(table),
        "hidden": len(table.rows) - len(rows),
        "count": len(table.rows),
    }


def _style(table: Table) -> str:
    """How the template sets a table that is wide."""
    return "tight" if len(table.headers) > MOST_COLUMNS else ""


def _rows_shown(table: Table, study: Study) -> Sequence[dict]:
    """The rows that are printed on the page; the CSV holds them all."""
    if table.name in FILES_ONLY:
        return ()
    if table.name == "paired_differences":
        return [row for row in table.rows if study.model.headline in (row["first"], row["second"])]
    if table.name == "table_s4_correlations":
        return [row for row in table.rows if {row["first"], row["second"]} <= set(study.singles)]
    if table.name == "table_s2_features":
        return [row for row in table.rows if row["rank"] is not None]
    return table.rows


def _tiles(study: Study) -> list[dict]:
    """The headline figures, one tile an estimate."""
    tiles = []
    for group in study.with_auc:
        auc = group.auc(study.model.headline)
        pair = against_size(study, group)
        tiles.append(
            {
                "title": tr("AUC, {estimate}", estimate=group.where),
                "auc": f"{auc.auc:.3f}",
                "ci": interval_text(auc),
                "patients": patients_text(len(group.labels), auc.responders),
                "beside": "" if pair is None else _beside(study, pair),
            }
        )
    return tiles


def _beside(study: Study, pair: AucDifference) -> str:
    return tr(
        "against {rival} {difference}, p {p}",
        rival=named(study.rival),
        difference=signed(pair.difference),
        p=p_text(pair.p),
    )


def _matrices(study: Study) -> list[dict]:
    """Confusion matrices of the headline model and of tumour size, at the training threshold."""
    names = [name for name in dict.fromkeys((study.model.headline, "size")) if name in study.models]
    matrices = []
    for group in study.scored:
        for name in names:
            threshold = study.model.thresholds[name]
            point = group.operating(name, threshold)
            matrices.append(
                {
                    "title": tr("{model}, {estimate}", model=title(name), estimate=group.title),
                    "threshold": number_text(float(threshold)),
                    "called": (point.true_positive, point.false_positive),
                    "not_called": (point.false_negative, point.true_negative),
                }
            )
    return matrices
