"""The DICOM slices that a volume node was loaded from, or why there are none."""

import datetime
from pathlib import Path

import slicer
from TACEResponseLib.messages.errors import InputError

from .texts import tr as _

#: Attribute in which Slicer keeps the instances of a volume that it loaded from DICOM.
INSTANCES = "DICOM.instanceUIDs"
STUDY_DATE = "0008,0020"
#: What tells which series it is: name in the provenance of a case -> DICOM attribute.
SERIES = {"series_number": "0020,0011", "series_description": "0008,103E"}


def source_files(volume_node) -> list[Path]:
    """The files of the volume's series, in its order; InputError says what is missing."""
    uids = _instances(volume_node)
    found = [file for file in map(_file_of, uids) if file is not None]
    if len(found) < len(uids):
        raise _lost(len(uids), len(found))
    return found


def why_no_source(volume_node) -> str:
    """Why there is no series, as far as a look at its first slice tells; an empty text when there is."""
    try:
        uids = _instances(volume_node)
        if _file_of(uids[0]) is None:
            raise _lost(1, 0)
    except InputError as error:
        return str(error)
    return ""


def scan_day(volume_node) -> str | None:
    """The day of the volume's study, "2025-03-31"; None where DICOM does not say it."""
    try:
        uid = _instances(volume_node)[0]
        written = slicer.dicomDatabase.instanceValue(uid, STUDY_DATE) or ""
        return datetime.datetime.strptime(written.strip(), "%Y%m%d").date().isoformat()
    except (InputError, ValueError):
        return None


def scan_of(volume_node) -> dict[str, str]:
    """Day and series of a volume as a case from files knows them; only what DICOM says."""
    try:
        uid = _instances(volume_node)[0]
    except InputError:
        return {}
    found = {name: slicer.dicomDatabase.instanceValue(uid, tag) or "" for name, tag in SERIES.items()}
    found["study_date"] = scan_day(volume_node) or ""
    return {name: text.strip() for name, text in found.items() if text.strip()}


def _instances(volume_node) -> list[str]:
    uids = (volume_node.GetAttribute(INSTANCES) or "").split() if volume_node is not None else []
    if not uids:
        raise InputError(
            _("the CT was not loaded from DICOM"),
            remedy=_("load the series with the DICOM module and predict again"),
        )
    database = getattr(slicer, "dicomDatabase", None)
    if database is None or not database.isOpen:
        raise InputError(_("no DICOM database is open"), remedy=_("open one in the DICOM module"))
    return uids


def _file_of(uid: str) -> Path | None:
    file = slicer.dicomDatabase.fileForInstance(uid)
    return Path(file) if file and Path(file).is_file() else None


def _lost(wanted: int, found: int) -> InputError:
    return InputError(
        _("slices of the CT are not in the DICOM database any more"),
        expected=_("{count} slices").format(count=wanted) if wanted > 1 else "",
        received=_("{count} there").format(count=found) if wanted > 1 else "",
        remedy=_("import the series again"),
    )
