"""The page of proposed outlines, for the eye: every draft on its largest slice, or why there is none."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from TACEResponseLib import __version__
from TACEResponseLib.cohorts.preflight import PatientCheck, check_cohort
from TACEResponseLib.cohorts.table import Cohort, Patient
from TACEResponseLib.messages.errors import Problem
from TACEResponseLib.messages.language import language_tag, several, tr
from TACEResponseLib.messages.progress import Progress
from TACEResponseLib.report.pages import render_page
from TACEResponseLib.storage import whole_file

from .check_page import _png

PAGE = "proposals.html"


def write_proposals_page(
    drafted: Sequence[Patient],
    failed: Mapping[str, Problem],
    program: str,
    table: str,
    folder: Path,
    progress: Progress,
) -> Path:
    """Write `proposals.html` into `folder`, whole or not at all; its path.

    drafted: patients whose `mask` is a draft. failed: patient -> why there is no draft. table: name of the
    file with the same list.
    """
    found = check_cohort(Cohort(folder, tuple(drafted)), progress=progress).patients
    cards = [_failed(patient_id, problem) for patient_id, problem in failed.items()]
    page = folder / PAGE
    text = render_page(
        PAGE,
        cards=[*cards, *map(_card, found)],
        program=program,
        table=table,
        software=f"TACEResponse {__version__}",
        tr=tr,
        language_tag=language_tag,
    )
    with whole_file(page) as stream:
        stream.write(text.encode("utf-8"))
    return page


def _card(check: PatientCheck) -> dict:
    """What the template needs of a patient with a draft."""
    about = ""
    if check.lesions is not None:
        number = check.lesions["number"]
        about = several(
            number,
            "1 lesion, {diameter:.0f} mm, {volume:.1f} mL",
            "{n} lesions, {diameter:.0f} mm, {volume:.1f} mL",
            diameter=check.lesions["largest_diameter_mm"],
            volume=check.lesions["volume_ml"],
        )
    problems = [(problem.severity, str(problem)) for problem in check.problems]
    return {
        "patient_id": check.patient.patient_id,
        "about": about,
        "problems": problems,
        "picture": _png(check),
        "failed": check.verdict == "error",
    }


def _failed(patient_id: str, problem: Problem) -> dict:
    """What the template needs of a patient without a draft."""
    said = [("error", str(problem))]
    return {"patient_id": patient_id, "about": "", "problems": said, "picture": "", "failed": True}
