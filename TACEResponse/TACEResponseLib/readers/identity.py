"""Whether a DICOM mask was drawn for the CT beside it: the patient and the frame of reference of both.

A mask of another patient can lie on the same grid, since scanners' grids repeat. What the headers say is a
warning and not an error: anonymised CTs and their masks do not always get the same new identifiers.
No identifier is repeated in what is said.
"""

from pathlib import Path

from TACEResponseLib.messages.errors import Problem
from TACEResponseLib.messages.language import tr

from .dicom_open import dicom_files, reading_dicom

TAGS = ["PatientID", "FrameOfReferenceUID", "SeriesInstanceUID", "ReferencedFrameOfReferenceSequence"]


def strangers(folder: Path, series_uid: str, mask: Path) -> tuple[Problem, ...]:
    """Warnings where the mask's header names another patient or frame of reference than the series' does.

    folder: holds the series. Raises InputError when a file is damaged.
    """
    headers = (_header(path, "image") for path in dicom_files(folder))
    ct = next((header for header in headers if header.get("SeriesInstanceUID") == series_uid), None)
    if ct is None:
        return ()
    drawn = _header(mask, "mask")
    if _differ(ct.get("PatientID"), drawn.get("PatientID")):
        message, expected = tr("the mask's header names another patient than the CT's"), tr("one patient ID")
    elif _differ(ct.get("FrameOfReferenceUID"), _frame_of_reference(drawn)):
        message = tr("the mask was drawn in another frame of reference than the CT")
        expected = tr("one frame of reference")
    else:
        return ()
    return (
        Problem(
            "mask",
            message,
            field="mask",
            file=mask.name,
            expected=expected,
            received=tr("two"),
            remedy=tr("check that both are of the same examination"),
            severity="warning",
        ),
    )


def _header(path: Path, field: str):
    import pydicom

    with reading_dicom(path, field):
        return pydicom.dcmread(path, stop_before_pixels=True, specific_tags=TAGS, force=True)


def _frame_of_reference(mask) -> str | None:
    """Of a segmentation, or of the only frame that an RTSTRUCT refers to."""
    referenced = mask.get("ReferencedFrameOfReferenceSequence") or []
    if len(referenced) == 1:
        return referenced[0].get("FrameOfReferenceUID")
    return mask.get("FrameOfReferenceUID")


def _differ(one, other) -> bool:
    return bool(one) and bool(other) and str(one).strip() != str(other).strip()
