"""The header of a DICOM slice: where it lies, and what its numbers mean.

A `Slice` is what decides where one plane of voxels belongs and what its numbers mean, whether it
has a file of its own or is a frame among others. Nothing is read of the pixels here.
"""

import math
from collections.abc import MutableSequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path

from TACEResponseLib.messages.errors import InputError
from TACEResponseLib.messages.language import listed, tr

from .dicom_open import (
    CT_IMAGE,
    DAMAGE,
    LABEL_MAP,
    SEGMENTATION,
    reading_dicom,
    require_possible_pixels,
    require_whole_elements,
    syntax_of,
)

HEADER_TAGS = [
    "AcquisitionNumber",
    "AcquisitionTime",
    "BitsAllocated",
    "BitsStored",
    "Columns",
    "ContentTime",
    "ImageOrientationPatient",
    "ImagePositionPatient",
    "ImageType",
    "Modality",
    "PatientID",
    "PhotometricInterpretation",
    "PixelRepresentation",
    "PixelSpacing",
    "RescaleIntercept",
    "RescaleSlope",
    "RescaleType",
    "Rows",
    "SOPClassUID",
    "SOPInstanceUID",
    "SeriesDescription",
    "SeriesInstanceUID",
    "SeriesNumber",
    "SliceLocation",
    "StudyDate",
    "StudyInstanceUID",
    "TemporalPositionIdentifier",
]
STORED_AS = ("BitsAllocated", "BitsStored", "PixelRepresentation")
#: Without one of these a slice has no place.
REQUIRED_TAGS = ("ImagePositionPatient", "ImageOrientationPatient", "SeriesInstanceUID", "SOPInstanceUID")


@dataclass(frozen=True)
class Slice:
    """What decides where one DICOM slice belongs. Position, orientation and pixel spacing are LPS, in mm.

    slope, intercept: stored numbers to HU, None where the header does not say. stored_as: bits allocated,
    bits stored, and 1 for signed numbers. location_mm: what the
    scanner calls its place. frame: its number in a file of several, from 0. stack: of an Enhanced file.
    part: (number, of how many) of a file that is one part of a concatenation. shown_as: the
    PhotometricInterpretation, which for a CT says whether large numbers are shown bright or dark.
    study_date: of the examination, ISO ("2020-03-31"), "" where the header holds none.
    """

    path: Path
    patient_id: str
    instance_uid: str
    series_uid: str
    study_uid: str
    series_number: str
    description: str
    acquisition: str
    temporal_position: str
    time: str
    position: tuple[float, float, float]
    orientation: tuple[float, float, float, float, float, float]
    pixel_spacing: tuple[float, ...]
    rows_columns: tuple[int, int]
    class_uid: str = CT_IMAGE
    modality: str = ""
    image_type: tuple[str, ...] = ()
    slope: float | None = None
    intercept: float | None = None
    rescale_type: str = ""
    stored_as: tuple[int, ...] = ()
    location_mm: float | None = None
    frame: int | None = None
    stack: str = ""
    part: tuple[int, int] | None = None
    shown_as: str = ""
    study_date: str = ""

    @cached_property
    def depth_mm(self) -> float:
        """Position along the slice's own normal."""
        (a, b, c), (d, e, f), (x, y, z) = self.orientation[:3], self.orientation[3:], self.position
        return x * (b * f - c * e) + y * (c * d - a * f) + z * (a * e - b * d)

    @property
    def is_localizer(self) -> bool:
        """Whether it is the overview from which the scan was planned."""
        return "LOCALIZER" in self.image_type


def read_slice(path: Path) -> Slice | None:
    """The header of a file with one slice; None when it holds none, or many. InputError when damaged."""
    import pydicom

    with reading_dicom(path), path.open("rb") as stream:
        header = pydicom.dcmread(stream, stop_before_pixels=True, specific_tags=HEADER_TAGS, force=True)
        kinds = kinds_of(header)
        if kinds & {SEGMENTATION, LABEL_MAP} or (
            "ImagePositionPatient" not in header and CT_IMAGE not in kinds
        ):
            return None
        require_possible_pixels(header, path)
        require_whole_elements(stream, syntax_of(header))
        try:
            return _slice(header, path)
        except DAMAGE:
            _require_tags(header, path)
            raise


def _slice(header, path: Path) -> Slice:
    return Slice(
        **about_file(header, path),
        **placed(header.ImagePositionPatient, header.ImageOrientationPatient, header.get("PixelSpacing")),
        **scaled(header),
        acquisition=plain_of(header, "AcquisitionNumber"),
        temporal_position=plain_of(header, "TemporalPositionIdentifier"),
        time=plain_of(header, "AcquisitionTime") or plain_of(header, "ContentTime"),
        image_type=words_of(header, "ImageType"),
        location_mm=number_of(header, "SliceLocation"),
    )


