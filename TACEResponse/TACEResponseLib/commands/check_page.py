"""The check of a cohort as a page: every patient's picture with its problems, those with errors first."""

import base64
import io
from pathlib import Path

from TACEResponseLib import __version__
from TACEResponseLib.cohorts.preflight import CohortCheck, PatientCheck
from TACEResponseLib.cohorts.preflight.sample_size import size_text
from TACEResponseLib.cohorts.preflight.table import LEGEND, outlined
from TACEResponseLib.messages.errors import counted
from TACEResponseLib.report.pages import render_page
from TACEResponseLib.storage import whole_file

PAGE = "check.html"
#: Verdict -> what its part of the page is called.
TITLES = {"error": "Errors", "warning": "Warnings", "ok": "No problem found"}


def write_check_page(check: CohortCheck, folder: Path) -> Path:
    """Write `check.html` into `folder`, whole or not at all; its path."""
    page = Path(folder) / PAGE
    with whole_file(page) as stream:
        stream.write(_render(check).encode("utf-8"))
    return page


def _render(check: CohortCheck) -> str:
    parts = {verdict: [] for verdict in TITLES}
    for each in check.patients:
        parts[each.verdict].append(_card(each))
    return render_page(
        "check.html",
        parts=[(verdict, TITLES[verdict], cards) for verdict, cards in parts.items()],
        legend=LEGEND,
        problems=[(problem.severity, str(problem)) for problem in check.problems],
        counts=check.counts,
        size="" if check.sample_size is None else size_text(check.sample_size),
        patients=counted(len(check.patients), "patient"),
        software=f"TACEResponse {__version__}",
    )


def _card(check: PatientCheck) -> dict:
    """What the template needs of a patient."""
    patient, lesions = check.patient, check.lesions
    response = {1: "responder", 0: "non-responder", None: "response not known"}[patient.label]
    about = [response, patient.cohort, f"centre {patient.center}" if patient.center else ""]
    if lesions is not None:
        size = f"{lesions['largest_diameter_mm']:.0f} mm, {lesions['volume_ml']:.1f} mL"
        about.insert(0, f"{counted(lesions['number'], 'lesion')}, {size}")
    return {
        "patient_id": patient.patient_id,
        "about": "; ".join(filter(None, about)),
        "problems": [(problem.severity, str(problem)) for problem in check.problems],
        "picture": _png(check),
        "shows": _shows(check),
    }


def _png(check: PatientCheck) -> str:
    """The picture with its outlines as base64; empty where the CT cannot be read."""
    if check.thumbnail is None:
        return ""
    from matplotlib.image import imsave

    stream = io.BytesIO()
    imsave(stream, outlined(check), format="png", metadata={"Software": None})
    return base64.b64encode(stream.getvalue()).decode("ascii")


def _shows(check: PatientCheck) -> str:
    """What is to be seen on the picture, in words."""
    picture = check.thumbnail
    if picture is None:
        return "no picture: the CT cannot be read"
    drawn = [name for name, inside in zip(("first", "second"), _outlines(picture), strict=True) if inside]
    if not drawn:
        return "the CT alone, middle slice: no mask can be read"
    return f"slice with the largest tumour, outline of the {' and the '.join(drawn)} reader"


def _outlines(picture) -> tuple[bool, bool]:
    return bool(picture.tumour.any()), bool(picture.tumour_reader2.any())
