"""The check of a cohort as a page: every patient's picture with its problems, those with errors first."""

import base64
import io
from pathlib import Path

from TACEResponseLib import __version__
from TACEResponseLib.cohorts.preflight import CohortCheck, PatientCheck
from TACEResponseLib.cohorts.preflight.sample_size import size_text
from TACEResponseLib.cohorts.preflight.table import LEGEND, outlined
from TACEResponseLib.messages.language import mark, several, tr
from TACEResponseLib.report.pages import render_page
from TACEResponseLib.storage import whole_file

PAGE = "check.html"
#: Verdict -> what its part of the page is called.
TITLES = {"error": mark("Errors"), "warning": mark("Warnings"), "ok": mark("No problem found")}
#: Label of a patient -> what the page says of the response.
RESPONSES = {1: mark("responder"), 0: mark("non-responder"), None: mark("response not known")}
#: Outlines of the first and of the second reader that are drawn -> what is to be seen, in words.
SHOWN = {
    (False, False): mark("the CT alone, middle slice: no mask can be read"),
    (True, False): mark("slice with the largest tumour, outline of the first reader"),
    (False, True): mark("slice with the largest tumour, outline of the second reader"),
    (True, True): mark("slice with the largest tumour, outline of the first and the second reader"),
}


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
        parts=[(verdict, tr(TITLES[verdict]), cards) for verdict, cards in parts.items()],
        legend=[(tr(reader), colour) for reader, colour in LEGEND],
        problems=[(problem.severity, str(problem)) for problem in check.problems],
        counts=check.counts,
        size="" if check.sample_size is None else size_text(check.sample_size),
        patients=several(len(check.patients), "1 patient", "{n} patients"),
        software=f"TACEResponse {__version__}",
    )


def _card(check: PatientCheck) -> dict:
    """What the template needs of a patient."""
    patient, lesions = check.patient, check.lesions
    centre = tr("centre {name}", name=patient.center) if patient.center else ""
    about = [tr(RESPONSES[patient.label]), patient.cohort, centre]
    if lesions is not None:
        size = {"diameter": lesions["largest_diameter_mm"], "volume": lesions["volume_ml"]}
        number = lesions["number"]
        said = several(
            number,
            "1 lesion, {diameter:.0f} mm, {volume:.1f} mL",
            "{n} lesions, {diameter:.0f} mm, {volume:.1f} mL",
            **size,
        )
        about.insert(0, said)
    return {
        "patient_id": patient.patient_id,
        "about": tr("; ").join(filter(None, about)),
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
        return tr("no picture: the CT cannot be read")
    return tr(SHOWN[bool(picture.tumour.any()), bool(picture.tumour_reader2.any())])