def about_file(header, path: Path) -> dict:
    """The fields of a Slice that all frames of a file share."""
    return {
        "path": path,
        "patient_id": text_of(header, "PatientID"),
        "instance_uid": str(header.SOPInstanceUID),
        "series_uid": str(header.SeriesInstanceUID),
        "study_uid": plain_of(header, "StudyInstanceUID"),
        "series_number": plain_of(header, "SeriesNumber"),
        "description": text_of(header, "SeriesDescription"),
        "class_uid": plain_of(header, "SOPClassUID"),
        "modality": plain_of(header, "Modality"),
        "stored_as": tuple(int(header.get(name) or 0) for name in STORED_AS),
        "shown_as": plain_of(header, "PhotometricInterpretation").strip().upper(),
        "rows_columns": (int(header.Rows), int(header.Columns)),
        "study_date": _day(plain_of(header, "StudyDate")),
    }


def placed(position, orientation, pixel_spacing) -> dict:
    """Position, orientation and pixel spacing of a Slice; ValueError where they are no place."""
    position, orientation = (tuple(float(v) for v in values) for values in (position, orientation))
    if len(position) != 3 or len(orientation) != 6 or not _is_right_angled(orientation):
        raise ValueError
    spacing = tuple(float(v) for v in pixel_spacing or ())
    return {"position": position, "orientation": orientation, "pixel_spacing": spacing}


def scaled(header) -> dict:
    """How a header says that stored numbers become HU."""
    return {
        "slope": number_of(header, "RescaleSlope"),
        "intercept": number_of(header, "RescaleIntercept"),
        "rescale_type": plain_of(header, "RescaleType"),
    }


def kinds_of(header) -> set[str]:
    """The SOP classes that a header names."""
    return {str(header.get("SOPClassUID")), str(header.file_meta.get("MediaStorageSOPClassUID"))}


def text_of(header, name: str) -> str:
    """An attribute as text, empty where there is none."""
    value = header.get(name)
    return "" if value is None else str(value)


def plain_of(header, name: str) -> str:
    """As `text_of`, for attributes of ASCII letters: taken as they stand, which is several times faster."""
    element = header.get_item(name) if header else None
    value = None if element is None else element.value
    if isinstance(value, bytes):
        return value.decode("ascii", errors="replace").strip(" \0")
    return (
        "" if value is None else "\\".join(map(str, value if isinstance(value, MutableSequence) else [value]))
    )


def number_of(header, name: str) -> float | None:
    """An attribute as a number, None where it is missing or empty."""
    return float(text) if (text := plain_of(header, name)) else None


def _day(text: str) -> str:
    """A DICOM date as ISO: "20200331" or, as before 1993, "2020.03.31"; "" for what is none."""
    digits = text.strip().replace(".", "")
    try:
        return date.fromisoformat(digits).isoformat() if digits.isdecimal() else ""
    except ValueError:
        return ""


def words_of(header, name: str) -> tuple[str, ...]:
    """An attribute of several words in capitals."""
    return tuple(word.strip().upper() for word in plain_of(header, name).split("\\") if word.strip())


def require_no_slice_of(shapes: set[tuple[str, tuple[int, int]]], path: Path) -> None:
    """Raise InputError for an image without a place that is of a series, and as large as its slices.

    Other images without one, such as a dose report beside the scan, are none of its slices. shapes:
    UID and (rows, columns) of the series.
    """
    import pydicom

    tags = ["SeriesInstanceUID", "Rows", "Columns"]
    with reading_dicom(path):
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=tags, force=True)
        shape = plain_of(header, "SeriesInstanceUID"), (header.get("Rows"), header.get("Columns"))
        if shape in shapes:
            _require_tags(header, path)


def _require_tags(header, path: Path) -> None:
    """Raise InputError that names the attributes without which the slice has no place."""
    # Anonymisers leave UIDs empty, which tells one series as well; a place cannot be empty.
    missing = [n for n in REQUIRED_TAGS if n not in header or not (header.get(n) or n.endswith("UID"))]
    if missing:
        raise InputError(
            tr("a slice of the CT does not say where it lies"),
            field="image",
            file=path.name,
            expected=listed(REQUIRED_TAGS),
            received=tr("no {names}", names=listed(missing)),
            remedy=tr("export the series again without removing these attributes"),
        )


def _is_right_angled(orientation: tuple[float, ...]) -> bool:
    rows, columns = orientation[:3], orientation[3:]
    lengths = math.hypot(*rows), math.hypot(*columns)
    between = sum(a * b for a, b in zip(rows, columns, strict=True))
    return all(abs(length - 1) < 1e-2 for length in lengths) and abs(between) < 1e-2
